// A strategy answers two questions: what surrounds load, decide and save (the guard), and what the
// save demands of the row before it writes (the update rule). Both stand in one table of functions.
//
// The contract that every strategy keeps, whatever it is made of:
//   - enter is all or nothing over a sorted set of distinct keys, and ends by the deadline;
//   - after a successful enter exactly one leave follows, on every path;
//   - leave frees only what this hold owns, never another's lock, and never blocks the next one;
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

enum guard_scope { SCOPE_NOTHING, SCOPE_PROCESS, SCOPE_CLUSTER };

#define GUARD_KEYS_MAX 256
#define GUARD_ERROR_MAX 240

// One stay inside the guard. Plain memory of the caller, filled by enter.
struct guard_hold {
    const char *const *keys; // borrowed from the caller until leave; sorted, distinct
    size_t n_keys;
    uint64_t token; // fencing token; 0 where the rule is not RULE_FENCED
    // Monotonic, measured from before the lock was asked for: do not trust it past this. INT64_MAX
    // if it cannot expire. Moved on by the renewal; 0 once it is known to be lost.
    _Atomic int64_t expires_ns;
    int64_t entered_ns; // monotonic: when enter returned
    char owner[40];     // random, unique to this hold; "" where nobody else could look
    void *state;        // the strategy's own
    _Atomic bool loss_counted;
    struct {
        struct guard_hold *next, **link; // link is NULL while it is not renewed
        struct guard *guard;
        int64_t due_ns, until_ns;
    } renewal; // the renewal's own
};

// What the settings say; borrowed for the life of the guard.
struct guard_settings {
    const char *redis;     // host:port, optionally user:password@host:port/db; "" if none
    const char *zookeeper; // host:port[,host:port...]; "" if none
    const char *etcd;
    int64_t lock_ttl_ms;      // a lease's length
    int64_t lock_wait_ms;     // give up after this long
    int64_t lock_max_hold_ms; // the renewal's hard deadline: no lease is renewed past it
    const char *lock_wait;    // "fail": do not wait at all; "spin" or "notify"
    const char *instance;     // names this process in lock values, for people who look
};

struct strategy {
    const char *name;    // "redis-lock"
    const char *summary; // one sentence for people
    enum guard_scope scope;
    enum update_rule rule;
    bool lab_only;

    // Makes the guard; connects lazily, so it succeeds while the server is down. RC_USAGE with a
    // sentence naming the missing setting in ret_why (GUARD_ERROR_MAX bytes) if it cannot be used.
    // NULL: the strategy has no guard, its update rule is all, and so are all slots below.
    enum rc (*open)(const struct guard_settings *settings, struct guard **ret_guard, char *ret_why);
    void (*close)(struct guard *guard);

    // Any thread, concurrently. The connection is the caller's, outside a transaction; only the
    // lock table uses it. RC_LOCK_BUSY: not had by min(deadline, lock.wait_ms), nothing is left
    // behind. RC_BACKEND_UNAVAILABLE: the lock server does not answer.
    enum rc (*enter)(struct guard *guard, struct db *db, const char *const *keys, size_t n_keys,
                     int64_t deadline_ns, struct guard_hold *ret_hold);
    // RC_LOCK_LOST if it was no longer ours: what was saved meanwhile is judged by the update rule.
    // RC_BACKEND_UNAVAILABLE if nobody answered: it is asked again in the background, or the
    // lease's end frees it. Takes a bounded time.
    enum rc (*leave)(struct guard *guard, struct db *db, struct guard_hold *hold);

    // Optional. Is the hold still to be trusted? Cheap, no I/O. NULL: judged by expires_ns alone.
    bool (*held)(struct guard *guard, const struct guard_hold *hold);
    // Optional. The row has seen a token above ours, because the token source lost its memory or
    // another strategy was in force: give the hold a token above `floor`, still above every older
    // one. RC_LOCK_LOST if the hold is gone. NULL: RC_STALE_TOKEN stays what it is.
    enum rc (*lift)(struct guard *guard, struct db *db, struct guard_hold *hold, uint64_t floor);
    // Optional. Extends the hold's lease to lock_ttl_ms from now, by the deadline. Called by the
    // renewal's thread with its own connection, while the hold is inside: never at the same time as
    // leave, but perhaps as lift. RC_OK: ret_expires_ns is set, measured from before asking.
    // RC_LOCK_LOST: it is no longer ours. RC_BACKEND_UNAVAILABLE: nobody answered; it is tried
    // again while the lease runs. NULL: there is nothing to renew (ZooKeeper's session keeps itself
    // alive).
    enum rc (*renew)(struct guard *guard, struct db *db, const struct guard_hold *hold,
                     int64_t deadline_ns, int64_t *ret_expires_ns);
    // Optional. How often a connection to the server behind it was lost and made again, since open.
    // Any thread.
    uint64_t (*reconnects)(struct guard *guard);
    // Optional. Does the server behind it answer? RC_OK or RC_BACKEND_UNAVAILABLE. For /readyz.
    enum rc (*ping)(struct guard *guard);
};

// Embedded first in every strategy's own struct.
struct guard {
    const struct strategy *strategy;
    struct renewal *renewal; // borrowed; NULL: leases are not renewed (some tests)
};

const char *guard_scope_name(enum guard_scope scope);

// The guard of a strategy, also of one whose open is NULL. The settings are borrowed until
// guard_close. RC_USAGE with the reason in ret_why (GUARD_ERROR_MAX bytes) if the strategy cannot
// be used with these settings or was not built in.
MUST_CHECK enum rc guard_open(const struct strategy *strategy,
                              const struct guard_settings *settings, struct guard **ret_guard,
                              char *ret_why);
void guard_close(struct guard *guard); // NULL is fine

// ---- the calls the engine makes; they fill in what a strategy leaves out ------------------------

MUST_CHECK enum rc guard_enter(struct guard *guard, struct db *db, const char *const *keys,
                               size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold);
enum rc guard_leave(struct guard *guard, struct db *db, struct guard_hold *hold);
bool guard_held(struct guard *guard, const struct guard_hold *hold);
MUST_CHECK enum rc guard_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                              uint64_t floor);
// RC_OK where there is no server behind the strategy.
MUST_CHECK enum rc guard_ping(struct guard *guard);
