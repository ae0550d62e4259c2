// The calls of the laboratory: start a run, watch it, step it, cancel it. They exist in laboratory
// mode only. None of them needs the shop's engine: a wait is the laboratory's own (http/lab/lab.h).
#include "http/lab/lab.h"
#include "http/api/handlers.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "guard/strategy/registry.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/counter.h"

#include <string.h>

#define EVENTS_DEFAULT 2000
#define EVENTS_MAX 5000
#define WAIT_MS_MAX 30000
#define STEP_WAIT_NS (500 * NS_PER_MS)
#define RUN_LIMIT_MS 60000 // of think_ms, over all buyers and workers
#define SEED_MAX INT64_C(1000000000)

// ---- what can be run ----------------------------------------------------------------------------

static void write_strategies(struct call *call)
{
    struct buffer *out = &call->reply;
    json_write_open(out, "strategies", '[');
    for (size_t i = 0; strategies[i] != NULL; i++) {
        struct buffer sql CLEANUP(buffer_release) = {0};
        char why[GUARD_ERROR_MAX] = "";
        bool usable = engine_can_use(call->context->engine, strategies[i], why) == RC_OK;
        counter_describe_save(strategies[i]->rule, &sql);
        json_write_open(out, NULL, '{');
        json_write_text(out, "strategy", strategies[i]->name);
        json_write_text(out, "summary", strategies[i]->summary);
        json_write_text(out, "rule", update_rules[strategies[i]->rule].name);
        json_write_text(out, "sql", sql.data != NULL ? sql.data : "");
        json_write_bool(out, "available", usable);
        json_write_text(out, "why_not", why);
        json_write_close(out, '}');
        out->failed |= sql.failed;
    }
    json_write_close(out, ']');
}

static void write_scenario(struct buffer *out, const struct lab_scenario *scenario)
{
    json_write_open(out, NULL, '{');
    json_write_text(out, "scenario", scenario->name);
    json_write_text(out, "title", scenario->title);
    json_write_text(out, "summary", scenario->summary);
    json_write_text(out, "verb", scenario->verb);
    json_write_text(out, "counter", scenario->counter);
    json_write_open(out, "strategies", '[');
    for (size_t i = 0; strategies[i] != NULL; i++) {
        if (lab_scenario_suits(scenario, strategies[i]))
            json_write_text(out, NULL, strategies[i]->name);
    }
    json_write_close(out, ']');
    lab_settings_write(&scenario->harmful, "harmful", out);
    lab_settings_write(&scenario->safe, "safe", out);
    json_write_close(out, '}');
}

void lab_list_answer(struct call *call)
{
    struct buffer *out = &call->reply;
    json_write_open(out, NULL, '{');
    json_write_bool(out, "open", true);
    write_strategies(call);
    json_write_open(out, "scenarios", '[');
    for (const struct lab_scenario *scenario = lab_scenarios; scenario->name != NULL; scenario++)
        write_scenario(out, scenario);
    json_write_close(out, ']');
    if (lab_write(call->context->laboratory, NULL, 0, -1, "run", out) != RC_OK)
        out->failed = true;
    json_write_close(out, '}');
    call->status = 200;
}

// ---- start --------------------------------------------------------------------------------------

static enum rc read_lock(struct call *call, const char *name, struct lab_settings *settings)
{
    int lock = 0;
    while (lock < LAB_LOCK_COUNT && strcmp(lab_lock_names[lock], name) != 0)
        lock++;
    settings->lock = (enum lab_lock)lock;
    return lock < LAB_LOCK_COUNT
               ? RC_OK
               : problem_field(&call->problem, RC_INVALID_FIELD, "lock",
                               "none, around, unlock-early, check-first or no-owner");
}

// What the fields cannot be beside each other.
static enum rc check(struct call *call, const struct lab_scenario *scenario,
                     const struct lab_settings *settings)
{
    struct problem *problem = &call->problem;
    const struct strategy *strategy = strategy_find(settings->strategy);
    char why[GUARD_ERROR_MAX] = "";
    if (strategy == NULL || !lab_scenario_suits(scenario, strategy))
        return problem_field(problem, RC_INVALID_FIELD, "strategy",
                             "one of the scenario's in GET /v1/lab/runs");
    if (engine_can_use(call->context->engine, strategy, why) != RC_OK) {
        problem_field(problem, RC_INVALID_FIELD, "strategy", "one that is available here");
        text_copy(problem->detail, sizeof problem->detail, why);
        return problem->rc;
    }
    if (settings->lock != LAB_LOCK_NONE && !strategy_is_lock(strategy))
        return problem_field(problem, RC_INVALID_FIELD, "lock", "none, as %s has no lock",
                             strategy->name);
    if (settings->combine && (settings->manual || settings->lock != LAB_LOCK_NONE))
        return problem_field(problem, RC_INVALID_FIELD, "combine",
                             "false in a manual run or with a misplaced lock");
    int64_t requests = settings->buyers * (1 + settings->duplicates);
    if (settings->manual && requests > LAB_MANUAL_MAX)
        return problem_field(problem, RC_INVALID_FIELD, "buyers",
                             "at most %d requests in a manual run", LAB_MANUAL_MAX);
    int64_t at_once = settings->lock != LAB_LOCK_NONE || strategy_is_lock(strategy) ||
                              strategy->scope == SCOPE_PROCESS || strategy->rule == RULE_LOCKED
                          ? 1
                          : settings->workers;
    if (!settings->combine && settings->think_ms * requests / at_once > RUN_LIMIT_MS)
        return problem_field(problem, RC_INVALID_FIELD, "think_ms",
                             "less, so that all requests take at most %d s", RUN_LIMIT_MS / 1000);
    return RC_OK;
}

