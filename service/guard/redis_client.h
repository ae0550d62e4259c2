// A small pool of connections to one Redis server that run Lua scripts.
//
// A connection is used by one thread at a time. One that failed or timed out is never used again,
// because its late reply would answer the next question: it is freed and made anew, with timeouts,
// AUTH and SELECT. The process must ignore SIGPIPE.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct redis_pool;

#define REDIS_SCRIPTS_MAX 6
#define REDIS_ARGUMENTS_MAX 520
#define REDIS_CONNECTIONS_MAX 32

// `[[user]:password@]host:port[/database]`. Connects to nothing yet. The sources, at most
// REDIS_SCRIPTS_MAX, are borrowed; a script is named by its index from then on. RC_USAGE with a
// sentence in ret_why (of `size` bytes, without the password) if the address cannot be understood.
MUST_CHECK enum rc redis_pool_new(const char *address, const char *const *scripts, size_t n_scripts,
                                  struct redis_pool **ret_pool, char *ret_why, size_t size);
void redis_pool_free(struct redis_pool *pool); // nobody may be using it; NULL is fine

struct redis_arguments {
    const char *const *values; // the keys, then the rest
    size_t n, n_keys;          // n counts both, at most REDIS_ARGUMENTS_MAX
};

// Runs a script that answers with an integer, within the time. Any thread.
//
// RC_BACKEND_UNAVAILABLE: no usable answer; the script may have run, may run later, or never. After
// a broken (not a silent) connection it has been tried once more on a new one, so a script must be
// safe to repeat; ret_repeated (may be NULL) says whether that happened.
MUST_CHECK enum rc redis_run(struct redis_pool *pool, size_t script,
                             const struct redis_arguments *arguments, int64_t timeout_ns,
                             int64_t *ret_integer, bool *ret_repeated);
