// Checks the ledger in one pass, in the order of counter and version, with the counter's row joined
// to each of its ledger rows. For every counter:
//
//   version-gap, version-duplicate   the versions are 1, 2, 3, ... each once
//   balance, ledger-negative         remaining = previous remaining + delta, never below zero
//   token-decrease                   fencing tokens of one strategy do not decrease (different
//                                    strategies draw theirs from different sources)
//   last-version, last-remaining     the last row agrees with the counter
//   ledger-sum                       the deltas add up to the counter; reported only where
//                                    last-remaining does not report the same
//   ledger-without-counter           the counter's row exists
//
// The opening row's delta is the opening number, so all deltas are one sum. Where a version is
// missing or duplicated the previous row is unknown, and the balance after it is not checked.
#include "store/reconcile/checks.h"

#include "base/text.h"
#include "domain/ids.h"
#include "store/db/db.h"
#include "store/reconcile/report.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define STRATEGIES_MAX 16 // more than there are; tokens of further ones are not checked

struct scan {
    struct report *report;
    char counter[COUNTER_NAME_MAX + 1]; // empty before the first
    bool has_row;                       // the counter exists, with these values:
    int64_t row_version, row_remaining;
    int64_t version, remaining, sum; // of the last ledger row, and all deltas so far
    int64_t chained;                 // remaining as computed along the chain of deltas
    int64_t before, before_chained;  // remaining and chained at the previous version
    bool before_known;               // the previous version is in the ledger, once
    bool duplicated;                 // this version is in the ledger more than once
    bool gapped;                     // a version is missing
    size_t n_tokens;
    struct {
        char strategy[STRATEGY_NAME_MAX + 1];
        int64_t highest;
    } tokens[STRATEGIES_MAX];
};

// A counter that has left its ledger goes back to what all changes add up to. The ledger does not
// change by that. Not where rows are missing, or more was sold than there was.
static struct compensation back_to_ledger(const struct scan *scan)
{
    struct compensation compensation = {.n_changes = 1};
    struct compensating_change *change = &compensation.changes[0];
    text_copy(change->counter, sizeof change->counter, scan->counter);
    change->version = scan->row_version;
    change->remaining = scan->row_remaining;
    change->delta = scan->sum - scan->row_remaining;
    if (scan->gapped || scan->row_version > scan->version || scan->sum < 0)
        compensation.n_changes = 0;
    return compensation;
}

static void finish_counter(struct scan *scan)
{
    if (scan->counter[0] == '\0')
        return;
    if (!scan->has_row) {
        report_finding(scan->report, "ledger-without-counter", "rows in counter", 1, 0, "%s",
                       scan->counter);
        return;
    }
    // The first of the three findings takes it.
    scan->report->compensation = back_to_ledger(scan);
    if (scan->version != scan->row_version)
        report_finding(scan->report, "last-version",
                       "the counter's version, against the last row's", scan->version,
                       scan->row_version, "%s", scan->counter);
    if (!scan->duplicated && scan->remaining != scan->row_remaining)
        report_finding(scan->report, "last-remaining",
                       "the counter's remaining, against the last row's", scan->remaining,
                       scan->row_remaining, "%s", scan->counter);
    if (scan->sum != scan->row_remaining && (scan->duplicated || scan->sum != scan->remaining))
        report_finding(scan->report, "ledger-sum",
                       "the counter's remaining, against the sum of all changes", scan->sum,
                       scan->row_remaining, "%s", scan->counter);
    scan->report->compensation.n_changes = 0;
}

static void begin_counter(struct scan *scan, const struct db_row *row)
{
    text_copy(scan->counter, sizeof scan->counter, db_row_text(row, 0));
    scan->has_row = !db_row_is_null(row, 6);
    scan->row_version = db_row_int(row, 6);
    scan->row_remaining = db_row_int(row, 7);
    scan->version = scan->remaining = scan->chained = scan->sum = 0;
    scan->duplicated = scan->gapped = false;
    scan->n_tokens = 0;
}

static void check_token(struct scan *scan, const char *strategy, int64_t token)
{
    size_t i = 0;
    if (token == 0)
        return;
    while (i < scan->n_tokens && strcmp(scan->tokens[i].strategy, strategy) != 0)
        i++;
    if (i == STRATEGIES_MAX)
        return;
    if (i == scan->n_tokens) {
        text_copy(scan->tokens[i].strategy, sizeof scan->tokens[i].strategy, strategy);
        scan->tokens[i].highest = 0;
        scan->n_tokens++;
    }
    if (token < scan->tokens[i].highest)
        report_finding(scan->report, "token-decrease",
                       "the fencing token, at least the highest before", scan->tokens[i].highest,
                       token, "%s version %" PRId64 " %s", scan->counter, scan->version, strategy);
    else
        scan->tokens[i].highest = token;
}

static void check_version(struct scan *scan, int64_t version)
{
    if (version == scan->version) {
        report_finding(scan->report, "version-duplicate", "further ledger rows with this version",
                       0, 1, "%s version %" PRId64, scan->counter, version);
        scan->duplicated = true;
        return;
    }
    scan->before_known = !scan->duplicated && version == scan->version + 1;
    scan->before = scan->remaining;
    scan->before_chained = scan->chained;
    scan->duplicated = false;
    scan->gapped = scan->gapped || version != scan->version + 1;
    if (version != scan->version + 1)
        report_finding(scan->report, "version-gap", "the next version in the ledger",
                       scan->version + 1, version, "%s version %" PRId64, scan->counter, version);
    scan->version = version;
}

// Reports the row with the wrong number, and not the correct row after it.
static void check_balance(struct scan *scan, int64_t delta, int64_t remaining)
{
    scan->chained = remaining;
    if (!scan->before_known || remaining == scan->before + delta ||
        remaining == scan->before_chained + delta)
        return;
    scan->chained = scan->before + delta;
    report_finding(scan->report, "balance", "remaining, against the previous row plus the change",
                   scan->chained, remaining, "%s version %" PRId64, scan->counter, scan->version);
}

static enum rc on_row(void *arg, const struct db_row *row)
{
    struct scan *scan = arg;
    int64_t delta = db_row_int(row, 2), remaining = db_row_int(row, 3);
    if (strcmp(scan->counter, db_row_text(row, 0)) != 0) {
        finish_counter(scan);
        begin_counter(scan, row);
    }
    check_version(scan, db_row_int(row, 1));
    check_balance(scan, delta, remaining);
    if (remaining < 0)
        report_finding(scan->report, "ledger-negative", "remaining, at least", 0, remaining,
                       "%s version %" PRId64, scan->counter, scan->version);
    check_token(scan, db_row_text(row, 4), db_row_int(row, 5));
    scan->remaining = remaining;
    scan->sum += delta;
    scan->report->summary.ledger_rows++;
    return RC_OK;
}

enum rc reconcile_ledger(struct db *db, struct report *report)
{
    struct scan scan = {.report = report};
    enum rc rc = db_query(db,
                          "SELECT l.counter, l.version, l.delta, l.remaining, l.strategy, l.token,"
                          " k.version, k.remaining FROM ledger l LEFT JOIN counter k"
                          " ON k.name = l.counter ORDER BY l.counter, l.version",
                          NULL, 0, on_row, &scan);
    if (rc == RC_OK)
        finish_counter(&scan);
    return rc;
}
