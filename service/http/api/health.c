// Probes, metrics and the benchmark's empty call. All of them are answered on the HTTP thread.
//
// /livez checks no dependency, because a restart of this process does not mend a dead database.
// /readyz reads what the threads of engine/health.c have found. It is 503 only if no endpoint can
// be served, or while the instance drains: a load balancer would turn away even the requests that
// the lost backend does not concern, and the one that switches a strategy. It is open to all, so it
// gives one word for each reason; the log has the backend's own words.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "engine/health.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "metrics/metrics.h"

void health_live_answer(struct call *call)
{
    call->status = 200;
    call->document = (struct slice){"{\"status\":\"alive\"}", sizeof "{\"status\":\"alive\"}" - 1};
}

static void write_state(struct buffer *out, const struct health_state *state, const char *blamed)
{
    json_write_open(out, state->name, '{');
    json_write_bool(out, "ok", state->ok);
    if (!state->ok)
        json_write_text(out, "why", state->why);
    if (blamed != NULL)
        json_write_text(out, "backend", blamed);
    json_write_close(out, '}');
}

void health_ready_answer(struct call *call)
{
    struct health_report report;
    health_read(call->context->health, &report);
    bool draining = atomic_load(&call->context->draining);
    bool ready = report.serves && !draining;
    struct buffer *out = &call->reply;
    json_write_open(out, NULL, '{');
    json_write_bool(out, "ready", ready);
    json_write_bool(out, "draining", draining);
    json_write_open(out, "dependencies", '{');
    for (size_t i = 0; i < report.n_backends; i++)
        write_state(out, &report.backends[i], NULL);
    json_write_close(out, '}');
    json_write_open(out, "endpoints", '{');
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        write_state(out, &report.endpoints[i], report.blamed[i]);
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
