// The lock itself: what one owner asks of the masters for a set of keys.
#pragma once

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rc.h"
#include "domain/ids.h"
#include "guard/redis/masters.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_LOCK_MAX (COUNTER_NAME_MAX + 24)
#define REDIS_OWNER_MAX 112

// All the words that the scripts need, spelled out once. One thread at a time, save that renewing
// it may go on beside lifting it.
struct redis_claim {
    char owner[REDIS_OWNER_MAX];
    int64_t ttl_ms;
    unsigned sent; // the masters that were asked for it, and have not heard that it is over
    unsigned had;  // those that gave it, or may have
    size_t n;
    char locks[][REDIS_LOCK_MAX];
};

// NULL if there is no memory. The owner is `name` with the instance before it, for people who look.
// Freed with free.
MUST_CHECK struct redis_claim *redis_claim_new(const char *const *keys, size_t n, int64_t ttl_ms,
                                               const char *instance, const char *name);

// No answer within so little says nothing of a server that has answered just before.
#define REDIS_HURRY_NS (100 * NS_PER_MS)

struct redis_wish {
    int64_t tokens;      // this many in a row
    const char *channel; // where a grant is announced; "": do not stand in line
    int64_t place_ms;    // how long a place in line lasts without asking again
    unsigned ask;        // the announcement's number
};

struct redis_grip {
    uint64_t token;     // the highest of those wished for; 0: the lock was not had
    int64_t expires_ns; // where it was had: the lease, measured from before asking
    int64_t retry_ns;   // where it was not: how long the one in the way lasts at most; 0: unknown
};

// Limits are on the monotonic clock. RC_OK: had or not, see ret_grip. Not had, and claim->had says
// that somebody may have given it: abandon it when giving up. RC_BACKEND_UNAVAILABLE: no majority
// answers; abandon it.
MUST_CHECK enum rc redis_claim_acquire(struct redis_masters *masters, struct redis_claim *claim,
                                       const struct redis_wish *wish, int64_t limit_ns,
                                       struct redis_grip *ret_grip);

// RC_LOCK_LOST, or RC_BACKEND_UNAVAILABLE: nobody knows. `expires_ns`, the lease, tells a release
// that was repeated from a lock that was lost. Whatever it says, claim->sent are those that did not
// answer: abandon it there.
MUST_CHECK enum rc redis_claim_release(struct redis_masters *masters, struct redis_claim *claim,
                                       int64_t expires_ns, int64_t limit_ns);

// Gives up the lock or the place in line, at all in claim->sent; who did not answer stays there.
// `unanswered`: a question may be carried out later still.
void redis_claim_abandon(struct redis_masters *masters, struct redis_claim *claim, bool unanswered,
                         int64_t limit_ns);

MUST_CHECK enum rc redis_claim_renew(struct redis_masters *masters, const struct redis_claim *claim,
                                     int64_t limit_ns, int64_t *ret_expires_ns);

// So many new tokens, all above the floor; ret_token is the highest.
MUST_CHECK enum rc redis_claim_lift(struct redis_masters *masters, const struct redis_claim *claim,
                                    uint64_t floor, int64_t tokens, int64_t limit_ns,
                                    uint64_t *ret_token);
