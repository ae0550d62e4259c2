// The answer to a call: rendered, counted, logged, and sent through the HTTP library or past it.
// All functions run on the connection's HTTP thread.
#pragma once

#include <microhttpd.h>
#include <stdbool.h>

struct call;

// Queues the answer with the library: the problem, if there is one, else what the handler wrote.
// MHD_NO closes the connection.
enum MHD_Result answer_send(struct call *call);

// Sends the answer on the socket, even if the library has no memory for its header or accepts no
// answer now. Nothing of another answer may be on its way. `counted`: the answer is in the metrics
// already. The caller closes the connection.
void answer_send_past_library(struct call *call, bool counted);
