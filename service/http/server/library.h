// The one function of the HTTP library that this program replaces, so that the library's own
// refusals become problems.
#pragma once

#include "base/cleanup.h"

#include <microhttpd.h>
#include <stdbool.h>

// Answers a request that the library refuses with this status. The library closes the connection.
// HTTP thread.
typedef void refusal_fn(struct MHD_Connection *connection, unsigned status);

// Finds the library's functions. False if the program was linked in a way that hides them. Before
// the first daemon starts.
MUST_CHECK bool library_init(refusal_fn *on_refusal);

// The library's MHD_queue_response. HTTP thread.
enum MHD_Result library_queue(struct MHD_Connection *connection, unsigned status,
                              struct MHD_Response *response);
