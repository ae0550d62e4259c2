// The rules `holds-resolve-once` and `expiry-exact`.
//
// A hold begins with a row of `reserve` that gives it all it ever has. Rows of `extend` change its
// time. One row takes everything, of confirm, release or expire, and it is the last. A confirmation
// may sell a part: the rest goes back to the stock of the same product.
//
// A hold is held until before expires_at, which the answers to reserve and extend tell. A row's
// time is that of its decision, by the database's clock. So all rows but that of an expiry are
// earlier than expires_at, and that of an expiry is not. Where the answer is missing that told the
// time, the rows up to the next known time are not judged.
#include "check/holds.h"

#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

static bool has_reason(const struct evidence *evidence, uint32_t row, enum attempt_kind kind)
{
    return strcmp(evidence->ledger->rows[row].reason, attempt_kind_name(kind)) == 0;
}

struct maybe hold_expires_at(const struct evidence *evidence, uint32_t row)
{
    uint32_t operation = evidence->operation_of_row[row];
    uint32_t witness =
        operation != NOTHING ? evidence->operations[operation].witness : (uint32_t)NOTHING;
    return witness != NOTHING ? evidence->history->attempts[witness].expires_at_ms
                              : (struct maybe){0};
}

uint32_t hold_stock_row(const struct evidence *evidence, uint32_t row)
{
    const struct history_counter *counters = evidence->history->head.counters;
    uint32_t operation = evidence->operation_of_row[row];
    const char *sku = strchr(counters[evidence->ledger->rows[row].counter].name, '/') + 1;
    size_t length = strcspn(sku, "/");
    if (operation == NOTHING)
        return NOTHING;
    struct range effects = evidence->operations[operation].effects;
    for (uint32_t at = effects.from; at < effects.end; at++) {
        const struct history_counter *counter = &counters[evidence_effect(evidence, at)->counter];
        const char *id = strchr(counter->name, '/') + 1;
        if (counter->kind == COUNTER_STOCK && strncmp(id, sku, length) == 0 && id[length] == '\0')
            return evidence->effects[at];
    }
    return NOTHING;
}

bool hold_is_resolved_by(const struct evidence *evidence, uint32_t row)
{
    return !has_reason(evidence, row, KIND_RESERVE) && !has_reason(evidence, row, KIND_EXTEND);
}

// What is wrong with the row, which follows `previous` (NOTHING: it is the first), or NULL.
static const char *describe_fault(const struct evidence *evidence, uint32_t previous, uint32_t row)
{
    const struct ledger_row *rows = evidence->ledger->rows;
    bool resolves = hold_is_resolved_by(evidence, row);
    if ((previous == NOTHING) != has_reason(evidence, row, KIND_RESERVE))
        return previous == NOTHING ? "begins without a reservation" : "is reserved twice";
    if (previous != NOTHING && hold_is_resolved_by(evidence, previous))
        return "is changed after it was resolved";
    if (resolves && rows[row].remaining != 0)
        return "is resolved, but not emptied";
    if (resolves && rows[row].delta != -rows[previous].remaining)
        return "is resolved for another number than it held";
    uint32_t stock = hold_stock_row(evidence, row);
    if (stock == NOTHING)
        return "changes without the stock of its product";
    bool part = rows[stock].delta >= 0 && rows[stock].delta <= -rows[row].delta;
    return has_reason(evidence, row, KIND_CONFIRM) && !part
               ? "is confirmed, but other units go back than a part of it"
               : NULL;
}

struct walk {
    struct check *check;
    int64_t holds, resolved, judged;
};

static void check_resolve(struct walk *walk, size_t counter)
{
    const struct evidence *evidence = walk->check->evidence;
    struct range range = evidence_rows_above(evidence, counter);
    uint32_t previous = NOTHING;
    walk->holds += range.end > range.from;
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t row = evidence->rows[at];
        const char *what = describe_fault(evidence, previous, row);
        walk->resolved += hold_is_resolved_by(evidence, row);
        if (what != NULL) {
            struct violation *violation =
                finding_add(walk->check, "%s %s.", finding_counter(walk->check, counter), what);
            finding_row(walk->check, violation, previous);
            finding_row(walk->check, violation, row);
        }
        previous = row;
    }
}

static void check_times(struct walk *walk, size_t counter)
{
    const struct evidence *evidence = walk->check->evidence;
    struct range range = evidence_rows_above(evidence, counter);
    struct maybe expires_at = {0};
    uint32_t told = NOTHING; // the row since which this time holds
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t row = evidence->rows[at];
        int64_t decided_ms = evidence->ledger->rows[row].created_at_ms;
        bool expiry = has_reason(evidence, row, KIND_EXPIRE);
        walk->judged += expires_at.known;
        if (expires_at.known && expiry != (decided_ms >= expires_at.value)) {
            struct violation *violation = finding_add(
                walk->check, "%s: %s was decided %s ms %s expires_at.",
                finding_counter(walk->check, counter), evidence->ledger->rows[row].reason,
                number(expiry ? expires_at.value - decided_ms : decided_ms - expires_at.value).text,
                expiry ? "before" : "after");
            finding_row(walk->check, violation, told);
            finding_row(walk->check, violation, row);
        }
        if (hold_is_resolved_by(evidence, row))
            continue;
        expires_at = hold_expires_at(evidence, row);
        told = row;
    }
}

static void for_each_hold(struct walk *walk, void (*visit)(struct walk *, size_t))
{
    const struct history_head *head = &walk->check->evidence->history->head;
    for (size_t i = 0; i < head->n_counters; i++) {
        if (head->counters[i].kind == COUNTER_HOLD)
            visit(walk, i);
    }
}

void holds_check(struct check *check)
{
    struct walk walk = {.check = check};
    finding_open(check, "holds-resolve-once");
    for_each_hold(&walk, check_resolve);
    finding_close(check, walk.holds,
                  "A hold is confirmed, released or expired once at most, and as a whole: holds %s,"
                  " resolved %s.",
                  number(walk.holds).text, number(walk.resolved).text);
    finding_open(check, "expiry-exact");
    for_each_hold(&walk, check_times);
    finding_close(check, walk.judged,
                  "Nothing is done with a hold at expires_at or later but to expire it, and that"
                  " not earlier: decisions %s.",
                  number(walk.judged).text);
}
