// All are sent the question before the first answer is read, each has little time, and one that
// failed is left alone for a moment, so that a dead one does not slow down the others. One that
// cannot be reached is met while the others have not been sent to: its time is not theirs. A single
// master has all the time there is.
#include "guard/redis/masters.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/guard.h"
#include "guard/redis/client.h"
#include "guard/redis/connection.h"
#include "guard/redis/scripts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_PARTS 50 // of the lease, for one master of several
#define PATIENCE_LEAST_NS (50 * NS_PER_MS)
#define PATIENCE_MOST_NS (250 * NS_PER_MS)
#define SHUN_NS (500 * NS_PER_MS)

struct master {
    struct redis_pool *pool;
    _Atomic int64_t shunned_until_ns;
};

struct redis_masters {
    int64_t patience_ns;
    size_t n, quorum;
    struct master masters[REDIS_MASTERS_MAX];
};

// ---- open and close -----------------------------------------------------------------------------

static enum rc complain(char *ret_why, const char *why)
{
    text_copy(ret_why, GUARD_ERROR_MAX, why);
    return RC_USAGE;
}

static bool named_before(const struct redis_masters *self, const struct redis_address *address)
{
    for (size_t i = 0; i + 1 < self->n; i++) {
        const struct redis_address *other = redis_pool_address(self->masters[i].pool);
        if (other->port == address->port && strcmp(other->host, address->host) == 0)
            return true;
    }
    return false;
}

static enum rc add_masters(struct redis_masters *self, char *addresses, char *ret_why)
{
    char *rest = addresses, *address;
    while ((address = strsep(&rest, ",")) != NULL) {
        if (self->n == REDIS_MASTERS_MAX)
            return complain(ret_why, "redis: nine masters at most");
        struct redis_pool **pool = &self->masters[self->n].pool;
        address += strspn(address, " ");
        enum rc rc = redis_pool_new(address, redis_scripts, REDIS_SCRIPT_COUNT, pool, ret_why,
                                    GUARD_ERROR_MAX);
        if (rc != RC_OK)
            return rc;
        self->n++;
        if (named_before(self, redis_pool_address(*pool)))
            return complain(ret_why, "redis: a master is named twice; each has one vote");
    }
    if (self->n % 2 == 0)
        return complain(ret_why, "redis: an even number of masters survives no more failures than "
                                 "one less would: name one, or an odd number");
    return RC_OK;
}

static int64_t patience_of(int64_t ttl_ns)
{
    int64_t patience_ns = ttl_ns / PATIENCE_PARTS;
    if (patience_ns > PATIENCE_MOST_NS)
        return PATIENCE_MOST_NS;
    return patience_ns > PATIENCE_LEAST_NS ? patience_ns : PATIENCE_LEAST_NS;
}

enum rc redis_masters_new(const struct guard_settings *settings, struct redis_masters **ret_masters,
                          char *ret_why)
{
    struct redis_masters *self = calloc(1, sizeof *self);
    char *addresses CLEANUP(free_memory) = strdup(settings->redis);
    enum rc rc =
        self != NULL && addresses != NULL ? add_masters(self, addresses, ret_why) : RC_NO_MEMORY;
    if (rc != RC_OK) {
        redis_masters_free(self);
        return rc;
    }
    self->quorum = self->n / 2 + 1;
    self->patience_ns = self->n > 1 ? patience_of(settings->lock_ttl_ms * NS_PER_MS) : INT64_MAX;
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

const struct redis_address *redis_masters_only(const struct redis_masters *masters)
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

// A silent master's answer is waited for no longer than one that is well may take.
static int64_t patience_until(const struct redis_masters *self, int64_t limit_ns)
{
    int64_t now_ns = clock_now_ns();
    return self->patience_ns < limit_ns - now_ns ? now_ns + self->patience_ns : limit_ns;
}

// A connection is waited for no longer than leaves each of the others as much, and a share for what
// the answers lead to.
static int64_t share_until(const struct redis_masters *self, size_t others, int64_t limit_ns)
{
    int64_t now_ns = clock_now_ns();
    if (self->n == 1 || limit_ns <= now_ns)
        return limit_ns;
    return now_ns + (limit_ns - now_ns) / (int64_t)(others + 2);
}

void redis_masters_ask(struct redis_masters *self, unsigned whom, enum redis_script script,
                       const struct redis_arguments *arguments, int64_t limit_ns,
                       struct redis_votes *ret_votes)
{
    struct redis_question questions[REDIS_MASTERS_MAX];
    size_t others = count(whom);
    ret_votes->asked = ret_votes->answered = 0;
    for (size_t i = 0; i < self->n; i++) {
        if ((whom & 1U << i) == 0)
            continue;
        ret_votes->asked |= 1U << i;
        int64_t until_ns = patience_until(self, limit_ns);
        int64_t share_ns = share_until(self, --others, limit_ns);
        redis_send(self->masters[i].pool, script, arguments,
                   share_ns < until_ns ? share_ns : until_ns, until_ns, &questions[i]);
    }
    for (size_t i = 0; i < self->n; i++) {
        if ((ret_votes->asked & 1U << i) == 0)
            continue;
        bool answered =
            redis_receive(&questions[i], &ret_votes->answers[i], &ret_votes->repeated[i]) == RC_OK;
        ret_votes->answered |= answered ? 1U << i : 0U;
        self->masters[i].shunned_until_ns = answered ? 0 : clock_now_ns() + SHUN_NS;
    }
}

unsigned redis_masters_all(const struct redis_masters *masters)
{
    return (1U << masters->n) - 1;
}

unsigned redis_masters_willing(const struct redis_masters *masters)
{
    unsigned whom = 0;
    int64_t now_ns = clock_now_ns();
    for (size_t i = 0; i < masters->n; i++)
        if (masters->masters[i].shunned_until_ns <= now_ns)
            whom |= 1U << i;
    return count(whom) >= masters->quorum ? whom : redis_masters_all(masters);
}

unsigned redis_who_said(const struct redis_votes *votes, int64_t least)
{
    unsigned whom = 0;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if ((votes->answered & 1U << i) != 0 && votes->answers[i] >= least)
            whom |= 1U << i;
    return whom;
}

// A majority for it; or none any more, whatever the silent ones would say; or nobody knows.
enum rc redis_verdict(const struct redis_masters *self, const struct redis_votes *votes,
                      unsigned yes)
{
    if (count(yes) >= self->quorum)
        return RC_OK;
    size_t silent = count(votes->asked & ~votes->answered);
    return count(yes) + silent < self->quorum ? RC_LOCK_LOST : RC_BACKEND_UNAVAILABLE;
}

enum rc redis_masters_ping(struct redis_masters *masters, int64_t limit_ns)
{
    static const char *const none[] = {""};
    struct redis_arguments arguments = {.values = none};
    struct redis_votes votes;
    redis_masters_ask(masters, redis_masters_all(masters), REDIS_PING, &arguments, limit_ns,
                      &votes);
    return count(votes.answered) >= masters->quorum ? RC_OK : RC_BACKEND_UNAVAILABLE;
}
