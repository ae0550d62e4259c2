// One section's worth of work: the operations that go through load, decide and save together, and
// everything their decisions read. Owned by one worker and used again for every section.
#pragma once

#include "base/cleanup.h"
#include "domain/effect.h"
#include "domain/lottery.h"
#include "domain/operation.h"
#include "guard/guard.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct job;

enum work_state {
    WORK_PENDING,  // to be decided
    WORK_ACCEPTED, // decided: to be saved
    WORK_REFUSED,  // decided: nothing to save
    WORK_DONE,     // its outcome stands
};

// One operation on its way through the section.
struct work {
    struct job *job;
    struct operation *operation;
    size_t scene;
    size_t user; // index into the batch's users
    enum work_state state;
    bool unproven; // a replay, of which it is not known whether it would outlive a crash
    bool seen;     // scratch for the save and for the proof
    struct effect effect;
};

// One counter, and what the decisions on it read besides.
struct scene {
    struct counter counter; // as decided so far
    int64_t per_user_limit; // coupon
    struct lottery *wheel;  // lottery: as loaded ...
    struct lottery *turned; // ... and as decided so far
    size_t first_work, n_works;
    size_t first_user, n_users;
};

struct batch {
    enum endpoint endpoint;
    const struct strategy *strategy;
    enum update_rule rule; // of the strategy, unless the lab has taken it off
    uint64_t token;
    int64_t now_ms; // the database's
    size_t capacity;
    size_t n_works, n_scenes, n_users, n_changes;
    struct work *works;             // in order of their counters, then of arrival
    struct scene *scenes;           // in order of their counters
    struct counter *loaded;         // of each scene, as read
    const char **users;             // distinct within a scene
    int64_t *used_loaded, *used;    // what each user already has: as read, and as decided so far
    struct counter_change *changes; // to be saved: at most one a scene and one a prize
    size_t changes_capacity;
    struct counter_change *durable; // what the last commit has changed, sorted by name
    size_t n_durable, durable_capacity;
    size_t n_unproven;
    struct ledger_row *rows; // scratch for saving: at most two a work
};

// Room for this many operations. RC_NO_MEMORY.
MUST_CHECK enum rc batch_init(struct batch *batch, size_t capacity);
void batch_release(struct batch *batch); // a zeroed one is fine

// Puts these jobs, ordered by counter and then by arrival, into an empty batch. At most `capacity`.
void batch_fill(struct batch *batch, enum endpoint endpoint, const struct strategy *strategy,
                enum update_rule rule, struct job *const *jobs, size_t n);

// Reads everything that the pending operations' decisions need; locks the counters' rows if asked.
MUST_CHECK enum rc batch_load(struct batch *batch, struct db *db, bool lock);

// Instead of reading: supposes that there is enough of everything. Only for stock under
// RULE_CONDITIONAL, whose save finds out and decides again from the rows as they are; it saves the
// round trip of a guess. RC_CONFLICT from batch_save then means no more than "read after all".
void batch_suppose(struct batch *batch);

// Decides every pending operation, in order, from what was loaded. Pure.
void batch_decide(struct batch *batch);

// Behind batch_decide: makes sure that what is refused for a user's limit names a version at which
// it is true. Reads, outside a lock or within.
MUST_CHECK enum rc batch_date_refusals(struct batch *batch, struct db *db);

// Writes what was accepted, within a transaction, under the batch's rule. RC_CONFLICT,
// RC_DUPLICATE and the faults of the database. For RULE_CONDITIONAL it also makes sure that what
// was decided is true of the rows as they really were.
MUST_CHECK enum rc batch_save(struct batch *batch, struct db *db);

// After a save that was refused, outside a transaction: the highest fence of the rows that it was
// to change.
MUST_CHECK enum rc batch_seen_fence(const struct batch *batch, struct db *db, uint64_t *ret_fence);

// The highest fence of the rows that were loaded.
uint64_t batch_loaded_fence(const struct batch *batch);

size_t batch_count(const struct batch *batch, enum work_state state);

// Of the works that are not done. Monotonic.
int64_t batch_first_deadline(const struct batch *batch);

// Looks the request keys of all works in this state up in the ledger: where one is found the work
// is done, with the first result or RC_IDEMPOTENCY_MISMATCH. ret_found may be NULL.
MUST_CHECK enum rc batch_find_replays(struct batch *batch, struct db *db, enum work_state state,
                                      size_t *ret_found);

// A work was answered with this row, which was read: it needs a proof, unless the row is certainly
// on the disk.
void batch_doubt(struct batch *batch, const struct db *db, const struct ledger_row *row,
                 struct work *work);

// Within a transaction: sees the rows of all replays without proof again; one whose row is gone is
// done with RC_OUTCOME_UNKNOWN. With batch_committed behind its COMMIT the others are proven.
MUST_CHECK enum rc batch_see_again(struct batch *batch, struct db *db);

// COMMIT was answered.
void batch_committed(struct batch *batch);

// The first deadline of the replays that no commit has proven; INT64_MAX if there are none.
// Monotonic.
int64_t batch_proof_deadline(const struct batch *batch);

// For replays that no commit has proven: one of its own. If that cannot be had they are done with
// RC_OUTCOME_UNKNOWN.
void batch_prove(struct batch *batch, struct db *db);

// After a COMMIT without an answer: waits until its transaction has ended, for a while but not past
// the deadline, then looks up the accepted works as batch_find_replays does.
// RC_CONFLICT: none is there; it did not happen. RC_DUPLICATE: those that were found are done, by
// it or by another transaction. RC_OUTCOME_UNKNOWN: it may have happened, or happen yet.
MUST_CHECK enum rc batch_resolve_unknown(struct batch *batch, struct db *db, int64_t deadline_ns,
                                         size_t *ret_found);
