// A batch: the operations that go through load, decide and save together, and everything their
// decisions read. Owned by one worker and reused for every section.
//
// The calls in order: batch_fill; batch_prepare; batch_load or batch_assume_enough; batch_decide;
// batch_stamp_refusals and batch_find_replays; batch_save and batch_reread inside a transaction;
// batch_committed after its COMMIT.
#pragma once

#include "base/cleanup.h"
#include "domain/operation.h"
#include "domain/view.h"
#include "engine/facts/facts.h"
#include "guard/guard.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct expiry;
struct job;
struct recent_keys;

// A work moves PENDING -> ACCEPTED or REFUSED (decide), from there back to PENDING (a retry), and
// from any state to DONE, where it stays.
enum work_state {
    WORK_PENDING,  // to be decided
    WORK_ACCEPTED, // decided: to be saved
    WORK_REFUSED,  // decided: nothing to save
    WORK_DONE,     // its outcome is final
};

// One operation on its way through the section.
struct work {
    struct job *job; // NULL: an expiry, which the batch has added
    struct operation *operation;
    size_t first_leg; // of the batch's legs
    size_t subject;   // index into the batch's subjects; SIZE_MAX if its kind has no facts
    enum work_state state;
    bool used_up;      // refused because its subject has used up the limit
    bool expire_first; // refused, unless holds that are due make a difference
    bool was_accepted; // before the decision was made again
    bool unproven;     // a replay whose row might not survive a crash of the database
    bool row_seen;     // its row was still there when it was read again
    int64_t slot;      // accepted, with a subject: as in struct fact
    size_t first_posting, n_postings;
};

// What the decisions of the works whose first leg is this root need besides counters.
struct root {
    const struct operation *operation; // one whose kind loads facts; NULL if there is none
    bool due_read;                     // the holds on it that are due
    int64_t next_release_ms;           // then: when the next one will be; 0 if there is none
    struct root_facts facts;           // its memory is kept from batch to batch
    size_t first_child; // the facts' children are counters[first_child] and following
};

struct batch {
    struct recent_keys *recent; // knows the keys of accepted works and of replays
    const struct strategy *strategy;
    enum update_rule rule; // the strategy's, unless the lab has switched it off
    uint64_t token;
    int64_t now_ms; // the database's, when the decisions were made; 0: nothing has been read yet
    size_t capacity;
    size_t n_works, n_expiries, n_legs, n_roots, n_named, n_counters, n_subjects, n_postings,
        n_changes;
    struct work *works; // in order of arrival; behind them the expiries, which are decided first
    struct expiry *expiries; // BATCH_EXPIRIES_MAX; NULL until the first
    bool more_due;      // a refusal may not stand: more holds are due than the batch had room for
    size_t *legs;       // of all works: each leg's root
    size_t *children;   // of all works: the counter of each leg's child; SIZE_MAX if it has none
    struct root *roots; // the distinct counters of the legs, ordered by name
    // The roots' counters; then the children that the legs name, ordered by name; then those that
    // the facts have added; then those of the expiries.
    struct counter *loaded, *counters; // as read, and as decided so far
    size_t counters_capacity;
    const char **subjects;          // distinct within a root
    const char **owners;            // of each subject: the id of its root
    int64_t *used_loaded, *used;    // what each subject has: as read, and as decided so far
    struct posting *postings;       // of the accepted works
    struct counter_change *changes; // to be saved: at most one a counter, sorted by name
    size_t changes_capacity;
    struct counter_change *durable; // what the last commit has changed, sorted by name
    size_t n_durable, durable_capacity;
    size_t n_unproven;
    struct ledger_row *rows; // scratch for the save: one a posting
};

// At most so many holds expire in one transaction.
#define BATCH_EXPIRIES_MAX 256

// The legs that the operations of a batch of this capacity may have in all.
size_t batch_legs_max(size_t capacity);

// Room for this many operations. recent: borrowed. RC_NO_MEMORY.
MUST_CHECK enum rc batch_init(struct batch *batch, size_t capacity, struct recent_keys *recent);
void batch_release(struct batch *batch); // a zeroed struct is fine

// Starts a new batch with these jobs, in order of arrival: at most `capacity`, and at most
// batch_legs_max legs. RC_NO_MEMORY. keys: the counters of their legs, and perhaps more; sorted,
// distinct, at most GUARD_KEYS_MAX.
MUST_CHECK enum rc batch_fill(struct batch *batch, const struct strategy *strategy,
                              enum update_rule rule, const char *const *keys, size_t n_keys,
                              struct job *const *jobs, size_t n);

// Are all its operations of blind kinds (domain/kinds.h)?
bool batch_is_blind(const struct batch *batch);

