// Strict checks of a request before anything acts on it. They prevent request smuggling, which
// needs two parsers, such as a proxy's and ours, that read one request differently. Pure functions
// over bytes.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Borrowed text without a terminator.
struct slice {
    const char *text;
    size_t length;
};

// Without the spaces and tabs at both ends.
struct slice slice_trim(struct slice text);

enum method {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_POST = 4,
    METHOD_PUT = 8,
    METHOD_PATCH = 16,
    METHOD_DELETE = 32,
    METHOD_OTHER = 64,  // a standard method that no route uses
    METHOD_UNKNOWN = 0, // not a standard method
};
enum method strict_method(const char *name);

// True for a token of RFC 9110: visible ASCII without separators, at least one character.
bool strict_is_token(struct slice text);

// Checks the request target as sent: origin form, visible ASCII, well-formed percent escapes that
// do not decode to a control character, no `.` or `..` segment in any spelling. Returns NULL, or a
// sentence about the error.
MUST_CHECK const char *strict_target(const char *target, size_t length);

// The header fields that matter, collected by strict_field in one walk.
struct fields {
    const char *wrong;                  // a sentence about the first error; NULL if there is none
    unsigned hosts, lengths, encodings; // how often each field occurred
    struct slice length, encoding, host;
    struct slice authorization, content_type, idempotency_key, strategy, if_match, if_none_match;
    bool expects_continue, expects_other; // what the client waits for before it sends the body
};

// Adds one header field, as the parser found it. White space around a value is not part of it (RFC
// 9110, 5.5). Only the two fields that say where the body ends must be as the library's parser
// demands them, because both must find the same end.
void strict_field(struct fields *fields, struct slice name, struct slice value);

// Judges the whole section: RC_OK, RC_MALFORMED_REQUEST, RC_NOT_IMPLEMENTED (a transfer coding) or
// RC_BODY_TOO_LARGE. On refusal ret_why is a sentence and the connection must be closed. On RC_OK
// ret_framing describes the body.
struct framing {
    bool chunked;
    uint64_t length; // 0 if chunked or without a body
};
MUST_CHECK enum rc strict_framing(const struct fields *fields, bool http_1_1, uint64_t body_max,
                                  struct framing *ret_framing, const char **ret_why);
