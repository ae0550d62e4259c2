// From a finished call to a response of the HTTP library.
#pragma once

#include "base/cleanup.h"

#include <microhttpd.h>

struct call;

// Renders the problem, if there is one, and queues the response. On the HTTP thread. MHD_NO: the
// connection is to be closed.
MUST_CHECK enum MHD_Result answer_send(struct call *call);
