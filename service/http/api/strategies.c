// Lists the strategies, shows which one each endpoint uses and why one is unavailable, and sets an
// endpoint's strategy.
//
// Setting affects this instance only. If instances guard the same rows in different ways, the
// cluster is still safe as long as the update rule protects the row. Comparing strategies one
// instance at a time needs exactly this.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "guard/strategy/registry.h"
#include "http/call.h"
#include "http/wire/body.h"

#include <string.h>

static void write_strategy(struct call *call, const struct strategy *strategy)
{
    struct buffer *out = &call->reply;
    char why[GUARD_ERROR_MAX] = "";
    bool usable = engine_can_use(call->context->engine, strategy, why) == RC_OK;
    json_write_open(out, NULL, '{');
    json_write_text(out, "name", strategy->name);
    json_write_text(out, "summary", strategy->summary);
    json_write_text(out, "scope", guard_scope_name(strategy->scope));
    json_write_text(out, "rule", update_rules[strategy->rule].name);
    json_write_bool(out, "lab_only", strategy->lab_only);
    json_write_bool(out, "usable", usable);
    if (!usable)
        json_write_text(out, "why_not", why);
    json_write_close(out, '}');
}

enum rc strategies_get_run(struct job *job, struct db *db)
{
    (void)db;
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct buffer *out = &call->reply;
    json_write_open(out, NULL, '{');
    json_write_open(out, "endpoints", '{');
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        const struct strategy *strategy = engine_strategy(call->context->engine, (enum endpoint)i);
        json_write_text(out, endpoint_name((enum endpoint)i), strategy->name);
    }
    json_write_close(out, '}');
    json_write_open(out, "strategies", '[');
    for (size_t i = 0; strategies[i] != NULL; i++)
        write_strategy(call, strategies[i]);
    json_write_close(out, ']');
    json_write_close(out, '}');
    call->status = 200;
    return RC_OK;
}

struct choice {
    enum endpoint endpoint;
    char strategy[STRATEGY_NAME_MAX + 1];
};

enum rc strategies_put_prepare(struct call *call)
{
    struct choice *choice = call_input(call, sizeof *choice);
    if (choice == NULL)
        return call->problem.rc;
    int endpoint = 0;
    while (endpoint < ENDPOINT_COUNT &&
           strcmp(endpoint_name((enum endpoint)endpoint), call->id) != 0)
        endpoint++;
    if (endpoint == ENDPOINT_COUNT)
        return problem_set(&call->problem, RC_NOT_FOUND,
                           "Unknown endpoint; GET /v1/strategies lists the endpoints.");
    choice->endpoint = (enum endpoint)endpoint;
    const struct field fields[] = {
        {"strategy", FIELD_TEXT, true, 1, STRATEGY_NAME_MAX, choice->strategy},
    };
    return body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                       &call->problem);
}

enum rc strategies_put_run(struct job *job, struct db *db)
{
    (void)db;
    struct call *call = CONTAINER_OF(job, struct call, job);
    const struct choice *choice = call->input;
    const struct strategy *strategy = strategy_find(choice->strategy);
    if (strategy == NULL)
        return problem_field(&call->problem, RC_INVALID_FIELD, "strategy",
                             "a name that GET /v1/strategies lists");
    char why[GUARD_ERROR_MAX] = "";
    enum rc rc = engine_set_strategy(call->context->engine, choice->endpoint, strategy, why);
    if (rc == RC_USAGE) {
        problem_field(&call->problem, RC_INVALID_FIELD, "strategy",
                      "a strategy that is usable on this instance");
        text_copy(call->problem.detail, sizeof call->problem.detail, why);
        return call->problem.rc;
    }
    if (rc != RC_OK)
        return rc;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "endpoint", endpoint_name(choice->endpoint));
    json_write_text(&call->reply, "strategy", strategy->name);
    json_write_text(&call->reply, "note",
                    "Applies to this instance until it restarts; other instances are unchanged.");
    json_write_close(&call->reply, '}');
    return RC_OK;
}
