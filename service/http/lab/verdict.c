// The verdict: reconciliation of the run's own database, and one sentence.
#include "http/lab/run.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/reconcile/reconcile.h"
#include "store/tables/counter.h"

#include <inttypes.h>
#include <string.h>

#define SWEEP_MS 60000 // no sweeper runs

static void keep(void *arg, const struct finding *finding)
{
    struct run_verdict *verdict = arg;
    if (verdict->n == RUN_FINDINGS_MAX)
        return;
    struct run_finding *kept = &verdict->findings[verdict->n++];
    text_copy(kept->check, sizeof kept->check, finding->check);
    text_copy(kept->where, sizeof kept->where, finding->where);
    text_copy(kept->what, sizeof kept->what, finding->what);
}

static enum rc read_remaining(struct run *run, const char *name, int64_t *ret_remaining)
{
    struct counter counter;
    int64_t now_ms;
    text_copy(counter.name, sizeof counter.name, name);
    enum rc rc = counter_load(run->scratch.db, &counter, 1, false, &now_ms);
    *ret_remaining += counter.remaining;
    return rc;
}

static int64_t limit_of(const struct run *run)
{
    switch (run->scenario->limit) {
    case LAB_LIMIT_ONE:
        return 1;
    case LAB_LIMIT_BUYERS:
        return run->settings.buyers;
    default:
        return run->settings.units;
    }
}

// Points are judged by their sum.
static bool is_points(const struct run *run)
{
    return strncmp(run->scenario->counter, "points/", 7) == 0;
}

static void write_sentence(struct run *run)
{
    struct run_verdict *verdict = &run->verdict;
    const char *verb = run->scenario->verb;
    int64_t excess = verdict->sold - verdict->limit;
    char *text = verdict->sentence;
    size_t size = sizeof verdict->sentence;
    if (is_points(run)) {
        int64_t sum = 2 * run->settings.units, off = verdict->remaining - sum;
        if (off == 0 && verdict->n_findings == 0)
            text_format(text, size, "%" PRId64 " points, as at the start: right.", sum);
        else
            text_format(text, size,
                        "%" PRId64 " points at the start, %" PRId64 " now: %" PRId64 " too %s.",
                        sum, verdict->remaining, off < 0 ? -off : off, off < 0 ? "few" : "many");
        if (off == 0 && verdict->n_findings > 0)
            text_format(text, size, "The sum is %" PRId64 " by chance; the accounts are wrong.",
                        sum);
    } else if (excess > 0) {
        text_format(text, size, "%" PRId64 " %s of %" PRId64 ": %" PRId64 " too many.",
                    verdict->sold, verb, verdict->limit, excess);
    } else if (verdict->n_findings > 0) {
        text_format(text, size,
                    "%" PRId64 " %s of %" PRId64 ", but the row has %" PRId64 " left: wrong.",
                    verdict->sold, verb, verdict->limit, verdict->remaining);
    } else {
        text_format(text, size, "%" PRId64 " %s of %" PRId64 ": right.", verdict->sold, verb,
                    verdict->limit);
    }
}

enum rc run_judge(struct run *run)
{
    struct run_verdict *verdict = &run->verdict;
    struct db *db = run->scratch.db;
    struct reconciliation summary;
    db_allow_long_statements(db);
    enum rc rc = reconcile_run(db, SWEEP_MS, keep, verdict, &summary);
    if (rc == RC_OK)
        rc = read_remaining(run, run->scenario->counter, &verdict->remaining);
    if (rc == RC_OK && is_points(run))
        rc = read_remaining(run, "points/bob", &verdict->remaining);
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
