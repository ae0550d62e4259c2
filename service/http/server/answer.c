// Renders the answer to a call, adds its header fields, counts and logs it, and sends it. Handlers
// only fill in the call, so all answers get the same fields whatever way they leave the server.
//
// What breaks it: a reply that changes after it was queued. The response does not copy it.
#include "http/server/answer.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/api/router.h"
#include "http/server/connection.h"
#include "http/server/library.h"
#include "http/wire/entity_tag.h"
#include "http/wire/problem_table.h"
#include "http/wire/raw_answer.h"
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
    } names[] = {{METHOD_GET, "GET, "}, {METHOD_HEAD, "HEAD, "},   {METHOD_POST, "POST, "},
                 {METHOD_PUT, "PUT, "}, {METHOD_PATCH, "PATCH, "}, {METHOD_DELETE, "DELETE, "}};
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
    bool tagged = call->problem.rc == RC_OK && call->version != 0;
    // A cache may keep what has a tag, but it must ask each time whether that is still true.
    add(response, MHD_HTTP_HEADER_CACHE_CONTROL, tagged ? "no-cache" : "no-store");
    if (tagged) {
        char tag[ENTITY_TAG_MAX + 1];
        entity_tag_write(tag, call->version);
        add(response, MHD_HTTP_HEADER_ETAG, tag);
    }
    if (call->close || atomic_load_explicit(&call->context->draining, memory_order_relaxed) ||
        reaper_full(exchange_of(call)->reaper))
        add(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (call->problem.rc == RC_OK && call->route->operates && call->operation.outcome.replayed)
        add(response, "Idempotent-Replayed", "true");
    if (call->policy != NULL) {
        add(response, "Content-Security-Policy", call->policy);
        add(response, "X-Content-Type-Options", "nosniff");
        add(response, "Referrer-Policy", "no-referrer");
    }
    if (call->status == MHD_HTTP_SERVICE_UNAVAILABLE)
        add(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (call->location[0] != '\0')
        add(response, MHD_HTTP_HEADER_LOCATION, call->location);
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
    call->status = problem_info(call->problem.rc)->status;
    call->content_type = "application/problem+json";
    call->policy = NULL;
    const struct operation *operation =
        call->route != NULL && call->route->operates ? &call->operation : NULL;
    problem_write(&call->problem, operation, &call->reply);
}

static void count_and_log(const struct call *call)
{
    const char *operation = call->route != NULL ? call->route->operation : "unmatched";
    int64_t now_ns = clock_now_ns(), took_ns = now_ns - call->started_ns;
    metrics_request(call->context->metrics, operation, call->status, took_ns);
    // A draining instance is not ready on purpose.
    bool intended = call->problem.rc == RC_NOT_IMPLEMENTED ||
                    (call->problem.rc == RC_OK && atomic_load(&call->context->draining));
    if (call->status >= 500 && !intended)
        failure_log_note(&exchange_of(call)->failures, call, operation);
    else if (log_enabled(LOG_LEVEL_DEBUG))
        LOG_DEBUG("%s %s answered with %d in %lld us", operation, call->target.data, call->status,
                  (long long)(took_ns / 1000));
    failure_log_tick(&exchange_of(call)->failures, now_ns);
}

// Renders the problem, if there is one. The response does not copy the body: it stays in the call,
// which outlives the response. NULL if there is no memory.
static struct MHD_Response *render(struct call *call, struct slice *ret_body)
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
    // The library only reads from a persistent buffer, although its parameter is not const.
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.length, (void *)(uintptr_t)body.text, MHD_RESPMEM_PERSISTENT);
    if (response != NULL)
        add_headers(call, response);
    *ret_body = body;
    return response;
}

enum MHD_Result answer_send(struct call *call)
{
    struct slice body;
    if (!reaper_enter(&connection_of(call)->watched, PHASE_SEND, clock_now_ns()))
        return MHD_NO;
    struct MHD_Response *response = render(call, &body);
    if (response == NULL)
        return MHD_NO;
    count_and_log(call);
    call->stage = CALL_ANSWERED;
    enum MHD_Result queued = library_queue(call->connection, (unsigned)call->status, response);
    MHD_destroy_response(response);
    return queued;
}

void answer_send_past_library(struct call *call, bool counted)
{
    struct slice body;
    call->close = true;
    struct MHD_Response *response = render(call, &body);
    if (response == NULL)
        return;
    if (!counted)
        count_and_log(call);
    call->stage = CALL_ANSWERED;
    raw_answer_send(connection_of(call)->watched.fd, call->status, response, body,
                    call->method == METHOD_HEAD || call->status == MHD_HTTP_NOT_MODIFIED);
    MHD_destroy_response(response);
}
