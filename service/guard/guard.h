// The interface of a concurrency strategy: one table of functions. A strategy answers two
// questions: what surrounds load, decide and save (the guard), and what the save demands of the row
// before it writes (the update rule).
//
// The contract of every strategy:
//   - enter is all or nothing over a sorted set of distinct keys, and returns by the deadline;
//   - after a successful enter exactly one leave follows, on every path;
//   - leave frees only the lock that this hold owns, and never blocks the next holder;
//   - a lease is renewed while the hold is inside (renewal.h), up to a hard deadline;
//   - a lock is a lease and may be lost at any moment: the update rule decides, not the lock.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/update_rule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct guard;
struct guard_trouble;

enum guard_scope { SCOPE_NOTHING, SCOPE_PROCESS, SCOPE_CLUSTER };

#define GUARD_KEYS_MAX 256
#define GUARD_ERROR_MAX 400

// One stay inside the guard, from enter to leave. The caller owns the memory; enter fills it in.
struct guard_hold {
    const char *const *keys; // borrowed from the caller until leave; sorted, distinct
    size_t n_keys;
    uint64_t token; // fencing token; 0 where the rule is not RULE_FENCED
    // End of the lease, monotonic, measured from before the request: do not trust the lock past it.
    // INT64_MAX if it cannot expire. The renewal extends it, and sets 0 once the lock is known to
    // be lost.
    _Atomic int64_t expires_ns;
    int64_t entered_ns; // monotonic: when enter returned
    char owner[40];     // random, unique to this hold; "" where the lock is not shared
    // For leave; NULL: none. For each key: its counter does not exist, so the lock must leave
    // nothing behind, not even the number of its last token. Else every name that a client makes up
    // would be kept for ever. A counter that is created later has seen no token.
    const bool *unknown;
    void *state; // the strategy's own
    struct {
        struct guard_hold *next, **link; // link is NULL while not renewed
        struct guard *guard;
        int64_t due_ns, until_ns;
    } renewal; // the renewal's own
};

// The settings of all guards; borrowed for the life of the guard.
struct guard_settings {
    const char *redis, *zookeeper, *etcd; // addresses (addresses.h); "" if none
    int64_t lock_ttl_ms;                  // a lease's length
    int64_t lock_wait_ms;                 // timeout of a waiter
    int64_t lock_max_hold_ms; // the renewal's hard deadline: no lease is renewed past it
    const char *lock_wait;    // "fail": do not wait at all; "spin" or "notify"
    const char *instance;     // names this process in lock values, for the operator
};

struct strategy {
    const char *name;    // "redis-lock"
    const char *summary; // one sentence for people
    enum guard_scope scope;
    enum update_rule rule;
    bool lab_only;
    // Worth keeping for the next jobs (lock.tenure_ms): to enter costs more than the jobs do, and
    // the lock server has a fair queue. Waiters that poll would rarely find the lock free.
    bool may_keep;

    // Creates the guard. It connects lazily, so open succeeds while the server is down. RC_USAGE
    // with a sentence that names the missing setting in ret_why (GUARD_ERROR_MAX bytes) if it
    // cannot be used. NULL: the strategy has no guard, only its update rule; then all slots below
    // are NULL too.
    enum rc (*open)(const struct guard_settings *settings, struct guard **ret_guard, char *ret_why);
    void (*close)(struct guard *guard);

    // Any thread, concurrently. The connection is the caller's, outside a transaction; only the
    // lock table uses it. RC_LOCK_BUSY: not acquired by min(deadline, lock.wait_ms), and nothing is
    // left behind. RC_BACKEND_UNAVAILABLE: the lock server does not answer.
    enum rc (*enter)(struct guard *guard, struct db *db, const char *const *keys, size_t n_keys,
                     int64_t deadline_ns, struct guard_hold *ret_hold);
    // RC_LOCK_LOST if the hold no longer owned the lock; the update rule has judged what was saved
    // meanwhile. RC_BACKEND_UNAVAILABLE if the server did not answer: the release is retried in the
    // background, or the lease expires. Takes a bounded time.
    enum rc (*leave)(struct guard *guard, struct db *db, struct guard_hold *hold);

    // Optional. Does the hold still own the lock? Cheap, no I/O. NULL: only expires_ns decides.
    bool (*held)(struct guard *guard, const struct guard_hold *hold);
    // Optional. The row has seen a token above ours, because the token source lost its memory or
    // another strategy was in force. Gives the hold a token above `floor` that is still above every
    // older token. RC_LOCK_LOST if the lock is lost. NULL: guard_lift returns RC_STALE_TOKEN.
    enum rc (*lift)(struct guard *guard, struct db *db, struct guard_hold *hold, uint64_t floor);
    // Optional. Extends the hold's lease to lock_ttl_ms from now, by the deadline. Called by the
    // renewal's thread with its own connection while the hold is inside: never concurrently with
    // leave, but possibly with lift. RC_OK: ret_expires_ns is set, measured from before the
    // request. RC_LOCK_LOST: another holder may own the lock. RC_BACKEND_UNAVAILABLE: the server
    // did not answer; the call is retried while the lease runs. NULL: there is nothing to renew
    // (ZooKeeper's session keeps itself alive).
    enum rc (*renew)(struct guard *guard, struct db *db, const struct guard_hold *hold,
                     int64_t deadline_ns, int64_t *ret_expires_ns);
    // Optional. Reconnects to the lock server since open. Any thread.
    uint64_t (*reconnects)(struct guard *guard);
    // Optional. Does what a lock does, on a lock that no counter has: can the lock server be used?
    // RC_OK, or RC_BACKEND_UNAVAILABLE and the trouble. Takes a bounded time. For /readyz.
    enum rc (*ping)(struct guard *guard, struct guard_trouble *ret_trouble);
};

// Embedded first in every strategy's own struct.
struct guard {
    const struct strategy *strategy;
    struct renewal *renewal; // borrowed; NULL: leases are not renewed (some tests)
};

// Does entering take a lock that all instances share?
bool strategy_is_lock(const struct strategy *strategy);

const char *guard_scope_name(enum guard_scope scope);

// Creates the guard of a strategy, also where its open is NULL. The settings are borrowed until
// guard_close. RC_USAGE with the reason in ret_why (GUARD_ERROR_MAX bytes) if the strategy cannot
// be used with these settings or was not built in.
MUST_CHECK enum rc guard_open(const struct strategy *strategy,
                              const struct guard_settings *settings, struct guard **ret_guard,
                              char *ret_why);
void guard_close(struct guard *guard); // NULL is fine

// ---- the calls that the engine makes; they supply the defaults of empty slots -------------------

MUST_CHECK enum rc guard_enter(struct guard *guard, struct db *db, const char *const *keys,
                               size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold);
enum rc guard_leave(struct guard *guard, struct db *db, struct guard_hold *hold);
bool guard_held(struct guard *guard, const struct guard_hold *hold);
MUST_CHECK enum rc guard_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                              uint64_t floor);
// RC_OK where the strategy has no server. Any thread.
MUST_CHECK enum rc guard_ping(struct guard *guard, struct guard_trouble *ret_trouble);
