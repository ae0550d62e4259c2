// A request's life. The HTTP thread judges the header section, reads the body, lets the handler
// make a job of it, suspends the connection and only then submits: the worker may be done before
// submit returns. The worker stores the result and posts the call to its thread, and never touches
// the call again. The HTTP thread comes back and renders the answer.
//
// A refusal about framing is answered at once and closes the connection, for nobody knows where the
// next request begins. Other refusals let the body pass first, so that the connection can be used
// again. After a chunked body the connection is closed as well: old versions of the library accept
// chunk framing that a proxy may read differently, and what follows must not run as a request.
//
// What breaks it: queueing a response while the body is still coming (the library refuses), or
// stopping the library while a connection is suspended.
#include "http/server/exchange.h"

#include "base/clock.h"
#include "http/api/router.h"
#include "http/server/answer.h"
#include "http/server/judge.h"
#include "http/server/reaper.h"
#include "http/server/server.h"
#include "http/wire/body.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_KEPT ((size_t)4096)    // larger ones are freed after the call
#define BODY_SWALLOWED (8 * BODY_MAX) // of a chunked body that is too large, to answer in order

struct connection {
    struct watched watched;
    struct call call;
};

static struct connection *connection_of(struct call *call)
{
    return CONTAINER_OF(call, struct connection, call);
}

void exchange_on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
    struct exchange *exchange = cls;
    struct connection *connection = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = connection = info != NULL ? calloc(1, sizeof *connection) : NULL;
        if (connection == NULL)
            return;
        connection->call.context = &exchange->context;
        reaper_watch(exchange->reaper, &connection->watched, info->connect_fd);
    } else if (connection != NULL) {
        reaper_forget(exchange->reaper, &connection->watched);
        buffer_release(&connection->call.body);
        buffer_release(&connection->call.reply);
        free(connection->call.input);
        free(connection);
        *socket_context = NULL;
    }
}

static void begin(struct call *call, const char *target, struct MHD_Connection *mhd)
{
    call->connection = mhd;
    call->stage = CALL_HEAD;
    call->started_ns = clock_now_ns();
    call->target_raw = target;
    call->target_length = strlen(target);
    size_t kept = call->target_length <= TARGET_MAX ? call->target_length : 0;
    memcpy(call->target, target, kept);
    call->target[kept] = '\0';
    call->method = METHOD_UNKNOWN;
    call->route = NULL;
    call->id[0] = '\0';
    call->body_seen = 0;
    call->close = false;
    call->rc = RC_OK;
    call->problem.rc = RC_OK;
    call->problem.field[0] = call->problem.expected[0] = call->problem.detail[0] = '\0';
    call->status = 0;
    call->content_type = NULL;
    call->document = (struct slice){NULL, 0};
    call->allow = 0;
}

void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    struct exchange *exchange = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info == NULL || info->socket_context == NULL)
        return NULL;
    struct connection *connection = info->socket_context;
    if (connection->call.mailbox == NULL)
        connection->call.mailbox = mailbox_mine(&exchange->mailboxes);
    begin(&connection->call, target != NULL ? target : "", mhd);
    // If the reaper was quicker the first call of exchange_on_request finds out.
    (void)!reaper_enter(&connection->watched, PHASE_HEAD, connection->call.started_ns);
    return &connection->call;
}

static enum MHD_Result send_answer(struct call *call)
{
    if (!reaper_enter(&connection_of(call)->watched, PHASE_SEND, clock_now_ns()))
        return MHD_NO;
    return answer_send(call);
}

static enum MHD_Result judge_head(struct call *call, const char *method, const char *version)
{
    if (!reaper_enter(&connection_of(call)->watched, PHASE_BODY, clock_now_ns()))
        return MHD_NO;
    struct fields fields = {0};
    struct framing framing = {0};
    if (judge_framing(call, method, version, &fields, &framing) != RC_OK) {
        call->close = true;
        return send_answer(call);
    }
    call->close = framing.chunked;
    call->stage = CALL_BODY;
    enum rc rc = judge_request(call, &fields);
    if (rc != RC_OK && fields.expects_continue)
        return send_answer(call);
    return MHD_YES;
}

