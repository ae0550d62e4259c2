// One Redis server, or an odd number of independent ones, asked all at once.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/redis/scripts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_settings;
struct redis_address;
struct redis_arguments;
struct redis_masters;

#define REDIS_MASTERS_MAX 9

// The setting `redis`: one address, or an odd number of them with commas between. Connects to
// nothing yet. RC_USAGE with a sentence in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc redis_masters_new(const struct guard_settings *settings,
                                     struct redis_masters **ret_masters, char *ret_why);
void redis_masters_free(struct redis_masters *masters); // NULL is fine

size_t redis_masters_count(const struct redis_masters *masters);

// The only one's, where a line can be stood in; NULL if there are several.
const struct redis_address *redis_masters_only(const struct redis_masters *masters);

// Connections that were lost and made again, so far. Any thread.
uint64_t redis_masters_reconnects(const struct redis_masters *masters);

// A set of masters is a set of bits. What they said to one question:
struct redis_votes {
    unsigned asked, answered;
    int64_t answers[REDIS_MASTERS_MAX];
    bool repeated[REDIS_MASTERS_MAX]; // see redis_receive
};

// Sends to all in `whom`, then reads from all, until the limit on the monotonic clock; one of
// several masters has a fiftieth of the lease at most (50 to 250 ms) of its own, and one that
// cannot even be reached leaves the others a fair share of what there is. Any thread.
void redis_masters_ask(struct redis_masters *masters, unsigned whom, enum redis_script script,
                       const struct redis_arguments *arguments, int64_t limit_ns,
                       struct redis_votes *ret_votes);

unsigned redis_masters_all(const struct redis_masters *masters);
// Whom to ask: those that did not fail just now, or all where these are no majority.
unsigned redis_masters_willing(const struct redis_masters *masters);

// Who answered with at least this.
unsigned redis_who_said(const struct redis_votes *votes, int64_t least);

// RC_OK: `yes` are a majority of all masters. RC_LOCK_LOST: they are not, whatever the silent ones
// would have said. RC_BACKEND_UNAVAILABLE: nobody knows.
MUST_CHECK enum rc redis_verdict(const struct redis_masters *masters,
                                 const struct redis_votes *votes, unsigned yes);

MUST_CHECK enum rc redis_masters_ping(struct redis_masters *masters, int64_t limit_ns);
