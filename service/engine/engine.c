// The pool of workers, the queues that feed it, and the expiry of jobs.
//
// In combined mode at most SECTIONS_AT_ONCE sections run at once. One large transaction is faster
// than many small ones, and requests that arrive during a commit form the next batch. A section
// does not count towards the limit after 20 ms of entering its guard, or 200 ms inside it, so a
// stuck section does not block new ones. If a section over several lanes was blocked by a lock,
// each of its lanes then runs alone. In direct mode every worker may run one request.
//
// While a lane is picked no other worker runs its requests. So in combined mode a counter's
// requests under one strategy are decided in order of arrival; a second request with the same
// idempotency key waits for a later batch. Tasks (reads and administration for the HTTP side) run
// on the same workers between sections.
//
// One more thread, the expiry, never waits for a database or a lock. When the database hangs, every
// worker waits for it, and no worker is left to answer. The expiry then fails the queued jobs whose
// deadline has passed. It also ends the workers' waits past their deadlines, so that the jobs in
// flight are answered too.
#include "engine/engine.h"

#include "base/clock.h"
#include "base/text.h"
#include "engine/background.h"
#include "engine/batch.h"
#include "engine/database_series.h"
#include "engine/guards.h"
#include "engine/lanes.h"
#include "engine/queue.h"
#include "engine/section.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS_AT_ONCE 2
#define STUCK_AFTER_NS (20 * NS_PER_MS) // waiting for the guard
#define SLOW_AFTER_NS (200 * NS_PER_MS) // inside
#define EXPIRY_PERIOD_NS (50 * NS_PER_MS)

struct worker {
    struct engine *engine;
    pthread_t thread;
    struct section *section;
    struct pick pick;
    // Direct mode: the job to run, and copies of its counters' names, because the job may be freed
    // before the guard is left.
    struct job *direct;
    char direct_counters[LEGS_MAX][COUNTER_NAME_MAX + 1];
    bool in_section, entering; // entering: waiting for the guard
    int64_t since_ns;          // monotonic: start of entering, or of being inside
};

struct engine {
    struct engine_settings settings;
    struct store *store;
    struct metrics *metrics;
    struct guards guards;
    struct database_series database_series;
    struct background *background;
    struct feed *feed;
    pthread_t expiry;
    bool expiry_started;

    pthread_mutex_t mutex;  // protects everything below
    pthread_cond_t work;    // a job was queued, or stopping
    pthread_cond_t idle;    // no job queued, no worker busy
    pthread_cond_t stopped; // ends the expiry's sleep
    struct lanes lanes;
    struct queue direct, tasks;
    struct guard *current[ENDPOINT_COUNT];
    size_t lanes_at_once[ENDPOINT_COUNT]; // see adapt
    // Workers: busy with a section or a task (the expiry counts too while it answers jobs); idle;
    // and idle ones that wake after STUCK_AFTER_NS to look for a stuck section.
    size_t n_busy, n_waiting, n_watching;
    bool draining, stopping, task_was_last;
    size_t n_workers;
    struct worker *workers;
};

static bool is_direct(const struct engine *engine)
{
    return engine->settings.max_batch == 1;
}

// Jobs that wait. With the mutex held.
static size_t n_queued(const struct engine *engine)
{
    return engine->lanes.n_queued + engine->direct.n + engine->tasks.n;
}

// With the mutex held. Call when a worker or the expiry has finished all jobs that it took.
static void end_busy(struct engine *engine)
{
    engine->n_busy--;
    if (engine->n_busy == 0 && n_queued(engine) == 0)
        pthread_cond_broadcast(&engine->idle);
}

// ---- strategies ---------------------------------------------------------------------------------

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

// ---- workers ------------------------------------------------------------------------------------

static bool may_run_section(const struct engine *engine)
{
    if (is_direct(engine))
        return engine->direct.n > 0;
    if (!lanes_ready(&engine->lanes))
        return false;
    // With a single writer a second section would only wait for it, with a smaller batch.
    size_t at_once = store_traits(engine->store)->single_writer ? 1 : SECTIONS_AT_ONCE;
    int64_t now_ns = clock_now_ns();
    size_t active = 0;
    for (size_t i = 0; i < engine->n_workers; i++) {
        const struct worker *worker = &engine->workers[i];
        int64_t stuck_after_ns = worker->entering ? STUCK_AFTER_NS : SLOW_AFTER_NS;
        active += worker->in_section && now_ns - worker->since_ns <= stuck_after_ns;
    }
    return active < at_once;
}

