// Parses the command line of `holdfast-load run`.
//
// Problem: a load test with a mistyped or ineffective flag measures something other than its author
// believes.
//
// Approach: each value is checked as it is read (flags.c). The parser records which flags were
// given, so that check_options can reject flags that contradict each other or have no effect; each
// message says what to do instead. Last come the defaults, some of which depend on each other. No
// flag is ignored silently.
//
// What breaks it: a value that begins with two dashes must be written --name=VALUE.
#include "run/options.h"

#include "base/clock.h"
#include "base/text.h"
#include "report/report.h"
#include "run/arrival.h"
#include "run/defaults.h"
#include "run/flags.h"
#include "run/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_NAME_MAX 24 // bytes; longer names resemble no flag
#define DEFAULT_URL "http://127.0.0.1:8080"

#define RAMP_DURATION_NS (10 * NS_PER_S)

// ---- help ---------------------------------------------------------------------------------------

void options_help(FILE *out)
{
    (void)fputs("Usage: holdfast-load run [URL ...] [flags]\n\n"
                "Puts load on a Holdfast service, measures it, and checks that nothing was lost,\n"
                "applied twice or oversold. Other HTTP services can be measured with --template.\n"
                "URL: http://HOST[:PORT][/PREFIX] (http://127.0.0.1:8080). With several URLs, the\n"
                "connections are shared out among them. Defaults are in parentheses.\n",
                out);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &run_flags[i];
        char left[40];
        if (flag->heading != NULL)
            (void)fprintf(out, "\n%s:\n", flag->heading);
        (void)text_format(left, sizeof left, "%s %s", flag->name, flag->value ? flag->value : "");
        (void)fprintf(out, "  %-24s %s\n", left, flag->help);
    }
    (void)fputs("\nScenarios:\n", out);
    scenario_help(out);
    (void)fputs("\nArrivals:\n"
                "  latch      opens all connections, then sends all requests at the same instant\n"
                "  closed     one user per connection, waiting for each answer\n"
                "  open       operations begin on schedule, even if the server cannot keep up\n"
                "  ramp       an open loop whose rate changes evenly over the duration\n"
                "\nRequirements:\n",
                out);
    requirement_help(out);
}

// ---- reading ------------------------------------------------------------------------------------

struct command_line {
    int argc;
    char **argv;
    int at;
    bool given[FLAG_COUNT];
    struct plan plan;
    char *error;
};

// The Levenshtein distance between two names, each cut to FLAG_NAME_MAX bytes.
static size_t distance(const char *a, const char *b)
{
    size_t row[FLAG_NAME_MAX + 1];
    size_t length = strnlen(b, FLAG_NAME_MAX);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0' && i < FLAG_NAME_MAX; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t substituted = diagonal + (a[i] != b[j]);
            size_t moved = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = substituted < moved ? substituted : moved;
        }
    }
    return row[length];
}

static bool unknown_flag(struct command_line *line, const char *name)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 1;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        size_t far = distance(name, run_flags[i].name);
        if (far < best) {
            best = far;
            nearest = run_flags[i].name;
        }
    }
    if (nearest != NULL)
        (void)text_format(line->error, HISTORY_ERROR_MAX,
                          "there is no flag '%.60s'; did you mean %s?", name, nearest);
    else
        (void)text_format(line->error, HISTORY_ERROR_MAX,
                          "there is no flag '%.60s'; `holdfast-load run --help` lists all of them",
                          name);
    return false;
}

static bool add_target(struct command_line *line, const char *url)
{
    struct plan *plan = &line->plan;
    if (plan->n_targets == HISTORY_TARGETS_MAX) {
        (void)text_format(line->error, HISTORY_ERROR_MAX, "target '%.120s': at most %d targets",
                          url, HISTORY_TARGETS_MAX);
        return false;
    }
    return target_parse(url, &plan->targets[plan->n_targets++], line->error);
}

static bool complain(struct command_line *line, const struct flag *flag, const char *what)
{
    (void)text_format(line->error, HISTORY_ERROR_MAX, "%s %s", flag->name, what);
    return false;
}

