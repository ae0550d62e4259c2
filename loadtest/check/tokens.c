// Every holder of a lock gets a greater fencing token, and the counter refuses a smaller one than
// it has seen. So tokens never fall along the versions: a holder that was paused, and wrote after
// the next one had begun to write, would show here. A token is of one lock, so of one strategy.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

struct walk {
    struct check *check;
    uint32_t greatest; // the row with the greatest token so far, or NOTHING
    int64_t looked_at;
};

static void check_row(struct walk *walk, uint32_t index)
{
    struct check *check = walk->check;
    const struct ledger_row *rows = check->evidence->ledger->rows, *row = &rows[index];
    const char *counter = finding_counter(check, row->counter);
    const struct ledger_row *greatest = walk->greatest != NOTHING ? &rows[walk->greatest] : NULL;
    struct violation *violation = NULL;
    walk->looked_at++;
    if (greatest != NULL && row->token < greatest->token)
        violation = finding_add(
            check, "%s: version %s was written under token %s, after token %s had written %s.",
            counter, number(row->version).text, number(row->token).text,
            number(greatest->token).text, number(greatest->version).text);
    else if (greatest != NULL && row->token == greatest->token &&
             strcmp(row->strategy, greatest->strategy) != 0)
        violation = finding_add(check, "%s: token %s was given out by %s and by %s.", counter,
                                number(row->token).text, greatest->strategy, row->strategy);
    else
        return;
    finding_row(check, violation, walk->greatest);
    finding_row(check, violation, index);
}

// Twins of one version have no order, so both are compared with what was before them.
static void check_group(struct walk *walk, uint32_t from, uint32_t end, bool above)
{
    const struct evidence *evidence = walk->check->evidence;
    const struct ledger_row *rows = evidence->ledger->rows;
    uint32_t greatest = walk->greatest;
    for (uint32_t at = from; at < end; at++) {
        const struct ledger_row *row = evidence_row(evidence, at);
        if (row->token <= 0)
            continue;
        if (above)
            check_row(walk, evidence->rows[at]);
        if (greatest == NOTHING || row->token >= rows[greatest].token)
            greatest = evidence->rows[at];
    }
    walk->greatest = greatest;
}

void tokens_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    struct walk walk = {.check = check};
    finding_open(check, "fencing-tokens");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        struct range range = evidence_rows(evidence, i);
        walk.greatest = NOTHING;
        for (uint32_t at = range.from, end; at < range.end; at = end) {
            end = evidence_group_end(evidence, at, range.end);
            bool above = evidence_row(evidence, at)->version > evidence->baselines[i];
            check_group(&walk, at, end, above);
        }
    }
    finding_close(
        check, walk.looked_at,
        "Fencing tokens never fall, and each is of one strategy: changes with a token %s.",
        number(walk.looked_at).text);
}
