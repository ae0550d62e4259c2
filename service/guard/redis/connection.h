// A connection to a Redis server that logs in first.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_address;
struct redisContext;
struct timeval;

// Connects within the timeout and queues AUTH and SELECT, which are sent with the caller's first
// command and so cost no round trip. NULL with the reason in ret_why (of `size` bytes, without the
// password). The caller frees the context with redisFree.
MUST_CHECK struct redisContext *redis_connect(const struct redis_address *address,
                                              int64_t timeout_ns, char *ret_why, size_t size);

// How many replies to AUTH and SELECT precede the first reply to the caller's command.
size_t redis_login_replies(const struct redis_address *address);

// What to do about an error of the server, as the end of a sentence; "" if that is not known.
const char *redis_remedy(const char *error);

// For redisSetTimeout: at least a millisecond, because zero would mean no timeout.
struct timeval redis_timeval(int64_t duration_ns);
