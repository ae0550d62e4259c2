// The command `holdfast-load check`: checks a recorded history against the ledger, which it fetches
// from the service or reads from a file.
#include "commands.h"

#include "check/check.h"
#include "control/http.h"
#include "report/report.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_TIMEOUT_NS (30 * NS_PER_S)

struct check_command {
    const char *history_path, *ledger_path, *save_path;
    const char *urls[HISTORY_TARGETS_MAX]; // none: the history's targets
    size_t n_urls;
    const char *token;
    bool allow_foreign, allow_cut, expect_refusals;
};

static void usage(FILE *out)
{
    fputs("Usage: holdfast-load check HISTORY [FLAGS]\n"
          "\n"
          "Checks the history that `holdfast-load run --history HISTORY` wrote against the\n"
          "service's ledger: nothing may be lost, applied twice, oversold or out of order.\n"
          "\n"
          "  --url URL            fetch the ledger from here (the history's targets); may be\n"
          "                       repeated: the first one that answers is used\n"
          "  --admin-token TOKEN  to read the ledger (HOLDFAST_AUTH_ADMIN_TOKEN)\n"
          "  --ledger FILE        read the ledger from a file instead\n"
          "  --save-ledger FILE   save the ledger to a file, to check again later\n"
          "  --allow-foreign      do not report ledger rows of other clients\n"
          "  --allow-cut          accept a history without its end, of a run that was killed\n"
          "  --expect-refusals    do not fail because no request succeeded\n"
          "\n"
          "Defaults are in parentheses. A request for the ledger takes at most 30 seconds.\n"
          "Exit codes: 0 no violation, 1 violations or nothing that succeeded, 2 it could not be\n"
          "checked as a whole.\n",
          out);
}

static int complain(const char *error)
{
    report_error("check", error);
    return EXIT_ERROR;
}

static int complain_of_file(const char *path, const char *error)
{
    struct buffer line CLEANUP(buffer_release) = {0};
    buffer_format(&line, "%s: %s", path, error);
    return complain(line.data != NULL ? line.data : error);
}

static void close_file(FILE **file)
{
    if (*file != NULL)
        (void)fclose(*file);
}

static void close_descriptor(const int *descriptor)
{
    if (*descriptor >= 0)
        (void)close(*descriptor);
}

static void free_http(struct http **http)
{
    http_free(*http);
}

