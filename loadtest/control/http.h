// The few requests that are no load: creating what a scenario needs, reading counters and the
// ledger. By libcurl, one at a time, kept alive.
#pragma once

#include "base/cleanup.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct http;

// `urls` (borrowed) are the targets; each request goes to the first that answers. `token` NULL:
// none. NULL: out of memory.
MUST_CHECK struct http *http_new(const char *const *urls, size_t n_urls, const char *token);
void http_free(struct http *http); // NULL is fine

// Sends a request to `path` and reads its JSON. `body` NULL: none. True for a 2xx; else a sentence
// in ret_error (HISTORY_ERROR_MAX bytes) that names the request, and what the server said. The
// caller owns ret_json. A 503 to anything but a POST is asked again for up to ten seconds, because
// right after a load test a queue may still be full. Takes at most about 40 s a target.
MUST_CHECK bool http_call(struct http *http, const char *method, const char *path,
                          const json_t *body, json_t **ret_json, char *ret_error);
