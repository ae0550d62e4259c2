// redis-lock: a key with an owner and an expiry in Redis.
//
// Idea
//   One Lua script, which Redis runs as one step, takes all keys of the set or none: each becomes a
//   key with a random owner as its value and an expiry (PX), and the same script counts the fencing
//   token up. Leaving is a script too: compare with the owner, then delete. The lock's name is the
//   counter's name, the same on every path.
//
// Guarantees
//   While this one Redis remembers: one holder a key until the lease ends, and a token above all
//   earlier ones. Nobody frees another's lock: a release that finds another owner deletes nothing
//   and is reported as lost. The save demands `fence <= :token` and the version in the same
//   statement; that, not the lock, is what makes the numbers right.
//
// Fails when
//   The holder stops for longer than lock.ttl_ms; Redis is restarted without its data, or a replica
//   that lags is promoted: then there are two holders, and the tokens may start from 1 again. The
//   stale holder's save is refused; tokens are lifted above the database's fence. Sets of keys need
//   one Redis, not a cluster whose slots are apart.
//
// Cost
//   Two round trips in memory, tens of microseconds. Waiting is a spin with decorrelated jitter up
//   to lock.wait_ms, in no order (`notify` spins as well, for now). Past the limit, or at once with
//   lock.wait = fail, the request is answered 503 `lock-busy`; 503 `backend-unavailable` if Redis
//   is silent. A holder that dies keeps the others out until the lease ends.
#include "guard/backoff.h"
#include "guard/guard.h"
#include "guard/redis_client.h"

#include "base/text.h"
#include "domain/ids.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_redis_lock;

#define RELEASE_NS NS_PER_S          // leave has no deadline of its own
#define ABANDON_NS (250 * NS_PER_MS) // at most, out of what enter has left

enum script { ACQUIRE, RELEASE, ABANDON, LIFT, PING, SCRIPT_COUNT };

// KEYS: n locks, their n token counters, and for acquire and abandon the mark of a waiter that gave
// up. ARGV[1] is the owner everywhere. A lock that is already ours is taken again: that makes the
// script safe to repeat when a reply was lost.
static const char *const scripts[SCRIPT_COUNT] = {
    [ACQUIRE] = "local n = (#KEYS - 1) / 2 "
                "if redis.call('EXISTS', KEYS[#KEYS]) == 1 then return 0 end "
                "for i = 1, n do "
                "  local owner = redis.call('GET', KEYS[i]) "
                "  if owner and owner ~= ARGV[1] then return 0 end "
                "end "
                "local token = 0 "
                "for i = 1, n do "
                "  redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2]) "
                "  token = math.max(token, redis.call('INCR', KEYS[n + i])) "
                "end "
                "if n > 1 then for i = 1, n do "
                "  redis.call('SET', KEYS[n + i], string.format('%.0f', token)) "
                "end end "
                "return token",
    [RELEASE] = "local freed = 0 "
                "for i = 1, #KEYS do "
                "  if redis.call('GET', KEYS[i]) == ARGV[1] then "
                "    freed = freed + redis.call('DEL', KEYS[i]) "
                "  end "
                "end "
                "return freed",
    // Whichever runs first, the acquire whose reply was lost or this, no lock is left behind.
    [ABANDON] = "for i = 1, #KEYS - 1 do "
                "  if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end "
                "end "
                "redis.call('SET', KEYS[#KEYS], '', 'PX', ARGV[2]) "
                "return 1",
    [LIFT] = "local n = #KEYS / 2 "
             "local token = tonumber(ARGV[2]) "
             "for i = 1, n do "
             "  if redis.call('GET', KEYS[i]) ~= ARGV[1] then return 0 end "
             "  token = math.max(token, tonumber(redis.call('GET', KEYS[n + i]) or 0)) "
             "end "
             "token = token + 1 "
             "for i = 1, n do redis.call('SET', KEYS[n + i], string.format('%.0f', token)) end "
             "return token",
    [PING] = "return 1",
};

#define KEY_MAX (COUNTER_NAME_MAX + 32)
#define OWNER_MAX 112
#define GONE_MAX (COUNTER_NAME_MAX + 64)

struct redis_lock {
    struct guard guard;
    const struct guard_settings *settings;
    struct redis_pool *pool;
};

// All words that the scripts of one hold need, spelled out once at enter.
struct words {
    char owner[OWNER_MAX];
    char gone[GONE_MAX];
    size_t n;
    struct {
        char lock[KEY_MAX], token[KEY_MAX];
    } keys[];
};

static struct redis_lock *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct redis_lock, guard);
}

static enum rc redis_lock_open(const struct guard_settings *settings, struct guard **ret_guard,
                               char *ret_why)
{
    if (settings->redis == NULL || settings->redis[0] == '\0') {
        text_copy(ret_why, GUARD_ERROR_MAX,
                  "redis-lock needs the setting redis (host:port of a Redis server)");
        return RC_USAGE;
    }
    struct redis_lock *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->settings = settings;
    enum rc rc = redis_pool_new(settings->redis, scripts, SCRIPT_COUNT, &self->pool, ret_why,
                                GUARD_ERROR_MAX);
    if (rc != RC_OK) {
        free(self);
        return rc;
    }
    *ret_guard = &self->guard;
    return RC_OK;
}

static void redis_lock_close(struct guard *guard)
{
    struct redis_lock *self = of(guard);
    redis_pool_free(self->pool);
    free(self);
}

