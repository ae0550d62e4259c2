// A buyer's requests, without HTTP: the router's own handlers make the operations, and the run's
// thread takes each request from step to step as server/exchange.c does.
#include "http/lab/run.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_NS (30 * NS_PER_S)
#define MANUAL_DEADLINE_NS (1800 * NS_PER_S)
#define MOST_TRIES 20

static void finish(struct actor *actor, enum rc rc)
{
    struct run *run = actor->run;
    actor->call.rc = rc;
    pthread_mutex_lock(&run->mutex);
    actor->next = run->finished;
    run->finished = actor;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
}

static void on_finished(struct job *job, enum rc rc)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    finish(CONTAINER_OF(call, struct actor, call), rc);
}

static void submit(struct actor *actor)
{
    struct call *call = &actor->call;
    call->job.operation = call->step == STEP_OPERATE ? &call->operation : NULL;
    call->job.run = call->route->run;
    call->job.finished = on_finished;
    enum rc rc = engine_submit(actor->run->engines[actor->instance], &call->job);
    if (rc != RC_OK)
        finish(actor, rc);
}

// Appends the text with its $b, $u and $r replaced.
static void expand(struct buffer *out, const struct actor *actor, const char *text)
{
    buffer_clear(out);
    while (*text != '\0') {
        size_t length = strcspn(text, "$");
        buffer_append(out, text, length);
        text += length;
        if (*text == '\0')
            break;
        if (text[1] == 'b')
            buffer_append_int(out, (int64_t)actor->buyer);
        else if (text[1] == 'u')
            buffer_append_int(out, actor->run->settings.units);
        else
            buffer_append_text(out, actor->reservation);
        text += 2;
    }
}

// Makes the request anew: finds its route and reads its body.
static enum rc prepare(struct actor *actor)
{
    struct call *call = &actor->call;
    struct run *run = actor->run;
    struct buffer target = call->target, body = call->body, reply = call->reply;
    const char *path = strchr(actor->act->what, ' ') + 1;
    free(call->input);
    expand(&target, actor, path);
    expand(&body, actor, actor->act->body);
    buffer_clear(&reply);
    *call = (struct call){.context = &run->context,
                          .method = METHOD_POST,
                          .target = target,
                          .body = body,
                          .reply = reply};
    if (strncmp(actor->act->what, "PUT ", 4) == 0)
        call->method = METHOD_PUT;
    if (target.failed || body.failed)
        return RC_NO_MEMORY;
    text_copy(call->operation.request_key, sizeof call->operation.request_key, actor->key);
    call->job.deadline_ns =
        clock_now_ns() + (run->settings.manual ? MANUAL_DEADLINE_NS : DEADLINE_NS);
    enum rc rc = run->options->find_route(call, false);
    if (rc == RC_OK && call->route->prepare != NULL)
        rc = call->route->prepare(call);
    if (rc != RC_OK)
        return rc;
    bool complete = call->route->run == NULL || call->complete;
    call->step = complete && call->route->operates ? STEP_OPERATE : STEP_RUN;
    if (actor->act->ttl_ms > 0 && !run->settings.manual)
        call->operation.ttl_ms = actor->act->ttl_ms;
    return RC_OK;
}

void actor_start(struct actor *actor)
{
    run_note(actor, (struct lab_event){.step = LAB_SUBMIT});
    enum rc rc = prepare(actor);
    if (rc == RC_OK)
        submit(actor);
    else
        finish(actor, rc);
}

static void keep_reservation(struct actor *actor)
{
    static const char path[] = "/v1/reservations/";
    if (strncmp(actor->call.location, path, sizeof path - 1) == 0)
        text_copy(actor->reservation, sizeof actor->reservation,
                  actor->call.location + sizeof path - 1);
}

bool actor_resume(struct actor *actor)
{
    struct call *call = &actor->call;
    if (call->route == NULL)
        return true; // the scenario's request has no route, and call->rc says so
    bool ok = call->rc == RC_OK && call->problem.rc == RC_OK;
    bool in_time = clock_now_ns() < call->job.deadline_ns;
    if (call->route->operates && call->step == STEP_RUN && ok) {
        call->step = STEP_OPERATE;
        submit(actor);
        return false;
    }
    if (call->rc == RC_MOVED && in_time) { // what `run` has found is out of date
        call->step = STEP_RUN;
        submit(actor);
        return false;
    }
    if (call->rc == RC_MOVED)
        call->rc = RC_CONTENTION;
    if (call->problem.rc != RC_OK)
        call->rc = call->problem.rc;
    if (rc_is_transient(call->rc) && actor->tries++ < MOST_TRIES && !actor->run->cancelled) {
        actor_start(actor); // with its own key, as a client does
        return false;
    }
    if (call->rc == RC_OK && call->route->answer != NULL)
        call->route->answer(call);
    keep_reservation(actor);
    return true;
}

enum rc actor_do(struct run *run, const struct lab_act *act)
{
    struct actor *clerk = &run->clerk;
    clerk->act = act;
    text_format(clerk->key, sizeof clerk->key, "setup-%016llx",
                (unsigned long long)random_below(UINT64_MAX));
    actor_start(clerk);
    bool answered = false;
    while (!answered) {
        pthread_mutex_lock(&run->mutex);
        while (run->finished == NULL)
            pthread_cond_wait(&run->changed, &run->mutex);
        run->finished = NULL; // no other request is under way
        pthread_mutex_unlock(&run->mutex);
        answered = actor_resume(clerk);
    }
    return clerk->call.rc;
}

void actor_release(struct actor *actor)
{
    buffer_release(&actor->call.target);
    buffer_release(&actor->call.body);
    buffer_release(&actor->call.reply);
    free(actor->call.input);
}
