// The pool of workers and the queues that feed it. What a worker does is in engine_workers.c; the
// thread that answers when all of them wait is in engine_expiry.c.
#include "engine/engine.h"

#include "base/clock.h"
#include "base/text.h"
#include "engine/background.h"
#include "engine/engine_state.h"
#include "engine/feed.h"
#include "engine/recent_keys.h"
#include "engine/section.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// ---- strategies ---------------------------------------------------------------------------------

enum rc engine_can_use(struct engine *engine, const struct strategy *strategy, char *ret_why)
{
    return guards_can_use(&engine->guards, strategy, ret_why);
}

// With the mutex held, or before the workers start.
static enum rc check_mix(const struct engine *engine, char *ret_why)
{
    const struct strategy *chosen[ENDPOINT_COUNT];
    for (size_t i = 0; i < ENDPOINT_COUNT; i++)
        chosen[i] = engine->current[i]->strategy;
    return engine->settings.lab ? RC_OK
                                : guards_can_mix(endpoint_traits, chosen, ENDPOINT_COUNT, ret_why);
}

enum rc engine_set_strategy(struct engine *engine, enum endpoint endpoint,
                            const struct strategy *strategy, char *ret_why)
{
    enum rc rc = engine_can_use(engine, strategy, ret_why);
    if (rc != RC_OK)
        return rc;
    pthread_mutex_lock(&engine->mutex);
    struct guard *before = engine->current[endpoint];
    engine->current[endpoint] = engine_guard(engine, strategy);
    rc = check_mix(engine, ret_why);
    if (rc != RC_OK)
        engine->current[endpoint] = before;
    pthread_mutex_unlock(&engine->mutex);
    return rc;
}
// ---- life ---------------------------------------------------------------------------------------

enum rc engine_submit(struct engine *engine, struct job *job)
{
    if (job->background)
        return background_submit(engine->background, job);
    if (job->feed != NULL)
        return feed_submit(engine->feed, job);
    if (job->strategy != NULL && engine_guard(engine, job->strategy) == NULL)
        return RC_USAGE;
    bool wake = true;
    pthread_mutex_lock(&engine->mutex);
    job->submitted_ns = clock_now_ns();
    bool taken = !engine->draining && engine_n_queued(engine) < engine->settings.queue_limit;
    if (taken && job->operation == NULL)
        queue_push(&engine->tasks, job);
    else if (taken && engine_is_direct(engine))
        queue_push(&engine->direct, job);
    else if (taken)
        taken = lanes_push(&engine->lanes, engine_guard_for(engine, job), job, &wake);
    if (taken)
        engine_note_deadline(engine, job);
    if (taken && wake)
        engine_wake(engine);
    pthread_mutex_unlock(&engine->mutex);
    return taken ? RC_OK : RC_OVERLOADED;
}

size_t engine_depth(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    size_t depth = engine_n_queued(engine) + engine->n_busy;
    pthread_mutex_unlock(&engine->mutex);
    return depth;
}

void engine_drain(struct engine *engine)
{
    background_stop(engine->background);
    feed_drain(engine->feed);
    pthread_mutex_lock(&engine->mutex);
    engine->draining = true;
    while (engine->n_busy > 0 || engine_n_queued(engine) > 0)
        pthread_cond_wait(&engine->idle, &engine->mutex);
    pthread_mutex_unlock(&engine->mutex);
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    engine_drain(engine);
    pthread_mutex_lock(&engine->mutex);
    engine->stopping = true;
    pthread_cond_signal(&engine->stopped);
    pthread_cond_broadcast(&engine->work);
    pthread_mutex_unlock(&engine->mutex);
    if (engine->expiry_started)
        pthread_join(engine->expiry, NULL);
    for (size_t i = 0; i < engine->n_workers; i++)
        pthread_join(engine->workers[i].thread, NULL);
    for (size_t i = 0; engine->workers != NULL && i < engine->settings.workers; i++)
        section_free(engine->workers[i].section);
    guards_close(&engine->guards);
    background_free(engine->background);
    feed_free(engine->feed);
    recent_keys_free(engine->recent);
    pthread_cond_destroy(&engine->work);
    pthread_cond_destroy(&engine->idle);
    pthread_cond_destroy(&engine->stopped);
    pthread_mutex_destroy(&engine->mutex);
    free(engine->workers);
    free(engine);
}

