// holdfast reconcile: prints each finding as soon as it is found, so that memory does not grow.
#include "commands/commands.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "config/config.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/reconcile/compensation.h"
#include "store/reconcile/json.h"
#include "store/reconcile/reconcile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// Keeps a failed buffer, so that the caller sees the failure at the end.
static void print(struct buffer *buffer, FILE *file)
{
    if (buffer->failed || buffer->data == NULL)
        return;
    (void)fwrite(buffer->data, 1, buffer->length, file);
    buffer_clear(buffer);
}

// Where the findings of a run go.
struct output {
    struct reconcile_json *json; // NULL: text
    FILE *proposals;             // NULL: none are written
    int64_t sweep_ms;            // the setting
    struct buffer line;          // scratch
};

static void print_text_finding(const struct finding *finding)
{
    printf("%-22s  %s\n                        %s\n", finding->check, finding->where,
           finding->what);
}

static void on_finding(void *arg, const struct finding *finding)
{
    struct output *output = arg;
    if (output->json != NULL) {
        reconcile_json_finding(output->json, finding);
        print(output->json->out, stdout);
    } else {
        print_text_finding(finding);
    }
    if (output->proposals != NULL) {
        compensation_write(&output->line, finding);
        print(&output->line, output->proposals);
    }
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

static int reconcile_as_text(struct db *db, struct output *output)
{
    struct reconciliation summary;
    if (reconcile_run(db, output->sweep_ms, on_finding, output, &summary) != RC_OK)
        return complain(db_error(db));
    print_text_summary(&summary);
    return verdict(&summary);
}

static int reconcile_as_json(struct db *db, struct output *output)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    struct reconcile_json json = {.out = &out, .shown_max = INT64_MAX};
    struct reconciliation summary;
    output->json = &json;
    reconcile_json_begin(&json);
    enum rc rc = reconcile_run(db, output->sweep_ms, on_finding, output, &summary);
    reconcile_json_end(&json, rc == RC_OK ? &summary : NULL);
    buffer_append_text(&out, "\n");
    if (out.failed)
        return complain("out of memory");
    print(&out, stdout);
    return rc == RC_OK ? verdict(&summary) : complain(db_error(db));
}

static int reconcile(struct db *db, bool json, struct output *output)
{
    return json ? reconcile_as_json(db, output) : reconcile_as_text(db, output);
}

// Writes the proposals to a new file, which it removes if they are not complete.
static int reconcile_and_propose(struct db *db, int64_t sweep_ms, bool json, const char *path)
{
    struct output output = {.proposals = fopen(path, "wx"), .sweep_ms = sweep_ms};
    if (output.proposals == NULL) {
        fprintf(stderr, "holdfast reconcile: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    int code = reconcile(db, json, &output);
    bool written = !output.line.failed && !ferror(output.proposals);
    written = fclose(output.proposals) == 0 && written;
    if (!written)
        code = complain("cannot write the proposals");
    if (code == EXIT_USAGE)
        (void)remove(path);
    buffer_release(&output.line);
    return code;
}

struct words {
    bool json;
    const char *compensate, *apply; // files
};

// Returns the word that is wrong, or NULL.
static const char *read_words(int argc, char **argv, struct words *ret_words)
{
    for (int i = 0; i < argc; i++) {
        const char **file = strcmp(argv[i], "--compensate") == 0 ? &ret_words->compensate
                            : strcmp(argv[i], "--apply") == 0    ? &ret_words->apply
                                                                 : NULL;
        if (file != NULL && (*file != NULL || i + 1 == argc))
            return argv[i];
        if (file != NULL)
            *file = argv[++i];
        else if (strcmp(argv[i], "--json") != 0 || ret_words->json)
            return argv[i];
        else
            ret_words->json = true;
    }
    bool alone = ret_words->compensate == NULL && !ret_words->json;
    return ret_words->apply != NULL && !alone ? "--apply" : NULL;
}

int command_reconcile(const struct config *config, struct store *store, int argc, char **argv)
{
    struct words words = {0};
    struct db *db = NULL;
    char error[MIGRATE_ERROR_MAX] = "";
    const char *wrong = read_words(argc, argv, &words);
    if (wrong != NULL) {
        fprintf(stderr,
                "holdfast reconcile: unexpected '%.80s'; expected [--json] [--compensate FILE] or"
                " --apply FILE\n",
                wrong);
        return EXIT_USAGE;
    }
    if (db_new(store, &db) != RC_OK)
        return complain("out of memory");
    struct output output = {.sweep_ms = config->reservation_sweep_ms};
    int code = migrate_check(db, error) != RC_OK ? complain(error)
               : words.apply != NULL             ? command_compensate(db, words.apply)
               : words.compensate != NULL
                   ? reconcile_and_propose(db, output.sweep_ms, words.json, words.compensate)
                   : reconcile(db, words.json, &output);
    db_free(db);
    return code;
}