static bool fetch(struct check_command *plan, const struct history_head *head,
                  struct ledger *ledger, char *ret_error)
{
    for (size_t i = 0; plan->n_urls == 0 && i < head->n_targets; i++)
        plan->urls[i] = head->targets[i];
    size_t n_urls = plan->n_urls > 0 ? plan->n_urls : head->n_targets;
    struct http *http CLEANUP(free_http) =
        http_new(plan->urls, n_urls, plan->token, REQUEST_TIMEOUT_NS);
    if (http == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    return ledger_fetch(http, head, ledger, ret_error);
}

static int get_ledger(struct check_command *plan, const struct history_head *head,
                      struct ledger *ledger)
{
    char error[HISTORY_ERROR_MAX];
    if (plan->ledger_path == NULL)
        return fetch(plan, head, ledger, error) ? EXIT_OK : complain(error);
    int descriptor CLEANUP(close_descriptor) = open(plan->ledger_path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return complain_of_file(plan->ledger_path, strerror(errno));
    return ledger_load(descriptor, head, ledger, error)
               ? EXIT_OK
               : complain_of_file(plan->ledger_path, error);
}

static int save_ledger(const char *path, const struct history_head *head,
                       const struct ledger *ledger)
{
    char error[HISTORY_ERROR_MAX];
    FILE *file CLEANUP(close_file) = fopen(path, "we");
    if (file == NULL)
        return complain_of_file(path, strerror(errno));
    return ledger_save(ledger, head, file, error) ? EXIT_OK : complain(error);
}

// Whether a change succeeded, or, in a history of nothing but readings, a reading.
static bool has_success(const struct history *history)
{
    bool changes = false, done[2] = {false, false};
    for (size_t i = 0; i < history->n_attempts; i++) {
        bool change = history->attempts[i].kind != KIND_READ;
        changes |= change;
        done[change] |= history->attempts[i].outcome == OUTCOME_OK;
    }
    return done[changes];
}

// The exit code of a check without violations: a gate must not pass because the history is cut, or
// because nothing was done.
static int judge(const struct check_command *plan, const struct history *history)
{
    if (!history->whole && !plan->allow_cut)
        return complain("the history has no closing line: the run was killed, or the file was cut; "
                        "--allow-cut accepts what there is");
    if (!has_success(history) && !plan->expect_refusals) {
        report_error("check", "no request succeeded, so nothing is proven; if refusals are what is "
                              "tested, give --expect-refusals");
        return EXIT_VIOLATION;
    }
    return EXIT_OK;
}

static int check(struct check_command *plan)
{
    int descriptor CLEANUP(close_descriptor) = open(plan->history_path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return complain_of_file(plan->history_path, strerror(errno));
    struct history history CLEANUP(history_release) = {.whole = false};
    struct ledger ledger CLEANUP(ledger_release) = {.n_rows = 0};
    struct verdict verdict CLEANUP(verdict_release) = {.done = false};
    struct buffer text CLEANUP(buffer_release) = {0};
    char error[HISTORY_ERROR_MAX];
    if (plan->save_path != NULL && !report_can_save(plan->save_path, error))
        return complain(error);
    if (!history_read_file(descriptor, &history, error))
        return complain_of_file(plan->history_path, error);
    int code = get_ledger(plan, &history.head, &ledger);
    if (code == EXIT_OK && plan->save_path != NULL)
        code = save_ledger(plan->save_path, &history.head, &ledger);
    if (code != EXIT_OK)
        return code;
    const struct check_options options = {.allow_foreign = plan->allow_foreign};
    check_history(&history, &ledger, &options, &verdict);
    verdict_write_text(&verdict, &text);
    if (!report_print(stdout, &text) || !verdict.done)
        return EXIT_ERROR;
    return verdict.violations > 0 ? EXIT_VIOLATION : judge(plan, &history);
}

enum flag {
    FLAG_URL = 1,
    FLAG_TOKEN,
    FLAG_LEDGER,
    FLAG_SAVE,
    FLAG_FOREIGN,
    FLAG_CUT,
    FLAG_REFUSALS,
    FLAG_HELP
};

static const struct option flags[] = {
    {"url", required_argument, NULL, FLAG_URL},
    {"admin-token", required_argument, NULL, FLAG_TOKEN},
    {"ledger", required_argument, NULL, FLAG_LEDGER},
    {"save-ledger", required_argument, NULL, FLAG_SAVE},
    {"allow-foreign", no_argument, NULL, FLAG_FOREIGN},
    {"allow-cut", no_argument, NULL, FLAG_CUT},
    {"expect-refusals", no_argument, NULL, FLAG_REFUSALS},
    {"help", no_argument, NULL, FLAG_HELP},
    {NULL, 0, NULL, 0},
};

// False if the flag is unknown or given too often.
static bool apply_flag(struct check_command *plan, int flag, const char *value)
{
    switch (flag) {
    case FLAG_URL:
        if (plan->n_urls == HISTORY_TARGETS_MAX)
            return false;
        plan->urls[plan->n_urls++] = value;
        return true;
    case FLAG_TOKEN:
        plan->token = value;
        return true;
    case FLAG_LEDGER:
        plan->ledger_path = value;
        return true;
    case FLAG_SAVE:
        plan->save_path = value;
        return true;
    case FLAG_FOREIGN:
        plan->allow_foreign = true;
        return true;
    case FLAG_CUT:
        plan->allow_cut = true;
        return true;
    case FLAG_REFUSALS:
        plan->expect_refusals = true;
        return true;
    default:
        return false;
    }
}

int command_check(int argc, char **argv)
{
    struct check_command plan = {.token = getenv("HOLDFAST_AUTH_ADMIN_TOKEN")};
    int flag;
    argv[0] = "holdfast-load check"; // getopt's messages begin with it
    while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1) {
        if (flag == FLAG_HELP || flag == 'h') {
            usage(stdout);
            return EXIT_OK;
        }
        if (!apply_flag(&plan, flag, optarg)) {
            (void)fputs("See `holdfast-load check --help`.\n", stderr);
            return EXIT_ERROR;
        }
    }
    if (optind + 1 != argc)
        return complain("expected one history file; see `holdfast-load check --help`");
    plan.history_path = argv[optind];
    if (plan.save_path != NULL && report_same_file(plan.save_path, plan.history_path))
        return complain("--save-ledger names the history, and would overwrite it");
    if (plan.save_path != NULL && plan.ledger_path != NULL &&
        report_same_file(plan.save_path, plan.ledger_path))
        return complain("--save-ledger and --ledger name one file, which would be overwritten");
    if (plan.ledger_path != NULL && plan.n_urls > 0)
        return complain("--ledger and --url contradict each other: leave out one of them");
    return check(&plan);
}
