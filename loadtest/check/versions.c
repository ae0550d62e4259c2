// The rule `versions-without-gap`: every change makes the next version. So a counter's ledger has
// each version exactly once, from the baseline to the counter's version now. A missing version is a
// change without a record. A duplicate version means that two writers started from the same state,
// and one overwrote the other.
#include "check/finding.h"
#include "check/rules.h"

static void report_gap(struct check *check, size_t counter, int64_t before, uint32_t place,
                       int64_t baseline)
{
    const struct ledger_row *row = evidence_row(check->evidence, place);
    struct violation *violation = finding_add(
        check, "%s: version %s is followed by %s: %s changes are missing from the ledger.",
        finding_counter(check, counter), number(before).text, number(row->version).text,
        number(wrapping_sum(row->version, ~before)).text);
    if (before != baseline)
        finding_row(check, violation, check->evidence->rows[place - 1]);
    finding_row(check, violation, check->evidence->rows[place]);
}

static void report_duplicates(struct check *check, size_t counter, uint32_t from, uint32_t end)
{
    struct violation *violation = finding_add(
        check, "%s: version %s exists %s times: one writer has overwritten another.",
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
        end = evidence_version_end(check->evidence, at, range.end);
        if (version != wrapping_sum(before, 1))
            report_gap(check, counter, before, at, baseline);
        if (end - at > 1)
            report_duplicates(check, counter, at, end);
        before = version;
    }
    return before;
}

// Reports this run's rows at or below the baseline: a stale writer wrote them.
static void check_stale_writers(struct check *check, size_t counter, uint32_t above)
{
    for (uint32_t at = evidence_rows(check->evidence, counter).from; at < above; at++) {
        const struct ledger_row *row = evidence_row(check->evidence, at);
        if (!evidence_is_ours(check->evidence, row->key))
            continue;
        struct violation *violation = finding_add(
            check,
            "%s: a change of this run has version %s, but before the run the counter was at %s.",
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
        check_stale_writers(check, i, range.from);
        changes += range.end - range.from;
        if (evidence->history->head.counters[i].kind == COUNTER_PRIZE || final == last)
            continue;
        struct violation *violation =
            finding_add(check, "%s: the counter is at version %s, but its ledger ends at %s.",
                        finding_counter(check, i), number(final).text, number(last).text);
        if (range.from < range.end)
            finding_row(check, violation, evidence->rows[range.end - 1]);
    }
    finding_close(check, changes,
                  "Every change has the next version, none missing and none twice:"
                  " changes %s, counters %s.",
                  number(changes).text, number((int64_t)n).text);
}
