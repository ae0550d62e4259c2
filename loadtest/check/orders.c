// The rule `refund-bounded`: cancellations and refunds give back at most what the order has taken.
//
// An order is a counter of the units that it still has. It begins with a row of `order`; each
// refund and the cancellation take from it, and nothing happens once it is empty or cancelled. What
// goes back besides, units into the stock and points to the account, is in the other rows of the
// same operations. Their sums must not exceed what the order's own rows have taken.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

struct walk {
    struct check *check;
    int64_t orders, refunds;
};

// What the operation of this row has given back to counters of a kind. An order takes: negative.
static int64_t given_back(const struct evidence *evidence, uint32_t row, enum counter_kind kind)
{
    uint32_t index = evidence->operation_of_row[row];
    int64_t sum = 0;
    if (index == NOTHING)
        return 0;
    struct range effects = evidence->operations[index].effects;
    for (uint32_t at = effects.from; at < effects.end; at++) {
        const struct ledger_row *effect = evidence_effect(evidence, at);
        if (evidence->history->head.counters[effect->counter].kind == kind)
            sum = wrapping_sum(sum, effect->delta);
    }
    return sum;
}

static bool has_reason(const struct ledger_row *row, enum attempt_kind kind)
{
    return strcmp(row->reason, attempt_kind_name(kind)) == 0;
}

// What is wrong with the order after its row, or NULL. `units` and `points`: given back so far.
static const char *describe_fault(const struct ledger_row *previous, const struct ledger_row *row,
                                  int64_t units, int64_t points)
{
    if ((previous == NULL) != has_reason(row, KIND_ORDER))
        return previous == NULL ? "begins without an order" : "is placed twice";
    if (previous != NULL && (previous->remaining == 0 || has_reason(previous, KIND_CANCEL)))
        return "is changed after it was closed";
    if (previous != NULL && row->delta > 0)
        return "grows";
    if (units > 0)
        return "has put more units into the stock than it took";
    return points > 0 ? "has returned more points than it took" : NULL;
}

static void check_order(struct walk *walk, size_t counter)
{
    const struct evidence *evidence = walk->check->evidence;
    struct range range = evidence_rows_above(evidence, counter);
    const struct ledger_row *previous = NULL;
    int64_t units = 0, points = 0;
    walk->orders += range.end > range.from;
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t index = evidence->rows[at];
        const struct ledger_row *row = evidence_row(evidence, at);
        int64_t held = given_back(evidence, index, COUNTER_HOLD);
        units = wrapping_sum(units, wrapping_sum(given_back(evidence, index, COUNTER_STOCK), held));
        points = wrapping_sum(points, given_back(evidence, index, COUNTER_POINTS));
        walk->refunds += previous != NULL;
        const char *what = describe_fault(previous, row, units, points);
        if (what != NULL) {
            struct violation *violation =
                finding_add(walk->check, "%s %s.", finding_counter(walk->check, counter), what);
            for (uint32_t shown = range.from; shown <= at; shown++)
                finding_row(walk->check, violation, evidence->rows[shown]);
            return;
        }
        previous = row;
    }
}

void orders_check(struct check *check)
{
    const struct history_head *head = &check->evidence->history->head;
    struct walk walk = {.check = check};
    finding_open(check, "refund-bounded");
    for (size_t i = 0; i < head->n_counters; i++) {
        if (head->counters[i].kind == COUNTER_ORDER)
            check_order(&walk, i);
    }
    finding_close(check, walk.orders,
                  "Refunds and cancellations give back at most what the order took: orders %s,"
                  " refunds %s.",
                  number(walk.orders).text, number(walk.refunds).text);
}
