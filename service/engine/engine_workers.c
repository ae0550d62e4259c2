// What a worker does: it picks lanes and runs a section over them, or runs a task.
//
// In combined mode at most SECTIONS_AT_ONCE sections run at once. One large transaction is faster
// than many small ones, and requests that arrive during a commit form the next batch. So beside a
// running section a second one starts only if SECOND_SECTION_JOBS wait, or if the first one has run
// for 20 ms and may be stuck. A section does not count towards the limit after 20 ms of entering
// its guard, or 200 ms inside it, so a stuck section does not block new ones. If a section over
// several lanes was blocked by a lock, each of its lanes then runs alone. In direct mode every
// worker may run one request.
//
// While a lane is picked no other worker runs its requests. So in combined mode a counter's
// requests under one strategy are decided in order of arrival; a second request with the same
// idempotency key waits for a later batch. Tasks (reads and administration for the HTTP side) run
// on the same workers between sections.
#include "base/clock.h"
#include "base/text.h"
#include "engine/batch.h"
#include "engine/engine_state.h"
#include "engine/job.h"
#include "engine/partition.h"
#include "engine/section.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS_AT_ONCE 2
#define SECOND_SECTION_JOBS 40
#define STUCK_AFTER_NS (20 * NS_PER_MS) // waiting for the guard
#define SLOW_AFTER_NS (200 * NS_PER_MS) // inside
// A section takes this share of all partitions at most, and one more: the other sections, here and
// in other instances, shall find free ones.
#define PARTITIONS_SHARE 8

// Whether one more section may start.
static bool may_run_section(const struct engine *engine)
{
    if (engine_is_direct(engine))
        return engine->direct.n > 0;
    if (!lanes_ready(&engine->lanes))
        return false;
    // With a single writer a second section would only wait for it, with a smaller batch.
    size_t at_once = store_traits(engine->store)->single_writer ? 1 : SECTIONS_AT_ONCE;
    int64_t now_ns = clock_now_ns();
    size_t active = 0, ending = 0;
    for (size_t i = 0; i < engine->n_workers; i++) {
        const struct worker *worker = &engine->workers[i];
        if (!worker->in_section)
            continue;
        int64_t age_ns = now_ns - worker->since_ns;
        active += age_ns <= (worker->entering ? STUCK_AFTER_NS : SLOW_AFTER_NS);
        ending += age_ns <= STUCK_AFTER_NS;
    }
    return active < at_once && (ending == 0 || engine->lanes.n_queued >= SECOND_SECTION_JOBS);
}

void engine_wake(struct engine *engine)
{
    if (engine->n_waiting == 0)
        return;
    if (engine->tasks.n > 0 || may_run_section(engine) ||
        (engine->n_watching == 0 && lanes_ready(&engine->lanes)))
        pthread_cond_signal(&engine->work);
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

static bool is_partitioned(const struct worker *worker)
{
    return partition_applies(worker->engine->settings.partitions, worker->pick.guard);
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
        // A row of a partition may be stuck: then its jobs run one by one.
        bool single = worker->pick.alone && is_partitioned(worker);
        struct lanes_budget budget = {.jobs = single ? 1 : max_jobs, .legs = max_legs};
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
    for (size_t i = 0; i < n; i++)
        engine_note_deadline(engine, jobs[i]);
    pthread_mutex_unlock(&engine->mutex);
}

// For section_source.
static size_t count_queued(void *arg, size_t *ret_others)
{
    struct worker *worker = arg;
    struct engine *engine = worker->engine;
    pthread_mutex_lock(&engine->mutex);
    size_t all = engine->lanes.n_queued, mine = lanes_waiting(&worker->pick);
    pthread_mutex_unlock(&engine->mutex);
    *ret_others = all > mine ? all - mine : 0;
    return mine;
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
    pick->guard = engine_guard_for(engine, job);
    pick->endpoint = operation_endpoint(job->operation);
    pick->deadline_ns = job->deadline_ns;
    pick->divisible = false;
    size_t n_legs = operation_n_legs(job->operation);
    for (size_t i = 0; i < n_legs; i++) {
        char name[COUNTER_NAME_MAX + 1];
        text_copy(worker->direct_keys[i], sizeof worker->direct_keys[i],
                  partition_name(engine->settings.partitions, pick->guard,
                                 operation_leg(job->operation, i)->counter, name));
        pick->keys[i] = worker->direct_keys[i];
    }
    qsort(pick->keys, n_legs, sizeof pick->keys[0], compare_keys);
    pick->n = 0;
    for (size_t i = 0; i < n_legs; i++) { // two counters of one partition
        if (pick->n == 0 || strcmp(pick->keys[pick->n - 1], pick->keys[i]) != 0)
            pick->keys[pick->n++] = pick->keys[i];
    }
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
    size_t partitions = engine->settings.partitions, at_once = engine->lanes_at_once[endpoint];
    if (partition_applies(partitions, engine->current[endpoint]))
        at_once = partitions / PARTITIONS_SHARE + 1;
    struct lanes_budget budget = {
        .jobs = max_batch, .legs = batch_legs_max(max_batch), .lanes = at_once};
    lanes_pick(&engine->lanes, &budget, &worker->pick);
}

// With the mutex held; releases it while the section runs.
static void run_section(struct engine *engine, struct worker *worker)
{
    struct section_source source = {.take = take_jobs,
                                    .give_back = give_back_jobs,
                                    .queued = engine_is_direct(engine) ? NULL : count_queued,
                                    .arg = worker};
    if (engine_is_direct(engine))
        pick_direct(engine, worker);
    else
        pick_lanes(engine, worker);
    worker->in_section = true;
    worker->entering = true;
    worker->since_ns = clock_now_ns();
    engine_wake(engine);
    pthread_mutex_unlock(&engine->mutex);

    const struct pick *pick = &worker->pick;
    struct section_scope scope = {.endpoint = pick->endpoint,
                                  .guard = pick->guard,
                                  .keys = pick->keys,
                                  .n_keys = pick->n,
                                  .partitioned = is_partitioned(worker),
                                  .divisible = pick->divisible,
                                  .deadline_ns = pick->deadline_ns};
    enum section_end end = section_run(worker->section, &scope, &source);

    pthread_mutex_lock(&engine->mutex);
    worker->in_section = false;
    if (!engine_is_direct(engine)) {
        adapt(engine, pick->endpoint, end);
        lanes_put_back(&engine->lanes, &worker->pick, end == SECTION_BLOCKED);
    }
}

// With the mutex held; releases it while the task runs.
static void run_task(struct engine *engine, struct worker *worker)
{
    struct job *job = queue_pop(&engine->tasks);
    engine_wake(engine);
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

void *engine_work(void *arg)
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
        engine_end_busy(engine);
    }
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
}