static void wait_for_work(struct engine *engine)
{
    engine->n_waiting++;
    if (lanes_ready(&engine->lanes)) {
        // The limit holds this worker back. It wakes up when a running section may count as stuck.
        engine->n_watching++;
        clock_wait(&engine->work, &engine->mutex, clock_now_ns() + STUCK_AFTER_NS);
        engine->n_watching--;
    } else {
        pthread_cond_wait(&engine->work, &engine->mutex);
    }
    engine->n_waiting--;
}

// For section_source.
static size_t take_jobs(void *arg, int64_t before_ns, struct job **ret_jobs, size_t max_jobs,
                        size_t max_legs)
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
        struct lanes_budget budget = {.jobs = max_jobs, .legs = max_legs};
        n = lanes_take(&engine->lanes, &worker->pick, before_ns, &budget, ret_jobs);
    }
    pthread_mutex_unlock(&engine->mutex);
    if (depth > 0)
        metrics_observe(engine->metrics, METRIC_LANE_DEPTH, worker->pick.endpoint,
                        worker->pick.guard->strategy, (int64_t)depth);
    return n;
}

// For section_source.
static void give_back_jobs(void *arg, struct job *const *jobs, size_t n)
{
    struct worker *worker = arg;
    struct engine *engine = worker->engine;
    pthread_mutex_lock(&engine->mutex);
    lanes_return(&engine->lanes, jobs, n);
    pthread_mutex_unlock(&engine->mutex);
}

static struct guard *guard_for(const struct engine *engine, const struct job *job)
{
    if (job->strategy != NULL)
        return guards_find(&engine->guards, job->strategy);
    return engine->current[operation_endpoint(job->operation)];
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void pick_direct(struct engine *engine, struct worker *worker)
{
    struct job *job = queue_pop(&engine->direct);
    struct pick *pick = &worker->pick;
    worker->direct = job;
    pick->n = operation_n_legs(job->operation);
    pick->guard = guard_for(engine, job);
    pick->endpoint = operation_endpoint(job->operation);
    pick->deadline_ns = job->deadline_ns;
    pick->divisible = false;
    for (size_t i = 0; i < pick->n; i++) {
        text_copy(worker->direct_counters[i], sizeof worker->direct_counters[i],
                  operation_leg(job->operation, i)->counter);
        pick->keys[i] = worker->direct_counters[i];
    }
    qsort(pick->keys, pick->n, sizeof pick->keys[0], compare_keys);
}

// Halves the lanes picked at once when other writers interfered, so that one conflict does not make
// many counters retry. Adds one after each section without interference.
static void adapt(struct engine *engine, enum endpoint endpoint, enum section_end end)
{
    size_t *at_once = &engine->lanes_at_once[endpoint];
    if (end == SECTION_DISTURBED)
        *at_once = (*at_once + 1) / 2;
    else if (end == SECTION_UNDISTURBED && *at_once < GUARD_KEYS_MAX)
        ++*at_once;
}

static void pick_lanes(struct engine *engine, struct worker *worker)
{
    size_t max_batch = engine->settings.max_batch;
    enum endpoint endpoint = operation_endpoint(lanes_first(&engine->lanes));
    struct lanes_budget budget = {.jobs = max_batch,
                                  .legs = batch_legs_max(max_batch),
                                  .lanes = engine->lanes_at_once[endpoint]};
    lanes_pick(&engine->lanes, &budget, &worker->pick);
}

// With the mutex held; releases it while the section runs.
static void run_section(struct engine *engine, struct worker *worker)
{
    struct section_source source = {.take = take_jobs, .give_back = give_back_jobs, .arg = worker};
    if (is_direct(engine))
        pick_direct(engine, worker);
    else
        pick_lanes(engine, worker);
    worker->in_section = true;
    worker->entering = true;
    worker->since_ns = clock_now_ns();
    // Wake an idle worker to take over if this section gets stuck.
    if (engine->n_waiting > 0 && engine->n_watching == 0 && lanes_ready(&engine->lanes))
        pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->mutex);

