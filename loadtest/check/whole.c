// The rule `operations-whole`: an operation changes all its counters in one transaction, or none.
// So the ledger has a row for each of its legs, or no row at all, and the rows are alike.
//
// An operation of another client may have legs on counters that the run does not know: only the
// rows that are there are compared. So may an expiry, but its legs begin with that of the product.
// Two rows of one leg are for one-key-one-effect, and rows with other numbers than the client asked
// for are for nothing-lost and nothing-from-nowhere.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

static const char *find_difference(const struct evidence *evidence, struct range effects)
{
    const struct ledger_row *first = evidence_effect(evidence, effects.from);
    for (uint32_t at = effects.from + 1; at < effects.end; at++) {
        const struct ledger_row *row = evidence_effect(evidence, at);
        if (strcmp(row->user, first->user) != 0)
            return "user";
        if (strcmp(row->reason, first->reason) != 0)
            return "reason";
        if (strcmp(row->strategy, first->strategy) != 0)
            return "strategy";
    }
    return NULL;
}

// How many legs from 0 on have a row. ret_missing: a leg without one comes before one that has it.
static size_t count_legs(const struct evidence *evidence, struct range effects, bool *ret_missing)
{
    size_t legs = 0;
    *ret_missing = false;
    for (uint32_t at = effects.from; at < effects.end; at++) {
        size_t leg = (size_t)evidence_effect(evidence, at)->leg;
        *ret_missing |= leg > legs;
        legs = leg + 1;
    }
    return legs;
}

// Whether an operation may have so many rows. Without a request, from a history that was cut short,
// the rows' reason tells its kind.
static bool number_fits(const struct evidence *evidence, const struct operation *operation,
                        size_t legs)
{
    if (operation->first_attempt == NOTHING) {
        const char *reason = evidence_effect(evidence, operation->effects.from)->reason;
        enum attempt_kind kind = attempt_kind_find(reason);
        return kind == KIND_COUNT || attempt_kind_has_more(kind, legs - 1) ||
               attempt_kind_has_more(kind, legs - 1 - attempt_kind_rows_added(kind));
    }
    const struct attempt *attempt = &evidence->history->attempts[evidence_best_attempt(operation)];
    size_t asked = attempt_n_legs(attempt);
    return !attempt_kind_changes(attempt->kind) || legs == asked ||
           legs == asked + attempt_kind_rows_added(attempt->kind);
}

static void check_operation(struct check *check, const struct operation *operation)
{
    const struct evidence *evidence = check->evidence;
    const char *differs = find_difference(evidence, operation->effects);
    bool missing = false, ours = evidence_is_ours(evidence, operation->key);
    size_t legs = count_legs(evidence, operation->effects, &missing);
    bool expiry = strcmp(evidence_effect(evidence, operation->effects.from)->reason,
                         attempt_kind_name(KIND_EXPIRE)) == 0;
    bool whole = ours ? !missing && number_fits(evidence, operation, legs) : !(expiry && missing);
    if (differs == NULL && whole)
        return;
    struct violation *violation =
        differs != NULL
            ? finding_add(check, "%s has rows that differ in the %s.", operation->key, differs)
            : finding_add(check, "%s does not have exactly one row for each of its legs.",
                          operation->key);
    finding_attempt(check, violation, evidence_best_attempt(operation));
    finding_effects(check, violation, operation);
}

void whole_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t operations = 0;
    finding_open(check, "operations-whole");
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (!evidence_has_effect(evidence, operation))
            continue;
        operations++;
        check_operation(check, operation);
    }
    finding_close(check, operations,
                  "An operation has a row for each of its legs, or none: operations %s.",
                  number(operations).text);
}