// The braces are a hash tag: a cluster keeps a lock and its token in one slot.
static struct words *words_new(const struct redis_lock *self, const char *const *keys, size_t n,
                               const char *owner)
{
    struct words *words = malloc(sizeof *words + n * sizeof words->keys[0]);
    if (words == NULL)
        return NULL;
    words->n = n;
    text_format(words->owner, OWNER_MAX, "%.64s/%s", self->settings->instance, owner);
    text_format(words->gone, GONE_MAX, "holdfast:gone:{%s}:%s", keys[0], owner);
    for (size_t i = 0; i < n; i++) {
        text_format(words->keys[i].lock, KEY_MAX, "holdfast:lock:{%s}", keys[i]);
        text_format(words->keys[i].token, KEY_MAX, "holdfast:token:{%s}", keys[i]);
    }
    return words;
}

static enum rc run(struct redis_lock *self, enum script script, const struct words *words,
                   const char *argument, int64_t timeout_ns, int64_t *ret_integer,
                   bool *ret_repeated)
{
    const char *values[REDIS_ARGUMENTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < words->n; i++)
        values[n++] = words->keys[i].lock;
    if (script == ACQUIRE || script == LIFT)
        for (size_t i = 0; i < words->n; i++)
            values[n++] = words->keys[i].token;
    if (script == ACQUIRE || script == ABANDON)
        values[n++] = words->gone;
    struct redis_arguments arguments = {.values = values, .n_keys = n};
    values[n++] = words->owner;
    values[n++] = argument;
    arguments.n = n;
    return redis_run(self->pool, script, &arguments, timeout_ns, ret_integer, ret_repeated);
}

// A question that got no answer may still be carried out, even later. Tell Redis that this owner
// has given up; without an answer to that either, the lease ends the lock.
static void abandon(struct redis_lock *self, const struct words *words, const char *ttl_ms,
                    int64_t limit_ns)
{
    int64_t left_ns = limit_ns - clock_now_ns();
    int64_t done;
    (void)!run(self, ABANDON, words, ttl_ms, left_ns < ABANDON_NS ? left_ns : ABANDON_NS, &done,
               NULL);
}

static enum rc acquire(struct redis_lock *self, const struct words *words, int64_t limit_ns,
                       struct guard_hold *ret_hold)
{
    bool wait = strcmp(self->settings->lock_wait, "fail") != 0;
    struct backoff backoff = {limit_ns, 0};
    char ttl_ms[24];
    text_format(ttl_ms, sizeof ttl_ms, "%" PRId64, self->settings->lock_ttl_ms);
    for (;;) {
        int64_t asked_ns = clock_now_ns();
        int64_t token = 0;
        // A quarter of the time is kept back for abandon.
        enum rc rc = run(self, ACQUIRE, words, ttl_ms, (limit_ns - asked_ns) * 3 / 4, &token, NULL);
        if (rc != RC_OK) {
            abandon(self, words, ttl_ms, limit_ns);
            return rc;
        }
        if (token > 0) {
            ret_hold->token = (uint64_t)token;
            ret_hold->expires_ns = asked_ns + self->settings->lock_ttl_ms * NS_PER_MS;
            return RC_OK;
        }
        if (!wait || !backoff_sleep(&backoff))
            return RC_LOCK_BUSY;
    }
}

static enum rc redis_lock_enter(struct guard *guard, struct db *db, const char *const *keys,
                                size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)db;
    struct redis_lock *self = of(guard);
    int64_t limit_ns = clock_now_ns() + self->settings->lock_wait_ms * NS_PER_MS;
    struct words *words = words_new(self, keys, n_keys, ret_hold->owner);
    if (words == NULL)
        return RC_NO_MEMORY;
    enum rc rc = acquire(self, words, limit_ns < deadline_ns ? limit_ns : deadline_ns, ret_hold);
    if (rc == RC_OK)
        ret_hold->state = words;
    else
        free(words);
    return rc;
}

static enum rc redis_lock_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    (void)db;
    struct words *words = hold->state;
    int64_t freed = 0;
    bool repeated = false;
    enum rc rc = run(of(guard), RELEASE, words, "", RELEASE_NS, &freed, &repeated);
    bool all = (size_t)freed == words->n;
    // The first of two tries freed it if the lease was still running when the second found nothing.
    if (rc == RC_OK && !all && !(repeated && clock_now_ns() < hold->expires_ns))
        rc = RC_LOCK_LOST;
    free(words);
    hold->state = NULL;
    return rc;
}

static enum rc redis_lock_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                               uint64_t floor)
{
    (void)db;
    char text[24];
    text_format(text, sizeof text, "%" PRIu64, floor);
    int64_t token = 0;
    enum rc rc = run(of(guard), LIFT, hold->state, text, RELEASE_NS, &token, NULL);
    if (rc != RC_OK)
        return rc;
    if (token == 0)
        return RC_LOCK_LOST;
    hold->token = (uint64_t)token;
    return RC_OK;
}

static enum rc redis_lock_ping(struct guard *guard)
{
    static const char *const none[] = {""};
    struct redis_arguments arguments = {.values = none};
    int64_t answer;
    return redis_run(of(guard)->pool, PING, &arguments, NS_PER_S, &answer, NULL);
}

const struct strategy strategy_redis_lock = {
    .name = "redis-lock",
    .summary =
        "A key with owner and expiry in Redis, freed by its owner only, with a fencing token.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = redis_lock_open,
    .close = redis_lock_close,
    .enter = redis_lock_enter,
    .leave = redis_lock_leave,
    .lift = redis_lock_lift,
    .ping = redis_lock_ping,
};