static enum rc start_workers(struct engine *engine)
{
    size_t n = engine->settings.workers;
    engine->workers = calloc(n, sizeof *engine->workers);
    engine->recent = recent_keys_new();
    if (engine->workers == NULL || engine->recent == NULL)
        return RC_NO_MEMORY;
    struct section_settings settings = {.max_batch = engine->settings.max_batch,
                                        .undemanding = engine->settings.undemanding,
                                        .unfenced = engine->settings.unfenced,
                                        .tenure_ms = engine->settings.tenure_ms,
                                        .feed = engine->feed,
                                        .recent = engine->recent,
                                        .hooks = engine->settings.hooks};
    for (size_t i = 0; i < n; i++) {
        engine->workers[i].engine = engine;
        enum rc rc =
            section_new(engine->store, engine->metrics, &settings, &engine->workers[i].section);
        if (rc != RC_OK)
            return rc;
    }
    pthread_mutex_lock(&engine->mutex); // no worker reads n_workers before it is final
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (pthread_create(&engine->workers[i].thread, NULL, engine_work, &engine->workers[i]) != 0)
            rc = RC_NO_MEMORY;
        else
            engine->n_workers++;
    }
    pthread_mutex_unlock(&engine->mutex);
    return rc;
}

static enum rc choose_strategies(struct engine *engine, char *ret_error)
{
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        const char *name = engine->settings.strategy[i];
        const struct strategy *strategy = strategy_find(name);
        char why[GUARD_ERROR_MAX] = "there is no strategy of this name";
        if (strategy == NULL || engine_can_use(engine, strategy, why) != RC_OK) {
            text_format(ret_error, GUARD_ERROR_MAX, "%s.strategy = %s: %s",
                        endpoint_name((enum endpoint)i), name, why);
            return RC_USAGE;
        }
        engine->current[i] = engine_guard(engine, strategy);
        engine->lanes_at_once[i] = GUARD_KEYS_MAX;
    }
    return check_mix(engine, ret_error);
}

static int64_t read_depth(void *arg)
{
    return (int64_t)engine_depth(arg);
}

enum rc engine_new(const struct engine_settings *settings, struct store *store,
                   struct metrics *metrics, struct engine **ret_engine, char *ret_error)
{
    text_copy(ret_error, GUARD_ERROR_MAX, "out of memory");
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return RC_NO_MEMORY;
    engine->settings = *settings;
    engine->lanes.partitions = settings->partitions;
    engine->store = store;
    engine->metrics = metrics;
    engine->first_deadline_ns = INT64_MAX;
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_cond_init(&engine->work, NULL);
    pthread_cond_init(&engine->idle, NULL);
    pthread_cond_init(&engine->stopped, NULL);
    enum rc rc =
        guards_open(&engine->guards, &engine->settings.guard, store, metrics, engine->settings.lab);
    if (rc == RC_OK)
        rc = choose_strategies(engine, ret_error);
    if (rc == RC_OK)
        rc = background_new(store, &engine->background);
    if (rc == RC_OK)
        rc = feed_new(&settings->feed, store, metrics, &engine->feed);
    if (rc == RC_OK)
        rc = start_workers(engine);
    if (rc == RC_OK) {
        engine->expiry_started = pthread_create(&engine->expiry, NULL, engine_expire, engine) == 0;
        rc = engine->expiry_started ? RC_OK : RC_NO_MEMORY;
    }
    if (rc != RC_OK) {
        engine_free(engine);
        return rc;
    }
    metrics_gauge(metrics, "holdfast_queue_depth", "", "Queued jobs plus busy workers.", read_depth,
                  engine);
    database_series_register(&engine->database_series, store, metrics);
    *ret_engine = engine;
    return RC_OK;
}
