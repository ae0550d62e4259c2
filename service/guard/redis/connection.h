// The address of a Redis server, and a connection to it that begins with logging in.
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

// `[[user]:password@]host:port[/database]`. False if it cannot be understood.
MUST_CHECK bool redis_address_parse(const char *text, struct redis_address *ret_address);

// Connects within the time, and puts AUTH and SELECT before whatever is asked first: they cost no
// round trip. NULL with the reason in ret_why (of `size` bytes, without the password). The caller
// frees it with redisFree.
MUST_CHECK struct redisContext *redis_connect(const struct redis_address *address,
                                              int64_t timeout_ns, char *ret_why, size_t size);

// How many replies to AUTH and SELECT come before the first answer.
size_t redis_login_replies(const struct redis_address *address);

// For redisSetTimeout: at least a millisecond, because zero would mean for ever.
struct timeval redis_timeval(int64_t duration_ns);
