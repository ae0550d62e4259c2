// The names of kinds and outcomes, as the lines of a history spell them.
#include "history/history.h"

static const char *const counter_kinds[] = {[COUNTER_STOCK] = "stock",
                                            [COUNTER_COUPON] = "coupon",
                                            [COUNTER_LOTTERY] = "lottery",
                                            [COUNTER_PRIZE] = "prize"};

static const char *const attempt_kinds[KIND_COUNT] = {[KIND_DEDUCT] = "deduct",
                                                      [KIND_ISSUE] = "issue",
                                                      [KIND_DRAW] = "draw",
                                                      [KIND_READ] = "read",
                                                      [KIND_OTHER] = "other"};

static const char *const attempt_outcomes[] = {
    [OUTCOME_OK] = "ok", [OUTCOME_FAIL] = "fail", [OUTCOME_INFO] = "info"};

const char *counter_kind_name(enum counter_kind kind)
{
    return counter_kinds[kind];
}

const char *attempt_kind_name(enum attempt_kind kind)
{
    return attempt_kinds[kind];
}

const char *attempt_outcome_name(enum attempt_outcome outcome)
{
    return attempt_outcomes[outcome];
}
