// Workers over lanes.
//
// In combined mode few sections run at once (SECTIONS_AT_ONCE): a transaction that takes everything
// waiting is worth more than many that take a little each, and what arrives while they commit is
// the next batch. A worker that has been waiting for a lock for a while, of a guard or of a row,
// does not count, so that one that is stuck does not hold up the others; and lanes that were stuck
// together go on each alone. In direct mode every worker may run one request.
//
// A counter of a picked lane is nobody else's, so a counter's requests are decided in order of
// arrival. What the HTTP side reads or administers runs on the same workers between sections.
#include "engine/engine.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/aside.h"
#include "engine/engine_parts.h"
#include "engine/expiry.h"
#include "engine/guards.h"
#include "engine/section.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS_AT_ONCE 2
#define STUCK_AFTER_NS (20 * NS_PER_MS) // entering
#define SLOW_AFTER_NS (200 * NS_PER_MS) // inside

static bool is_direct(const struct engine *engine)
{
    return engine->settings.max_batch == 1;
}

size_t engine_queued(const struct engine *engine)
{
    return engine->lanes.n_queued + engine->direct.n + engine->tasks.n;
}

// ---- strategies
// -----------------------------------------------------------------------------------

enum rc engine_can_use(struct engine *engine, const struct strategy *strategy, char *ret_why)
{
    return guards_can_use(&engine->guards, strategy, ret_why);
}

struct guard *engine_guard(struct engine *engine, const struct strategy *strategy)
{
    return guards_find(&engine->guards, strategy);
}

const struct strategy *engine_strategy(struct engine *engine, enum endpoint endpoint)
{
    pthread_mutex_lock(&engine->mutex);
    const struct strategy *strategy = engine->current[endpoint]->strategy;
    pthread_mutex_unlock(&engine->mutex);
    return strategy;
}

enum rc engine_set_strategy(struct engine *engine, enum endpoint endpoint,
                            const struct strategy *strategy, char *ret_why)
{
    enum rc rc = engine_can_use(engine, strategy, ret_why);
    if (rc != RC_OK)
        return rc;
    pthread_mutex_lock(&engine->mutex);
    engine->current[endpoint] = engine_guard(engine, strategy);
    pthread_mutex_unlock(&engine->mutex);
    return RC_OK;
}

// ---- workers
// --------------------------------------------------------------------------------------

static bool may_run_section(const struct engine *engine)
{
    if (is_direct(engine))
        return engine->direct.n > 0;
    if (!lanes_ready(&engine->lanes))
        return false;
    // SQLite has one writer: a second section would only wait for it with a smaller batch.
    size_t at_once = store_engine(engine->store) == DB_SQLITE ? 1 : SECTIONS_AT_ONCE;
    int64_t now_ns = clock_now_ns();
    size_t active = 0;
    for (size_t i = 0; i < engine->n_workers; i++) {
        const struct worker *worker = &engine->workers[i];
        int64_t patience_ns = worker->entering ? STUCK_AFTER_NS : SLOW_AFTER_NS;
        active += worker->in_section && now_ns - worker->since_ns <= patience_ns;
    }
    return active < at_once;
}

static void wait_for_work(struct engine *engine)
{
    engine->n_waiting++;
    if (lanes_ready(&engine->lanes)) {
        // Held back by the limit: look again when those that run may have become stuck.
        engine->n_watching++;
        clock_wait(&engine->work, &engine->mutex, clock_now_ns() + STUCK_AFTER_NS);
        engine->n_watching--;
    } else {
        pthread_cond_wait(&engine->work, &engine->mutex);
    }
    engine->n_waiting--;
}

static size_t take_jobs(void *arg, int64_t before_ns, struct job **ret_jobs, size_t max)
{
    struct worker *worker = arg;
    struct engine *engine = worker->engine;
    size_t n = 1, depth = 0;
    pthread_mutex_lock(&engine->mutex);
    worker->entering = false;
    worker->since_ns = clock_now_ns();
    if (worker->direct != NULL) {
        ret_jobs[0] = worker->direct;
    } else {
        depth = lanes_deepest(&worker->pick);
        n = lanes_take(&engine->lanes, &worker->pick, before_ns, ret_jobs, max);
    }
    pthread_mutex_unlock(&engine->mutex);
    if (depth > 0)
        metrics_observe(engine->metrics, METRIC_LANE_DEPTH, worker->pick.endpoint,
                        worker->pick.guard->strategy, (int64_t)depth);
    return n;
}

