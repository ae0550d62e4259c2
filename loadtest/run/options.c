// Problem: a load test with a mistyped flag measures something else than its author believes.
//
// Approach: the flags are a table (options_flags.c); each value is checked as it is read, and which
// flags were given is remembered, so that options_check can refuse those that contradict each other
// or have no effect. Then the defaults are filled in. Nothing is skipped in silence.
//
// What breaks it: a value that begins with two dashes must be written --name=VALUE.
#include "run/options.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "run/options_parts.h"
#include "run/scenario.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 24 // of a flag that is near another one
#define RUN_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define RUN_LENGTH 6
#define DEFAULT_URL "http://127.0.0.1:8080"

struct command_line {
    int argc;
    char **argv;
    int at;
    bool given[FLAG_COUNT];
    struct plan plan;
    char *error;
};

// Levenshtein's distance. Longer names are cut: they are near nothing.
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t length = strnlen(b, NAME_MAX_BYTES);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0' && i < NAME_MAX_BYTES; i++) {
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
        size_t far = distance(name, options_flags[i].name);
        if (far < best) {
            best = far;
            nearest = options_flags[i].name;
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
    return options_read_target(url, &plan->targets[plan->n_targets++], line->error);
}

static bool flag_complaint(struct command_line *line, const struct flag *flag, const char *what)
{
    (void)text_format(line->error, HISTORY_ERROR_MAX, "%s %s", flag->name, what);
    return false;
}

// Stores the flag's value: what stands behind "=", or the next argument.
static bool take_value(struct command_line *line, const struct flag *flag, const char *equals)
{
    if (flag->value == NULL) {
        if (equals != NULL)
            return flag_complaint(line, flag, "takes no value");
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
    char name[2 * NAME_MAX_BYTES];
    const char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
    (void)text_format(name, sizeof name, "%.*s", (int)length, argument);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (strcmp(options_flags[i].name, name) != 0)
            continue;
        if (line->given[i] && i != FLAG_REQUIRE)
            return flag_complaint(line, &options_flags[i],
                                  "was given twice: leave out one of them");
        line->given[i] = true;
        return i == FLAG_HELP || take_value(line, &options_flags[i], equals);
    }
    return unknown_flag(line, name);
}

static void set_defaults(struct plan *plan)
{
    *plan = (struct plan){
        .scenario = scenario_kind_find("deduct"),
        .set_up = true,
        .skus = 1,
        .stock = PLAN_OPEN,
        .quantity = 1,
        .zipf_exponent = 0.99,
        .users = 1000,
        .tries = PLAN_OPEN,
        .total = PLAN_OPEN,
        .per_user_limit = 1,
        .prizes = {{"gold", 1, 1}, {"silver", 10, 19}},
        .n_prizes = 2,
        .blank_weight = 80,
        .mix = {[KIND_DEDUCT] = 60, [KIND_READ] = 15, [KIND_ISSUE] = 15, [KIND_DRAW] = 10},
        .arrival = ARRIVAL_CLOSED,
        .connections = PLAN_OPEN,
        .requests = PLAN_OPEN,
        .duration_ns = PLAN_OPEN,
        .poisson = true,
        .timeout_ns = 5 * NS_PER_S,
        .threads = 1,
        .seed = random_below(UINT64_C(1000000000)),
        .check = true,
    };
    for (size_t i = 0; i < RUN_LENGTH; i++)
        plan->run[i] = RUN_LETTERS[random_below(strlen(RUN_LETTERS))];
}

// What is set in the environment and not empty, where no flag says otherwise.
static bool take_tokens(struct command_line *line)
{
    static const struct {
        enum flag_id id;
        const char *variable;
    } tokens[] = {{FLAG_ADMIN_TOKEN, "HOLDFAST_AUTH_ADMIN_TOKEN"},
                  {FLAG_CLIENT_TOKEN, "HOLDFAST_AUTH_CLIENT_TOKEN"}};
    for (size_t i = 0; i < ARRAY_LENGTH(tokens); i++) {
        struct flag flag = options_flags[tokens[i].id];
        const char *text = getenv(tokens[i].variable);
        flag.name = tokens[i].variable;
        if (line->given[tokens[i].id] || text == NULL || *text == '\0')
            continue;
        if (!flag.read(&flag, text, &line->plan, line->error))
            return false;
    }
    return true;
}

enum options_result options_parse(int argc, char **argv, struct plan *ret_plan, char *ret_error)
{
    struct command_line line = {.argc = argc, .argv = argv, .at = 1, .error = ret_error};
    set_defaults(&line.plan);
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
    if (!take_tokens(&line) || !options_check(&line.plan, line.given, ret_error) ||
        !plan_complete(&line.plan, ret_error))
        return OPTIONS_WRONG;
    *ret_plan = line.plan;
    return OPTIONS_RUN;
}
