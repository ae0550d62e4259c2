// Reconciliation: checks that counters, ledger, coupons, draws and reservations agree. It reads one
// snapshot, which has every transaction wholly or not at all, so it may run beside the service.
//
// It scans the ledger once, row by row, in O(1) memory (ledger.c). Checks that join other tables
// are queries (queries.c). Where the cause can be told, it is reported once: a row that breaks the
// chain of balances is not reported again for each row after it.
//
// It begins with a check of an SQLite file's structure. The service has none at its start: the
// check takes longer with every order, and the ledger is never pruned.
//
// What breaks it: a snapshot delays the database's clean-up of old row versions for as long as it
// runs. On a very large ledger, run it when little is sold.
#include "store/reconcile/reconcile.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/reconcile/checks.h"
#include "store/reconcile/report.h"

static enum rc keep_summary(void *arg, const struct db_row *row)
{
    struct reconciliation *summary = arg;
    summary->counters = db_row_int(row, 0);
    summary->coupons = db_row_int(row, 1);
    summary->draws = db_row_int(row, 2);
    summary->started_at_ms = db_row_int(row, 3);
    return RC_OK;
}

static enum rc count_rows(struct db *db, struct report *report)
{
    char sql[256];
    text_format(sql, sizeof sql,
                "SELECT (SELECT COUNT(*) FROM counter), (SELECT COUNT(*) FROM coupon),"
                " (SELECT COUNT(*) FROM draw), %s",
                db_now_ms_sql(db));
    return db_query(db, sql, NULL, 0, keep_summary, &report->summary);
}

int64_t reconcile_sweep_allowance_ms(int64_t sweep_ms)
{
    const int64_t least_ms = 60000;
    return 10 * sweep_ms > least_ms ? 10 * sweep_ms : least_ms;
}

enum rc reconcile_run(struct db *db, int64_t sweep_ms,
                      void (*on_finding)(void *arg, const struct finding *finding), void *arg,
                      struct reconciliation *ret_summary)
{
    struct report report = {.on_finding = on_finding,
                            .arg = arg,
                            .sweep_allowance_ms = reconcile_sweep_allowance_ms(sweep_ms)};
    int64_t started_ns = clock_now_ns();
    db_allow_long_statements(db);
    enum rc rc = db_begin(db, DB_BEGIN_SNAPSHOT);
    if (rc == RC_OK)
        rc = db_verify(db);
    if (rc == RC_OK)
        rc = count_rows(db, &report);
    if (rc == RC_OK)
        rc = reconcile_ledger(db, &report);
    if (rc == RC_OK)
        rc = reconcile_queries(db, &report);
    db_rollback(db); // nothing was written
    if (rc != RC_OK)
        return rc;
    report.summary.took_ms = (clock_now_ns() - started_ns) / NS_PER_MS;
    *ret_summary = report.summary;
    return RC_OK;
}
