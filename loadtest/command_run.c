// The command `holdfast-load run`: sets up, applies the load, checks, and reports. An error after
// the load neither removes the history nor prevents the reports that can still be written.
#include "commands.h"

#include "check/check.h"
#include "control/http.h"
#include "control/interrupt.h"
#include "history/reader.h"
#include "history/writer.h"
#include "report/report.h"
#include "run/arrival.h"
#include "run/options.h"
#include "run/run.h"
#include "run/scenario.h"
#include "run/setup.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FACTS_MAX 16

// Everything that belongs to one run.
struct session {
    struct plan plan;
    struct scenario *scenario;
    struct http *http; // NULL: the scenario needs none
    struct history_head head;
    struct history_writer *writer;
    struct measure measure;
    struct run_result result;
    struct verdict verdict;
    struct summary_fact facts[FACTS_MAX];
    size_t n_facts;
    const char *urls[HISTORY_TARGETS_MAX];
    bool history_failed, report_failed;
};

static int complain(const char *error)
{
    report_error("run", error);
    return EXIT_ERROR;
}

static void session_release(struct session *session)
{
    verdict_release(&session->verdict);
    measure_release(&session->measure);
    history_free(session->writer);
    scenario_free(session->scenario);
    http_free(session->http);
    free(session->head.counters);
}

// ---- before the load ----------------------------------------------------------------------------

// Raises the soft limit of open files, which is often 1,024, because each connection is a file.
static bool raise_file_limit(int64_t connections, char *ret_error)
{
    struct rlimit files;
    rlim_t wanted = (rlim_t)connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
        return true;
    files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= wanted)
        return true;
    (void)text_format(ret_error, HISTORY_ERROR_MAX,
                      "--connections: %" PRId64
                      " is more than this process may open (%llu files); raise the limit with "
                      "ulimit -n",
                      connections, (unsigned long long)files.rlim_max);
    return false;
}

// Whether the reports can be written: better known before a long run than after it.
static bool check_paths(const struct plan *plan, char *ret_error)
{
    return (plan->json_path == NULL || report_can_save(plan->json_path, ret_error)) &&
           (plan->html_path == NULL || report_can_save(plan->html_path, ret_error));
}

