// redis-lock: a key in Redis with owner, lease and fencing token, and a save that demands the token
// and the version.
//
// Idea
//   One key per lock. Enter is one Lua script, which Redis runs as one step. It takes all keys of
//   the set or none: each gets a random owner as its value and an expiry (PX), and the script
//   increments the key's token. Leave is a script that compares the owner and then deletes, so only
//   the holder frees the lock. The lock's name is the counter's name on every code path. With
//   `redis = a,b,c` the scripts run on N independent masters, and a majority decides (Redlock,
//   redis/claim.c). The save:
//
//     UPDATE counter SET remaining = remaining + :delta, version = version + :operations,
//      fence = :token
//      WHERE name = :name AND version = :read AND fence <= :token
//
// Guarantees
//   Across the cluster, while the lease lasts and Redis keeps its data: one holder per key, with a
//   token above all earlier ones. A release that finds another owner deletes nothing and reports
//   the lock as lost. The save demands token and version together; that demand, not the lock, keeps
//   the numbers right. With lock.wait = notify processes are served first come, first served, and
//   so are the waiters of one process; but a process in its turn may serve up to 32 of its own
//   waiters, or for 50 ms. With spin, and with several masters, the order of waiters is random.
//
// Fails when
//   A holder stops for longer than lock.ttl_ms, or Redis restarts without its data, or a lagging
//   replica is promoted. Then there are two holders, and the tokens may start from 1 again. The
//   stale holder's save is refused, and the new holder's token is lifted above the database's
//   fence. A holder that dies keeps all others out until the lease ends. A waiter that dies is
//   skipped, because no process listens on its channel. A release without a reply is retried in the
//   background while the lease lasts. Sets of keys need one Redis, not a cluster that spreads them
//   over slots.
//
//   Several masters survive the loss of a minority, and they have no lagging replica. Redlock's
//   author (antirez) made it for that. Kleppmann objects:
//   - A paused holder does not know that its lease has expired, however many servers granted it.
//   - The proof needs clocks that run at the same speed, and bounded delays.
//   - Redlock has no rising token, so storage cannot refuse the stale holder.
//
//   Antirez answers:
//   - The time is checked once more after a majority has answered. Only a delay after that check
//     does harm, as with every lock that expires by itself.
//   - Clocks must run equally fast, not show the same time.
//   - Storage that compares random owners would do as well.
//
//   Both agree that a master that restarts empty makes two holders. It must stay away for one
//   lease, or write to disk before it answers. This strategy does not have to settle the dispute.
//   The tokens of a majority rise (redis/claim.c has the proof, and what a master that lost its
//   data does to it), and the database compares token and version as it writes. So several masters
//   make a lost lock rarer, at their price, and the fence makes it harmless.
//
// Cost
//   Two round trips in memory (enter, leave), tens of microseconds. Several masters cost as many
//   messages, and the time of the slowest in the majority. spin retries with decorrelated jitter,
//   and each attempt costs Redis as much as taking the lock. notify costs one subscribed connection
//   per process, and two scripts for up to 32 holds under contention: the release hands the lock to
//   the first process in the queue and wakes it. After lock.wait_ms, or at once with
//   lock.wait = fail, the request is answered 503 `lock-busy`. If Redis does not answer, it is 503
//   `backend-unavailable`.
#include "guard/backoff.h"
#include "guard/guard.h"
#include "guard/redis/claim.h"
#include "guard/redis/queue.h"
#include "guard/redis/withdrawal.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_redis_lock;

#define RELEASE_NS NS_PER_S          // timeout of leave, lift and ping, which have no deadline
#define ABANDON_NS (250 * NS_PER_MS) // at most, out of the time that enter has left

struct redis_lock {
    struct guard guard;
    const struct guard_settings *settings;
    struct redis_masters *masters;
    struct redis_withdrawals *withdrawals;
    struct redis_queue *queue; // lock.wait = notify; else NULL
};

static struct redis_lock *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct redis_lock, guard);
}

static void redis_lock_close(struct guard *guard)
{
    struct redis_lock *self = of(guard);
    redis_queue_free(self->queue);
    redis_withdrawals_free(self->withdrawals);
    redis_masters_free(self->masters);
    free(self);
}

static enum rc redis_lock_open(const struct guard_settings *settings, struct guard **ret_guard,
                               char *ret_why)
{
    if (settings->redis == NULL || settings->redis[0] == '\0') {
        text_copy(
            ret_why, GUARD_ERROR_MAX,
            "redis-lock needs the setting redis (host:port of one Redis server, or of several "
            "separated by commas)");
        return RC_USAGE;
    }
    struct redis_lock *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->settings = settings;
    enum rc rc = redis_masters_new(settings, &self->masters, ret_why);
    if (rc == RC_OK)
        rc = redis_withdrawals_new(self->masters, &self->withdrawals);
    if (rc == RC_OK && strcmp(settings->lock_wait, "notify") == 0)
        rc = redis_queue_new(settings, self->masters, self->withdrawals, &self->queue);
    if (rc != RC_OK) {
        redis_lock_close(&self->guard);
        return rc;
    }
    *ret_guard = &self->guard;
    return RC_OK;
}

// A script without a reply may still run, even later. Tells Redis that this owner has given up; if
// that gets no reply either, the withdrawals retry it in the background.
static void abandon(struct redis_lock *self, struct redis_claim *claim, int64_t limit_ns)
{
    int64_t most_ns = clock_now_ns() + ABANDON_NS;
    redis_claim_abandon(self->masters, claim, true, limit_ns < most_ns ? limit_ns : most_ns);
    redis_withdraw(self->withdrawals, claim, true);
}

