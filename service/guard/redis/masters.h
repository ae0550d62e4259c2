// One Redis server, or an odd number of independent ones that run the same script at the same time.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/addresses.h"
#include "guard/redis/scripts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_settings;
struct guard_trouble;
struct redis_arguments;
struct redis_masters;

// From the setting `redis`: one address, or an odd number separated by commas. Connects lazily.
// RC_USAGE with a sentence in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc redis_masters_new(const struct guard_settings *settings,
                                     struct redis_masters **ret_masters, char *ret_why);
void redis_masters_free(struct redis_masters *masters); // NULL is fine

size_t redis_masters_count(const struct redis_masters *masters);

// The address of a single master, whose queue of waiters can be used; NULL if there are several.
const struct redis_address *redis_masters_single(const struct redis_masters *masters);

// How many connections were lost and replaced. Any thread.
uint64_t redis_masters_reconnects(const struct redis_masters *masters);

// Bit i of a set stands for master i. The replies to one script:
struct redis_votes {
    unsigned asked, answered;
    int64_t answers[REDIS_MASTERS_MAX];
    bool repeated[REDIS_MASTERS_MAX]; // see redis_receive
};

// Sends the script to all `targets`, then reads all replies, until the limit on the monotonic
// clock. One of several masters may take a fiftieth of the lease (50 to 250 ms). A master that
// cannot be connected to leaves the others a fair share of the time. Any thread.
void redis_masters_run(struct redis_masters *masters, unsigned targets, enum redis_script script,
                       const struct redis_arguments *arguments, int64_t limit_ns,
                       struct redis_votes *ret_votes);

unsigned redis_masters_all(const struct redis_masters *masters);
// The masters that have not just failed; all masters where these are no majority.
unsigned redis_masters_healthy(const struct redis_masters *masters);

// The masters whose answer is at least this.
unsigned redis_votes_at_least(const struct redis_votes *votes, int64_t least);

// RC_OK: `yes` is a majority of all masters. RC_LOCK_LOST: it is none, whatever the masters without
// an answer did. RC_BACKEND_UNAVAILABLE: their answers would decide.
MUST_CHECK enum rc redis_masters_decide(const struct redis_masters *masters,
                                        const struct redis_votes *votes, unsigned yes);

// Takes and frees locks that no counter has. RC_OK: a majority grants them. RC_BACKEND_UNAVAILABLE:
// the trouble of one of the others.
MUST_CHECK enum rc redis_masters_ping(struct redis_masters *masters, int64_t limit_ns,
                                      struct guard_trouble *ret_trouble);
