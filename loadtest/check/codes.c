// The rule `redeem-caps`: the uses of a coupon's code never exceed what its campaign grants,
// counting what rollbacks, refunds and cancellations have given back, and only its owner uses it.
//
// A code is a counter of the uses that it still has. Its first use opens it: that row's change is
// what the campaign grants, less one. Rows of redeem and order take one use each. A rollback gives
// back the use of one redemption, which its answer names, a refund or a cancellation that of its
// order. Each use is given back once.
//
// A rollback without an answer does not tell which use it gave back. It is only counted.
#include "check/finding.h"
#include "check/rules.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct check *check;
    bool *given_back; // of each ledger row that takes a use
    int64_t codes, uses, returned;
};

static bool has_reason(const struct ledger_row *row, enum attempt_kind kind)
{
    return strcmp(row->reason, attempt_kind_name(kind)) == 0;
}

static bool takes(const struct ledger_row *row)
{
    return has_reason(row, KIND_REDEEM) || has_reason(row, KIND_ORDER);
}

static bool gives_back(const struct ledger_row *row)
{
    return has_reason(row, KIND_ROLLBACK) || has_reason(row, KIND_REFUND) ||
           has_reason(row, KIND_CANCEL);
}

// ---- which use ----------------------------------------------------------------------------------

// The redemption that the answer to the row's operation names, "CODE:VERSION"; "": no answer came.
static const char *named_by(const struct evidence *evidence, uint32_t row)
{
    uint32_t index = evidence->operation_of_row[row];
    uint32_t witness = index != NOTHING ? evidence->operations[index].witness : (uint32_t)NOTHING;
    return witness != NOTHING ? evidence->history->attempts[witness].detail : "";
}

// Whether the row is that redemption.
static bool is_named(const struct evidence *evidence, uint32_t row, const char *redemption)
{
    const struct ledger_row *take = &evidence->ledger->rows[row];
    const char *code = strchr(evidence->history->head.counters[take->counter].name, '/') + 1;
    char expected[HISTORY_TEXT_MAX + 1];
    return text_format(expected, sizeof expected, "%s:%lld", code, (long long)take->version) &&
           strcmp(expected, redemption) == 0;
}

// The earlier row that is this redemption, or NOTHING. Versions have no gaps.
static uint32_t find_named(const struct evidence *evidence, struct range earlier,
                           const char *redemption)
{
    const char *colon = strrchr(redemption, ':');
    int64_t version;
    if (colon == NULL || !text_to_int64(colon + 1, &version) || earlier.from == earlier.end)
        return NOTHING;
    int64_t first = evidence_row(evidence, earlier.from)->version;
    if (version < first || version - first >= earlier.end - earlier.from)
        return NOTHING;
    uint32_t row = evidence->rows[earlier.from + (uint32_t)(version - first)];
    return is_named(evidence, row, redemption) ? row : NOTHING;
}

// The row of an operation on a counter, or on the first one of a kind (SIZE_MAX), or NOTHING.
static uint32_t row_of(const struct evidence *evidence, uint32_t operation, size_t counter,
                       enum counter_kind kind)
{
    if (operation == NOTHING)
        return NOTHING;
    struct range effects = evidence->operations[operation].effects;
    for (uint32_t at = effects.from; at < effects.end; at++) {
        size_t found = evidence_effect(evidence, at)->counter;
        if (counter == SIZE_MAX ? evidence->history->head.counters[found].kind == kind
                                : found == counter)
            return evidence->effects[at];
    }
    return NOTHING;
}

// The use that the order of this row's operation has taken. NOTHING: there is none.
static uint32_t use_of_order(const struct evidence *evidence, uint32_t order_row, size_t code)
{
    struct range order = evidence_rows(evidence, evidence->ledger->rows[order_row].counter);
    return row_of(evidence, evidence->operation_of_row[evidence->rows[order.from]], code,
                  COUNTER_CODE);
}

