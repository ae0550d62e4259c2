// The rules `no-oversell` and `conservation`: no more was taken than there was, and remaining
// before plus change gives remaining after, at every version and at the end.
//
// A row is checked against the version before it only if that version exists exactly once. Where
// versions exist twice, the sum of all changes must still lead to the counter's remaining.
// versions-without-gap reports a missing version, and no row is checked across the gap. A missing
// sale can hide an oversell, and a missing restock can fake one.
#include "check/finding.h"
#include "check/rules.h"

#include "base/text.h"

struct walk {
    size_t counter;
    int64_t version, remaining; // after the previous row
    bool single;                // the previous version exists once, so `remaining` is certain
    bool gap;                   // a version is missing
    bool duplicates;            // a version exists twice
    uint32_t previous;          // the previous row; NOTHING: the baseline
    uint32_t duplicate;         // the place of the first duplicate version
    int64_t sum;                // of all changes
};

static void check_row(struct check *check, struct walk *walk, uint32_t index)
{
    const struct ledger_row *row = &check->evidence->ledger->rows[index];
    const char *counter = finding_counter(check, walk->counter);
    walk->sum = wrapping_sum(walk->sum, row->delta);
    int64_t expected = wrapping_sum(walk->remaining, row->delta);
    bool known = walk->single && wrapping_sum(walk->version, 1) == row->version;
    if (!known || expected == row->remaining)
        return;
    struct violation *violation =
        finding_add(check, "%s: remaining was %s, change %s, but the row says %s (expected %s).",
                    counter, number(walk->remaining).text, number(row->delta).text,
                    number(row->remaining).text, number(expected).text);
    finding_row(check, violation, walk->previous);
    finding_row(check, violation, index);
}

static void walk_rows(struct check *check, struct walk *walk)
{
    const struct evidence *evidence = check->evidence;
    struct range range = evidence_rows_above(evidence, walk->counter);
    for (uint32_t at = range.from, end; at < range.end; at = end) {
        const struct ledger_row *row = evidence_row(evidence, at);
        end = evidence_version_end(evidence, at, range.end);
        walk->gap |= row->version != wrapping_sum(walk->version, 1);
        if (end - at > 1 && !walk->duplicates) {
            walk->duplicates = true;
            walk->duplicate = at;
        }
        for (uint32_t i = at; i < end; i++)
            check_row(check, walk, evidence->rows[i]);
        walk->version = row->version;
        walk->remaining = row->remaining;
        walk->single = end - at == 1;
        walk->previous = evidence->rows[at];
    }
}

static void check_end(struct check *check, const struct walk *walk)
{
    const struct evidence *evidence = check->evidence;
    const struct ledger_final *final = &evidence->ledger->finals[walk->counter];
    const char *counter = finding_counter(check, walk->counter);
    const struct history_counter *before = &evidence->history->head.counters[walk->counter];
    bool same_version = before->kind == COUNTER_PRIZE || final->version == walk->version;
    if (same_version && walk->single && walk->remaining != final->remaining) {
        struct violation *violation =
            finding_add(check, "%s: remaining is %s in the last ledger row, but %s in the counter.",
                        counter, number(walk->remaining).text, number(final->remaining).text);
        finding_row(check, violation, walk->previous);
    }
    if (!walk->duplicates || walk->gap || !same_version ||
        wrapping_sum(before->remaining, walk->sum) == final->remaining)
        return;
    struct violation *violation = finding_add(
        check,
        "%s: remaining was %s before the run and is %s now, but the ledger's changes add up to %s.",
        counter, number(before->remaining).text, number(final->remaining).text,
        number(walk->sum).text);
    finding_row(check, violation, evidence->rows[walk->duplicate]);
    finding_row(check, violation, evidence->rows[walk->duplicate + 1]);
}

