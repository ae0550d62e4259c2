// The address of a Redis server, and a connection to it that logs in first.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redisContext;
struct timeval;

#define REDIS_WORD_MAX 128

struct redis_address {
    char host[REDIS_WORD_MAX], user[REDIS_WORD_MAX], password[REDIS_WORD_MAX], database[8];
    int port;
};

// `[[user]:password@]host:port[/database]`. False if the text is malformed.
MUST_CHECK bool redis_address_parse(const char *text, struct redis_address *ret_address);

// Connects within the timeout and queues AUTH and SELECT, which are sent with the caller's first
// command and so cost no round trip. NULL with the reason in ret_why (of `size` bytes, without the
// password). The caller frees the context with redisFree.
MUST_CHECK struct redisContext *redis_connect(const struct redis_address *address,
                                              int64_t timeout_ns, char *ret_why, size_t size);

// How many replies to AUTH and SELECT precede the first reply to the caller's command.
size_t redis_login_replies(const struct redis_address *address);

// For redisSetTimeout: at least a millisecond, because zero would mean no timeout.
struct timeval redis_timeval(int64_t duration_ns);
