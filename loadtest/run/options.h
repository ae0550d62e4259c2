// The command line of `holdfast-load run`, parsed into a plan.
#pragma once

#include "run/plan.h"

#include <stdio.h>

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

// argv[0] is "run". Flags are `--name VALUE` or `--name=VALUE`; any other argument is a target's
// URL (default http://127.0.0.1:8080). OPTIONS_WRONG: ret_error (HISTORY_ERROR_MAX bytes) has a
// sentence that names the flag, what was expected, and the most similar flag if it is unknown. The
// plan borrows from argv and the environment (HOLDFAST_AUTH_ADMIN_TOKEN,
// HOLDFAST_AUTH_CLIENT_TOKEN).
enum options_result options_parse(int argc, char **argv, struct plan *ret_plan, char *ret_error);

void options_help(FILE *out);
