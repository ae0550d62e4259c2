// The life of a run, on a thread of its own: prepare the database and the engines, make what the
// scenario begins with, send the crowd's requests, wait for the answers, reconcile.
#include "http/lab/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_OF_ACTOR 40
#define EVENTS_MIN 4096
#define LEASE_SLACK 6 // waiters may queue for so many leases
#define QUEUE_LIMIT 100000
#define CROWD_LIMIT_NS (120 * NS_PER_S)
#define BATCH 256

// ---- preparing ----------------------------------------------------------------------------------

static enum rc open_engine(struct run *run, size_t i)
{
    const struct lab_settings *settings = &run->settings;
    bool misplaced = settings->lock != LAB_LOCK_NONE;
    struct engine_settings engine = {
        .workers = (size_t)settings->workers,
        .max_batch = settings->combine ? BATCH : 1,
        .queue_limit = QUEUE_LIMIT,
        .lab = true,
        .unfenced = !settings->fence,
        .guard = run->guards,
        .hooks = run_hooks(run),
        .feed = {.limit = 1, .poll_ms = 60000},
    };
    for (size_t j = 0; j < ENDPOINT_COUNT; j++)
        engine.strategy[j] = misplaced ? "none" : settings->strategy;
    enum rc rc = metrics_new(&run->metrics[i]);
    return rc == RC_OK ? engine_new(&engine, run->scratch.store, run->metrics[i], &run->engines[i],
                                    run->why)
                       : rc;
}

static enum rc prepare(struct run *run)
{
    const struct lab_settings *settings = &run->settings;
    text_copy(run->why, sizeof run->why, "out of memory");
    enum rc rc = lab_scratch_open(&run->scratch, run->options->store, settings->belts, run->why);
    // A lease that is not renewed: from its beginning it is past the limit.
    run->guards = run->options->guard;
    run->guards.lock_ttl_ms = settings->lease_ms;
    run->guards.lock_max_hold_ms = settings->manual ? INT32_MAX : settings->lease_ms;
    run->guards.lock_wait_ms = settings->manual ? INT32_MAX : 30000;
    run->guards.lock_wait = "notify";
    for (size_t i = 0; rc == RC_OK && i < (size_t)settings->instances; i++)
        rc = open_engine(run, i);
    if (rc == RC_OK && settings->lock != LAB_LOCK_NONE)
        rc = guard_open(strategy_find(settings->strategy), &run->guards, &run->guard, run->why);
    for (const struct lab_act *act = run->scenario->setup; rc == RC_OK && act->what != NULL;
         act++) {
        rc = actor_do(run, act);
        if (rc != RC_OK)
            text_format(run->why, sizeof run->why, "%s was answered %s", act->what, rc_slug(rc));
    }
    return rc;
}

// ---- the crowd ----------------------------------------------------------------------------------

static const struct lab_act *role_of(const struct run *run, size_t buyer)
{
    const struct lab_scenario *scenario = run->scenario;
    size_t n = 1;
    while (n < LAB_ROLES_MAX && scenario->roles[n][0].what != NULL)
        n++;
    if (scenario->alternate)
        return scenario->roles[buyer % n];
    return scenario->roles[buyer == 0 ? 0 : n - 1];
}

static void init_actors(struct run *run)
{
    for (size_t i = 0; i < run->n_actors; i++) {
        struct actor *actor = &run->actors[i];
        size_t copies = 1 + (size_t)run->settings.duplicates;
        actor->run = run;
        actor->number = i;
        actor->buyer = i / copies;
        actor->act = role_of(run, actor->buyer);
        actor->instance = actor->act->answer_lost ? 0 : i % (size_t)run->settings.instances;
        actor->waiting = run->settings.manual;
        actor->left = true;
        text_format(actor->key, sizeof actor->key, "buyer-%zu", actor->buyer);
    }
}

static bool may_start(const struct run *run, struct actor *actor, int64_t now_ns)
{
    if (actor->submitted || actor->done)
        return false;
    if (!run->settings.manual)
        return now_ns >= run->record.start_ns + actor->act->at_ms * NS_PER_MS;
    bool granted = actor->permits > 0;
    actor->permits -= granted;
    actor->waiting = !granted;
    return granted;
}

