// A small pool of connections to one Redis server that run Lua scripts.
//
// A connection is used by one thread at a time. One that failed or timed out is never used again,
// because its late reply would answer the next question: it is freed and made anew, with timeouts,
// AUTH and SELECT. The process must ignore SIGPIPE.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_address;
struct redis_link;
struct redis_pool;

#define REDIS_SCRIPTS_MAX 8
#define REDIS_ARGUMENTS_MAX 264
#define REDIS_CONNECTIONS_MAX 32

// `[[user]:password@]host:port[/database]`. Connects to nothing yet. The sources, at most
// REDIS_SCRIPTS_MAX, are borrowed; a script is named by its index from then on. RC_USAGE with a
// sentence in ret_why (of `size` bytes, without the password) if the address cannot be understood.
MUST_CHECK enum rc redis_pool_new(const char *address, const char *const *scripts, size_t n_scripts,
                                  struct redis_pool **ret_pool, char *ret_why, size_t size);
void redis_pool_free(struct redis_pool *pool); // nobody may be using it; NULL is fine

// Valid while the pool lives.
const struct redis_address *redis_pool_address(const struct redis_pool *pool);

// How many connections were lost and made again. Any thread.
uint64_t redis_pool_reconnects(struct redis_pool *pool);

struct redis_arguments {
    const char *const *values; // the keys, then the rest
    size_t n, n_keys;          // n counts both, at most REDIS_ARGUMENTS_MAX
};

// A script on its way. Several servers are asked at the same time by sending to all of them first.
struct redis_question {
    struct redis_pool *pool;
    size_t script;
    const struct redis_arguments *arguments; // borrowed until the answer is there
    int64_t limit_ns;
    struct redis_link *link; // NULL: there was no connection to be had
};

// Sends a script that answers with an integer. Both limits are on the monotonic clock: one to have
// a connection by, one to have the answer by. Any thread. Exactly one redis_receive follows.
void redis_send(struct redis_pool *pool, size_t script, const struct redis_arguments *arguments,
                int64_t reach_ns, int64_t limit_ns, struct redis_question *ret_question);

// RC_BACKEND_UNAVAILABLE: no usable answer; the script may have run, may run later, or never. After
// a broken (not a silent) connection it has been tried once more on a new one, so a script must be
// safe to repeat; ret_repeated says whether that happened.
MUST_CHECK enum rc redis_receive(struct redis_question *question, int64_t *ret_integer,
                                 bool *ret_repeated);