static void check_counter(struct check *check, size_t counter)
{
    const struct evidence *evidence = check->evidence;
    const struct history_counter *before = &evidence->history->head.counters[counter];
    struct walk walk = {.counter = counter,
                        .version = evidence->baselines[counter],
                        .remaining = before->remaining,
                        .single = true,
                        .previous = NOTHING};
    walk_rows(check, &walk);
    check_end(check, &walk);
}

static void adds_up_check(struct check *check)
{
    int64_t changes = 0;
    finding_open(check, "conservation");
    for (size_t i = 0; i < check->evidence->history->head.n_counters; i++) {
        struct range range = evidence_rows_above(check->evidence, i);
        changes += range.end - range.from;
        check_counter(check, i);
    }
    finding_close(check, changes,
                  "Remaining before + change = remaining after, at every version and at the end: "
                  "changes %s.",
                  number(changes).text);
}

// ---- oversell -----------------------------------------------------------------------------------

struct totals {
    int64_t taken[COUNTER_KIND_COUNT], available[COUNTER_KIND_COUNT];
};

// Shows the row that took too much: its own `remaining` is negative, or the sum of all rows up to
// it is.
static void add_oversell(struct check *check, size_t counter, int64_t taken, int64_t available)
{
    const struct evidence *evidence = check->evidence;
    struct range range = evidence_rows_above(evidence, counter);
    struct violation *violation =
        finding_add(check, "%s: %s were taken, but there were only %s.",
                    finding_counter(check, counter), number(taken).text, number(available).text);
    int64_t left = evidence->history->head.counters[counter].remaining;
    for (uint32_t at = range.from; at < range.end; at++) {
        const struct ledger_row *row = evidence_row(evidence, at);
        left = wrapping_sum(left, row->delta);
        if (left >= 0 && row->remaining >= 0)
            continue;
        if (at > range.from)
            finding_row(check, violation, evidence->rows[at - 1]);
        finding_row(check, violation, evidence->rows[at]);
        return;
    }
}

static void check_taken(struct check *check, size_t counter, struct totals *totals)
{
    const struct evidence *evidence = check->evidence;
    const struct history_counter *before = &evidence->history->head.counters[counter];
    struct range range = evidence_rows_above(evidence, counter);
    int64_t taken = 0, available = before->remaining;
    bool negative = evidence->ledger->finals[counter].remaining < 0;
    for (uint32_t at = range.from; at < range.end; at++) {
        const struct ledger_row *row = evidence_row(evidence, at);
        if (row->delta < 0)
            taken = wrapping_sum(taken, wrapping_sum(~row->delta, 1));
        else
            available = wrapping_sum(available, row->delta);
        negative |= row->remaining < 0;
    }
    if (negative || taken > available)
        add_oversell(check, counter, taken, available);
    totals->taken[before->kind] = wrapping_sum(totals->taken[before->kind], taken);
    totals->available[before->kind] = wrapping_sum(totals->available[before->kind], available);
}

static void oversell_check(struct check *check)
{
    static const struct {
        enum counter_kind kind;
        const char *words;
    } kinds[] = {{COUNTER_STOCK, "units taken"},
                 {COUNTER_COUPON, "coupons issued"},
                 {COUNTER_PRIZE, "prizes won"},
                 {COUNTER_POINTS, "points taken"}};
    size_t n_counters = check->evidence->history->head.n_counters;
    struct totals totals = {0};
    finding_open(check, "no-oversell");
    for (size_t i = 0; i < n_counters; i++)
        check_taken(check, i, &totals);
    struct buffer sums CLEANUP(buffer_release) = {0};
    buffer_append_text(&sums, "");
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        int64_t taken = totals.taken[kinds[i].kind], available = totals.available[kinds[i].kind];
        if (taken > 0 || available > 0)
            buffer_format(&sums, "%s %s %s of %s", sums.length > 0 ? "," : ":", kinds[i].words,
                          number(taken).text, number(available).text);
    }
    finding_close(check, (int64_t)n_counters, "No more taken than there was%s.",
                  sums.data != NULL ? sums.data : "");
}

void conservation_check(struct check *check)
{
    oversell_check(check);
    adds_up_check(check);
}