// Stores the flag's value: the text after "=", or the next argument.
static bool take_value(struct command_line *line, const struct flag *flag, const char *equals)
{
    if (flag->value == NULL) {
        if (equals != NULL)
            return complain(line, flag, "takes no value");
        *(bool *)((char *)&line->plan + flag->offset) = flag->min != 0;
        return true;
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (value == NULL) {
        if (line->at == line->argc || strncmp(line->argv[line->at], "--", 2) == 0) {
            (void)text_format(line->error, HISTORY_ERROR_MAX, "%s needs a value: %s %s", flag->name,
                              flag->name, flag->value);
            return false;
        }
        value = line->argv[line->at++];
    }
    return flag->read(flag, value, &line->plan, line->error);
}

static bool take_flag(struct command_line *line, const char *argument)
{
    char name[2 * FLAG_NAME_MAX];
    const char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
    (void)text_format(name, sizeof name, "%.*s", (int)length, argument);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (strcmp(run_flags[i].name, name) != 0)
            continue;
        if (line->given[i] && i != FLAG_REQUIRE)
            return complain(line, &run_flags[i], "was given twice: leave out one of them");
        line->given[i] = true;
        return i == FLAG_HELP || take_value(line, &run_flags[i], equals);
    }
    return unknown_flag(line, name);
}

// Reads the tokens from the environment, unless a flag gives them. Ignores empty variables.
static bool take_tokens(struct command_line *line)
{
    static const struct {
        enum flag_id id;
        const char *variable;
    } tokens[] = {{FLAG_ADMIN_TOKEN, "HOLDFAST_AUTH_ADMIN_TOKEN"},
                  {FLAG_CLIENT_TOKEN, "HOLDFAST_AUTH_CLIENT_TOKEN"}};
    for (size_t i = 0; i < ARRAY_LENGTH(tokens); i++) {
        struct flag flag = run_flags[tokens[i].id];
        const char *text = getenv(tokens[i].variable);
        flag.name = tokens[i].variable;
        if (line->given[tokens[i].id] || text == NULL || *text == '\0')
            continue;
        if (!flag.read(&flag, text, &line->plan, line->error))
            return false;
    }
    return true;
}

// ---- flags that contradict each other -----------------------------------------------------------

static bool rejected(char *ret_error, const char *format, ...) PRINTF_LIKE(2, 3);

static bool rejected(char *ret_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret_error, HISTORY_ERROR_MAX, format, args);
    va_end(args);
    return false;
}

// A Zipf spread needs several products or accounts, whichever the scenario uses.
static bool check_spread(struct plan *plan, const bool *given, char *ret_error)
{
    unsigned uses = scenario_kind_uses(plan->scenario);
    bool stock = (uses & USES_STOCK) != 0, points = (uses & USES_POINTS) != 0;
    if (given[FLAG_ZIPF] && !given[FLAG_SPREAD])
        plan->spread = SPREAD_ZIPF;
    if (given[FLAG_ZIPF] && plan->spread != SPREAD_ZIPF)
        return rejected(ret_error,
                        "--zipf has no effect with --spread even: leave out one of them");
    if (plan->spread == SPREAD_ZIPF && (!stock || plan->skus == 1) &&
        (!points || plan->accounts == 1))
        return rejected(ret_error, "a Zipf spread needs several %s, such as %s",
                        stock ? "products: give --skus" : "accounts: give --accounts",
                        stock ? "--skus 1000" : "--accounts 1000");
    return true;
}

// The scenario must have the kinds that the list names, and transfers need a second account.
static bool check_mix(const struct plan *plan, const bool *given, char *ret_error)
{
    const int64_t *known = scenario_kind_mix(plan->scenario);
    const int64_t *mix = given[FLAG_MIX] ? plan->mix : known;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (mix[i] > 0 && known[i] == 0)
            return rejected(
                ret_error, "--mix: scenario %s has no %s: leave it out, or say --scenario mixed",
                scenario_kind_name(plan->scenario), attempt_kind_name((enum attempt_kind)i));
    }
    if (mix[KIND_TRANSFER] > 0 && plan->accounts == 1)
        return rejected(ret_error, "--accounts 1 leaves a transfer no second account: give more "
                                   "accounts, or a --mix without transfer, such as earn=1,spend=1");
    return true;
}

// Shares that belong to one choice, and a choice that is made twice.
static bool check_shares(const struct plan *plan, const bool *given, char *ret_error)
{
    if (plan->cancel + plan->refund > 1)
        return rejected(ret_error, "--cancel and --refund are shares of the same orders: together "
                                   "they must be at most 1");
    if (given[FLAG_LEAVE] && given[FLAG_THEN] && plan->then[THEN_LEAVE] > 0)
        return rejected(ret_error, "--leave and the weight of leave in --then say the same: "
                                   "leave out one of them");
    return true;
}

