#include "requests.h"

#include "base/clock.h"
#include "base/random.h"
#include "http/api/router.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_NS (20 * NS_PER_S)
#define SETTLED_NS (60 * NS_PER_S)

void requests_init(struct requests *requests, struct fixture *fixture, size_t n)
{
    *requests =
        (struct requests){.fixture = fixture, .n = n, .all = calloc(n, sizeof *requests->all)};
    ck_assert_ptr_nonnull(requests->all);
    pthread_mutex_init(&requests->mutex, NULL);
    pthread_cond_init(&requests->changed, NULL);
    for (size_t i = 0; i < n; i++)
        requests->all[i].owner = requests;
}

void requests_release(struct requests *requests)
{
    for (size_t i = 0; i < requests->n; i++) {
        buffer_release(&requests->all[i].call.target);
        buffer_release(&requests->all[i].call.body);
        buffer_release(&requests->all[i].call.reply);
        free(requests->all[i].call.input);
    }
    free(requests->all);
    pthread_cond_destroy(&requests->changed);
    pthread_mutex_destroy(&requests->mutex);
}

static void on_finished(struct job *job, enum rc rc)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct request *request = CONTAINER_OF(call, struct request, call);
    struct requests *owner = request->owner;
    call->rc = rc;
    pthread_mutex_lock(&owner->mutex);
    request->next = owner->finished;
    owner->finished = request;
    pthread_cond_broadcast(&owner->changed);
    pthread_mutex_unlock(&owner->mutex);
}

static void submit(struct request *request)
{
    struct call *call = &request->call;
    const struct route *route = call->route;
    call->job.operation = call->step == STEP_OPERATE ? &call->operation : NULL;
    call->job.run = route->run;
    call->job.finished = on_finished;
    enum rc rc =
        engine_submit(request->owner->fixture->instances[request->instance].engine, &call->job);
    if (rc != RC_OK)
        on_finished(&call->job, rc);
}

static struct http_context context = {.reservations_per_user = 0}; // all that the handlers need

// Makes the request anew: finds its route and reads its body.
static enum rc prepare(struct request *request)
{
    struct call *call = &request->call;
    struct buffer target = call->target, body = call->body, reply = call->reply;
    free(call->input);
    buffer_clear(&target);
    buffer_append_text(&target, request->target);
    buffer_clear(&reply);
    *call = (struct call){.context = &context,
                          .method = request->method,
                          .target = target,
                          .body = body,
                          .reply = reply};
    text_copy(call->operation.request_key, sizeof call->operation.request_key, request->key);
    call->job.deadline_ns = clock_now_ns() + DEADLINE_NS;
    enum rc rc = router_find(call, false);
    if (rc == RC_OK && call->route->prepare != NULL)
        rc = call->route->prepare(call);
    bool complete = rc == RC_OK && (call->route->run == NULL || call->complete);
    call->step = complete && call->route->operates ? STEP_OPERATE : STEP_RUN;
    if (request->ttl_ms > 0)
        call->operation.ttl_ms = request->ttl_ms;
    return rc;
}

static void start(struct request *request)
{
    request->rc = prepare(request);
    if (request->rc != RC_OK)
        return;
    request->owner->n_open++;
    submit(request);
}

static void finish(struct request *request)
{
    struct call *call = &request->call;
    request->owner->n_open--;
    request->rc = call->problem.rc != RC_OK ? call->problem.rc : call->rc;
    if (request->rc == RC_OK && call->route->answer != NULL)
        call->route->answer(call);
    if (rc_is_transient(request->rc))
        start(request);
}

// As in http/server/exchange.c.
static void resume(struct request *request)
{
    struct call *call = &request->call;
    bool moved = call->rc == RC_MOVED && clock_now_ns() < call->job.deadline_ns;
    bool made = call->route->operates && call->step == STEP_RUN && call->rc == RC_OK &&
                call->problem.rc == RC_OK;
    if (call->rc == RC_MOVED && !moved)
        call->rc = RC_CONTENTION;
    if (!moved && !made) {
        finish(request);
        return;
    }
    call->step = made ? STEP_OPERATE : STEP_RUN;
    submit(request);
}

