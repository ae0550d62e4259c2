// A request template: an HTTP request with placeholders that get new values for each operation.
//
//     POST /v1/stock/{{resource}}/deduct
//     Content-Type: application/json
//     Idempotency-Key: {{key}}
//
//     {"quantity": {{quantity}}, "user_id": "{{user}}"}
//
// Placeholders: {{resource}} {{key}} {{user}} {{quantity}} {{n}} (the operation's number) and
// {{random N}} (0 to N-1, the same for every request of an operation). The load tester adds Host
// and Content-Length itself. Lines end with LF or CRLF, and " HTTP/1.1" after the path is optional.
// The body is everything after the empty line, except the line feed that ends the file.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"
#include "history/history.h"

#include <stdbool.h>
#include <stdint.h>

struct template;

struct template_values {
    const char *resource, *key, *user; // plain ids: they are not escaped
    int64_t quantity, n;
    const char *body; // of a request about several products
    uint64_t seed;    // of the run; {{random}} is a function of seed, n and the placeholder
};

// Compiles the text for one target: `authority` goes into Host, `prefix` before the path, `fields`
// (complete lines with CRLF, or "") after the template's own. None of the three may contain
// placeholders, and none is kept. False with a sentence that names the line in ret_error
// (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool template_compile(const char *text, const char *authority, const char *prefix,
                                 const char *fields, struct template **ret_template,
                                 char *ret_error);
void template_free(struct template *template); // NULL is fine

// Appends the request's bytes. Allocates nothing once the buffer is large enough. Any thread.
void template_render(const struct template *template, const struct template_values *values,
                     struct buffer *out);
