// Between the files of the command line: the table of flags (options_flags.c), what reads their
// values (options_values.c, options_lists.c), and what may stand together (options_check.c).
#pragma once

#include "run/plan.h"

enum flag_id {
    FLAG_SCENARIO,
    FLAG_TEMPLATE,
    FLAG_RESOURCE,
    FLAG_NO_SETUP,
    FLAG_SKUS,
    FLAG_STOCK,
    FLAG_QUANTITY,
    FLAG_SPREAD,
    FLAG_ZIPF,
    FLAG_USERS,
    FLAG_TRIES,
    FLAG_TOTAL,
    FLAG_PER_USER,
    FLAG_PRIZES,
    FLAG_BLANK,
    FLAG_MIX,
    FLAG_STRATEGY,
    FLAG_ARRIVAL,
    FLAG_CONNECTIONS,
    FLAG_REQUESTS,
    FLAG_DURATION,
    FLAG_RATE,
    FLAG_SPACING,
    FLAG_RETRY,
    FLAG_DUPLICATE,
    FLAG_THINK,
    FLAG_TIMEOUT,
    FLAG_THREADS,
    FLAG_SEED,
    FLAG_RUN,
    FLAG_ADMIN_TOKEN,
    FLAG_CLIENT_TOKEN,
    FLAG_HISTORY,
    FLAG_JSON,
    FLAG_HTML,
    FLAG_REQUIRE,
    FLAG_NO_CHECK,
    FLAG_ALLOW_FOREIGN,
    FLAG_QUIET,
    FLAG_HELP,
    FLAG_COUNT
};

struct flag;

// Stores a value in the plan. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes) that
// names the flag and what was expected.
typedef bool flag_value(const struct flag *flag, const char *text, struct plan *plan,
                        char *ret_error);

struct flag {
    const char *name;  // "--users"
    const char *value; // what help calls its value; NULL: it has none, and stores `min` in a bool
    const char *help;
    flag_value *read;
    size_t offset;       // of its member in the plan
    int64_t min, max;    // integers; durations in ns
    unsigned uses;       // means something only to scenarios that use one of these; 0: to all
    bool creates;        // means something only where resources are created
    const char *heading; // of the part of the help that begins here
};

extern const struct flag options_flags[FLAG_COUNT];

const char *arrival_name(enum arrival_kind kind); // "latch"

flag_value value_integer, value_duration, value_exponent, value_share, value_rate;
flag_value value_path, value_token, value_id, value_run;
flag_value value_scenario, value_arrival, value_spread, value_spacing;
flag_value value_prizes, value_mix, value_requirement;

// False with a sentence in ret_error.
MUST_CHECK bool options_read_target(const char *url, struct target *ret_target, char *ret_error);

// What the flags imply (--rate an open loop, ...), and whether they contradict each other. False
// with a sentence that names the flags and the remedy.
MUST_CHECK bool options_check(struct plan *plan, const bool given[FLAG_COUNT], char *ret_error);
