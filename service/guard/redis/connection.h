// A connection to a Redis server, over TCP, TLS or a Unix socket, that logs in first. One thread at
// a time uses it.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_address;
struct redisContext;
struct redisReply;

struct redis_connection {
    struct redisContext *context; // the parser; after a failure its `err` and `errstr`
    void *tls;                    // libcurl's handle, or NULL without TLS
    struct buffer out;            // with TLS: commands that have not been sent
    int64_t timeout_ns;           // with TLS: of each read and write
};

// Connects within the timeout and queues AUTH and SELECT, which are sent with the caller's first
// command and so cost no round trip. NULL with the reason in ret_why (of `size` bytes, without the
// password). Freed with redis_connection_free.
MUST_CHECK struct redis_connection *redis_connect(const struct redis_address *address,
                                                  int64_t timeout_ns, char *ret_why, size_t size);
void redis_connection_free(struct redis_connection *connection); // NULL is fine

// The timeout of each later read and write, at least a millisecond.
void redis_limit(struct redis_connection *connection, int64_t timeout_ns);

// Queue a command. A failure shows when it is sent.
void redis_append(struct redis_connection *connection, const char *format, ...);
void redis_append_words(struct redis_connection *connection, size_t n, const char **words,
                        const size_t *lengths);

// Sends what is queued. False if the connection has failed.
MUST_CHECK bool redis_flush(struct redis_connection *connection);
// Sends what is queued and waits for the next reply, which the caller frees. NULL after a failure.
MUST_CHECK struct redisReply *redis_read_reply(struct redis_connection *connection);
// Takes what has arrived, without waiting if nothing has. False if the connection has ended.
MUST_CHECK bool redis_read_arrived(struct redis_connection *connection);

// How many replies to AUTH and SELECT precede the first reply to the caller's command.
size_t redis_login_replies(const struct redis_address *address);

// What to do about an error of the server, as the end of a sentence; "" if that is not known.
const char *redis_remedy(const char *error);
