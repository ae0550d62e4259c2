// A small pool of connections to one Redis server that run Lua scripts.
//
// One thread at a time uses a connection. A connection that failed or timed out is closed and
// replaced, because its late reply would be taken for the reply to the next command. The process
// must ignore SIGPIPE.
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

// Connects lazily. The address is copied. The script sources, at most REDIS_SCRIPTS_MAX, are
// borrowed; later calls name a script by its index. RC_NO_MEMORY.
MUST_CHECK enum rc redis_pool_new(const struct redis_address *address, const char *const *scripts,
                                  size_t n_scripts, struct redis_pool **ret_pool);
void redis_pool_free(struct redis_pool *pool); // no thread may be using it; NULL is fine

// Valid while the pool lives.
const struct redis_address *redis_pool_address(const struct redis_pool *pool);

// The last failure in words: the server's error, or why it did not answer. Without the password. ""
// if there was none. Any thread.
void redis_pool_why(struct redis_pool *pool, char *ret_why, size_t size);

// How many connections were lost and replaced. Any thread.
uint64_t redis_pool_reconnects(struct redis_pool *pool);

struct redis_arguments {
    const char *const *values; // KEYS, then ARGV
    size_t n, n_keys;          // n counts both, at most REDIS_ARGUMENTS_MAX
};

// A script in flight. To run one on several servers at the same time, send to all before receiving.
struct redis_call {
    struct redis_pool *pool;
    size_t script;
    const struct redis_arguments *arguments; // borrowed until redis_receive returns
    int64_t limit_ns;
    struct redis_link *link; // NULL: no connection was available
};

// Sends a script that answers with an integer. Both limits are on the monotonic clock: one for
// getting a connection, one for the reply. Any thread. Exactly one redis_receive follows.
void redis_send(struct redis_pool *pool, size_t script, const struct redis_arguments *arguments,
                int64_t connect_by_ns, int64_t limit_ns, struct redis_call *ret_call);

// RC_BACKEND_UNAVAILABLE: no usable reply; the script may have run, may run later, or never. After
// a broken connection (not after a timeout) the script was retried once on a new one, so it must be
// safe to repeat; ret_repeated tells whether that happened.
MUST_CHECK enum rc redis_receive(struct redis_call *call, int64_t *ret_integer, bool *ret_repeated);
