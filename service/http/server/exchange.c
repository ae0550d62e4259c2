// The life of a request between the HTTP library and the engine, in order:
//
//   exchange_on_target     the request line has arrived: resets the call
//   read_head              judges framing, route, caller and headers (judge.c)
//   read_body              collects the body
//   act                    the handler's `prepare` turns the request into a job
//   submit                 suspends the connection, then hands the job to the engine
//   on_finished            on a worker: stores the result, posts the call to its thread's mailbox
//   finish, answer_send    on the HTTP thread again: render, add headers, count, log, queue
//                          (answer.c)
//   exchange_on_completed  the answer was sent: makes the call ready for the next request
//
// The connection is suspended before the job is submitted, because a worker may finish the job
// before engine_submit returns. After posting the call a worker never touches it again.
//
// A framing error, or a head that is too large, is answered at once and past the library, which may
// have no memory left. It closes the connection, because the start of the next request is unknown.
// What the library refuses by itself is answered in the same way (library.c).
// Other refusals are answered after the body has passed, so that the connection stays usable. A
// chunked body closes the connection too: old versions of the library accept chunk framing that a
// proxy may read differently, and the bytes that follow must not run as a request.
//
// What breaks it: queueing a response while the body is still arriving (the library rejects it),
// or stopping the library while a connection is suspended (the library ends the process).
#include "http/server/exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/api/router.h"
#include "http/server/answer.h"
#include "http/server/connection.h"
#include "http/server/judge.h"
#include "http/server/reaper.h"
#include "http/server/server.h"
#include "http/wire/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BODY_DISCARDED_MAX (8 * BODY_MAX) // discarded bytes before the connection is cut

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
        connection->exchange = exchange;
        connection->mailbox = mailbox_mine(&exchange->mailboxes);
        reaper_watch(exchange->reaper, &connection->watched, info->connect_fd, connection->mailbox);
    } else if (connection != NULL) {
        reaper_forget(exchange->reaper, &connection->watched);
        connection_drop_call(connection);
        free(connection);
        *socket_context = NULL;
    }
}

static void reset(struct call *call, const char *target, struct MHD_Connection *mhd)
{
    call->connection = mhd;
    call->stage = CALL_HEAD;
    call->started_ns = clock_now_ns();
    call->target_raw = target;
    call->target_length = strlen(target);
    buffer_clear(&call->target);
    buffer_append(&call->target, target,
                  call->target_length <= TARGET_MAX ? call->target_length : 0);
    call->method = METHOD_UNKNOWN;
    call->route = NULL;
    call->id[0] = '\0';
    call->n_parameters = 0;
    call->body_seen = 0;
    call->close = false;
    call->expires_due = false;
    call->rc = RC_OK;
    call->job.feed = NULL;
    call->submit = NULL;
    call->problem.rc = RC_OK;
    call->problem.field[0] = call->problem.expected[0] = call->problem.detail[0] = '\0';
    call->status = 0;
    call->complete = false;
    call->version = 0;
    call->content_type = NULL;
    call->policy = NULL;
    call->location[0] = '\0';
    call->document = (struct slice){NULL, 0};
    call->allow = 0;
}

// Keeps the library from parsing what the server does not take from it. Each query parameter and
// each cookie would cost memory of the connection, and if that ends there, the library (0.9.75)
// answers twice or not at all. The query is cut off in the library's own buffer, which is writable,
// behind the question mark. The library parses the first Cookie field that it finds.
static void save_memory(struct MHD_Connection *mhd, const char *target)
{
    char *query = strchr((char *)(uintptr_t)target, '?');
    if (query != NULL)
        query[1] = '\0';
    (void)!MHD_set_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_COOKIE, "");
}

void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    (void)cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info == NULL || info->socket_context == NULL)
        return NULL;
    struct connection *connection = info->socket_context;
    struct call *call = connection_take_call(connection);
    if (call == NULL)
        return NULL;
    reset(call, target != NULL ? target : "", mhd);
    if (call->target.failed)
        return NULL;
    if (target != NULL)
        save_memory(mhd, target);
    // If the reaper has ended the connection, the next reaper_enter notices it.
    (void)!reaper_enter(&connection->watched, PHASE_HEAD, call->started_ns);
    return call;
}

static enum MHD_Result read_head(struct call *call, const char *method, const char *version)
{
    if (!reaper_enter(&connection_of(call)->watched, PHASE_BODY, clock_now_ns()))
        return MHD_NO;
    struct fields fields = {0};
    struct framing framing = {0};
    if (judge_framing(call, method, version, &fields, &framing) != RC_OK) {
        answer_send_past_library(call, false);
        return MHD_NO;
    }
    call->close = framing.chunked;
    call->stage = CALL_BODY;
    enum rc rc = judge_request(call, &fields);
    if (rc == RC_OK || !(fields.expects_continue || fields.expects_other))
        return MHD_YES;
    // The client may send the body in spite of the refusal, or the next request in its place.
    call->close = true;
    return answer_send(call);
}

