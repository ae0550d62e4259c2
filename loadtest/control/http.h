// Control requests: those that are not load, such as creating resources and reading the ledger.
// Sent one at a time by libcurl, over a keep-alive connection.
#pragma once

#include "base/cleanup.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

// `urls` (borrowed) are the targets; each request goes to the first one that answers. `token` NULL:
// no token. `timeout_ns`: from the beginning of a request to the last byte of its answer. Returns
// NULL if out of memory.
MUST_CHECK struct http *http_new(const char *const *urls, size_t n_urls, const char *token,
                                 int64_t timeout_ns);
// From here on Ctrl-C ends the request in flight, which fails (interrupt_block was called before).
// No other request may be sent after that.
void http_stop_on_interrupt(struct http *http);
bool http_was_interrupted(const struct http *http);
void http_free(struct http *http); // NULL is fine

// Sends a request to `path` and parses the JSON answer, which the caller owns. `body` NULL: no
// body. True for a 2xx; otherwise ret_error (HISTORY_ERROR_MAX bytes) has a sentence with the
// request and the server's answer. After a 503 every request but a POST is retried for up to ten
// seconds, because right after a load test a queue may still be full. An answer with a head of more
// than 64 KiB or a body of more than 4 MiB is an error. Takes at most ten seconds and twice the
// timeout for each target.
MUST_CHECK bool http_call(struct http *http, const char *method, const char *path,
                          const json_t *body, json_t **ret_json, char *ret_error);

// The same for a POST with an idempotency key (up to HISTORY_TEXT_MAX bytes). It is retried as
// well, because the service applies it once.
MUST_CHECK bool http_post(struct http *http, const char *path, const char *key, const json_t *body,
                          json_t **ret_json, char *ret_error);
