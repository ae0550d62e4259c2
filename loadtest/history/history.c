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

static const struct {
    const char *name;
    bool has_total, has_limit, has_owner, begins, reported;
} counter_kinds[COUNTER_KIND_COUNT] = {
    [COUNTER_STOCK] = {"stock", .reported = true},
    [COUNTER_COUPON] = {"coupon", .has_total = true, .has_limit = true, .reported = true},
    [COUNTER_LOTTERY] = {"lottery", .has_limit = true, .reported = true},
    [COUNTER_PRIZE] = {"prize", .has_total = true, .reported = true},
    [COUNTER_POINTS] = {"points", .reported = true},
    [COUNTER_CODE] = {"code", .has_total = true, .has_owner = true},
    [COUNTER_HOLD] = {"hold", .begins = true},
    [COUNTER_ORDER] = {"order", .begins = true},
};

#define NO_MORE 0, 0, 0, false
#define WITH_ALL                                                                                   \
    (2 * LINES_MAX - 1),                                                                           \
        (1U << COUNTER_STOCK | 1U << COUNTER_HOLD | 1U << COUNTER_POINTS | 1U << COUNTER_CODE)
#define WITH_HOLDS (2 * LINES_MAX - 1), (1U << COUNTER_STOCK | 1U << COUNTER_HOLD)

static const struct {
    const char *name;
    bool changes, has_quantity, balanced;
    enum counter_kind counter; // of the first leg
    int sign;                  // of the first leg's change
    size_t rows_added;
    size_t more_min, more_max; // further legs,
    unsigned more_counters;    // and the kinds of their counters, as bits
    bool opens;
} attempt_kinds[KIND_COUNT] = {
    [KIND_DEDUCT] = {"deduct", true, true, false, COUNTER_STOCK, -1, 0, NO_MORE},
    [KIND_ISSUE] = {"issue", true, false, false, COUNTER_COUPON, -1, 0, NO_MORE},
    [KIND_DRAW] = {"draw", true, false, false, COUNTER_LOTTERY, -1, 1, NO_MORE},
    [KIND_EARN] = {"earn", true, true, false, COUNTER_POINTS, 1, 0, NO_MORE},
    [KIND_SPEND] = {"spend", true, true, false, COUNTER_POINTS, -1, 0, NO_MORE},
    [KIND_TRANSFER] = {"transfer", true, true, true, COUNTER_POINTS, -1, 0, 1, 1,
                       1U << COUNTER_POINTS, false},
    [KIND_RESERVE] = {"reserve", true, true, true, COUNTER_STOCK, -1, 0, 0, WITH_HOLDS, true},
    [KIND_CONFIRM] = {"confirm", true, true, false, COUNTER_STOCK, 1, 0, 1, WITH_HOLDS, false},
    [KIND_RELEASE] = {"release", true, true, true, COUNTER_STOCK, 1, 0, 1, WITH_HOLDS, false},
    [KIND_EXTEND] = {"extend", true, false, true, COUNTER_STOCK, 0, 0, 1, WITH_HOLDS, false},
    [KIND_ORDER] = {"order", true, true, true, COUNTER_ORDER, 1, 0, 1, WITH_ALL, false},
    [KIND_CANCEL] = {"cancel", true, true, true, COUNTER_ORDER, -1, 0, 1, WITH_ALL, false},
    [KIND_REFUND] = {"refund", true, true, false, COUNTER_ORDER, -1, 0, 0, WITH_ALL, false},
    [KIND_REDEEM] = {"redeem", true, false, false, COUNTER_CODE, -1, 0, NO_MORE},
    [KIND_ROLLBACK] = {"rollback", true, false, false, COUNTER_CODE, 1, 0, NO_MORE},
    [KIND_EXPIRE] = {.name = "expire", .balanced = true, .counter = COUNTER_STOCK},
    [KIND_READ] = {.name = "read"},
    [KIND_OTHER] = {.name = "other"},
};

static const char *const attempt_outcomes[] = {
    [OUTCOME_OK] = "ok", [OUTCOME_FAIL] = "fail", [OUTCOME_INFO] = "info"};

const char *counter_kind_name(enum counter_kind kind)
{
    return counter_kinds[kind].name;
}

const char *attempt_kind_name(enum attempt_kind kind)
{
    return attempt_kinds[kind].name;
}

const char *attempt_outcome_name(enum attempt_outcome outcome)
{
    return attempt_outcomes[outcome];
}

bool counter_kind_has_total(enum counter_kind kind)
{
    return counter_kinds[kind].has_total;
}

bool counter_kind_has_limit(enum counter_kind kind)
{
    return counter_kinds[kind].has_limit;
}

bool counter_kind_has_owner(enum counter_kind kind)
{
    return counter_kinds[kind].has_owner;
}

bool counter_kind_is_reported(enum counter_kind kind)
{
    return counter_kinds[kind].reported;
}

bool counter_kind_begins(enum counter_kind kind)
{
    return counter_kinds[kind].begins;
}

bool attempt_kind_opens(enum attempt_kind kind)
{
    return attempt_kinds[kind].opens;
}

bool attempt_kind_expires(enum attempt_kind kind)
{
    return kind == KIND_RESERVE || kind == KIND_EXTEND;
}

bool attempt_kind_changes(enum attempt_kind kind)
{
    return attempt_kinds[kind].changes;
}

bool attempt_kind_has_quantity(enum attempt_kind kind)
{
    return attempt_kinds[kind].has_quantity;
}

bool attempt_kind_may_lack_quantity(enum attempt_kind kind)
{
    return kind == KIND_CONFIRM;
}

enum counter_kind attempt_kind_counter(enum attempt_kind kind)
{
    return attempt_kinds[kind].counter;
}

bool attempt_kind_has_more(enum attempt_kind kind, size_t n)
{
    return n >= attempt_kinds[kind].more_min && n <= attempt_kinds[kind].more_max;
}

bool attempt_kind_may_name(enum attempt_kind kind, enum counter_kind counter)
{
    return (attempt_kinds[kind].more_counters & 1U << counter) != 0;
}

bool attempt_kind_balances(enum attempt_kind kind, enum counter_kind counter)
{
    return counter != COUNTER_CODE &&
           (attempt_kinds[kind].counter == COUNTER_POINTS) == (counter == COUNTER_POINTS);
}

bool attempt_kind_is_balanced(enum attempt_kind kind)
{
    return attempt_kinds[kind].balanced;
}

size_t attempt_kind_rows_added(enum attempt_kind kind)
{
    return attempt_kinds[kind].rows_added;
}

enum attempt_kind attempt_kind_find(const char *name)
{
    int kind = 0;
    while (kind < KIND_COUNT && strcmp(attempt_kinds[kind].name, name) != 0)
        kind++;
    return (enum attempt_kind)kind;
}

struct attempt_leg attempt_leg(const struct attempt *attempt, size_t i)
{
    if (i > 0)
        return attempt->more[i - 1];
    int64_t quantity = attempt_kinds[attempt->kind].has_quantity ? attempt->quantity : 1;
    return (struct attempt_leg){.counter = attempt->counter,
                                .amount = attempt_kinds[attempt->kind].sign * quantity,
                                .version = attempt->version,
                                .remaining = attempt->remaining};
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

enum attempt_outcome attempt_outcome_of(int status, const char *detail, bool proxied)
{
    if (status >= 200 && status < 300)
        return OUTCOME_OK;
    bool refused = (status >= 400 && status < 500 && status != 408) ||
                   (status == 503 && !proxied && promises_nothing_changed(detail));
    return refused ? OUTCOME_FAIL : OUTCOME_INFO;
}
