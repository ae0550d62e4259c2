// A request with holes. The text is an HTTP request without the fields that the load tester adds
// (Host, Content-Length):
//
//     POST /v1/stock/{{resource}}/deduct
//     Content-Type: application/json
//     Idempotency-Key: {{key}}
//
//     {"quantity": {{quantity}}, "user_id": "{{user}}"}
//
// Holes: {{resource}} {{key}} {{user}} {{quantity}} {{n}} (the operation's number) and {{random N}}
// (0 to N-1, the same for every attempt of an operation). Lines end with LF or CRLF; " HTTP/1.1"
// behind the path may be left out. The body is everything behind the empty line, without the line
// feed that ends the file.
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
    uint64_t seed; // of the run; {{random}} is a function of it, n and the hole
};

// Compiled for one target: `authority` goes into Host, `prefix` before the path, `fields` (complete
// lines with CRLF, or "") behind the template's own; none of the three has holes, and none is kept.
// False with a sentence that names the line in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool template_compile(const char *text, const char *authority, const char *prefix,
                                 const char *fields, struct template **ret_template,
                                 char *ret_error);
void template_free(struct template *template); // NULL is fine

// Appends the request's bytes. No allocation once the buffer is large enough. Any thread.
void template_render(const struct template *template, const struct template_values *values,
                     struct buffer *out);