static enum MHD_Result take_body(struct call *call, const char *bytes, size_t length)
{
    call->body_seen += length;
    if (call->body_seen > BODY_MAX && call->problem.rc == RC_OK)
        problem_set(&call->problem, RC_BODY_TOO_LARGE, "At most %zu bytes are read.", BODY_MAX);
    if (call->problem.rc == RC_OK && call->route->flags & ROUTE_BODY)
        buffer_append(&call->body, bytes, length);
    if (call->body_seen <= BODY_SWALLOWED)
        return MHD_YES;
    // The library takes no response now. Nothing is being sent, so it can be said on the socket.
    const char *wire = problem_wire(RC_BODY_TOO_LARGE);
    (void)!send(connection_of(call)->watched.fd, wire, strlen(wire), MSG_DONTWAIT | MSG_NOSIGNAL);
    return MHD_NO;
}

static void on_finished(struct job *job, enum rc rc)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    call->rc = rc;
    mailbox_post(call->mailbox, &call->parcel);
}

static enum MHD_Result finish(struct call *call)
{
    const struct route *route = call->route;
    bool always = (route->flags & ROUTE_ALWAYS) != 0;
    if (call->rc != RC_OK && call->problem.rc == RC_OK && !always)
        problem_set(&call->problem, call->rc, "%s", "");
    if (call->problem.rc == RC_OK && route->answer != NULL)
        route->answer(call);
    return send_answer(call);
}

static enum MHD_Result submit(struct call *call)
{
    const struct route *route = call->route;
    int64_t timeout_ns = call->context->settings->request_timeout_ms * NS_PER_MS;
    call->job.operation = route->operates ? &call->operation : NULL;
    call->job.run = route->run;
    call->job.background = (route->flags & ROUTE_ASIDE) != 0;
    call->job.finished = on_finished;
    call->job.deadline_ns = clock_now_ns() + timeout_ns;
    call->parcel.connection = call->connection;
    // Asked after the phase was entered: either this sees that the server drains, or the one who
    // drains sees this call and waits. A connection suspended later would be there when the library
    // is stopped, which ends the process.
    if (atomic_load(&call->context->quiescing)) {
        call->rc = RC_OVERLOADED;
        return finish(call);
    }
    call->stage = CALL_WORKING;
    MHD_suspend_connection(call->connection);
    enum rc rc = engine_submit(call->context->engine, &call->job);
    if (rc != RC_OK)
        on_finished(&call->job, rc);
    return MHD_YES;
}

static enum MHD_Result act(struct call *call)
{
    if (!reaper_enter(&connection_of(call)->watched, PHASE_WORK, clock_now_ns()))
        return MHD_NO;
    const struct route *route = call->route;
    if (call->body.failed)
        problem_set(&call->problem, RC_NO_MEMORY, "There was no memory for the body.");
    if (call->problem.rc == RC_OK && route->prepare != NULL) {
        enum rc rc = route->prepare(call);
        if (rc != RC_OK && call->problem.rc == RC_OK)
            problem_set(&call->problem, rc, "%s", "");
    }
    if (call->problem.rc != RC_OK)
        return send_answer(call);
    if (route->operates || route->run != NULL)
        return submit(call);
    route->answer(call);
    return send_answer(call);
}

enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                    const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **context)
{
    (void)cls;
    (void)mhd;
    (void)url;
    struct call *call = *context;
    if (call == NULL)
        return MHD_NO;
    switch (call->stage) {
    case CALL_HEAD:
        return judge_head(call, method, version);
    case CALL_BODY:
        if (*upload_data_size == 0)
            return act(call);
        size_t length = *upload_data_size;
        *upload_data_size = 0;
        return take_body(call, upload_data, length);
    case CALL_WORKING:
        return finish(call);
    case CALL_ANSWERED:
        break;
    }
    *upload_data_size = 0;
    return MHD_YES;
}

static void tidy(struct buffer *buffer)
{
    if (buffer->failed || buffer->capacity > BUFFER_KEPT)
        buffer_release(buffer);
    else
        buffer_clear(buffer);
}

void exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)mhd;
    (void)code;
    struct call *call = *context;
    *context = NULL;
    if (call == NULL)
        return;
    tidy(&call->body);
    tidy(&call->reply);
    free(call->input);
    call->input = NULL;
    (void)!reaper_enter(&connection_of(call)->watched, PHASE_IDLE, clock_now_ns());
}