static enum MHD_Result read_body(struct call *call, const char *bytes, size_t length)
{
    call->body_seen += length;
    if (call->body_seen > BODY_MAX && call->problem.rc == RC_OK)
        problem_set(&call->problem, RC_BODY_TOO_LARGE, "The body may have at most %zu bytes.",
                    BODY_MAX);
    if (call->problem.rc == RC_OK && call->route->flags & ROUTE_BODY)
        buffer_append(&call->body, bytes, length);
    if (call->body_seen <= BODY_DISCARDED_MAX)
        return MHD_YES;
    // The library accepts no response now. No response is being sent, so the socket is free.
    problem_send_raw(connection_of(call)->watched.fd, RC_BODY_TOO_LARGE);
    return MHD_NO;
}

static void on_finished(struct job *job, enum rc rc)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    call->rc = rc;
    mailbox_post(call->mailbox, &call->parcel);
}

// The connection stays suspended as long as the engine has the job, so its descriptor stays open.
static bool is_gone(const struct job *job)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    return reaper_client_is_gone(&connection_of(call)->watched);
}

static enum MHD_Result finish(struct call *call)
{
    const struct route *route = call->route;
    if (call->rc != RC_OK && call->problem.rc == RC_OK)
        problem_set(&call->problem, call->rc, "%s", "");
    if (call->problem.rc == RC_OK && route->answer != NULL)
        route->answer(call);
    return answer_send(call);
}

// libmicrohttpd (0.9.75, 1.0.1) reads from a resumed connection before it calls us again. If the
// client has shut its sending side down, that read finds the end of the stream, and the library
// closes the connection without the answer. Only connections that it visits for their timeouts come
// before that read: the one that has been idle longest, and all with a timeout of their own. So a
// suspended connection gets a timeout of its own, until finish.
static void suspend(struct call *call)
{
    MHD_set_connection_option(call->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              EXCHANGE_IDLE_TIMEOUT_S + 1);
    MHD_suspend_connection(call->connection);
}

// False if every connection within the limit has a job in the engine. The connections above the
// limit are for clients that are answered at once, such as probes.
static bool count_job(struct exchange *exchange)
{
    size_t jobs = atomic_fetch_add_explicit(&exchange->jobs, 1, memory_order_relaxed);
    if (jobs < exchange->connection_limit)
        return true;
    atomic_fetch_sub_explicit(&exchange->jobs, 1, memory_order_relaxed);
    return false;
}

static enum MHD_Result submit(struct call *call)
{
    const struct route *route = call->route;
    call->job.operation = call->step == STEP_OPERATE ? &call->operation : NULL;
    call->job.run = route->run;
    call->job.background = (route->flags & ROUTE_BACKGROUND) != 0;
    call->job.finished = on_finished;
    call->job.is_gone = is_gone;
    call->parcel.connection = call->connection;
    // Checked after PHASE_WORK was entered: either this thread sees `quiescing`, or
    // server_wait_idle sees this call and waits for it. Otherwise the library might be stopped with
    // a suspended connection, which ends the process.
    if (atomic_load(&call->context->quiescing) || !count_job(exchange_of(call))) {
        call->rc = RC_OVERLOADED;
        return finish(call);
    }
    call->stage = CALL_WORKING;
    suspend(call);
    enum rc rc = call->submit != NULL ? call->submit(call)
                                      : engine_submit(call->context->engine, &call->job);
    if (rc != RC_OK)
        on_finished(&call->job, rc);
    return MHD_YES;
}

// The step after the one that has ended. False if that was the last.
static bool take_next_step(struct call *call)
{
    bool ok = call->rc == RC_OK && call->problem.rc == RC_OK;
    if (call->step == STEP_RUN && ok && (call->route->operates || call->expires_due)) {
        call->step = STEP_OPERATE;
        return true;
    }
    if (call->step == STEP_OPERATE && call->rc == RC_MOVED &&
        clock_now_ns() < call->job.deadline_ns) {
        call->step = STEP_RUN; // what `run` has found is out of date
        return true;
    }
    if (call->step == STEP_OPERATE && call->expires_due) { // whether or not it has succeeded
        call->step = STEP_RUN_AGAIN;
        return true;
    }
    return false;
}

// The first call for a resumed connection.
static enum MHD_Result resumed(struct call *call)
{
    atomic_fetch_sub_explicit(&exchange_of(call)->jobs, 1, memory_order_relaxed);
    MHD_set_connection_option(call->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              EXCHANGE_IDLE_TIMEOUT_S);
    if (take_next_step(call))
        return submit(call);
    if (call->rc == RC_MOVED)
        call->rc = RC_CONTENTION;
    return finish(call);
}

