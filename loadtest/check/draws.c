// The rule `draws-whole`: a winning draw changes two counters in one transaction, the lottery's and
// the prize's. Either both have a row with the draw's key or neither has, and the answer named the
// prize whose counter went down. That the two rows are alike is for operations-whole.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

// "gold" of "prize/WHEEL/gold" if it is a prize of "lottery/WHEEL"; else NULL.
static const char *prize_name(const char *prize_counter, const char *lottery_counter)
{
    const char *id = lottery_counter + strlen("lottery/");
    size_t length = strlen(id);
    if (strncmp(prize_counter, "prize/", 6) != 0 || strncmp(prize_counter + 6, id, length) != 0 ||
        prize_counter[6 + length] != '/')
        return NULL;
    return prize_counter + 6 + length + 1;
}

static bool has_prizes(const struct check *check, size_t lottery)
{
    const struct history_head *head = &check->evidence->history->head;
    for (size_t i = 0; i < head->n_counters; i++) {
        if (head->counters[i].kind == COUNTER_PRIZE &&
            prize_name(head->counters[i].name, head->counters[lottery].name) != NULL)
            return true;
    }
    return false;
}

// The first row of the draw on a counter of this kind, or NULL.
static const struct ledger_row *row_on(const struct evidence *evidence,
                                       const struct operation *operation, enum counter_kind kind)
{
    for (uint32_t at = operation->effects.from; at < operation->effects.end; at++) {
        const struct ledger_row *row = evidence_effect(evidence, at);
        if (evidence->history->head.counters[row->counter].kind == kind)
            return row;
    }
    return NULL;
}

// What is wrong with the draw that has this row in a lottery, or NULL.
static const char *describe_fault(const struct check *check, const struct operation *operation,
                                  const struct ledger_row *draw)
{
    const struct evidence *evidence = check->evidence;
    const struct ledger_row *prize = row_on(evidence, operation, COUNTER_PRIZE);
    if (prize == NULL)
        return draw->delta != 0
                   ? "took a prize from the lottery, but no prize's counter has a row for it"
                   : NULL;
    const char *name =
        prize_name(finding_counter(check, prize->counter), finding_counter(check, draw->counter));
    if (draw->delta != prize->delta)
        return "took another number of prizes from the lottery than from the prize's counter";
    if (name == NULL)
        return "took a prize of another lottery";
    if (operation->witness == NOTHING)
        return NULL;
    return strcmp(evidence->history->attempts[operation->witness].detail, name) != 0
               ? "was answered with another prize than the ledger has"
               : NULL;
}

static void check_draw(struct check *check, uint32_t row)
{
    const struct evidence *evidence = check->evidence;
    uint32_t index = evidence->operation_of_row[row];
    if (index == NOTHING)
        return;
    const struct operation *operation = &evidence->operations[index];
    const struct ledger_row *draw = row_on(evidence, operation, COUNTER_LOTTERY);
    if (draw == NULL || draw != &evidence->ledger->rows[row])
        return; // one-key-one-effect reports a second row
    const char *what = describe_fault(check, operation, draw);
    if (what == NULL)
        return;
    struct violation *violation = finding_add(check, "%s %s.", operation->key, what);
    finding_attempt(check, violation, evidence_best_attempt(operation));
    finding_effects(check, violation, operation);
}

static void check_prize(struct check *check, uint32_t row)
{
    const struct evidence *evidence = check->evidence;
    uint32_t index = evidence->operation_of_row[row];
    if (index == NOTHING || row_on(evidence, &evidence->operations[index], COUNTER_LOTTERY) != NULL)
        return;
    struct violation *violation =
        finding_add(check, "%s took a prize, but no lottery has a row for the draw.",
                    evidence->operations[index].key);
    finding_attempt(check, violation, evidence_best_attempt(&evidence->operations[index]));
    finding_row(check, violation, row);
}

void draws_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t draws = 0, won = 0;
    finding_open(check, "draws-whole");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        enum counter_kind kind = evidence->history->head.counters[i].kind;
        struct range range = evidence_rows_above(evidence, i);
        // Skips a lottery whose prizes are unknown: the head has none, or an administrator may have
        // added one.
        if (kind == COUNTER_LOTTERY && (!has_prizes(check, i) || evidence->administrated[i]))
            continue;
        for (uint32_t at = range.from; at < range.end; at++) {
            if (kind == COUNTER_LOTTERY) {
                draws++;
                check_draw(check, evidence->rows[at]);
            } else if (kind == COUNTER_PRIZE) {
                won++;
                check_prize(check, evidence->rows[at]);
            }
        }
    }
    finding_close(check, draws,
                  "A winning draw is in the lottery's ledger and in the prize's, or in neither:"
                  " draws %s, won %s.",
                  number(draws).text, number(won).text);
}