enum rc lab_start_prepare(struct call *call)
{
    json_t *object = NULL;
    char name[ID_MAX + 1] = "", lock[ID_MAX + 1] = "";
    const struct field which[] = {{"scenario", FIELD_ID, true, 0, 0, name}};
    enum rc rc = body_parse(call->body.data, call->body.length, &object, &call->problem);
    const json_t *given = rc == RC_OK ? json_object_get(object, "scenario") : NULL;
    const struct lab_scenario *scenario =
        json_is_string(given) ? lab_scenario_find(json_string_value(given)) : NULL;
    struct lab_settings settings = scenario != NULL ? scenario->harmful : (struct lab_settings){0};
    const struct field fields[] = {
        which[0],
        {"strategy", FIELD_TEXT, false, 1, STRATEGY_NAME_MAX, settings.strategy},
        {"buyers", FIELD_INT, false, 1, LAB_BUYERS_MAX, &settings.buyers},
        {"units", FIELD_INT, false, 0, QUANTITY_MAX, &settings.units},
        {"think_ms", FIELD_INT, false, 0, 1000, &settings.think_ms},
        {"workers", FIELD_INT, false, 1, 64, &settings.workers},
        {"instances", FIELD_INT, false, 1, 2, &settings.instances},
        {"duplicates", FIELD_INT, false, 0, LAB_DUPLICATES_MAX, &settings.duplicates},
        {"lease_ms", FIELD_INT, false, 100, 60000, &settings.lease_ms},
        {"sleep_ms", FIELD_INT, false, 0, 5000, &settings.sleep_ms},
        {"seed", FIELD_INT, false, 0, SEED_MAX, &settings.seed},
        {"combine", FIELD_BOOL, false, 0, 0, &settings.combine},
        {"fence", FIELD_BOOL, false, 0, 0, &settings.fence},
        {"belts", FIELD_BOOL, false, 0, 0, &settings.belts},
        {"manual", FIELD_BOOL, false, 0, 0, &settings.manual},
        {"lock", FIELD_ID, false, 0, 0, lock},
    };
    if (rc == RC_OK)
        rc = body_read(object, "", fields, ARRAY_LENGTH(fields), &call->problem);
    json_decref(object);
    if (rc == RC_OK && scenario == NULL)
        rc = problem_field(&call->problem, RC_INVALID_FIELD, "scenario",
                           "one of those in GET /v1/lab/runs");
    if (rc == RC_OK && lock[0] != '\0')
        rc = read_lock(call, lock, &settings);
    if (rc == RC_OK)
        rc = check(call, scenario, &settings);
    return rc == RC_OK ? lab_start(call->context->laboratory, scenario, &settings, call->id) : rc;
}

static void write_run(struct call *call, int64_t after, int64_t events)
{
    enum rc rc = lab_write(call->context->laboratory, call->id, after, events, NULL, &call->reply);
    if (rc != RC_OK)
        problem_set(&call->problem, rc, "There is no such run. Another one may have replaced it.");
    call->status = 200;
}

void lab_start_answer(struct call *call)
{
    write_run(call, 0, -1);
    call->status = 201;
    text_format(call->location, sizeof call->location, "/v1/lab/runs/%s", call->id);
}

// ---- watch, step, cancel ------------------------------------------------------------------------

struct watch {
    struct lab_wait wait;
    int64_t after, limit, wait_ms;
};

static enum rc submit_wait(struct call *call)
{
    struct watch *watch = call->input;
    return lab_wait(call->context->laboratory, &watch->wait);
}

static struct watch *watch_new(struct call *call)
{
    struct watch *watch = call_input(call, sizeof *watch);
    if (watch != NULL)
        *watch = (struct watch){.wait = {.job = &call->job, .id = call->id, .actor = -1},
                                .limit = EVENTS_DEFAULT};
    return watch;
}

enum rc lab_watch_prepare(struct call *call)
{
    struct watch *watch = watch_new(call);
    if (watch == NULL)
        return call->problem.rc;
    enum rc rc = call_int_parameter(call, "after", 0, INT32_MAX, &watch->after);
    if (rc == RC_OK)
        rc = call_int_parameter(call, "limit", 1, EVENTS_MAX, &watch->limit);
    if (rc == RC_OK)
        rc = call_int_parameter(call, "wait_ms", 0, WAIT_MS_MAX, &watch->wait_ms);
    watch->wait.after = watch->after;
    watch->wait.until_ns = clock_now_ns() + watch->wait_ms * NS_PER_MS;
    call->submit = submit_wait;
    return rc;
}

void lab_watch_answer(struct call *call)
{
    const struct watch *watch = call->input;
    write_run(call, watch->after, watch->limit);
}

enum rc lab_step_prepare(struct call *call)
{
    int64_t actor = 0;
    struct watch *watch = watch_new(call);
    const struct field fields[] = {{"actor", FIELD_INT, true, 0, LAB_MANUAL_MAX - 1, &actor}};
    if (watch == NULL)
        return call->problem.rc;
    enum rc rc = body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                             &call->problem);
    if (rc == RC_OK)
        rc = lab_step(call->context->laboratory, call->id, actor);
    if (rc == RC_INVALID_FIELD && call->problem.rc == RC_OK)
        return problem_field(&call->problem, rc, "actor", "an actor of a manual run");
    watch->wait.actor = actor;
    watch->wait.until_ns = clock_now_ns() + STEP_WAIT_NS;
    call->submit = submit_wait;
    return rc;
}

void lab_run_answer(struct call *call)
{
    write_run(call, 0, -1);
}

enum rc lab_cancel_prepare(struct call *call)
{
    return lab_cancel(call->context->laboratory, call->id);
}
