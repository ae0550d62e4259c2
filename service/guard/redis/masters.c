// Runs one script on one or several Redis masters and counts the votes.
//
// A dead master must not slow the others down. The script is sent to all masters before the first
// reply is read, and each of several masters has a short timeout. A master that failed is left out
// for a moment. Connecting blocks, so a connection attempt may use no more than a share of the
// time: the masters after it have not been sent the script yet. A single master may use all the
// time.
#include "guard/redis/masters.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/addresses.h"
#include "guard/guard.h"
#include "guard/redis/client.h"
#include "guard/redis/connection.h"
#include "guard/redis/scripts.h"
#include "guard/trouble.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// The timeout of one master of several: this part of the lease, within these bounds.
#define TIMEOUT_PARTS 50
#define TIMEOUT_LEAST_NS (50 * NS_PER_MS)
#define TIMEOUT_MOST_NS (250 * NS_PER_MS)
#define BACK_OFF_NS (500 * NS_PER_MS) // a master that failed is left out for so long
#define PROBE_LEASE_MS "1000"

static const char *const scripts[REDIS_SCRIPT_COUNT] = {
    [REDIS_ACQUIRE] = embedded_redis_acquire, [REDIS_RELEASE] = embedded_redis_release,
    [REDIS_ABANDON] = embedded_redis_abandon, [REDIS_RENEW] = embedded_redis_renew,
    [REDIS_LIFT] = embedded_redis_lift,       [REDIS_RAISE] = embedded_redis_raise,
    [REDIS_PING] = embedded_redis_ping,
};

struct master {
    struct redis_pool *pool;
    _Atomic int64_t retry_at_ns;
};

struct redis_masters {
    int64_t timeout_ns; // of each master
    size_t n, quorum;
    struct master masters[REDIS_MASTERS_MAX];
};

// ---- open and close -----------------------------------------------------------------------------

static enum rc add_masters(struct redis_masters *self, const char *text, char *ret_why)
{
    struct redis_address *addresses CLEANUP(free_memory) =
        calloc(REDIS_MASTERS_MAX, sizeof *addresses);
    size_t n = 0;
    if (addresses == NULL)
        return RC_NO_MEMORY;
    enum rc rc = redis_addresses_parse(text, addresses, &n, ret_why, GUARD_ERROR_MAX);
    for (; rc == RC_OK && self->n < n; self->n++)
        rc = redis_pool_new(&addresses[self->n], scripts, REDIS_SCRIPT_COUNT,
                            &self->masters[self->n].pool);
    return rc;
}

static int64_t timeout_of(int64_t ttl_ns)
{
    int64_t timeout_ns = ttl_ns / TIMEOUT_PARTS;
    if (timeout_ns > TIMEOUT_MOST_NS)
        return TIMEOUT_MOST_NS;
    return timeout_ns > TIMEOUT_LEAST_NS ? timeout_ns : TIMEOUT_LEAST_NS;
}

enum rc redis_masters_new(const struct guard_settings *settings, struct redis_masters **ret_masters,
                          char *ret_why)
{
    struct redis_masters *self = calloc(1, sizeof *self);
    enum rc rc = self != NULL ? add_masters(self, settings->redis, ret_why) : RC_NO_MEMORY;
    if (rc != RC_OK) {
        redis_masters_free(self);
        return rc;
    }
    self->quorum = self->n / 2 + 1;
    self->timeout_ns = self->n > 1 ? timeout_of(settings->lock_ttl_ms * NS_PER_MS) : INT64_MAX;
    *ret_masters = self;
    return RC_OK;
}

void redis_masters_free(struct redis_masters *masters)
{
    if (masters == NULL)
        return;
    for (size_t i = 0; i < masters->n; i++)
        redis_pool_free(masters->masters[i].pool);
    free(masters);
}

size_t redis_masters_count(const struct redis_masters *masters)
{
    return masters->n;
}

const struct redis_address *redis_masters_single(const struct redis_masters *masters)
{
    return masters->n == 1 ? redis_pool_address(masters->masters[0].pool) : NULL;
}

uint64_t redis_masters_reconnects(const struct redis_masters *masters)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < masters->n; i++)
        sum += redis_pool_reconnects(masters->masters[i].pool);
    return sum;
}

// ---- votes --------------------------------------------------------------------------------------

static size_t count(unsigned bits)
{
    return (size_t)__builtin_popcount(bits);
}

// When a reply is overdue.
static int64_t reply_by(const struct redis_masters *self, int64_t limit_ns)
{
    int64_t now_ns = clock_now_ns();
    return self->timeout_ns < limit_ns - now_ns ? now_ns + self->timeout_ns : limit_ns;
}

// When a connection attempt must give up: it leaves an equal share to each of the masters after it,
// and one for the script that follows the votes.
static int64_t connect_by(const struct redis_masters *self, size_t n_after, int64_t limit_ns)
{
    int64_t now_ns = clock_now_ns();
    if (self->n == 1 || limit_ns <= now_ns)
        return limit_ns;
    return now_ns + (limit_ns - now_ns) / (int64_t)(n_after + 2);
}

