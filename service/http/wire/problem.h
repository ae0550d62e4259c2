// Problem details (RFC 9457): every refusal and fault has a stable type that the server itself
// explains at that address.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>

struct buffer;
struct operation;

// What there is to say beyond what rc_info says. Zero-initialised: nothing.
struct problem {
    enum rc rc;         // RC_OK: no problem
    char field[64];     // the field of body, path, query or header at fault; empty if none
    char expected[128]; // what would have been right; empty if nothing to say
    char detail[240];   // one sentence or two
};

// Sets the problem and returns rc, so that a handler can say `return problem_set(...)`.
enum rc problem_set(struct problem *problem, enum rc rc, const char *detail, ...) PRINTF_LIKE(3, 4);

// RC_INVALID_FIELD or RC_UNKNOWN_FIELD about a field. The name is shortened if it is long, and
// `expected` is a phrase such as "an integer from 1 to 1000000".
enum rc problem_field(struct problem *problem, enum rc rc, const char *field, const char *expected,
                      ...) PRINTF_LIKE(4, 5);

// The JSON body. `operation` may be NULL; if it was refused by the state of the shop, what was
// there is added.
void problem_write(const struct problem *problem, const struct operation *operation,
                   struct buffer *out);

// A complete, static response over the wire for when the HTTP library cannot be asked any more: a
// request that does not end. NULL if there is none for this rc.
const char *problem_wire(enum rc rc);