// Takes ownership of the tenure unless it returns RC_OK.
static enum rc spin(struct redis_lock *self, struct redis_tenure *tenure, int64_t limit_ns)
{
    bool wait = strcmp(self->settings->lock_wait, "fail") != 0;
    struct redis_attempt attempt = {.n_tokens = 1, .channel = ""};
    struct backoff backoff = {limit_ns, 0};
    for (bool answered = false;; answered = true) {
        struct redis_result result;
        int64_t left_ns = limit_ns - clock_now_ns();
        // A quarter of the time is reserved for abandon.
        enum rc rc = redis_claim_acquire(self->masters, tenure->claim, &attempt,
                                         limit_ns - left_ns / 4, &result);
        if (rc == RC_OK && result.token > 0) {
            redis_tenure_begin(tenure, result.token, 1, result.expires_ns);
            return RC_OK;
        }
        if (rc == RC_OK && wait && backoff_sleep(&backoff))
            continue;
        if (rc != RC_OK || tenure->claim->granted != 0)
            abandon(self, redis_tenure_end(tenure), limit_ns);
        else
            redis_tenure_free(tenure);
        bool inconclusive = answered && left_ns < REDIS_SHORT_TIMEOUT_NS;
        return rc == RC_OK || (rc == RC_BACKEND_UNAVAILABLE && inconclusive) ? RC_LOCK_BUSY : rc;
    }
}

static enum rc spin_alone(struct redis_lock *self, const char *const *keys, size_t n_keys,
                          const char *name, int64_t limit_ns, struct redis_tenure **ret_tenure)
{
    struct redis_tenure *tenure = redis_tenure_new(keys, n_keys, self->settings, name);
    enum rc rc = tenure != NULL ? spin(self, tenure, limit_ns) : RC_NO_MEMORY;
    if (rc == RC_OK)
        *ret_tenure = tenure;
    return rc;
}

static enum rc redis_lock_enter(struct guard *guard, struct db *db, const char *const *keys,
                                size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)db;
    struct redis_lock *self = of(guard);
    int64_t limit_ns = clock_now_ns() + self->settings->lock_wait_ms * NS_PER_MS;
    if (deadline_ns < limit_ns)
        limit_ns = deadline_ns;
    struct redis_tenure *tenure;
    enum rc rc =
        self->queue != NULL
            ? redis_queue_enter(self->queue, keys, n_keys, ret_hold->owner, limit_ns, &tenure)
            : spin_alone(self, keys, n_keys, ret_hold->owner, limit_ns, &tenure);
    if (rc != RC_OK)
        return rc;
    ret_hold->state = tenure;
    ret_hold->token = redis_tenure_token(tenure);
    ret_hold->expires_ns = tenure->expires_ns;
    return RC_OK;
}

static enum rc redis_lock_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    (void)db;
    struct redis_lock *self = of(guard);
    struct redis_tenure *tenure = hold->state;
    hold->state = NULL;
    int64_t now_ns = clock_now_ns();
    if (self->queue != NULL &&
        redis_queue_hand_over(self->queue, tenure, now_ns < hold->expires_ns))
        return RC_OK;
    enum rc rc = redis_claim_release(self->masters, tenure->claim, hold->unknown, hold->expires_ns,
                                     now_ns + RELEASE_NS);
    struct redis_claim *claim = self->queue != NULL ? redis_queue_end_tenure(self->queue, tenure)
                                                    : redis_tenure_end(tenure);
    redis_withdraw(self->withdrawals, claim, false);
    return rc;
}

static enum rc redis_lock_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                               uint64_t floor)
{
    (void)db;
    struct redis_lock *self = of(guard);
    struct redis_tenure *tenure = hold->state;
    uint64_t token, n_tokens = self->queue != NULL ? REDIS_QUEUE_TURNS : 1;
    enum rc rc = redis_claim_lift(self->masters, tenure->claim, floor, (int64_t)n_tokens,
                                  clock_now_ns() + RELEASE_NS, &token);
    if (rc != RC_OK)
        return rc;
    tenure->token = token;
    tenure->n_tokens = n_tokens;
    hold->token = redis_tenure_token(tenure);
    return RC_OK;
}

static enum rc redis_lock_renew(struct guard *guard, struct db *db, const struct guard_hold *hold,
                                int64_t deadline_ns, int64_t *ret_expires_ns)
{
    (void)db;
    struct redis_tenure *tenure = hold->state;
    enum rc rc = redis_claim_renew(of(guard)->masters, tenure->claim, deadline_ns, ret_expires_ns);
    if (rc == RC_OK)
        tenure->expires_ns = *ret_expires_ns;
    return rc;
}

static uint64_t redis_lock_reconnects(struct guard *guard)
{
    struct redis_lock *self = of(guard);
    uint64_t listener = self->queue != NULL ? redis_queue_reconnects(self->queue) : 0;
    return listener + redis_masters_reconnects(self->masters);
}

static enum rc redis_lock_ping(struct guard *guard, struct guard_trouble *ret_trouble)
{
    return redis_masters_ping(of(guard)->masters, clock_now_ns() + RELEASE_NS, ret_trouble);
}

const struct strategy strategy_redis_lock = {
    .name = "redis-lock",
    .summary = "A key in Redis, or in a majority of several Redis servers, with owner, lease and "
               "fencing token.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = redis_lock_open,
    .close = redis_lock_close,
    .enter = redis_lock_enter,
    .leave = redis_lock_leave,
    .lift = redis_lock_lift,
    .renew = redis_lock_renew,
    .reconnects = redis_lock_reconnects,
    .ping = redis_lock_ping,
};