void redis_masters_run(struct redis_masters *self, unsigned targets, enum redis_script script,
                       const struct redis_arguments *arguments, int64_t limit_ns,
                       struct redis_votes *ret_votes)
{
    struct redis_call calls[REDIS_MASTERS_MAX];
    size_t n_after = count(targets);
    ret_votes->asked = ret_votes->answered = 0;
    for (size_t i = 0; i < self->n; i++) {
        if ((targets & 1U << i) == 0)
            continue;
        ret_votes->asked |= 1U << i;
        int64_t reply_ns = reply_by(self, limit_ns);
        int64_t connect_ns = connect_by(self, --n_after, limit_ns);
        redis_send(self->masters[i].pool, script, arguments,
                   connect_ns < reply_ns ? connect_ns : reply_ns, reply_ns, &calls[i]);
    }
    for (size_t i = 0; i < self->n; i++) {
        if ((ret_votes->asked & 1U << i) == 0)
            continue;
        bool answered =
            redis_receive(&calls[i], &ret_votes->answers[i], &ret_votes->repeated[i]) == RC_OK;
        ret_votes->answered |= answered ? 1U << i : 0U;
        self->masters[i].retry_at_ns = answered ? 0 : clock_now_ns() + BACK_OFF_NS;
    }
}

unsigned redis_masters_all(const struct redis_masters *masters)
{
    return (1U << masters->n) - 1;
}

unsigned redis_masters_healthy(const struct redis_masters *masters)
{
    unsigned set = 0;
    int64_t now_ns = clock_now_ns();
    for (size_t i = 0; i < masters->n; i++)
        if (masters->masters[i].retry_at_ns <= now_ns)
            set |= 1U << i;
    return count(set) >= masters->quorum ? set : redis_masters_all(masters);
}

unsigned redis_votes_at_least(const struct redis_votes *votes, int64_t least)
{
    unsigned set = 0;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if ((votes->answered & 1U << i) != 0 && votes->answers[i] >= least)
            set |= 1U << i;
    return set;
}

enum rc redis_masters_decide(const struct redis_masters *self, const struct redis_votes *votes,
                             unsigned yes)
{
    if (count(yes) >= self->quorum)
        return RC_OK;
    size_t silent = count(votes->asked & ~votes->answered);
    return count(yes) + silent < self->quorum ? RC_LOCK_LOST : RC_BACKEND_UNAVAILABLE;
}

static void describe(struct redis_masters *self, const struct redis_votes *votes,
                     struct guard_trouble *ret_trouble)
{
    static const struct trouble_sign signs[] = {
        {"READONLY", TROUBLE_READ_ONLY},
        {"MASTERDOWN", TROUBLE_READ_ONLY},
        {"NOREPLICAS", TROUBLE_READ_ONLY},
        {"OOM ", TROUBLE_FULL},
        {"MISCONF", TROUBLE_FULL},
        {"AUTH", TROUBLE_DENIED}, // NOAUTH too
        {"WRONGPASS", TROUBLE_DENIED},
        {"NOPERM", TROUBLE_DENIED},
        {"invalid password", TROUBLE_DENIED},
        {"executing the script can't", TROUBLE_DENIED},
        {"MOVED ", TROUBLE_MOVED},
        {"ASK ", TROUBLE_MOVED},
        {"CLUSTERDOWN", TROUBLE_MOVED},
        {"CROSSSLOT", TROUBLE_MOVED},
        {"non local key in a cluster node", TROUBLE_MOVED},
        {"LOADING", TROUBLE_LOADING},
        {"BUSY ", TROUBLE_LOADING},
        {"ERR ", TROUBLE_REFUSED},
    };
    char why[TROUBLE_WORDS_MAX] = "";
    size_t i = 0;
    while (i + 1 < self->n && (votes->answered & 1U << i) != 0)
        i++;
    redis_pool_why(self->masters[i].pool, why, sizeof why);
    trouble_set(ret_trouble, trouble_reason(signs, ARRAY_LENGTH(signs), why, TROUBLE_NO_ANSWER),
                why);
}

// The tags are in the four quarters of the slots of a cluster. A node owns a range of slots, so at
// most a node that owns nearly all of them grants all four.
enum rc redis_masters_ping(struct redis_masters *masters, int64_t limit_ns,
                           struct guard_trouble *ret_trouble)
{
    static const char *const locks[] = {
        REDIS_LOCK_PREFIX "{probe/20}", REDIS_LOCK_PREFIX "{probe/21}",
        REDIS_LOCK_PREFIX "{probe/22}", REDIS_LOCK_PREFIX "{probe/23}"};
    for (size_t i = 0; i < ARRAY_LENGTH(locks); i++) {
        const char *const values[] = {locks[i], "probe", PROBE_LEASE_MS};
        struct redis_arguments arguments = {
            .values = values, .n = ARRAY_LENGTH(values), .n_keys = 1};
        struct redis_votes votes;
        redis_masters_run(masters, redis_masters_all(masters), REDIS_PING, &arguments, limit_ns,
                          &votes);
        if (count(votes.answered) < masters->quorum) {
            describe(masters, &votes, ret_trouble);
            return RC_BACKEND_UNAVAILABLE;
        }
    }
    return RC_OK;
}
