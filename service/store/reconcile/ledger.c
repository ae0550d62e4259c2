// The walk along the ledger: one pass in the order of counter and version, the counter's row beside
// each of its ledger rows. For every counter:
//
//   version-gap, version-duplicate   the versions are 1, 2, 3, ... each once
//   balance, ledger-negative         remaining = the row before + delta, never below zero
//   token-decrease                   fencing tokens of one strategy do not go back (those of
//   different
//                                    strategies come from different sources)
//   last-version, last-remaining     the last row is what the counter says
//   ledger-sum                       the deltas add up to the counter; said only where
//   last-remaining
//                                    has not said the same
//   ledger-without-counter
//
// The opening row's delta is the opening number, so that opening + sum of the rest is one sum.
// Where a version is missing or doubled the row before is not known, and the balance after it not
// judged.
#include "store/reconcile/parts.h"

#include "base/text.h"
#include "domain/ids.h"
#include "store/db/db.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define STRATEGIES_MAX 16 // more than there are; further ones are not watched

struct walk {
    struct report *report;
    char counter[COUNTER_NAME_MAX + 1]; // empty before the first
    bool has_row;                       // of the counter itself, with these values:
    int64_t row_version, row_remaining;
    int64_t version, remaining, sum; // the last ledger row, and all deltas so far
    int64_t before;                  // remaining before that version, as the row there says,
    int64_t before_chained;          // and as the chain up to it would have it
    int64_t chained;
    bool before_known, doubled; // and whether the version stands there twice
    size_t n_tokens;
    struct {
        char strategy[STRATEGY_NAME_MAX + 1];
        int64_t highest;
    } tokens[STRATEGIES_MAX];
};

static void finish_counter(struct walk *walk)
{
    if (walk->counter[0] == '\0')
        return;
    if (!walk->has_row) {
        report_finding(walk->report, "ledger-without-counter", "rows in counter", 1, 0, "%s",
                       walk->counter);
        return;
    }
    if (walk->version != walk->row_version)
        report_finding(walk->report, "last-version", "the counter's version against the last row's",
                       walk->version, walk->row_version, "%s", walk->counter);
    if (!walk->doubled && walk->remaining != walk->row_remaining)
        report_finding(walk->report, "last-remaining",
                       "what the counter says remains against the last row", walk->remaining,
                       walk->row_remaining, "%s", walk->counter);
    if (walk->sum != walk->row_remaining && (walk->doubled || walk->sum != walk->remaining))
        report_finding(walk->report, "ledger-sum",
                       "what the counter says remains against the sum of all changes", walk->sum,
                       walk->row_remaining, "%s", walk->counter);
}

static void begin_counter(struct walk *walk, const struct db_row *row)
{
    text_copy(walk->counter, sizeof walk->counter, db_row_text(row, 0));
    walk->has_row = !db_row_is_null(row, 6);
    walk->row_version = db_row_int(row, 6);
    walk->row_remaining = db_row_int(row, 7);
    walk->version = walk->remaining = walk->chained = walk->sum = 0;
    walk->doubled = false;
    walk->n_tokens = 0;
}

static void watch_token(struct walk *walk, const char *strategy, int64_t token)
{
    size_t i = 0;
    if (token == 0)
        return;
    while (i < walk->n_tokens && strcmp(walk->tokens[i].strategy, strategy) != 0)
        i++;
    if (i == STRATEGIES_MAX)
        return;
    if (i == walk->n_tokens) {
        text_copy(walk->tokens[i].strategy, sizeof walk->tokens[i].strategy, strategy);
        walk->tokens[i].highest = 0;
        walk->n_tokens++;
    }
    if (token < walk->tokens[i].highest)
        report_finding(walk->report, "token-decrease", "the fencing token is at least the last one",
                       walk->tokens[i].highest, token, "%s version %" PRId64 " %s", walk->counter,
                       walk->version, strategy);
    else
        walk->tokens[i].highest = token;
}

static void step_version(struct walk *walk, int64_t version)
{
    if (version == walk->version) {
        report_finding(walk->report, "version-duplicate",
                       "this version stands in the ledger again: rows more than one", 0, 1,
                       "%s version %" PRId64, walk->counter, version);
        walk->doubled = true;
        return;
    }
    walk->before_known = !walk->doubled && version == walk->version + 1;
    walk->before = walk->remaining;
    walk->before_chained = walk->chained;
    walk->doubled = false;
    if (version != walk->version + 1)
        report_finding(walk->report, "version-gap", "the next version in the ledger",
                       walk->version + 1, version, "%s version %" PRId64, walk->counter, version);
    walk->version = version;
}

// A row that says a wrong number is blamed itself, not the right one after it.
static void watch_balance(struct walk *walk, int64_t delta, int64_t remaining)
{
    walk->chained = remaining;
    if (!walk->before_known || remaining == walk->before + delta ||
        remaining == walk->before_chained + delta)
        return;
    walk->chained = walk->before + delta;
    report_finding(walk->report, "balance", "remaining against the row before plus the change",
                   walk->chained, remaining, "%s version %" PRId64, walk->counter, walk->version);
}

static enum rc on_row(void *arg, const struct db_row *row)
{
    struct walk *walk = arg;
    int64_t delta = db_row_int(row, 2), remaining = db_row_int(row, 3);
    if (strcmp(walk->counter, db_row_text(row, 0)) != 0) {
        finish_counter(walk);
        begin_counter(walk, row);
    }
    step_version(walk, db_row_int(row, 1));
    watch_balance(walk, delta, remaining);
    if (remaining < 0)
        report_finding(walk->report, "ledger-negative", "remaining is at least", 0, remaining,
                       "%s version %" PRId64, walk->counter, walk->version);
    watch_token(walk, db_row_text(row, 4), db_row_int(row, 5));
    walk->remaining = remaining;
    walk->sum += delta;
    walk->report->summary.ledger_rows++;
    return RC_OK;
}

enum rc reconcile_ledger(struct db *db, struct report *report)
{
    struct walk walk = {.report = report};
    enum rc rc = db_query(db,
                          "SELECT l.counter, l.version, l.delta, l.remaining, l.strategy, l.token,"
                          " k.version, k.remaining FROM ledger l LEFT JOIN counter k"
                          " ON k.name = l.counter ORDER BY l.counter, l.version",
                          NULL, 0, on_row, &walk);
    if (rc == RC_OK)
        finish_counter(&walk);
    return rc;
}