// With the run's mutex held, which it gives back meanwhile. Returns when the next request is due.
static int64_t start_due(struct run *run)
{
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < run->n_actors && !run->cancelled; i++) {
        struct actor *actor = &run->actors[i];
        if (may_start(run, actor, clock_now_ns())) {
            actor->submitted = true;
            pthread_mutex_unlock(&run->mutex);
            actor_start(actor);
            pthread_mutex_lock(&run->mutex);
        } else if (!actor->submitted && !actor->done && !run->settings.manual) {
            int64_t due_ns = run->record.start_ns + actor->act->at_ms * NS_PER_MS;
            next_ns = due_ns < next_ns ? due_ns : next_ns;
        }
    }
    return next_ns;
}

// The client of a request with answer_lost sends it again, to another instance.
static bool lose_answer(struct actor *actor)
{
    if (!actor->act->answer_lost || actor->call.rc != RC_OK || actor->instance > 0)
        return false;
    run_note(actor, (struct lab_event){.step = LAB_ANSWER, .rc = RC_COUNT});
    actor->instance = (size_t)actor->run->settings.instances - 1;
    actor->run->n_accepted += !actor->call.operation.outcome.replayed;
    return true;
}

static void note_answer(struct actor *actor)
{
    struct run *run = actor->run;
    struct operation *operation = &actor->call.operation;
    const struct outcome *outcome = &operation->outcome;
    const struct leg *leg = operation_leg(operation, run_leg(run, operation));
    enum rc rc = actor->call.rc;
    run_note(actor, (struct lab_event){.step = LAB_ANSWER,
                                       .rc = rc,
                                       .version = leg->version,
                                       .remaining = leg->remaining});
    bool more = rc == RC_OK && actor->act[1].what != NULL;
    pthread_mutex_lock(&run->mutex);
    actor->submitted = false;
    actor->done = !more;
    if (more)
        actor->waiting = run->settings.manual; // else it may stand at its last stop
    run->n_answered += !more;
    run->n_accepted += rc == RC_OK && !more && !outcome->replayed;
    run->n_replayed += rc == RC_OK && outcome->replayed;
    run->n_failed += rc_is_transient(rc) || rc == RC_INTERNAL;
    run->n_refused += rc != RC_OK && !rc_is_transient(rc) && rc != RC_INTERNAL;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    if (more) {
        actor->act++;
        text_format(actor->key, sizeof actor->key, "buyer-%zu-next", actor->buyer);
    }
}

static void take_answer(struct actor *actor)
{
    if (!actor_resume(actor))
        return;
    if (lose_answer(actor))
        actor_start(actor);
    else
        note_answer(actor);
}

static bool any_under_way(const struct run *run)
{
    for (size_t i = 0; i < run->n_actors; i++) {
        if (run->actors[i].submitted)
            return true;
    }
    return false;
}

// With the run's mutex held. A request of a manual run is answered before its last stop.
static bool goes_on(const struct run *run)
{
    if (run->n_answered < run->n_actors)
        return !run->cancelled || any_under_way(run);
    for (size_t i = 0; run->settings.manual && i < run->n_actors; i++) {
        if (!run->actors[i].left)
            return true;
    }
    return false;
}

static void play(struct run *run)
{
    int64_t end_ns = clock_now_ns() + CROWD_LIMIT_NS;
    pthread_mutex_lock(&run->mutex);
    while (goes_on(run)) {
        int64_t next_ns = start_due(run);
        if (!run->settings.manual && clock_now_ns() >= end_ns)
            run->cancelled = true;
        if (run->finished == NULL) {
            int64_t limit_ns = clock_now_ns() + NS_PER_S;
            (void)clock_wait(&run->changed, &run->mutex, next_ns < limit_ns ? next_ns : limit_ns);
        }
        struct actor *finished = run->finished;
        run->finished = NULL;
        pthread_mutex_unlock(&run->mutex);
        while (finished != NULL) {
            struct actor *next = finished->next;
            take_answer(finished);
            finished = next;
        }
        pthread_mutex_lock(&run->mutex);
    }
    pthread_mutex_unlock(&run->mutex);
}

