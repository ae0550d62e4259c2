// Renders what a call came to, adds the headers that belong to it, counts it and logs it. The body
// is not copied: it stays in the call, which outlives the response.
#include "http/server/answer.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "http/api/router.h"
#include "http/call.h"
#include "metrics/metrics.h"

#include <string.h>

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    (void)!MHD_add_response_header(response, name, value);
}

static void add_allow(struct MHD_Response *response, unsigned allow)
{
    char text[32] = "";
    size_t length = 0;
    static const struct {
        enum method method;
        const char *name;
    } names[] = {{METHOD_GET, "GET, "},
                 {METHOD_HEAD, "HEAD, "},
                 {METHOD_POST, "POST, "},
                 {METHOD_PUT, "PUT, "}};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if ((allow & names[i].method) == 0)
            continue;
        memcpy(text + length, names[i].name, strlen(names[i].name));
        length += strlen(names[i].name);
    }
    text[length > 0 ? length - 2 : 0] = '\0';
    add(response, MHD_HTTP_HEADER_ALLOW, text);
}

static void add_headers(struct call *call, struct MHD_Response *response)
{
    const char *type = call->content_type != NULL ? call->content_type : "application/json";
    add(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    add(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (call->close || atomic_load_explicit(&call->context->draining, memory_order_relaxed))
        add(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (call->problem.rc == RC_OK && call->route->operates && call->operation.outcome.replayed)
        add(response, "Idempotent-Replayed", "true");
    if (call->content_type != NULL && strncmp(type, "text/html", 9) == 0)
        add(response, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    if (call->status == MHD_HTTP_SERVICE_UNAVAILABLE)
        add(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (call->problem.rc == RC_RECONCILIATION_RUNNING)
        add(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    if (call->status == MHD_HTTP_UNAUTHORIZED)
        add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"holdfast\"");
    if (call->problem.rc == RC_METHOD_NOT_ALLOWED)
        add_allow(response, call->allow);
}

static void render_problem(struct call *call)
{
    buffer_clear(&call->reply);
    call->document = (struct slice){NULL, 0};
    call->status = rc_info(call->problem.rc)->status;
    call->content_type = "application/problem+json";
    const struct operation *operation =
        call->route != NULL && call->route->operates ? &call->operation : NULL;
    problem_write(&call->problem, operation, &call->reply);
}

static void log_failure(const struct call *call, const char *operation)
{
    const struct problem *problem = &call->problem;
    if (problem->rc != RC_OK)
        LOG_WARNING("%s answered with %d: %s: %s", operation, call->status, rc_slug(problem->rc),
                    problem->detail[0] != '\0' ? problem->detail : rc_info(problem->rc)->title);
    else if (call->reply.data != NULL) // /readyz, which says why by itself
        LOG_WARNING("%s answered with %d: %.*s", operation, call->status, (int)call->reply.length,
                    call->reply.data);
}

static void account(const struct call *call)
{
    const char *operation = call->route != NULL ? call->route->operation : "unmatched";
    int64_t took_ns = clock_now_ns() - call->started_ns;
    metrics_request(call->context->metrics, operation, call->status, took_ns);
    // Who was told to stop is not ready on purpose.
    bool intended = call->problem.rc == RC_NOT_IMPLEMENTED ||
                    (call->problem.rc == RC_OK && atomic_load(&call->context->draining));
    if (call->status >= 500 && !intended)
        log_failure(call, operation);
    else if (log_enabled(LOG_LEVEL_DEBUG))
        LOG_DEBUG("%s %s answered with %d in %lld us", operation, call->target, call->status,
                  (long long)(took_ns / 1000));
}

enum MHD_Result answer_send(struct call *call)
{
    if (call->problem.rc != RC_OK)
        render_problem(call);
    static const char no_memory[] = "{\"type\":\"/problems/no-memory\",\"status\":500}";
    if (call->reply.failed) {
        call->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        call->document = (struct slice){no_memory, sizeof no_memory - 1};
    }
    struct slice body = call->document;
    if (body.text == NULL)
        body = (struct slice){call->reply.data, call->reply.length};
    // The library takes a pointer to non-const and, told that it is persistent, only reads from it.
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.length, (void *)(uintptr_t)body.text, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    add_headers(call, response);
    account(call);
    call->stage = CALL_ANSWERED;
    enum MHD_Result queued = MHD_queue_response(call->connection, (unsigned)call->status, response);
    MHD_destroy_response(response);
    return queued;
}