static void give_back_jobs(void *arg, struct job *const *jobs, size_t n)
{
    struct worker *worker = arg;
    struct engine *engine = worker->engine;
    pthread_mutex_lock(&engine->mutex);
    lanes_return(&engine->lanes, &worker->pick, jobs, n);
    pthread_mutex_unlock(&engine->mutex);
}

static struct guard *guard_for(const struct engine *engine, const struct job *job)
{
    if (job->strategy != NULL)
        return guards_find(&engine->guards, job->strategy);
    return engine->current[operation_endpoint(job->operation)];
}

static void pick_direct(struct engine *engine, struct worker *worker)
{
    struct job *job = queue_pop(&engine->direct);
    worker->direct = job;
    text_copy(worker->direct_counter, sizeof worker->direct_counter, job->operation->counter);
    worker->pick = (struct pick){.guard = guard_for(engine, job),
                                 .endpoint = operation_endpoint(job->operation),
                                 .deadline_ns = job->deadline_ns,
                                 .n = 1,
                                 .keys = {worker->direct_counter}};
}

// Fewer lanes at once when other writers interfered with some of them, so that one conflict does
// not send many counters round again; slowly more when none did.
static void adapt(struct engine *engine, enum endpoint endpoint, enum section_end end)
{
    size_t *at_once = &engine->lanes_at_once[endpoint];
    if (end == SECTION_DISTURBED)
        *at_once = (*at_once + 1) / 2;
    else if (end == SECTION_UNDISTURBED && *at_once < GUARD_KEYS_MAX)
        ++*at_once;
}

// With the mutex held; releases it while the section runs.
static void run_section(struct engine *engine, struct worker *worker)
{
    struct section_source source = {.take = take_jobs, .give_back = give_back_jobs, .arg = worker};
    if (is_direct(engine))
        pick_direct(engine, worker);
    else
        lanes_pick(&engine->lanes, engine->settings.max_batch,
                   engine->lanes_at_once[operation_endpoint(lanes_first(&engine->lanes))],
                   &worker->pick);
    worker->in_section = true;
    worker->entering = true;
    worker->since_ns = clock_now_ns();
    // Somebody else looks whether this one becomes stuck.
    if (engine->n_waiting > 0 && engine->n_watching == 0 && lanes_ready(&engine->lanes))
        pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->mutex);

    const struct pick *pick = &worker->pick;
    enum section_end end = section_run(worker->section, pick->endpoint, pick->guard, pick->keys,
                                       pick->n, pick->deadline_ns, &source);

    pthread_mutex_lock(&engine->mutex);
    worker->in_section = false;
    if (!is_direct(engine)) {
        adapt(engine, pick->endpoint, end);
        lanes_put_back(&engine->lanes, &worker->pick, end == SECTION_BLOCKED);
    }
}

// With the mutex held; releases it while the task runs.
static void run_task(struct engine *engine, struct worker *worker)
{
    struct job *job = queue_pop(&engine->tasks);
    pthread_mutex_unlock(&engine->mutex);
    enum rc rc = RC_OVERLOADED;
    if (clock_now_ns() < job->deadline_ns) {
        struct db *db = section_db(worker->section);
        db_set_deadline(db, job->deadline_ns);
        rc = job->run(job, db);
        db_rollback(db); // whatever a failed task left open
        db_set_deadline(db, INT64_MAX);
    }
    job->finished(job, rc);
    pthread_mutex_lock(&engine->mutex);
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct engine *engine = worker->engine;
    pthread_mutex_lock(&engine->mutex);
    for (;;) {
        bool section = may_run_section(engine), task = engine->tasks.n > 0;
        if (!section && !task) {
            if (engine->stopping)
                break;
            wait_for_work(engine);
            continue;
        }
        engine->n_busy++;
        // In turns, so that neither starves the other.
        engine->task_was_last = task && !(section && engine->task_was_last);
        if (engine->task_was_last)
            run_task(engine, worker);
        else
            run_section(engine, worker);
        engine->n_busy--;
        if (engine->n_busy == 0 && engine_queued(engine) == 0)
            pthread_cond_broadcast(&engine->idle);
        // This worker goes on with one thing; if there is more, another may help.
        if (engine->n_waiting > 0 && engine_queued(engine) > 0)
            pthread_cond_signal(&engine->work);
    }
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
}

