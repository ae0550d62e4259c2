// One owner's claim to the locks of a set of keys: acquire, renew, lift, release, abandon.
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

// The words that every script needs, formatted once. One thread at a time uses a claim, except that
// a renewal may run beside a lift.
struct redis_claim {
    char owner[REDIS_OWNER_MAX];
    int64_t ttl_ms;
    unsigned unsettled; // masters that were sent an acquire and have not acknowledged its end
    unsigned granted;   // masters that granted the locks, or may have
    size_t n;
    char locks[][REDIS_LOCK_MAX];
};

// NULL if there is no memory. The owner is the instance and `name`; people read it in Redis. The
// caller frees the claim with free.
MUST_CHECK struct redis_claim *redis_claim_new(const char *const *keys, size_t n, int64_t ttl_ms,
                                               const char *instance, const char *name);

// A timeout as short as this does not prove a server down that has just answered.
#define REDIS_SHORT_TIMEOUT_NS (100 * NS_PER_MS)

struct redis_attempt {
    int64_t n_tokens;    // consecutive fencing tokens
    const char *channel; // where a later grant is announced; "": do not queue
    int64_t place_ms;    // how long the place in the queue lasts without another attempt
    unsigned number;     // the announcement carries it
};

struct redis_result {
    uint64_t token;     // the highest of the new tokens; 0: not acquired
    int64_t expires_ns; // if acquired: the end of the lease, measured from before the attempt
    int64_t retry_ns;   // if not: the remaining lease of the lock in the way; 0: unknown
};

// All limits are on the monotonic clock. RC_OK: acquired or not, see ret_result. If it was not and
// claim->granted is not empty, a master may still hold the lock for us: abandon the claim when
// giving up. RC_BACKEND_UNAVAILABLE: no majority answers; abandon the claim.
MUST_CHECK enum rc redis_claim_acquire(struct redis_masters *masters, struct redis_claim *claim,
                                       const struct redis_attempt *attempt, int64_t limit_ns,
                                       struct redis_result *ret_result);

// RC_LOCK_LOST: the lock was lost. RC_BACKEND_UNAVAILABLE: no majority answered. `expires_ns` is
// the end of the lease; it distinguishes a repeated release from a lost lock. In every case
// claim->unsettled are the masters without an answer: abandon the claim there. unknown: for each of
// the claim's keys, whether its token is deleted as well; NULL: none.
MUST_CHECK enum rc redis_claim_release(struct redis_masters *masters, struct redis_claim *claim,
                                       const bool *unknown, int64_t expires_ns, int64_t limit_ns);

// Gives up the locks or the places in the queues on all of claim->unsettled. Masters without an
// answer stay in that set. `in_flight`: an acquire may still be running.
void redis_claim_abandon(struct redis_masters *masters, struct redis_claim *claim, bool in_flight,
                         int64_t limit_ns);

MUST_CHECK enum rc redis_claim_renew(struct redis_masters *masters, const struct redis_claim *claim,
                                     int64_t limit_ns, int64_t *ret_expires_ns);

// Draws `n_tokens` new tokens, all above the floor; ret_token is the highest.
MUST_CHECK enum rc redis_claim_lift(struct redis_masters *masters, const struct redis_claim *claim,
                                    uint64_t floor, int64_t n_tokens, int64_t limit_ns,
                                    uint64_t *ret_token);
