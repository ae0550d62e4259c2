// The flags of `holdfast-load run`: a table with each flag's name, help and the function that reads
// its value into the plan.
#pragma once

#include "run/plan.h"

#define ID_MAX 64 // bytes of a resource's or strategy's name, as the service takes it

enum flag_id {
    FLAG_SCENARIO,
    FLAG_TEMPLATE,
    FLAG_RESOURCE,
    FLAG_NO_SETUP,
    FLAG_SKUS,
    FLAG_STOCK,
    FLAG_ACCOUNTS,
    FLAG_BALANCE,
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
    FLAG_TTL,
    FLAG_LINES,
    FLAG_THEN,
    FLAG_LEAVE,
    FLAG_PARTIAL,
    FLAG_CANCEL,
    FLAG_REFUND,
    FLAG_CODE,
    FLAG_USES,
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
    FLAG_ROUTE,
    FLAG_BEHIND_PROXY,
    FLAG_THREADS,
    FLAG_SEED,
    FLAG_RUN,
    FLAG_KEYS,
    FLAG_ADMIN_TOKEN,
    FLAG_CLIENT_TOKEN,
    FLAG_HISTORY,
    FLAG_JSON,
    FLAG_HTML,
    FLAG_REQUIRE,
    FLAG_EXPECT_REFUSALS,
    FLAG_NO_CHECK,
    FLAG_ALLOW_FOREIGN,
    FLAG_QUIET,
    FLAG_HELP,
    FLAG_COUNT
};

struct flag;

// Stores a value in the plan. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes) that
// names the flag and what was expected.
typedef bool flag_read(const struct flag *flag, const char *text, struct plan *plan,
                       char *ret_error);

struct flag {
    const char *name;  // "--users"
    const char *value; // its value's name in the help; NULL: a switch, which stores `min` in a bool
    const char *help;
    flag_read *read;
    size_t offset;       // of its member in the plan
    int64_t min, max;    // integers; durations in ns
    unsigned uses;       // the flag has an effect only in scenarios that use one of these; 0: all
    bool creates;        // the flag has an effect only where resources are created
    const char *heading; // of the part of the help that begins with this flag
};

extern const struct flag run_flags[FLAG_COUNT];
