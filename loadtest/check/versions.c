// Every change of a counter makes the next version, so the versions of its ledger, from the one
// before the run to the one that the counter has now, are all there, each once. A missing one is a
// change without a record; one that is there twice is two writers who both thought it was their
// turn, and one of them has overwritten the other.
#include "check/finding.h"
#include "check/rules.h"

static void report_gap(struct check *check, size_t counter, int64_t before, uint32_t place,
                       int64_t baseline)
{
    const struct ledger_row *row = evidence_row(check->evidence, place);
    struct violation *violation =
        finding_add(check, "%s: after version %s comes %s: %s changes are not in the ledger.",
                    finding_counter(check, counter), number(before).text, number(row->version).text,
                    number(row->version - before - 1).text);
    if (before != baseline)
        finding_row(check, violation, check->evidence->rows[place - 1]);
    finding_row(check, violation, check->evidence->rows[place]);
}

static void report_twins(struct check *check, size_t counter, uint32_t from, uint32_t end)
{
    struct violation *violation = finding_add(
        check, "%s: version %s is there %s times: one writer has overwritten another.",
        finding_counter(check, counter), number(evidence_row(check->evidence, from)->version).text,
        number(end - from).text);
    finding_row(check, violation, check->evidence->rows[from]);
    finding_row(check, violation, check->evidence->rows[from + 1]);
}

// Returns the last version.
static int64_t check_run(struct check *check, size_t counter, struct range range)
{
    int64_t baseline = check->evidence->baselines[counter], before = baseline;
    for (uint32_t at = range.from, end; at < range.end; at = end) {
        int64_t version = evidence_row(check->evidence, at)->version;
        end = evidence_group_end(check->evidence, at, range.end);
        if (version != before + 1)
            report_gap(check, counter, before, at, baseline);
        if (end - at > 1)
            report_twins(check, counter, at, end);
        before = version;
    }
    return before;
}

// A writer so late that it wrote a version which the run had found there.
static void check_latecomers(struct check *check, size_t counter, uint32_t above)
{
    for (uint32_t at = evidence_rows(check->evidence, counter).from; at < above; at++) {
        const struct ledger_row *row = evidence_row(check->evidence, at);
        if (!evidence_is_ours(check->evidence, row->key))
            continue;
        struct violation *violation =
            finding_add(check, "%s: a change of this run has version %s, but the run began at %s.",
                        finding_counter(check, counter), number(row->version).text,
                        number(check->evidence->baselines[counter]).text);
        finding_row(check, violation, check->evidence->rows[at]);
    }
}

void versions_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t changes = 0;
    size_t n = evidence->history->head.n_counters;
    finding_open(check, "versions-without-gap");
    for (size_t i = 0; i < n; i++) {
        struct range range = evidence_rows_above(evidence, i);
        int64_t final = evidence->ledger->finals[i].version;
        int64_t last = check_run(check, i, range);
        check_latecomers(check, i, range.from);
        changes += range.end - range.from;
        if (final == HISTORY_NONE || final == last)
            continue;
        struct violation *violation =
            finding_add(check, "%s: the counter is at version %s, but its ledger ends at %s.",
                        finding_counter(check, i), number(final).text, number(last).text);
        if (range.from < range.end)
            finding_row(check, violation, evidence->rows[range.end - 1]);
    }
    finding_close(check, changes,
                  "Each change has the next version, none missing and none twice:"
                  " changes %s, counters %s.",
                  number(changes).text, number((int64_t)n).text);
}
