// The names of kinds and outcomes, as the lines of a history spell them, and what each kind
// implies.
//
// Only the outcome `fail` is a promise: the checker reports a violation if the ledger has a row for
// a request that failed. So an answer is `fail` only where the API promises that nothing was
// changed (api/openapi.yaml: every 4xx except 408, and the 503s listed below). Every other answer
// without a 2xx is `info`: the request may have taken effect.
#include "history/history.h"

#include "base/text.h"

#include <string.h>

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

bool counter_kind_has_total(enum counter_kind kind)
{
    return kind == COUNTER_COUPON || kind == COUNTER_PRIZE;
}

bool counter_kind_has_limit(enum counter_kind kind)
{
    return kind == COUNTER_COUPON || kind == COUNTER_LOTTERY;
}

bool attempt_kind_changes(enum attempt_kind kind)
{
    return kind == KIND_DEDUCT || kind == KIND_ISSUE || kind == KIND_DRAW;
}

enum counter_kind attempt_kind_counter(enum attempt_kind kind)
{
    return kind == KIND_ISSUE  ? COUNTER_COUPON
           : kind == KIND_DRAW ? COUNTER_LOTTERY
                               : COUNTER_STOCK;
}

static bool promises_nothing_changed(const char *slug)
{
    static const char *const slugs[] = {"lock-busy", "lock-lost", "contention", "overloaded",
                                        "backend-unavailable"};
    for (size_t i = 0; i < ARRAY_LENGTH(slugs); i++) {
        if (strcmp(slug, slugs[i]) == 0)
            return true;
    }
    return false;
}

enum attempt_outcome attempt_outcome_of(int status, const char *detail)
{
    if (status >= 200 && status < 300)
        return OUTCOME_OK;
    bool refused = (status >= 400 && status < 500 && status != 408) ||
                   (status == 503 && promises_nothing_changed(detail));
    return refused ? OUTCOME_FAIL : OUTCOME_INFO;
}