static struct request *await_finished(struct requests *requests, int64_t until_ns)
{
    pthread_mutex_lock(&requests->mutex);
    while (requests->finished == NULL && clock_wait(&requests->changed, &requests->mutex, until_ns))
        continue;
    struct request *request = requests->finished;
    if (request != NULL)
        requests->finished = request->next;
    pthread_mutex_unlock(&requests->mutex);
    ck_assert_ptr_nonnull(request);
    return request;
}

void requests_settle(struct requests *requests)
{
    int64_t until_ns = clock_now_ns() + SETTLED_NS;
    while (requests->n_open > 0)
        resume(await_finished(requests, until_ns));
}

size_t requests_count(const struct requests *requests, enum rc rc)
{
    size_t count = 0;
    for (size_t i = 0; i < requests->n; i++)
        count += requests->all[i].rc == rc;
    return count;
}

// "POST /v1/orders": the method and the path.
static void fill(struct request *request, const char *what, const char *body, va_list arguments)
{
    char text[8192];
    const char *gap = strchr(what, ' ');
    ck_assert_ptr_nonnull(gap);
    request->method = strncmp(what, "PUT", 3) == 0 ? METHOD_PUT : METHOD_POST;
    text_copy(request->target, sizeof request->target, gap + 1);
    vsnprintf(text, sizeof text, body, arguments);
    buffer_clear(&request->call.body);
    buffer_append_text(&request->call.body, text);
    if (request->key[0] == '\0')
        text_format(request->key, sizeof request->key, "key-%016llx",
                    (unsigned long long)random_below(UINT64_MAX));
}

void request_send(struct requests *requests, size_t i, size_t instance, const char *what,
                  const char *body, ...)
{
    struct request *request = &requests->all[i];
    va_list arguments;
    va_start(arguments, body);
    fill(request, what, body, arguments);
    va_end(arguments);
    request->instance = instance;
    start(request);
}

void request_repeat(struct requests *requests, size_t i, size_t j, size_t instance)
{
    struct request *request = &requests->all[j];
    const struct request *first = &requests->all[i];
    request->method = first->method;
    request->instance = instance;
    text_copy(request->target, sizeof request->target, first->target);
    text_copy(request->key, sizeof request->key, first->key);
    buffer_clear(&request->call.body);
    buffer_append(&request->call.body, first->call.body.data, first->call.body.length);
    start(request);
}

void request_make(struct requests *requests, size_t i, const char *what, const char *body, ...)
{
    struct request *request = &requests->all[i];
    va_list arguments;
    va_start(arguments, body);
    fill(request, what, body, arguments);
    va_end(arguments);
    ck_assert_int_eq(prepare(request), RC_OK);
    struct job *job = &request->call.job;
    if (request->call.route->run != NULL && request->call.step == STEP_RUN)
        ck_assert_int_eq(request->call.route->run(job, requests->fixture->scratch.db), RC_OK);
}

void request_submit(struct requests *requests, size_t i, size_t instance)
{
    struct request *request = &requests->all[i];
    request->instance = instance;
    request->call.step = STEP_OPERATE;
    requests->n_open++;
    submit(request);
}

void request_do(struct fixture *fixture, const char *what, const char *body, ...)
{
    struct requests requests;
    requests_init(&requests, fixture, 1);
    va_list arguments;
    va_start(arguments, body);
    fill(&requests.all[0], what, body, arguments);
    va_end(arguments);
    start(&requests.all[0]);
    requests_settle(&requests);
    ck_assert_msg(requests.all[0].rc == RC_OK, "%s: %s", what, rc_slug(requests.all[0].rc));
    requests_release(&requests);
}