// ---- life
// -----------------------------------------------------------------------------------------

enum rc engine_submit(struct engine *engine, struct job *job)
{
    if (job->aside)
        return aside_submit(engine->aside, job);
    if (job->strategy != NULL && engine_guard(engine, job->strategy) == NULL)
        return RC_USAGE;
    bool wake = true;
    pthread_mutex_lock(&engine->mutex);
    job->submitted_ns = clock_now_ns();
    bool taken = !engine->draining && engine_queued(engine) < engine->settings.queue_limit;
    if (taken && job->operation == NULL)
        queue_push(&engine->tasks, job);
    else if (taken && is_direct(engine))
        queue_push(&engine->direct, job);
    else if (taken)
        taken = lanes_push(&engine->lanes, guard_for(engine, job), job, &wake);
    if (taken && wake && engine->n_waiting > 0)
        pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->mutex);
    return taken ? RC_OK : RC_OVERLOADED;
}

size_t engine_depth(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    size_t depth = engine_queued(engine) + engine->n_busy;
    pthread_mutex_unlock(&engine->mutex);
    return depth;
}

void engine_drain(struct engine *engine)
{
    aside_stop(engine->aside);
    pthread_mutex_lock(&engine->mutex);
    engine->draining = true;
    while (engine->n_busy > 0 || engine_queued(engine) > 0)
        pthread_cond_wait(&engine->idle, &engine->mutex);
    pthread_mutex_unlock(&engine->mutex);
}

static void stop_workers(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stopping = true;
    pthread_cond_broadcast(&engine->work);
    pthread_mutex_unlock(&engine->mutex);
    for (size_t i = 0; i < engine->n_workers; i++)
        pthread_join(engine->workers[i].thread, NULL);
    for (size_t i = 0; i < engine->settings.workers; i++)
        section_free(engine->workers[i].section);
    engine->n_workers = 0;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    engine_drain(engine);
    expiry_stop(engine->expiry);
    if (engine->workers != NULL)
        stop_workers(engine);
    guards_close(&engine->guards);
    aside_free(engine->aside);
    pthread_cond_destroy(&engine->work);
    pthread_cond_destroy(&engine->idle);
    pthread_mutex_destroy(&engine->mutex);
    free(engine->workers);
    free(engine);
}

static enum rc start_workers(struct engine *engine)
{
    size_t n = engine->settings.workers;
    engine->workers = calloc(n, sizeof *engine->workers);
    if (engine->workers == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        engine->workers[i].engine = engine;
        enum rc rc = section_new(engine->store, engine->metrics, &engine->settings,
                                 &engine->workers[i].section);
        if (rc != RC_OK)
            return rc;
    }
    pthread_mutex_lock(&engine->mutex); // no worker looks at the others before all are there
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (pthread_create(&engine->workers[i].thread, NULL, work, &engine->workers[i]) != 0)
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
    return RC_OK;
}

static int64_t read_depth(void *arg)
{
    return (int64_t)engine_depth(arg);
}

static int64_t read_reconnects(void *arg)
{
    return (int64_t)store_reconnects(arg);
}

enum rc engine_new(const struct engine_settings *settings, struct store *store,
                   struct metrics *metrics, struct engine **ret_engine, char *ret_error)
{
    text_copy(ret_error, GUARD_ERROR_MAX, "out of memory");
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return RC_NO_MEMORY;
    engine->settings = *settings;
    engine->store = store;
    engine->metrics = metrics;
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_cond_init(&engine->work, NULL);
    pthread_cond_init(&engine->idle, NULL);
    enum rc rc =
        guards_open(&engine->guards, &engine->settings.guard, store, metrics, engine->settings.lab);
    if (rc == RC_OK)
        rc = choose_strategies(engine, ret_error);
    if (rc == RC_OK)
        rc = aside_new(store, &engine->aside);
    if (rc == RC_OK)
        rc = start_workers(engine);
    if (rc == RC_OK)
        rc = expiry_start(engine, &engine->expiry);
    if (rc != RC_OK) {
        engine_free(engine);
        return rc;
    }
    metrics_gauge(metrics, "holdfast_queue_depth", "",
                  "Requests that wait for a worker, and workers at work.", read_depth, engine);
    metrics_counter(metrics, "holdfast_reconnects_total", "backend=\"database\"",
                    GUARDS_RECONNECTS_HELP, read_reconnects, store);
    *ret_engine = engine;
    return RC_OK;
}