static bool check_scenario(struct plan *plan, const bool *given, char *ret_error)
{
    if (given[FLAG_TEMPLATE] && !given[FLAG_SCENARIO])
        plan->scenario = scenario_kind_find("template");
    unsigned uses = scenario_kind_uses(plan->scenario);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &run_flags[i];
        if (!given[i] || flag->uses == 0 || (flag->uses & uses) != 0)
            continue;
        char names[128];
        scenario_kinds_list(flag->uses, names, sizeof names);
        return rejected(
            ret_error,
            "%s has no effect in scenario %s: leave it out, or choose one of these with "
            "--scenario: %s",
            flag->name, scenario_kind_name(plan->scenario), names);
    }
    if ((uses & USES_TEMPLATE) && !given[FLAG_TEMPLATE])
        return rejected(ret_error, "--scenario template needs the request: --template FILE");
    return check_spread(plan, given, ret_error) && check_mix(plan, given, ret_error) &&
           check_shares(plan, given, ret_error);
}

static bool check_resources(const struct plan *plan, const bool *given, char *ret_error)
{
    if (!plan->set_up && plan->resource == NULL)
        return rejected(ret_error,
                        "--no-setup uses an existing resource: name it with --resource NAME");
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (given[i] && run_flags[i].creates && !plan->set_up)
            return rejected(ret_error,
                            "%s has no effect with --no-setup, which creates and changes nothing: "
                            "leave out one of them",
                            run_flags[i].name);
    }
    unsigned uses = scenario_kind_uses(plan->scenario);
    int64_t most = uses & USES_STOCK ? plan->skus : 1;
    if ((uses & USES_POINTS) && plan->accounts > most)
        most = plan->accounts;
    char number[24];
    text_format(number, sizeof number, "-%lld", (long long)most);
    if (plan->resource != NULL && most > 1 && strlen(plan->resource) + strlen(number) > ID_MAX)
        return rejected(ret_error,
                        "--resource: with '%s' appended the name is longer than %d bytes: "
                        "give a shorter one",
                        number, ID_MAX);
    return true;
}

static bool check_rate(struct plan *plan, const bool *given, char *ret_error)
{
    bool ramp = plan->rate_to >= 0;
    if (!given[FLAG_ARRIVAL])
        plan->arrival = ramp ? ARRIVAL_RAMP : ARRIVAL_OPEN;
    if (plan->arrival == ARRIVAL_RAMP && !ramp)
        return rejected(ret_error, "--arrival ramp needs two rates, such as --rate 100..2000");
    if (plan->arrival == ARRIVAL_OPEN && ramp)
        return rejected(ret_error,
                        "--rate FROM..TO is a ramp: say --arrival ramp, or give one rate");
    if (!arrival_is_scheduled(plan))
        return rejected(
            ret_error,
            "--rate has no effect with --arrival %s, whose rate depends on the answers: "
            "leave out one of them, or say --arrival open",
            arrival_name(plan->arrival));
    if (!ramp)
        plan->rate_to = plan->rate;
    return true;
}

static bool check_arrival(struct plan *plan, const bool *given, char *ret_error)
{
    if (given[FLAG_RATE] && !check_rate(plan, given, ret_error))
        return false;
    bool scheduled = arrival_is_scheduled(plan);
    const char *name = arrival_name(plan->arrival);
    if (scheduled && !given[FLAG_RATE])
        return rejected(ret_error, "--arrival %s needs a rate, such as --rate %s", name,
                        plan->arrival == ARRIVAL_RAMP ? "100..2000" : "500");
    if (given[FLAG_SPACING] && !scheduled)
        return rejected(ret_error,
                        "--spacing has no effect with --arrival %s: leave it out, or give --rate",
                        name);
    if (given[FLAG_THINK] && scheduled)
        return rejected(ret_error,
                        "--think has no effect with --arrival %s, which begins operations by a "
                        "schedule: leave it out, or say --arrival closed without --rate",
                        name);
    if (given[FLAG_TRIES] && given[FLAG_REQUESTS])
        return rejected(ret_error, "--tries has no effect with --requests: leave out one of them "
                                   "(a run has --users times --tries requests)");
    if (plan->arrival == ARRIVAL_RAMP && !given[FLAG_DURATION])
        plan->duration_ns = RAMP_DURATION_NS;
    return true;
}