    const struct pick *pick = &worker->pick;
    struct section_scope scope = {.endpoint = pick->endpoint,
                                  .guard = pick->guard,
                                  .keys = pick->keys,
                                  .n_keys = pick->n,
                                  .divisible = pick->divisible,
                                  .deadline_ns = pick->deadline_ns};
    enum section_end end = section_run(worker->section, &scope, &source);

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
        db_rollback(db); // of what a failed task left open
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
        // Sections and tasks in turns, so that neither starves the other.
        engine->task_was_last = task && !(section && engine->task_was_last);
        if (engine->task_was_last)
            run_task(engine, worker);
        else
            run_section(engine, worker);
        end_busy(engine);
        // This worker takes the next job itself; wake another one if there are more.
        if (engine->n_waiting > 0 && n_queued(engine) > 0)
            pthread_cond_signal(&engine->work);
    }
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
}

// ---- expiry -------------------------------------------------------------------------------------

static void fail_expired_job(struct engine *engine, struct job *job)
{
    if (job->operation != NULL) {
        enum endpoint endpoint = operation_endpoint(job->operation);
        const struct strategy *strategy =
            job->strategy != NULL ? job->strategy : engine_strategy(engine, endpoint);
        metrics_count(engine->metrics, METRIC_DEADLINE, endpoint, strategy, 1);
        job->operation->outcome = (struct outcome){.rc = RC_OVERLOADED};
    }
    job->finished(job, RC_OVERLOADED);
}

// Fails queued jobs whose deadline has passed. The engine counts as busy meanwhile, so that
// engine_drain waits for these answers. With the mutex held; releases it while it answers.
static void fail_expired(struct engine *engine)
{
    struct queue expired = {0};
    int64_t now_ns = clock_now_ns();
    lanes_move_expired(&engine->lanes, now_ns, &expired);
    queue_move_expired(&engine->direct, now_ns, &expired);
    queue_move_expired(&engine->tasks, now_ns, &expired);
    if (expired.n == 0)
        return;
    engine->n_busy++;
    pthread_mutex_unlock(&engine->mutex);
    while (expired.n > 0)
        fail_expired_job(engine, queue_pop(&expired));
    pthread_mutex_lock(&engine->mutex);
    end_busy(engine);
}

static void *run_expiry(void *arg)
{
    struct engine *engine = arg;
    pthread_mutex_lock(&engine->mutex);
    while (!engine->stopping) {
        pthread_mutex_unlock(&engine->mutex);
        for (size_t i = 0; i < engine->settings.workers; i++)
            db_expire(section_db(engine->workers[i].section));
        feed_expire(engine->feed);
        pthread_mutex_lock(&engine->mutex);
        fail_expired(engine);
        if (!engine->stopping)
            clock_wait(&engine->stopped, &engine->mutex, clock_now_ns() + EXPIRY_PERIOD_NS);
    }
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
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
    bool taken = !engine->draining && n_queued(engine) < engine->settings.queue_limit;
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
    size_t depth = n_queued(engine) + engine->n_busy;
    pthread_mutex_unlock(&engine->mutex);
    return depth;
}

void engine_drain(struct engine *engine)
{
    background_stop(engine->background);
    feed_drain(engine->feed);
    pthread_mutex_lock(&engine->mutex);
    engine->draining = true;
    while (engine->n_busy > 0 || n_queued(engine) > 0)
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
    if (engine->workers == NULL)
        return RC_NO_MEMORY;
    struct section_settings settings = {.max_batch = engine->settings.max_batch,
                                        .undemanding = engine->settings.undemanding,
                                        .unfenced = engine->settings.unfenced,
                                        .feed = engine->feed,
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
    engine->store = store;
    engine->metrics = metrics;
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
        engine->expiry_started = pthread_create(&engine->expiry, NULL, run_expiry, engine) == 0;
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
