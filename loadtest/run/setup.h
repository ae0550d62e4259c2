// The set-up of a run: creates the scenario's resources, and notes each counter's state before the
// first request, where the checker starts.
#pragma once

#include "history/history.h"
#include "run/scenario.h"

struct http;

// Creates the resources if the plan says so, and reads their counters into the head, in the order
// that struct resources tells. Reading a prize's version needs the admin token, unless its lottery
// is new. The caller frees ret_head->counters, which stays untouched on failure. False with a
// sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool setup_resources(const struct plan *plan, const struct resources *resources,
                                struct http *http, struct history_head *ret_head, char *ret_error);
