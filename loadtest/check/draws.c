// The rule `draws-whole`: a winning draw changes two counters in one transaction, the lottery's and
// the prize's. Either both have a row with the draw's key or neither has, and the answer named the
// prize whose counter went down.
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

// What is wrong with the draw, or NULL.
static const char *describe_fault(const struct check *check, const struct operation *operation)
{
    const struct evidence *evidence = check->evidence;
    const struct ledger_row *rows = evidence->ledger->rows;
    const struct ledger_row *draw = &rows[operation->rows[0]];
    if (operation->rows[1] == NOTHING)
        return draw->delta != 0
                   ? "took a prize from the lottery, but no prize's counter has a row for it"
                   : NULL;
    const struct ledger_row *prize = &rows[operation->rows[1]];
    const char *name =
        prize_name(finding_counter(check, prize->counter), finding_counter(check, draw->counter));
    if (draw->delta == 0)
        return "took a prize from the prize's counter, but not from the lottery";
    if (name == NULL)
        return "took a prize of another lottery";
    if (draw->delta != prize->delta || strcmp(draw->user, prize->user) != 0 ||
        strcmp(draw->reason, prize->reason) != 0 || strcmp(draw->strategy, prize->strategy) != 0)
        return "has two rows that differ in the change, the user, the reason or the strategy";
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
    if (index == NOTHING || evidence->operations[index].rows[0] != row)
        return;
    const struct operation *operation = &evidence->operations[index];
    const char *what = describe_fault(check, operation);
    if (what == NULL)
        return;
    struct violation *violation = finding_add(check, "%s %s.", operation->key, what);
    finding_attempt(check, violation, operation->witness);
    finding_row(check, violation, operation->rows[0]);
    finding_row(check, violation, operation->rows[1]);
}

static void check_prize(struct check *check, uint32_t row)
{
    const struct evidence *evidence = check->evidence;
    uint32_t index = evidence->operation_of_row[row];
    if (index == NOTHING || evidence->operations[index].rows[0] != NOTHING)
        return;
    struct violation *violation =
        finding_add(check, "%s took a prize, but no lottery has a row for the draw.",
                    evidence->operations[index].key);
    finding_attempt(check, violation, evidence->operations[index].witness);
    finding_row(check, violation, row);
}

// Leg 1 is the prize of a won draw, and nothing else. An administrator's change has no legs.
static void check_legs(struct check *check, struct range range)
{
    for (uint32_t at = range.from; at < range.end; at++) {
        const struct ledger_row *row = evidence_row(check->evidence, at);
        enum counter_kind kind = check->evidence->history->head.counters[row->counter].kind;
        if (row->leg == (kind == COUNTER_PRIZE && row->key[0] != '\0'))
            continue;
        struct violation *violation = finding_add(
            check, "%s: version %s is leg %s of its operation.",
            finding_counter(check, row->counter), number(row->version).text, number(row->leg).text);
        finding_row(check, violation, check->evidence->rows[at]);
    }
}

void draws_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t draws = 0, won = 0;
    finding_open(check, "draws-whole");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        enum counter_kind kind = evidence->history->head.counters[i].kind;
        struct range range = evidence_rows_above(evidence, i);
        check_legs(check, range);
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
