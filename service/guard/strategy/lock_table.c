// lock-table: a lock row in the database with owner, lease and fencing token, and a save that
// demands the token and the version.
//
// Idea
//   One row per key, unique by name. Enter is one compare-and-set UPDATE. It succeeds only if the
//   row has no owner or the lease has expired by the database's own clock, and it increments the
//   row's token. Leave is an UPDATE that demands the hold's own random owner, so only the holder
//   frees the lock. A set of keys is one short transaction: all or nothing. The save:
//
//     UPDATE counter SET remaining = remaining + :delta, version = version + :operations,
//      fence = :token
//      WHERE name = :name AND version = :read AND fence <= :token
//
// Guarantees
//   Across the cluster, while the lease lasts: one holder per key. After a lease has expired, the
//   next holder gets a higher token, and the save demands token and version together. So a stale
//   holder changes nothing. The tokens live in the same database as the counters, and cannot be
//   lost without them.
//
// Fails when
//   A holder stops for longer than lock.ttl_ms, so that its lease is not renewed either. The next
//   holder enters, and the stale holder's save is refused. A holder that dies keeps all others out
//   until the lease ends. The lock lives in the database that it should relieve, which is the usual
//   argument against it.
//
// Cost
//   Two durable commits (enter, leave) besides the operation's own, and one for each third of the
//   lease in a long section. A row cannot wake a waiter. So waiting is a spin with decorrelated
//   jitter, whether lock.wait is `spin` or `notify`, and the order of waiters is random. After
//   lock.wait_ms, or at once with lock.wait = fail, the request is answered 503 `lock-busy`.
#include "guard/backoff.h"
#include "guard/guard.h"

#include "base/text.h"
#include "store/tables/lock_row.h"

#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_lock_table;

#define RELEASE_TRIES_NS (200 * NS_PER_MS) // a release meets deadlocks and busy databases as well

struct lock_table {
    struct guard guard;
    const struct guard_settings *settings;
};

static struct lock_table *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct lock_table, guard);
}

static enum rc lock_table_open(const struct guard_settings *settings, struct guard **ret_guard,
                               char *ret_why)
{
    (void)ret_why;
    struct lock_table *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->settings = settings;
    *ret_guard = &self->guard;
    return RC_OK;
}

static void lock_table_close(struct guard *guard)
{
    free(of(guard));
}

// Instance and owner, because people read the column too.
static void row_owner(const struct lock_table *self, const struct guard_hold *hold, char *ret_text,
                      size_t size)
{
    text_format(ret_text, size, "%.23s/%s", self->settings->instance, hold->owner);
}
#define ROW_OWNER_MAX 64

// Checks the owner, so it is safe to repeat and never frees another hold's lock.
static enum rc release(struct lock_table *self, struct db *db, const struct guard_hold *hold)
{
    char owner[ROW_OWNER_MAX];
    row_owner(self, hold, owner, sizeof owner);
    struct backoff backoff = {clock_now_ns() + RELEASE_TRIES_NS, 0};
    for (;;) {
        enum rc rc = lock_row_release(db, hold->keys, hold->unknown, hold->n_keys, owner);
        if (rc != RC_CONFLICT || !backoff_sleep(&backoff))
            return rc;
    }
}

static enum rc lock_table_enter(struct guard *guard, struct db *db, const char *const *keys,
                                size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    struct lock_table *self = of(guard);
    bool wait = strcmp(self->settings->lock_wait, "fail") != 0;
    char owner[ROW_OWNER_MAX];
    row_owner(self, ret_hold, owner, sizeof owner);
    int64_t limit_ns = clock_now_ns() + self->settings->lock_wait_ms * NS_PER_MS;
    struct backoff backoff = {limit_ns < deadline_ns ? limit_ns : deadline_ns, 0};
    for (;;) {
        int64_t begun_ns = clock_now_ns();
        enum rc rc = lock_row_acquire(db, keys, n_keys, owner, self->settings->lock_ttl_ms,
                                      &ret_hold->token);
        switch (rc) {
        case RC_OK:
            ret_hold->expires_ns = begun_ns + self->settings->lock_ttl_ms * NS_PER_MS;
            return RC_OK;
        case RC_LOCK_BUSY:
        case RC_CONFLICT: // a deadlock or a busy database: nothing was taken
            if (!wait || !backoff_sleep(&backoff))
                return RC_LOCK_BUSY;
            break;
        case RC_BACKEND_UNAVAILABLE:
        case RC_OUTCOME_UNKNOWN:
            // The reply was lost, perhaps not the lock. If this fails too, the lease ends the lock.
            (void)!release(self, db, ret_hold);
            return RC_BACKEND_UNAVAILABLE;
        default:
            return rc;
        }
    }
}

static enum rc lock_table_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    enum rc rc = release(of(guard), db, hold);
    return rc == RC_OUTCOME_UNKNOWN || rc == RC_CONFLICT ? RC_BACKEND_UNAVAILABLE : rc;
}

static enum rc lock_table_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                               uint64_t floor)
{
    char owner[ROW_OWNER_MAX];
    row_owner(of(guard), hold, owner, sizeof owner);
    enum rc rc = lock_row_lift(db, hold->keys, hold->n_keys, owner, floor, &hold->token);
    return rc == RC_OUTCOME_UNKNOWN || rc == RC_CONFLICT ? RC_BACKEND_UNAVAILABLE : rc;
}

// The deadline is the connection's: the renewal thread's own connection has a short timeout.
static enum rc lock_table_renew(struct guard *guard, struct db *db, const struct guard_hold *hold,
                                int64_t deadline_ns, int64_t *ret_expires_ns)
{
    (void)deadline_ns;
    struct lock_table *self = of(guard);
    char owner[ROW_OWNER_MAX];
    row_owner(self, hold, owner, sizeof owner);
    int64_t begun_ns = clock_now_ns();
    enum rc rc = lock_row_renew(db, hold->keys, hold->n_keys, owner, self->settings->lock_ttl_ms);
    if (rc == RC_OK)
        *ret_expires_ns = begun_ns + self->settings->lock_ttl_ms * NS_PER_MS;
    return rc == RC_OK || rc == RC_LOCK_LOST ? rc : RC_BACKEND_UNAVAILABLE;
}

const struct strategy strategy_lock_table = {
    .name = "lock-table",
    .summary = "A lock row in the database, with owner, lease and fencing token.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = lock_table_open,
    .close = lock_table_close,
    .enter = lock_table_enter,
    .leave = lock_table_leave,
    .lift = lock_table_lift,
    .renew = lock_table_renew,
};
