// The one function of the HTTP library that this program replaces, so that the library's own
// refusals become problems.
#pragma once

#include "base/cleanup.h"

#include <microhttpd.h>
#include <stdbool.h>

// Finds the library's functions. False if the program was linked in a way that hides them. Once,
// before the first daemon starts.
MUST_CHECK bool library_init(void);

// The library's MHD_queue_response. HTTP thread.
enum MHD_Result library_queue(struct MHD_Connection *connection, unsigned status,
                              struct MHD_Response *response);
