// holdfast reconcile: prints each finding as it is found, so that memory does not grow with them.
// Whether the JSON is complete is said at its end; a reader must not take a cut-off one for clean.
#include "store/commands.h"

#include "base/cleanup.h"
#include "store/db.h"
#include "store/migrate.h"
#include "store/reconcile.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

enum { CLEAN = 0, FINDINGS = 1, COULD_NOT_RUN = 2 };

struct printer {
    bool json;
    int64_t printed;
};

static void print_finding(void *arg, const struct finding *finding)
{
    struct printer *printer = arg;
    if (!printer->json) {
        printf("%-22s  %s\n                        %s\n", finding->check, finding->where,
               finding->what);
    } else {
        json_t *object =
            json_pack("{ss ss ss sI sI}", "check", finding->check, "where", finding->where, "what",
                      finding->what, "expected", (json_int_t)finding->expected, "found",
                      (json_int_t)finding->found);
        char *line CLEANUP(free_memory) = json_dumps(object, JSON_COMPACT);
        json_decref(object);
        printf("%s\n%s", printer->printed == 0 ? "" : ",", line != NULL ? line : "null");
    }
    printer->printed++;
}

static void print_text_summary(const struct reconciliation *summary)
{
    printf("%s: %" PRId64 " findings in %" PRId64 " counters, %" PRId64 " ledger rows, %" PRId64
           " coupons, %" PRId64 " draws (%" PRId64 " ms)\n",
           summary->findings == 0 ? "clean" : "NOT CLEAN", summary->findings, summary->counters,
           summary->ledger_rows, summary->coupons, summary->draws, summary->took_ms);
}

static void print_json_summary(const struct reconciliation *summary)
{
    printf("],\n\"complete\":true,\"clean\":%s,\"finding_count\":%" PRId64 ",\"counters\":%" PRId64
           ",\"ledger_rows\":%" PRId64 ",\"coupons\":%" PRId64 ",\"draws\":%" PRId64
           ",\"started_at_ms\":%" PRId64 ",\"took_ms\":%" PRId64 "}\n",
           summary->findings == 0 ? "true" : "false", summary->findings, summary->counters,
           summary->ledger_rows, summary->coupons, summary->draws, summary->started_at_ms,
           summary->took_ms);
}

static int complain(const char *error)
{
    fprintf(stderr, "holdfast reconcile: %s\n", error);
    return COULD_NOT_RUN;
}

static int reconcile(struct db *db, bool json)
{
    struct printer printer = {.json = json};
    struct reconciliation summary = {.findings = 0};
    if (json)
        printf("{\"findings\":[");
    enum rc rc = reconcile_run(db, print_finding, &printer, &summary);
    if (rc != RC_OK) {
        if (json)
            printf("],\n\"complete\":false}\n");
        return complain(db_error(db));
    }
    if (json)
        print_json_summary(&summary);
    else
        print_text_summary(&summary);
    return summary.findings == 0 ? CLEAN : FINDINGS;
}

static void free_db(struct db **db)
{
    db_free(*db);
}

int command_reconcile(struct store *store, bool json)
{
    struct db *db CLEANUP(free_db) = NULL;
    char error[MIGRATE_ERROR_MAX] = "";
    if (db_new(store, &db) != RC_OK)
        return complain("out of memory");
    if (migrate_check(db, error) != RC_OK)
        return complain(error);
    return reconcile(db, json);
}