// ---- the thread ---------------------------------------------------------------------------------

static void enter_state(struct run *run, enum run_state state)
{
    pthread_mutex_lock(&run->mutex);
    run->state = state;
    if (state >= RUN_ENDED)
        run->ended_ns = clock_now_ns();
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
}

static void close_engines(struct run *run)
{
    for (size_t i = 0; i < RUN_INSTANCES_MAX; i++) {
        engine_free(run->engines[i]);
        metrics_free(run->metrics[i]);
        run->engines[i] = NULL;
        run->metrics[i] = NULL;
    }
    guard_close(run->guard);
    run->guard = NULL;
}

static void *run_main(void *arg)
{
    struct run *run = arg;
    enum run_state end = RUN_FAILED;
    enum rc rc = prepare(run);
    if (rc == RC_OK) {
        run->record.start_ns = clock_now_ns();
        enter_state(run, RUN_RUNNING);
        play(run);
        enter_state(run, RUN_CHECKING);
        for (size_t i = 0; i < (size_t)run->settings.instances; i++)
            engine_drain(run->engines[i]);
        end = run->cancelled ? RUN_CANCELLED : RUN_ENDED;
        if (end == RUN_ENDED && run_judge(run) != RC_OK)
            end = RUN_FAILED;
    }
    close_engines(run);
    lab_scratch_close(&run->scratch);
    if (end == RUN_FAILED)
        LOG_WARNING("laboratory: run %s failed: %s", run->id, run->why);
    enter_state(run, end);
    return NULL;
}

enum rc run_new(const struct lab_options *options, const char *id,
                const struct lab_scenario *scenario, const struct lab_settings *settings,
                struct run **ret_run)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return RC_NO_MEMORY;
    run->options = options;
    run->scenario = scenario;
    run->settings = *settings;
    run->clerk = (struct actor){.run = run, .number = SIZE_MAX};
    run->n_actors = (size_t)(settings->buyers * (1 + settings->duplicates));
    text_copy(run->id, sizeof run->id, id);
    pthread_mutex_init(&run->mutex, NULL);
    pthread_cond_init(&run->changed, NULL);
    run->actors = calloc(run->n_actors, sizeof *run->actors);
    enum rc rc = run->actors != NULL ? RC_OK : RC_NO_MEMORY;
    if (rc == RC_OK)
        rc = record_init(&run->record, EVENTS_MIN + EVENTS_OF_ACTOR * run->n_actors);
    if (rc == RC_OK) {
        init_actors(run);
        run->started = pthread_create(&run->thread, NULL, run_main, run) == 0;
        rc = run->started ? RC_OK : RC_NO_MEMORY;
    }
    if (rc != RC_OK) {
        run_free(run);
        return rc;
    }
    *ret_run = run;
    return RC_OK;
}

void run_cancel(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    run->cancelled = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
}

void run_free(struct run *run)
{
    if (run == NULL)
        return;
    run_cancel(run);
    if (run->started)
        pthread_join(run->thread, NULL);
    for (size_t i = 0; run->actors != NULL && i < run->n_actors; i++)
        actor_release(&run->actors[i]);
    actor_release(&run->clerk);
    if (run->record.events != NULL)
        record_release(&run->record);
    free(run->actors);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->mutex);
    free(run);
}

// ---- manual runs --------------------------------------------------------------------------------

bool run_step(struct run *run, size_t actor)
{
    if (!run->settings.manual || actor >= run->n_actors)
        return false;
    pthread_mutex_lock(&run->mutex);
    struct actor *chosen = &run->actors[actor];
    if (chosen->waiting && chosen->permits == 0)
        chosen->permits = 1;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    return true;
}

bool run_has_arrived(struct run *run, size_t actor)
{
    pthread_mutex_lock(&run->mutex);
    const struct actor *chosen = &run->actors[actor];
    bool arrived = run_is_over(run) ||
                   (chosen->permits == 0 && (chosen->waiting || (chosen->done && chosen->left)));
    pthread_mutex_unlock(&run->mutex);
    return arrived;
}

bool run_is_over(const struct run *run)
{
    return run->state >= RUN_ENDED;
}
