// What a command line implies, and what it cannot mean. A flag without an effect is an error too:
// who gave it believes that it had one. Each sentence says what to do instead.
#include "run/options_parts.h"

#include "base/clock.h"
#include "base/text.h"
#include "run/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RAMP_DURATION_NS (10 * NS_PER_S)
#define ID_MAX 64

static bool wrong(char *ret_error, const char *format, ...) PRINTF_LIKE(2, 3);

static bool wrong(char *ret_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret_error, HISTORY_ERROR_MAX, format, args);
    va_end(args);
    return false;
}

static bool check_scenario(struct plan *plan, const bool *given, char *ret_error)
{
    if (given[FLAG_TEMPLATE] && !given[FLAG_SCENARIO])
        plan->scenario = scenario_kind_find("template");
    unsigned uses = scenario_kind_uses(plan->scenario);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &options_flags[i];
        if (!given[i] || flag->uses == 0 || (flag->uses & uses) != 0)
            continue;
        char names[128];
        scenario_kinds_list(flag->uses, names, sizeof names);
        return wrong(
            ret_error,
            "%s has no effect in the scenario %s: leave it out, or choose one of these with "
            "--scenario: %s",
            flag->name, scenario_kind_name(plan->scenario), names);
    }
    if ((uses & USES_TEMPLATE) && !given[FLAG_TEMPLATE])
        return wrong(ret_error, "--scenario template needs the request: --template FILE");
    if (given[FLAG_ZIPF] && !given[FLAG_SPREAD])
        plan->spread = SPREAD_ZIPF;
    if (given[FLAG_ZIPF] && plan->spread != SPREAD_ZIPF)
        return wrong(ret_error, "--zipf has no effect with --spread even: leave out one of them");
    if (plan->spread == SPREAD_ZIPF && plan->skus == 1)
        return wrong(ret_error,
                     "a Zipf spread needs several products: give --skus, as --skus 1000");
    return true;
}

static bool check_resources(const struct plan *plan, const bool *given, char *ret_error)
{
    if (!plan->set_up && plan->resource == NULL)
        return wrong(ret_error, "--no-setup uses what exists: say what with --resource NAME");
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (given[i] && options_flags[i].creates && !plan->set_up)
            return wrong(ret_error,
                         "%s has no effect with --no-setup, which changes nothing that exists: "
                         "leave out one of them",
                         options_flags[i].name);
    }
    char number[24];
    text_format(number, sizeof number, "-%lld", (long long)plan->skus);
    if (plan->resource != NULL && plan->skus > 1 &&
        strlen(plan->resource) + strlen(number) > ID_MAX)
        return wrong(ret_error,
                     "--resource: with '%s' behind it the name is longer than %d bytes: "
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
        return wrong(ret_error, "--arrival ramp needs two rates, as --rate 100..2000");
    if (plan->arrival == ARRIVAL_OPEN && ramp)
        return wrong(ret_error, "--rate FROM..TO is a ramp: say --arrival ramp, or give one rate");
    if (plan->arrival != ARRIVAL_RAMP && plan->arrival != ARRIVAL_OPEN)
        return wrong(ret_error,
                     "--rate has no effect with --arrival %s, whose rate follows from the answers: "
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
    bool scheduled = plan->arrival == ARRIVAL_OPEN || plan->arrival == ARRIVAL_RAMP;
    const char *name = arrival_name(plan->arrival);
    if (scheduled && !given[FLAG_RATE])
        return wrong(ret_error, "--arrival %s needs its rate, as --rate %s", name,
                     plan->arrival == ARRIVAL_RAMP ? "100..2000" : "500");
    if (given[FLAG_SPACING] && !scheduled)
        return wrong(ret_error,
                     "--spacing has no effect with --arrival %s: leave it out, or give --rate",
                     name);
    if (given[FLAG_THINK] && scheduled)
        return wrong(ret_error,
                     "--think has no effect with --arrival %s, which begins operations by its "
                     "schedule: leave it out, or say --arrival closed without --rate",
                     name);
    if (given[FLAG_TRIES] && given[FLAG_REQUESTS])
        return wrong(ret_error, "--tries has no effect with --requests: leave out one of them "
                                "(a run has --users times --tries requests)");
    if (plan->arrival == ARRIVAL_RAMP && !given[FLAG_DURATION])
        plan->duration_ns = RAMP_DURATION_NS;
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
            return wrong(ret_error,
                         "--require violations cannot be met: the scenario %s is not checked; "
                         "leave it out, or choose another --scenario",
                         scenario_kind_name(plan->scenario));
        return wrong(ret_error, "--require violations cannot be met with --no-check: leave out one "
                                "of them");
    }
    if (given[FLAG_ALLOW_FOREIGN] && !plan->check)
        return wrong(ret_error,
                     "--allow-foreign has no effect where nothing is checked: leave it "
                     "out%s",
                     given[FLAG_NO_CHECK] ? ", or leave out --no-check" : "");
    return true;
}

// Two reports in one file: the second would take the place of the first.
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
                strcmp(files[i].path, files[j].path) == 0)
                return wrong(ret_error, "%s and %s both name the file %.200s: give each its own",
                             files[j].flag, files[i].flag, files[i].path);
        }
    }
    return true;
}

bool options_check(struct plan *plan, const bool given[FLAG_COUNT], char *ret_error)
{
    return check_scenario(plan, given, ret_error) && check_resources(plan, given, ret_error) &&
           check_arrival(plan, given, ret_error) && check_verdict(plan, given, ret_error) &&
           check_files(plan, ret_error);
}
