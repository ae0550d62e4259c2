// A run: starts the client threads together, watches them, stops them, and adds up what they
// measured.
#pragma once

#include "run/plan.h"

struct history_writer;
struct measure;
struct scenario;

struct run_result {
    double duration_s; // until the last answer
    int64_t attempts;  // lines of the history
    bool interrupted;
};

// Executes the plan. Blocks SIGINT and SIGTERM in the calling thread meanwhile: the first signal
// ends the run early, the second one at once. False with a sentence in ret_error (HISTORY_ERROR_MAX
// bytes) if the run could not begin. `writer` NULL: no history. The caller initialises
// `ret_measure`.
MUST_CHECK bool run_load(const struct plan *plan, const struct scenario *scenario,
                         const struct history_head *head, struct history_writer *writer,
                         struct measure *ret_measure, struct run_result *ret_result,
                         char *ret_error);