static bool set_up(struct session *session, char *ret_error)
{
    struct plan *plan = &session->plan;
    struct history_head *head = &session->head;
    if (!scenario_new(plan, &session->scenario, ret_error) ||
        !raise_file_limit(plan->connections * (plan->routed ? (int64_t)plan->n_targets : 1),
                          ret_error))
        return false;
    (void)text_copy(head->run, sizeof head->run, plan->run);
    (void)text_copy(head->scenario, sizeof head->scenario, scenario_kind_name(plan->scenario));
    head->proxied = plan->proxied;
    head->n_targets = plan->n_targets;
    for (size_t i = 0; i < plan->n_targets; i++) {
        session->urls[i] = plan->targets[i].url;
        (void)text_copy(head->targets[i], sizeof head->targets[i], plan->targets[i].url);
    }
    if (!scenario_kind_checkable(plan->scenario))
        return true;
    const char *token = plan->admin_token != NULL ? plan->admin_token : plan->client_token;
    session->http = http_new(session->urls, plan->n_targets, token, plan->timeout_ns);
    if (session->http == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    return setup_resources(plan, scenario_resources(session->scenario), session->http, head,
                           ret_error);
}

static bool begin_history(struct session *session, char *ret_error)
{
    const struct plan *plan = &session->plan;
    session->head.started_at_ms = clock_wall_ms();
    if (plan->history_path == NULL && !plan->check)
        return true;
    return history_create(plan->history_path, &session->head, &session->writer, ret_error);
}

// ---- after the load -----------------------------------------------------------------------------

static void end_history(struct session *session)
{
    char error[HISTORY_ERROR_MAX];
    struct buffer line CLEANUP(buffer_release) = {0};
    if (session->writer == NULL || history_finish(session->writer, session->result.attempts, error))
        return;
    session->history_failed = true;
    const char *path = session->plan.history_path;
    buffer_format(&line, "%s: %s", path != NULL ? path : "temporary file", error);
    report_error("run", line.data != NULL ? line.data : error);
}

static void check_session(struct session *session)
{
    struct verdict *verdict = &session->verdict;
    struct history history CLEANUP(history_release) = {.whole = false};
    struct ledger ledger CLEANUP(ledger_release) = {.n_rows = 0};
    const struct check_options options = {.allow_foreign = session->plan.allow_foreign};
    char error[HISTORY_ERROR_MAX];
    http_stop_on_interrupt(session->http);
    if (session->history_failed)
        (void)text_copy(verdict->why_not, sizeof verdict->why_not,
                        "the history could not be written");
    else if (!history_read_file(history_descriptor(session->writer), &history, error) ||
             !ledger_fetch(session->http, &history.head, &ledger, error))
        (void)text_copy(verdict->why_not, sizeof verdict->why_not, error);
    else
        check_history(&history, &ledger, &options, verdict);
    session->result.interrupted |= http_was_interrupted(session->http) || interrupt_take(0);
}

static void add_fact(struct session *session, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void add_fact(struct session *session, const char *name, const char *format, ...)
{
    if (session->n_facts == FACTS_MAX)
        return;
    struct summary_fact *fact = &session->facts[session->n_facts++];
    (void)text_copy(fact->name, sizeof fact->name, name);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fact->value, sizeof fact->value, format, arguments);
    va_end(arguments);
}

static void add_facts(struct session *session)
{
    const struct plan *plan = &session->plan;
    if (plan->arrival == ARRIVAL_OPEN)
        add_fact(session, "rate", "%g/s, %s", plan->rate, plan->poisson ? "Poisson" : "even");
    if (plan->arrival == ARRIVAL_RAMP)
        add_fact(session, "rate", "%g/s to %g/s, %s", plan->rate, plan->rate_to,
                 plan->poisson ? "Poisson" : "even");
    add_fact(session, "connections", "%" PRId64 "%s", plan->connections,
             plan->routed ? " to each URL, routed by resource" : "");
    if (plan->requests > 0)
        add_fact(session, "operations", "%" PRId64 " at most", plan->requests);
    if (plan->duration_ns > 0)
        add_fact(session, "duration", "%g s", (double)plan->duration_ns / (double)NS_PER_S);
    if (plan->retries > 0)
        add_fact(session, "retry", "up to %" PRId64 " times", plan->retries);
    if (plan->duplicate > 0)
        add_fact(session, "duplicate", "%g %%", 100 * plan->duplicate);
    if (plan->think_ns > 0)
        add_fact(session, "think", "%g ms", (double)plan->think_ns / (double)NS_PER_MS);
    add_fact(session, "timeout", "%g s", (double)plan->timeout_ns / (double)NS_PER_S);
    add_fact(session, "threads", "%" PRId64, plan->threads);
    add_fact(session, "seed", "%" PRIu64, plan->seed);
    if (plan->strategy != NULL)
        add_fact(session, "strategy", "%s", plan->strategy);
    add_fact(session, "resources", "%zu counters", session->head.n_counters);
}

static void summarize(struct session *session, struct summary *ret_summary)
{
    const struct plan *plan = &session->plan;
    add_facts(session);
    *ret_summary = (struct summary){
        .run = plan->run,
        .scenario = scenario_kind_name(plan->scenario),
        .arrival = arrival_name(plan->arrival),
        .targets = session->urls,
        .n_targets = plan->n_targets,
        .facts = session->facts,
        .n_facts = session->n_facts,
        .connections = plan->connections,
        .started_at_ms = session->head.started_at_ms,
        .duration_s = session->result.duration_s,
        .interrupted = session->result.interrupted,
        .open_loop = arrival_is_scheduled(plan),
        .measure = &session->measure,
        .verdict = plan->check ? &session->verdict : NULL,
        .history_path = plan->history_path,
    };
    if (!plan->expect_refusals)
        (void)undone_find(&session->measure, ret_summary->undone);
    for (size_t i = 0; i < plan->n_requirements; i++)
        ret_summary->requirements[ret_summary->n_requirements++] =
            requirement_judge(&plan->requirements[i], ret_summary);
}

static void save(struct session *session, const char *path, const struct buffer *text)
{
    char error[HISTORY_ERROR_MAX];
    if (report_save(path, text, error))
        return;
    session->report_failed = true;
    report_error("run", error);
}

static void report(struct session *session, const struct summary *summary)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    report_table(summary, &text);
    if (!report_print(stdout, &text))
        session->report_failed = true;
    if (session->plan.json_path != NULL) {
        buffer_clear(&text);
        report_json(summary, &text);
        save(session, session->plan.json_path, &text);
    }
    if (session->plan.html_path != NULL) {
        buffer_clear(&text);
        report_html(summary, &text);
        save(session, session->plan.html_path, &text);
    }
}

static int judge(const struct session *session, const struct summary *summary)
{
    bool met = true;
    for (size_t i = 0; i < summary->n_requirements; i++)
        met = met && summary->requirements[i].holds;
    int64_t answered = (int64_t)session->measure.latency.count - session->measure.statuses[0];
    if (session->verdict.done && session->verdict.violations > 0)
        return EXIT_VIOLATION;
    bool unchecked = session->plan.check && !session->verdict.done;
    if (session->history_failed || session->report_failed || answered == 0 ||
        (unchecked && !http_was_interrupted(session->http)))
        return EXIT_ERROR;
    if (unchecked)
        return EXIT_INTERRUPTED;
    if (!met || summary->undone[0] != '\0' || session->measure.malformed > 0)
        return EXIT_VIOLATION;
    return session->result.interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}

static int run(struct session *session)
{
    char error[HISTORY_ERROR_MAX] = "";
    if (!check_paths(&session->plan, error) || !set_up(session, error) ||
        !begin_history(session, error))
        return complain(error);
    if (!measure_init(&session->measure))
        return complain("out of memory");
    if (!run_load(&session->plan, session->scenario, &session->head, session->writer,
                  &session->measure, &session->result, error))
        return complain(error);
    end_history(session);
    if (session->plan.check)
        check_session(session);
    struct summary summary;
    summarize(session, &summary);
    report(session, &summary);
    return judge(session, &summary);
}

int command_run(int argc, char **argv)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return complain("out of memory");
    char error[HISTORY_ERROR_MAX];
    int code = EXIT_OK;
    switch (options_parse(argc, argv, &session->plan, error)) {
    case OPTIONS_HELP:
        options_help(stdout);
        break;
    case OPTIONS_WRONG:
        code = complain(error);
        break;
    case OPTIONS_RUN:
        code = run(session);
        break;
    }
    session_release(session);
    free(session);
    return code;
}
