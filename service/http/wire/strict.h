// Strict checks of what a client sent before anything acts on it: two parsers that read one request
// differently (a proxy's and ours) are how requests are smuggled. Pure functions over bytes.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A piece of text that is not terminated, borrowed.
struct slice {
    const char *text;
    size_t length;
};

enum method {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_POST = 4,
    METHOD_PUT = 8,
    METHOD_OTHER = 16,  // known to HTTP, used nowhere here
    METHOD_UNKNOWN = 0, // not even that
};
enum method strict_method(const char *name);

// Is it a token of RFC 9110: visible ASCII without separators, at least one character?
bool strict_is_token(struct slice text);

// The request target as it was sent: origin form, visible ASCII, well-formed percent escapes that
// decode to no control character, no `.` or `..` segment however it is spelled. Returns NULL, or a
// sentence that says what is wrong.
MUST_CHECK const char *strict_target(const char *target, size_t length);

// What must be known of the header section, gathered in one walk by strict_field.
struct fields {
    const char *wrong; // the first thing that is wrong, a sentence; NULL if nothing is
    unsigned hosts, lengths, encodings; // how often each was there
    struct slice length, encoding, host;
    struct slice authorization, content_type, idempotency_key, strategy;
    bool expects_continue;
};

// One header field, as the parser found it.
void strict_field(struct fields *fields, struct slice name, struct slice value);

// The verdict over the whole section: RC_OK, RC_MALFORMED_REQUEST, RC_NOT_IMPLEMENTED (a transfer
// coding), RC_BODY_TOO_LARGE. On refusal ret_why has a sentence; the connection must be closed.
// ret_chunked and ret_length say how the body is framed.
struct framing {
    bool chunked;
    uint64_t length; // 0 if chunked or without a body
};
MUST_CHECK enum rc strict_framing(const struct fields *fields, bool http_1_1, uint64_t body_max,
                                  struct framing *ret_framing, const char **ret_why);