static bool check_route(const struct plan *plan, const bool *given, char *ret_error)
{
    if (given[FLAG_ROUTE] && plan->n_targets < 2)
        return rejected(ret_error, "--route has no effect with one URL: give several, or leave it "
                                   "out");
    if (plan->routed && plan->arrival == ARRIVAL_LATCH)
        return rejected(ret_error, "--route resource opens more connections than a latch has "
                                   "requests: leave out one of them");
    return true;
}

// The checker finds the run's operations in the ledger by their keys.
static bool check_keys(const struct plan *plan, const bool *given, char *ret_error)
{
    if (plan->keys == KEYS_RUN)
        return true;
    if (plan->check && scenario_kind_checkable(plan->scenario))
        return rejected(ret_error, "--keys: only a history with the keys RUN-n can be checked: "
                                   "add --no-check, or leave out --keys");
    if (given[FLAG_HISTORY])
        return rejected(ret_error, "--history with other --keys than RUN-n could not be read: "
                                   "leave out one of them");
    return true;
}

static bool check_verdict(struct plan *plan, const bool *given, char *ret_error)
{
    bool checkable = scenario_kind_checkable(plan->scenario);
    plan->check = plan->check && checkable;
    for (size_t i = 0; i < plan->n_requirements; i++) {
        const char *text = plan->requirements[i].text;
        text += strspn(text, " ");
        if (plan->check || strncmp(text, "violations", strlen("violations")) != 0)
            continue;
        if (!checkable)
            return rejected(
                ret_error,
                "--require violations cannot be met, because scenario %s is not checked: "
                "leave it out, or choose another --scenario",
                scenario_kind_name(plan->scenario));
        return rejected(ret_error,
                        "--require violations cannot be met with --no-check: leave out one "
                        "of them");
    }
    if (given[FLAG_ALLOW_FOREIGN] && !plan->check)
        return rejected(ret_error,
                        "--allow-foreign has no effect when nothing is checked: leave it "
                        "out%s",
                        given[FLAG_NO_CHECK] ? ", or leave out --no-check" : "");
    return true;
}

// One file for two: a report would overwrite another one, or the template.
static bool check_files(const struct plan *plan, char *ret_error)
{
    const struct {
        const char *flag, *path;
    } files[] = {{"--template", plan->template_path},
                 {"--history", plan->history_path},
                 {"--json", plan->json_path},
                 {"--html", plan->html_path}};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        for (size_t j = 0; j < i; j++) {
            if (files[i].path != NULL && files[j].path != NULL &&
                report_same_file(files[i].path, files[j].path))
                return rejected(ret_error, "%s and %s both name the file %.200s: give each its own",
                                files[j].flag, files[i].flag, files[i].path);
        }
    }
    return true;
}

static bool check_options(struct plan *plan, const bool *given, char *ret_error)
{
    return check_scenario(plan, given, ret_error) && check_resources(plan, given, ret_error) &&
           check_arrival(plan, given, ret_error) && check_route(plan, given, ret_error) &&
           check_keys(plan, given, ret_error) && check_verdict(plan, given, ret_error) &&
           check_files(plan, ret_error);
}

// ---- all of it ----------------------------------------------------------------------------------

enum options_result options_parse(int argc, char **argv, struct plan *ret_plan, char *ret_error)
{
    struct command_line line = {.argc = argc, .argv = argv, .at = 1, .error = ret_error};
    defaults_set(&line.plan);
    while (line.at < argc) {
        const char *argument = argv[line.at++];
        bool taken = argument[0] == '-' ? take_flag(&line, argument) : add_target(&line, argument);
        if (!taken)
            return OPTIONS_WRONG;
        if (line.given[FLAG_HELP])
            return OPTIONS_HELP;
    }
    if (line.plan.n_targets == 0 && !add_target(&line, DEFAULT_URL))
        return OPTIONS_WRONG;
    if (!take_tokens(&line) || !check_options(&line.plan, line.given, ret_error) ||
        !defaults_complete(&line.plan, line.given[FLAG_MIX], ret_error))
        return OPTIONS_WRONG;
    *ret_plan = line.plan;
    return OPTIONS_RUN;
}
