// Problem details (RFC 9457): the JSON that a client gets instead of a result. Every refusal and
// fault has a stable type, and the server explains each type at that path.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>

struct buffer;
struct operation;

// What this request adds to the texts of problem_info. Zero-initialised: no problem.
struct problem {
    enum rc rc;         // RC_OK: no problem
    char field[64];     // the invalid field of body, path, query or header; empty if none
    char expected[128]; // a phrase for a valid value; empty if there is none
    char detail[400];   // one or two sentences; empty: the remedy is used
};

// Sets the problem and returns rc, so that a handler can say `return problem_set(...)`.
enum rc problem_set(struct problem *problem, enum rc rc, const char *detail, ...) PRINTF_LIKE(3, 4);

// RC_INVALID_FIELD or RC_UNKNOWN_FIELD about a field. The name is shortened if it is long, and
// `expected` is a phrase such as "an integer from 1 to 1000000".
enum rc problem_field(struct problem *problem, enum rc rc, const char *field, const char *expected,
                      ...) PRINTF_LIKE(4, 5);

// Writes the JSON body. `operation` may be NULL. If the state of the shop refused the operation,
// its `remaining` and `version` are added.
void problem_write(const struct problem *problem, const struct operation *operation,
                   struct buffer *out);

// Sends a complete response on the socket, past the HTTP library, which accepts no response while a
// request is still arriving. For RC_REQUEST_TIMEOUT and RC_BODY_TOO_LARGE. Never blocks; a response
// that does not fit into the socket's buffer is lost. The caller closes the connection.
void problem_send_raw(int fd, enum rc rc);
