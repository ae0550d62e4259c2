// The rule `fencing-tokens`: tokens never decrease along the versions of a counter.
//
// Every lock holder gets a greater fencing token than the one before, and the counter rejects a
// token smaller than the greatest it has seen. Token 0 is none. A holder that was paused and wrote
// after the next holder had written shows here. A token comes from one lock, so from one strategy.
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
    if (row->token < 0)
        violation = finding_add(check, "%s: version %s has token %s.", counter,
                                number(row->version).text, number(row->token).text);
    else if (greatest != NULL && row->token < greatest->token)
        violation = finding_add(
            check, "%s: version %s was written with token %s, but version %s already had token %s.",
            counter, number(row->version).text, number(row->token).text,
            number(greatest->version).text, number(greatest->token).text);
    else if (greatest != NULL && row->token == greatest->token &&
             strcmp(row->strategy, greatest->strategy) != 0)
        violation = finding_add(check, "%s: token %s was issued by both %s and %s.", counter,
                                number(row->token).text, greatest->strategy, row->strategy);
    else
        return;
    finding_row(check, violation, walk->greatest);
    finding_row(check, violation, index);
}

// Duplicate rows of one version have no order, so each is compared with the versions before.
static void check_version(struct walk *walk, uint32_t from, uint32_t end, bool above)
{
    const struct evidence *evidence = walk->check->evidence;
    const struct ledger_row *rows = evidence->ledger->rows;
    uint32_t greatest = walk->greatest;
    for (uint32_t at = from; at < end; at++) {
        const struct ledger_row *row = evidence_row(evidence, at);
        if (row->token == 0)
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
            end = evidence_version_end(evidence, at, range.end);
            bool above = evidence_row(evidence, at)->version > evidence->baselines[i];
            check_version(&walk, at, end, above);
        }
    }
    finding_close(
        check, walk.looked_at,
        "Fencing tokens never decrease, and each comes from one strategy: changes with a token %s.",
        number(walk.looked_at).text);
}
