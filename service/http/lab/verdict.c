// The verdict: reconciliation of the run's own database, and one sentence.
#include "http/lab/run.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/reconcile/reconcile.h"
#include "store/tables/counter.h"

#include <inttypes.h>
#include <string.h>

#define SWEEP_MS 60000 // no sweeper runs
#define FINDINGS_OF_CHECK 4

// A few of each check, so that one that finds hundreds does not hide the others.
static void keep(void *arg, const struct finding *finding)
{
    struct run_verdict *verdict = arg;
    size_t n_alike = 0;
    for (size_t i = 0; i < verdict->n; i++)
        n_alike += strcmp(verdict->findings[i].check, finding->check) == 0;
    if (verdict->n == RUN_FINDINGS_MAX || n_alike == FINDINGS_OF_CHECK)
        return;
    struct run_finding *kept = &verdict->findings[verdict->n++];
    text_copy(kept->check, sizeof kept->check, finding->check);
    text_copy(kept->where, sizeof kept->where, finding->where);
    text_copy(kept->what, sizeof kept->what, finding->what);
}

static enum rc read_remaining(struct run *run, int64_t *ret_remaining)
{
    static const char *const accounts[] = {"points/ann", "points/bob", "points/cat"};
    bool sum = run->scenario->limit == LAB_LIMIT_SUM;
    struct counter counters[ARRAY_LENGTH(accounts)] = {0};
    size_t n = sum ? ARRAY_LENGTH(accounts) : 1;
    int64_t now_ms;
    for (size_t i = 0; i < n; i++)
        text_copy(counters[i].name, sizeof counters[i].name,
                  sum ? accounts[i] : run->scenario->counter);
    enum rc rc = counter_load(run->scratch.db, counters, n, false, &now_ms);
    for (size_t i = 0; i < n; i++)
        *ret_remaining += counters[i].remaining;
    return rc;
}

static int64_t limit_of(const struct run *run)
{
    switch (run->scenario->limit) {
    case LAB_LIMIT_ONE:
        return 1;
    case LAB_LIMIT_BUYERS:
        return run->settings.buyers;
    case LAB_LIMIT_SUM:
        return 3 * run->settings.units;
    default:
        return run->settings.units;
    }
}

static void write_sum(struct run *run, char *text, size_t size)
{
    const struct run_verdict *verdict = &run->verdict;
    int64_t off = verdict->remaining - verdict->limit;
    if (off != 0)
        text_format(
            text, size, "%" PRId64 " points at the start, %" PRId64 " now: %" PRId64 " too %s.",
            verdict->limit, verdict->remaining, off < 0 ? -off : off, off < 0 ? "few" : "many");
    else if (verdict->n_findings > 0)
        text_format(text, size,
                    "%" PRId64 " points as at the start, but the accounts do not match the ledger.",
                    verdict->limit);
    else
        text_format(text, size, "%" PRId64 " points, as at the start: right.", verdict->limit);
}

static void write_sentence(struct run *run)
{
    struct run_verdict *verdict = &run->verdict;
    const char *verb = run->scenario->verb;
    int64_t excess = verdict->sold - verdict->limit;
    char *text = verdict->sentence;
    size_t size = sizeof verdict->sentence;
    if (run->scenario->limit == LAB_LIMIT_SUM)
        write_sum(run, text, size);
    else if (excess > 0)
        text_format(text, size, "%" PRId64 " %s of %" PRId64 ": %" PRId64 " too many.",
                    verdict->sold, verb, verdict->limit, excess);
    else if (verdict->n_findings > 0)
        text_format(text, size, "%" PRId64 " %s of %" PRId64 ", but %" PRId64 " are left: wrong.",
                    verdict->sold, verb, verdict->limit, verdict->remaining);
    else
        text_format(text, size, "%" PRId64 " %s of %" PRId64 ": right.", verdict->sold, verb,
                    verdict->limit);
}

enum rc run_judge(struct run *run)
{
    struct run_verdict *verdict = &run->verdict;
    struct db *db = run->scratch.db;
    struct reconciliation summary;
    db_allow_long_statements(db);
    enum rc rc = reconcile_run(db, SWEEP_MS, keep, verdict, &summary);
    if (rc == RC_OK)
        rc = read_remaining(run, &verdict->remaining);
    if (rc != RC_OK) {
        text_format(run->why, sizeof run->why, "reconciliation could not run: %.300s",
                    db_error(db));
        return rc;
    }
    verdict->n_findings = summary.findings;
    verdict->sold = (int64_t)run->n_accepted;
    verdict->limit = limit_of(run);
    write_sentence(run);
    return RC_OK;
}