// Whether a row that gives back may do so: the use that it names was taken earlier, by such an
// operation, and has not been given back. Marks the use.
static bool returns_a_use(struct walk *walk, struct range earlier, uint32_t row)
{
    const struct evidence *evidence = walk->check->evidence;
    const struct ledger_row *rows = evidence->ledger->rows;
    bool rollback = has_reason(&rows[row], KIND_ROLLBACK);
    const char *redemption = named_by(evidence, row);
    uint32_t order = row_of(evidence, evidence->operation_of_row[row], SIZE_MAX, COUNTER_ORDER);
    if (rollback ? redemption[0] == '\0' : order == NOTHING)
        return true; // only counted: no answer came, or it is another client's order
    uint32_t use = rollback ? find_named(evidence, earlier, redemption)
                            : use_of_order(evidence, order, rows[row].counter);
    if (use == NOTHING || walk->given_back[use] || rows[use].version >= rows[row].version ||
        !has_reason(&rows[use], rollback ? KIND_REDEEM : KIND_ORDER))
        return false;
    walk->given_back[use] = true;
    return true;
}

// ---- the walk -----------------------------------------------------------------------------------

// What is wrong with the row, or NULL. `used`: the uses that are taken after it.
static const char *describe_fault(struct walk *walk, const struct history_counter *code,
                                  struct range earlier, uint32_t index, int64_t used)
{
    const struct evidence *evidence = walk->check->evidence;
    const struct ledger_row *row = &evidence->ledger->rows[index];
    const char *redemption = named_by(evidence, index);
    if (strcmp(row->user, code->owner) != 0)
        return "is used by another user than its owner";
    if (used > code->total)
        return "has more uses than its campaign grants";
    if (used < 0 || (gives_back(row) && !returns_a_use(walk, earlier, index)))
        return "gets a use back that was not taken, or not any more";
    if (has_reason(row, KIND_REDEEM) && redemption[0] != '\0' &&
        !is_named(evidence, index, redemption))
        return "is redeemed, but the answer names another redemption";
    if (row->remaining != code->total - used)
        return "has another number of uses left than its campaign grants, less those taken";
    return NULL;
}

static void check_code(struct walk *walk, size_t counter)
{
    const struct evidence *evidence = walk->check->evidence;
    const struct history_counter *code = &evidence->history->head.counters[counter];
    struct range range = evidence_rows_above(evidence, counter);
    int64_t used = 0;
    walk->codes++;
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t index = evidence->rows[at];
        const struct ledger_row *row = evidence_row(evidence, at);
        if (!takes(row) && !gives_back(row))
            return; // nothing-from-nowhere reports it
        used += takes(row) ? 1 : -1;
        *(takes(row) ? &walk->uses : &walk->returned) += 1;
        const char *what = describe_fault(walk, code, (struct range){range.from, at}, index, used);
        if (what == NULL)
            continue;
        struct violation *violation =
            finding_add(walk->check, "%s %s: uses %s of %s.", code->name, what, number(used).text,
                        number(code->total).text);
        if (at > range.from)
            finding_row(walk->check, violation, evidence->rows[at - 1]);
        finding_row(walk->check, violation, index);
        return;
    }
}

bool codes_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    bool *given_back CLEANUP(free_memory) =
        calloc(evidence->ledger->n_rows + 1, sizeof *given_back);
    struct walk walk = {.check = check, .given_back = given_back};
    if (given_back == NULL)
        return false;
    finding_open(check, "redeem-caps");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        if (evidence->history->head.counters[i].kind == COUNTER_CODE)
            check_code(&walk, i);
    }
    finding_close(
        check, walk.uses,
        "A code's uses never exceed what its campaign grants, less those given back: codes"
        " %s, uses %s, given back %s.",
        number(walk.codes).text, number(walk.uses).text, number(walk.returned).text);
    return true;
}
