// The rule `points-conserved`: a transfer gives to accounts what it takes from accounts. So the sum
// of all accounts changes only by the other operations, such as earn and spend.
//
// A transfer of another client may have a leg on an account that the run does not know. It is then
// one of the other operations.
#include "check/finding.h"
#include "check/rules.h"

struct walk {
    struct check *check;
    int64_t changes;   // of accounts
    int64_t transfers; // judged
    int64_t accounts;
    int64_t before, now; // the sums over all accounts
    int64_t others;      // what all other changes add up to
};

// Whether the operation's changes must add up to zero.
static bool is_transfer(const struct evidence *evidence, const struct operation *operation)
{
    struct range effects = operation->effects;
    enum attempt_kind kind = attempt_kind_find(evidence_effect(evidence, effects.from)->reason);
    return kind != KIND_COUNT && attempt_kind_is_balanced(kind) &&
           (evidence_is_ours(evidence, operation->key) || effects.end - effects.from > 1);
}

static void check_transfer(struct walk *walk, const struct operation *operation)
{
    const struct evidence *evidence = walk->check->evidence;
    int64_t sum = 0;
    if (!evidence_has_effect(evidence, operation) || !is_transfer(evidence, operation))
        return;
    for (uint32_t at = operation->effects.from; at < operation->effects.end; at++)
        sum = wrapping_sum(sum, evidence_effect(evidence, at)->delta);
    walk->transfers++;
    if (sum == 0)
        return;
    struct violation *violation =
        finding_add(walk->check, "%s moves points between accounts, but its changes add up to %s.",
                    operation->key, number(sum).text);
    finding_attempt(walk->check, violation, evidence_best_attempt(operation));
    finding_effects(walk->check, violation, operation);
}

static void add_account(struct walk *walk, size_t counter)
{
    const struct evidence *evidence = walk->check->evidence;
    struct range range = evidence_rows_above(evidence, counter);
    walk->accounts++;
    walk->changes += range.end - range.from;
    walk->before = wrapping_sum(walk->before, evidence->history->head.counters[counter].remaining);
    walk->now = wrapping_sum(walk->now, evidence->ledger->finals[counter].remaining);
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t operation = evidence->operation_of_row[evidence->rows[at]];
        if (operation == NOTHING || !is_transfer(evidence, &evidence->operations[operation]))
            walk->others = wrapping_sum(walk->others, evidence_row(evidence, at)->delta);
    }
}

void points_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    struct walk walk = {.check = check};
    finding_open(check, "points-conserved");
    for (size_t i = 0; i < evidence->n_operations; i++)
        check_transfer(&walk, &evidence->operations[i]);
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        if (evidence->history->head.counters[i].kind == COUNTER_POINTS)
            add_account(&walk, i);
    }
    if (walk.now != wrapping_sum(walk.before, walk.others))
        finding_add(check,
                    "All accounts had %s points before the run and have %s now, but all changes"
                    " other than transfers add up to %s.",
                    number(walk.before).text, number(walk.now).text, number(walk.others).text);
    finding_close(check, walk.changes,
                  "Transfers give what they take, and nothing else is made or lost:"
                  " changes of points %s, transfers %s, accounts %s.",
                  number(walk.changes).text, number(walk.transfers).text,
                  number(walk.accounts).text);
}
