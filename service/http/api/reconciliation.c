// Reconciliation over HTTP: the report of `holdfast reconcile --json`, from one snapshot of the
// database, while the service runs. It runs in the background, outside of the workers, one at a
// time and without a deadline.
//
// The answer is built in memory, so it shows the first FINDINGS_SHOWN findings and counts the rest.
// The command streams all of them.
#include "http/api/handlers.h"

#include "base/log.h"
#include "http/call.h"
#include "store/db/db.h"
#include "store/reconcile/json.h"
#include "store/reconcile/reconcile.h"

#include <inttypes.h>

#define FINDINGS_SHOWN 1000 // also in api/openapi.yaml

static void on_finding(void *arg, const struct finding *finding)
{
    reconcile_json_finding(arg, finding);
}

enum rc reconciliation_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct reconcile_json json = {.out = &call->reply, .shown_max = FINDINGS_SHOWN};
    struct reconciliation summary;
    reconcile_json_begin(&json);
    enum rc rc = reconcile_run(db, call->context->sweep_ms, on_finding, &json, &summary);
    if (rc != RC_OK) {
        LOG_WARNING("reconciliation: not completed: %s", db_error(db));
        return rc == RC_CONFLICT ? RC_CONTENTION : rc;
    }
    reconcile_json_end(&json, &summary);
    call->status = 200;
    if (summary.findings > 0)
        LOG_WARNING("reconciliation: NOT CLEAN, %" PRId64 " findings, %" PRId64 " ms",
                    summary.findings, summary.took_ms);
    else
        LOG_INFO("reconciliation: clean, %" PRId64 " ledger rows, %" PRId64 " ms",
                 summary.ledger_rows, summary.took_ms);
    return RC_OK;
}
