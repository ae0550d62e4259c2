// Sends an answer on the socket, past the HTTP library. The library accepts no answer while a
// request is still arriving. It also closes the connection without an answer if its memory for the
// connection has no room for the answer's header.
#pragma once

#include "http/wire/strict.h"

#include <stdbool.h>

struct MHD_Response;

// Sends the status, the header fields of `response`, a Content-Length and the body; without the
// body if the request is a HEAD. Nothing of another answer may be on its way. Never blocks: what
// does not fit into the socket's buffer is lost. The caller closes the connection. HTTP thread.
void raw_answer_send(int fd, int status, struct MHD_Response *response, struct slice body,
                     bool is_head);