size_t batch_count(const struct batch *batch, enum work_state state);

// The first deadline of the works that are not done. Monotonic.
int64_t batch_first_deadline(const struct batch *batch);

// ---- load and decide ----------------------------------------------------------------------------

// Completes the operations of the pending works, such as the prices of orders. Outside a
// transaction.
MUST_CHECK enum rc batch_prepare(struct batch *batch, struct db *db);

// Reads everything that the decisions of the pending works need. `lock`: locks the counters' rows.
MUST_CHECK enum rc batch_load(struct batch *batch, struct db *db, bool lock);

// Instead of reading: assumes that there is enough of everything. Only for a blind batch under a
// rule that `adds`, whose save finds out and decides again from the rows as they are. It saves the
// round trip of a read. If batch_save then returns RC_CONFLICT, call batch_load and decide again.
void batch_assume_enough(struct batch *batch);

// Decides every work that is not done, in order, from what was loaded. Pure.
void batch_decide(struct batch *batch);

// After batch_decide: makes sure that a refusal for a subject's limit names a version at which it
// is true. Reads; inside or outside a transaction.
MUST_CHECK enum rc batch_stamp_refusals(struct batch *batch, struct db *db);

// After batch_decide: some operations were refused, and holds that are due on their counters have
// not expired yet. Adds their expiry to the batch, up to BATCH_EXPIRIES_MAX; the caller then
// decides again. ret_n: how many were added. RC_CONFLICT: a counter has moved since it was read.
MUST_CHECK enum rc batch_expire(struct batch *batch, struct db *db, size_t *ret_n);

// After a successful attempt: all works are done, except those whose refusal may not stand because
// more holds are due than the batch had room for. True if there are such; they need another
// attempt.
bool batch_continue(struct batch *batch);

// Room for so many counters. RC_NO_MEMORY.
MUST_CHECK enum rc batch_grow_counters(struct batch *batch, size_t n);

// The highest fence of the rows that were loaded.
uint64_t batch_loaded_fence(const struct batch *batch);

// ---- save ---------------------------------------------------------------------------------------

// Writes the accepted works, inside a transaction, under the batch's rule. RC_CONFLICT,
// RC_DUPLICATE and the faults of the database. Under a rule that `adds` it also decides again from
// the locked rows.
MUST_CHECK enum rc batch_save(struct batch *batch, struct db *db);

// Reads the rows that the last save changed, or would have changed, as they are now; `lock` locks
// them. The caller frees ret_rows, one row a change.
MUST_CHECK enum rc batch_load_changed(const struct batch *batch, struct db *db, bool lock,
                                      struct counter **ret_rows, int64_t *ret_now_ms);

// After a save that was refused, outside a transaction: the highest fence of the rows that it would
// have changed.
MUST_CHECK enum rc batch_seen_fence(const struct batch *batch, struct db *db, uint64_t *ret_fence);

// COMMIT was acknowledged: its changes are durable, and the replays that batch_reread has seen in
// the transaction are proven.
void batch_committed(struct batch *batch);

// ---- replays ------------------------------------------------------------------------------------

// Looks up the request keys of all works in this state in the ledger. A work whose key is found is
// done, with the first result or RC_IDEMPOTENCY_MISMATCH. ret_found: how many.
MUST_CHECK enum rc batch_find_replays(struct batch *batch, struct db *db, enum work_state state,
                                      size_t *ret_found);

// The same for the pending works whose keys are recent.
MUST_CHECK enum rc batch_find_recent(struct batch *batch, struct db *db, size_t *ret_found);

// Inside a transaction: reads the rows of all unproven replays again. A work whose row is gone is
// done with RC_OUTCOME_UNKNOWN. After the COMMIT batch_committed marks the others as proven.
MUST_CHECK enum rc batch_reread(struct batch *batch, struct db *db);

// The first deadline of the unproven replays; INT64_MAX if there are none. Monotonic.
int64_t batch_proof_deadline(const struct batch *batch);

// Makes a commit for the unproven replays alone. If that fails they are done with
// RC_OUTCOME_UNKNOWN.
void batch_commit_proof(struct batch *batch, struct db *db);

// After a COMMIT that was not acknowledged: waits until its transaction has ended, for a while but
// not past the deadline, then looks up the accepted works as batch_find_replays does.
// RC_CONFLICT: none was found; the transaction did not commit. RC_DUPLICATE: the works that were
// found are done, committed by it or by another transaction. RC_OUTCOME_UNKNOWN: the transaction
// may have committed, or may still commit.
MUST_CHECK enum rc batch_resolve_unknown(struct batch *batch, struct db *db, int64_t deadline_ns,
                                         size_t *ret_found);
