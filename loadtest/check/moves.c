// The rules `points-conserved` and `holds-conserved`: a movement gives to counters what it takes
// from counters. So the sum of all accounts changes only by operations other than transfers, such
// as earn and spend. What is in stock or held changes only by those that sell, restock or confirm;
// as `conservation` judges each counter, it is enough that no movement makes or loses units.
//
// A movement of another client may have a leg on a counter that the run does not know, and so has a
// reservation that no client knows of. It is then one of the other operations.
#include "check/finding.h"
#include "check/rules.h"

struct group {
    const char *slug;
    unsigned counters; // kinds, as bits
    const char *what, *rule;
    bool sum; // the sum of all counters is judged too
};

struct walk {
    struct check *check;
    const struct group *group;
    int64_t changes;
    int64_t moves; // judged
    int64_t counters;
    int64_t before, now; // the sums over all counters
    int64_t others;      // what all other changes add up to
};

static bool is_in(const struct group *group, enum counter_kind kind)
{
    return (group->counters & 1U << kind) != 0;
}

// Whether the operation's changes must add up to zero.
static bool is_move(const struct walk *walk, const struct operation *operation)
{
    const struct evidence *evidence = walk->check->evidence;
    struct range effects = operation->effects;
    enum attempt_kind kind = attempt_kind_find(evidence_effect(evidence, effects.from)->reason);
    return kind != KIND_COUNT && attempt_kind_is_balanced(kind) &&
           is_in(walk->group, attempt_kind_counter(kind)) &&
           (operation->has_ok || !attempt_kind_opens(kind)) &&
           (effects.end - effects.from > 1 || evidence_is_ours(evidence, operation->key));
}

// The row's change of what the group counts.
static int64_t delta_in(const struct walk *walk, const struct ledger_row *row)
{
    const struct history_head *head = &walk->check->evidence->history->head;
    return is_in(walk->group, head->counters[row->counter].kind) ? row->delta : 0;
}

static void check_move(struct walk *walk, const struct operation *operation)
{
    const struct evidence *evidence = walk->check->evidence;
    int64_t sum = 0;
    if (!evidence_has_effect(evidence, operation) || !is_move(walk, operation))
        return;
    for (uint32_t at = operation->effects.from; at < operation->effects.end; at++)
        sum = wrapping_sum(sum, delta_in(walk, evidence_effect(evidence, at)));
    walk->moves++;
    if (sum == 0)
        return;
    struct violation *violation =
        finding_add(walk->check, "%s only moves %s, but its changes add up to %s.", operation->key,
                    walk->group->what, number(sum).text);
    finding_attempt(walk->check, violation, evidence_best_attempt(operation));
    finding_effects(walk->check, violation, operation);
}

static void add_counter(struct walk *walk, size_t counter)
{
    const struct evidence *evidence = walk->check->evidence;
    struct range range = evidence_rows_above(evidence, counter);
    walk->counters++;
    walk->changes += range.end - range.from;
    walk->before = wrapping_sum(walk->before, evidence->history->head.counters[counter].remaining);
    walk->now = wrapping_sum(walk->now, evidence->ledger->finals[counter].remaining);
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t operation = evidence->operation_of_row[evidence->rows[at]];
        if (operation == NOTHING || !is_move(walk, &evidence->operations[operation]))
            walk->others = wrapping_sum(walk->others, evidence_row(evidence, at)->delta);
    }
}

static void check_group(struct check *check, const struct group *group)
{
    const struct evidence *evidence = check->evidence;
    struct walk walk = {.check = check, .group = group};
    finding_open(check, group->slug);
    for (size_t i = 0; i < evidence->n_operations; i++)
        check_move(&walk, &evidence->operations[i]);
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        if (is_in(group, evidence->history->head.counters[i].kind))
            add_counter(&walk, i);
    }
    if (group->sum && walk.now != wrapping_sum(walk.before, walk.others))
        finding_add(check,
                    "All %s were %s before the run and are %s now, but all changes that do not only"
                    " move them add up to %s.",
                    group->what, number(walk.before).text, number(walk.now).text,
                    number(walk.others).text);
    finding_close(check, group->sum ? walk.changes : walk.moves,
                  "%s: changes %s, movements %s, counters %s.", group->rule,
                  number(walk.changes).text, number(walk.moves).text, number(walk.counters).text);
}

void moves_check(struct check *check)
{
    static const struct group groups[] = {
        {"points-conserved", 1U << COUNTER_POINTS, "points",
         "Transfers give what they take, and nothing else is made or lost", true},
        {"holds-conserved", 1U << COUNTER_STOCK | 1U << COUNTER_HOLD | 1U << COUNTER_ORDER, "units",
         "What is in stock, held or ordered changes only by what is sold and restocked", false},
    };
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        check_group(check, &groups[i]);
}
