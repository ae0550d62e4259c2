// holdfast reconcile: prints each finding as soon as it is found, so that memory does not grow.
#include "commands/commands.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/reconcile/json.h"
#include "store/reconcile/reconcile.h"

#include <inttypes.h>
#include <stdio.h>

// Keeps a failed buffer, so that the caller sees the failure at the end.
static void print(struct buffer *buffer)
{
    if (buffer->failed || buffer->data == NULL)
        return;
    (void)fwrite(buffer->data, 1, buffer->length, stdout);
    buffer_clear(buffer);
}

static void print_text_finding(void *arg, const struct finding *finding)
{
    (void)arg;
    printf("%-22s  %s\n                        %s\n", finding->check, finding->where,
           finding->what);
}

static void print_json_finding(void *arg, const struct finding *finding)
{
    struct reconcile_json *json = arg;
    reconcile_json_finding(json, finding);
    print(json->out);
}

static void print_text_summary(const struct reconciliation *summary)
{
    printf("%s: %" PRId64 " findings in %" PRId64 " counters, %" PRId64 " ledger rows, %" PRId64
           " coupons, %" PRId64 " draws (%" PRId64 " ms)\n",
           summary->findings == 0 ? "clean" : "NOT CLEAN", summary->findings, summary->counters,
           summary->ledger_rows, summary->coupons, summary->draws, summary->took_ms);
}

static int complain(const char *error)
{
    fprintf(stderr, "holdfast reconcile: %s\n", error);
    return EXIT_USAGE;
}

static int verdict(const struct reconciliation *summary)
{
    return summary->findings == 0 ? EXIT_CLEAN : EXIT_FAILED;
}

static int reconcile_as_text(struct db *db)
{
    struct reconciliation summary;
    if (reconcile_run(db, print_text_finding, NULL, &summary) != RC_OK)
        return complain(db_error(db));
    print_text_summary(&summary);
    return verdict(&summary);
}

static int reconcile_as_json(struct db *db)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    struct reconcile_json json = {.out = &out, .shown_max = INT64_MAX};
    struct reconciliation summary;
    reconcile_json_begin(&json);
    enum rc rc = reconcile_run(db, print_json_finding, &json, &summary);
    reconcile_json_end(&json, rc == RC_OK ? &summary : NULL);
    buffer_append_text(&out, "\n");
    if (out.failed)
        return complain("out of memory");
    print(&out);
    return rc == RC_OK ? verdict(&summary) : complain(db_error(db));
}

int command_reconcile(struct store *store, bool json)
{
    struct db *db = NULL;
    char error[MIGRATE_ERROR_MAX] = "";
    if (db_new(store, &db) != RC_OK)
        return complain("out of memory");
    int code = migrate_check(db, error) != RC_OK ? complain(error)
               : json                            ? reconcile_as_json(db)
                                                 : reconcile_as_text(db);
    db_free(db);
    return code;
}
