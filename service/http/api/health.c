// Probes, metrics and the benchmark's empty call.
//
// /livez checks no dependency, because a restart of this process does not mend a dead database.
// /readyz probes the database (store/tables/probe.c) and pings every lock server in use. It runs on
// a worker, so a full queue shows as well; if no worker was available, the answer says so. Of the
// database's fault it gives one word; the log has the database's own words.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "http/wire/problem_table.h"
#include "metrics/metrics.h"
#include "store/db/db.h"
#include "store/tables/probe.h"

#define DEPENDENCIES_MAX (1 + ENDPOINT_COUNT)

struct dependency {
    const char *name;
    enum rc rc;
    const char *why; // NULL: the title of rc
};

struct readiness {
    size_t n;
    struct dependency dependencies[DEPENDENCIES_MAX];
};

void health_live_answer(struct call *call)
{
    call->status = 200;
    call->document = (struct slice){"{\"status\":\"alive\"}", sizeof "{\"status\":\"alive\"}" - 1};
}

static void ping_guard(struct readiness *readiness, struct engine *engine,
                       const struct strategy *strategy)
{
    struct guard *guard = engine_guard(engine, strategy);
    if (guard == NULL || strategy->ping == NULL)
        return;
    for (size_t i = 0; i < readiness->n; i++) {
        if (readiness->dependencies[i].name == strategy->name)
            return;
    }
    readiness->dependencies[readiness->n++] =
        (struct dependency){.name = strategy->name, .rc = strategy->ping(guard)};
}

static struct dependency probe_database(struct db *db)
{
    struct dependency database = {.name = "database", .rc = probe_run(db)};
    enum db_fault fault = db_fault(db);
    if (fault != DB_FAULT_NONE)
        database.why = db_fault_word(fault);
    return database;
}

enum rc health_ready_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct readiness *readiness = call_input(call, sizeof *readiness);
    if (readiness == NULL)
        return RC_NO_MEMORY;
    readiness->dependencies[readiness->n++] = probe_database(db);
    struct engine *engine = call->context->engine;
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        ping_guard(readiness, engine, engine_strategy(engine, (enum endpoint)i));
    return RC_OK;
}

static void write_dependency(struct buffer *out, struct dependency dependency)
{
    enum rc rc = dependency.rc;
    json_write_open(out, dependency.name, '{');
    json_write_bool(out, "ok", rc == RC_OK);
    if (rc != RC_OK)
        json_write_text(out, "why",
                        dependency.why != NULL ? dependency.why : problem_info(rc)->title);
    json_write_close(out, '}');
}

void health_ready_answer(struct call *call)
{
    const struct readiness *readiness = call->rc == RC_OK ? call->input : NULL;
    bool draining = atomic_load(&call->context->draining);
    bool ready = readiness != NULL && !draining;
    for (size_t i = 0; readiness != NULL && i < readiness->n; i++)
        ready = ready && readiness->dependencies[i].rc == RC_OK;

    struct buffer *out = &call->reply;
    json_write_open(out, NULL, '{');
    json_write_bool(out, "ready", ready);
    json_write_bool(out, "draining", draining);
    json_write_open(out, "dependencies", '{');
    write_dependency(out, (struct dependency){.name = "workers", .rc = call->rc});
    for (size_t i = 0; readiness != NULL && i < readiness->n; i++)
        write_dependency(out, readiness->dependencies[i]);
    json_write_close(out, '}');
    json_write_close(out, '}');
    call->status = ready ? 200 : 503;
}

void health_metrics_answer(struct call *call)
{
    metrics_render(call->context->metrics, &call->reply);
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    call->status = 200;
}

// The upper bound for benchmarks: a deduct without the engine.
enum rc lab_empty_prepare(struct call *call)
{
    struct operation *operation = &call->operation;
    const struct field fields[] = {
        {"quantity", FIELD_INT, false, 1, QUANTITY_MAX, &operation->leg.amount},
        {"user_id", FIELD_VISIBLE, false, 1, USER_ID_MAX, operation->user_id},
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, operation->order_id},
    };
    return body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                       &call->problem);
}

void lab_empty_answer(struct call *call)
{
    call->status = 200;
    call->document = (struct slice){"{\"empty\":true}", sizeof "{\"empty\":true}" - 1};
}