static enum MHD_Result act(struct call *call)
{
    if (!reaper_enter(&connection_of(call)->watched, PHASE_WORK, clock_now_ns()))
        return MHD_NO;
    const struct route *route = call->route;
    if (call->body.failed)
        problem_set(&call->problem, RC_NO_MEMORY, "Out of memory while reading the body.");
    if (call->problem.rc == RC_OK && route->prepare != NULL) {
        enum rc rc = route->prepare(call);
        if (rc != RC_OK && call->problem.rc == RC_OK)
            problem_set(&call->problem, rc, "%s", "");
    }
    if (call->problem.rc != RC_OK)
        return answer_send(call);
    if (route->operates || route->run != NULL || call->job.feed != NULL || call->submit != NULL) {
        int64_t timeout_ns = call->context->settings->request_timeout_ms * NS_PER_MS;
        call->job.deadline_ns = clock_now_ns() + timeout_ns; // of all steps
        bool complete = route->run == NULL || call->complete;
        call->step = route->operates && complete ? STEP_OPERATE : STEP_RUN;
        return submit(call);
    }
    route->answer(call);
    return answer_send(call);
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
        return read_head(call, method, version);
    case CALL_BODY:
        if (*upload_data_size == 0)
            return act(call);
        size_t length = *upload_data_size;
        *upload_data_size = 0;
        return read_body(call, upload_data, length);
    case CALL_WORKING:
        return resumed(call);
    case CALL_ANSWERED:
        break;
    }
    *upload_data_size = 0;
    return MHD_YES;
}

static bool *header_lost(struct exchange *exchange)
{
    return &exchange->header_lost[mailbox_mine(&exchange->mailboxes) - exchange->mailboxes.boxes];
}

void exchange_on_library_log(void *cls, const char *format, va_list arguments)
{
    char line[240];
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\r\n")] = '\0';
    if (strstr(line, "failed to create response header") != NULL)
        *header_lost(cls) = true;
    LOG_DEBUG("libmicrohttpd: %s", line);
}

// Sends the answer that the library had no memory for, in spite of the limits: blank lines before
// the request, trailers and requests behind it take up memory too. Nothing of it has been sent.
static void rescue_answer(struct exchange *exchange, struct call *call)
{
    bool *lost = header_lost(exchange);
    if (!*lost)
        return;
    *lost = false;
    answer_send_past_library(call, true);
}

static enum rc refusal_of(unsigned status)
{
    switch (status) {
    case MHD_HTTP_NOT_IMPLEMENTED:
        return RC_NOT_IMPLEMENTED;
    case MHD_HTTP_CONTENT_TOO_LARGE:
        return RC_BODY_TOO_LARGE;
    case MHD_HTTP_URI_TOO_LONG:
        return RC_TARGET_TOO_LONG;
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
        return RC_HEADERS_TOO_LARGE;
    default:
        return status < MHD_HTTP_INTERNAL_SERVER_ERROR ||
                       status == MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED
                   ? RC_MALFORMED_REQUEST
                   : RC_INTERNAL;
    }
}

// Answers instead of the library, if the reaper has not ended the connection. The library closes a
// connection only at its next event, and the shutdown is one.
static void refuse(struct connection *connection, enum rc rc, const char *why)
{
    struct call *call = connection->call;
    if (!reaper_enter(&connection->watched, PHASE_SEND, clock_now_ns()))
        return;
    call->problem = (struct problem){0};
    problem_set(&call->problem, rc, "%s", why);
    answer_send_past_library(call, false);
    shutdown(connection->watched.fd, SHUT_RDWR);
}

void exchange_on_refusal(struct MHD_Connection *mhd, unsigned status)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info == NULL || info->socket_context == NULL)
        return;
    struct connection *connection = info->socket_context;
    struct call *call = connection->call;
    if (call == NULL || call->stage == CALL_ANSWERED) { // its request line is not whole
        call = connection_take_call(connection);
        if (call == NULL)
            return;
        reset(call, "", mhd);
    }
    const char *why = "";
    if (status == MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED)
        why = "Send HTTP/1.1 or HTTP/1.0.";
    else if (status == MHD_HTTP_BAD_REQUEST && call->stage == CALL_BODY)
        why = "The body's chunks are malformed.";
    refuse(connection, refusal_of(status), why);
}

bool exchange_on_spin(void *cls, struct mailbox *mailbox)
{
    struct exchange *exchange = cls;
    bool waiting;
    struct watched *stuck = reaper_find_stuck(exchange->reaper, mailbox, &waiting);
    if (stuck != NULL)
        refuse(CONTAINER_OF(stuck, struct connection, watched), RC_HEADERS_TOO_LARGE,
               "A chunk-size line or the trailers are too long.");
    return waiting;
}

void exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    struct call *call = *context;
    *context = NULL;
    if (call == NULL)
        return;
    if (code == MHD_REQUEST_TERMINATED_WITH_ERROR)
        rescue_answer(cls, call);
    struct connection *connection = connection_of(call);
    connection_drop_call(connection);
    (void)!reaper_enter(&connection->watched, PHASE_IDLE, clock_now_ns());
}
