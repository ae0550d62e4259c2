// The expiry: a thread that never waits for a database or a lock. When the database hangs, every
// worker waits for it, and no worker is left to answer. The expiry then fails the queued jobs whose
// deadline has passed. It also ends the workers' waits past their deadlines, so that the jobs in
// flight are answered too.
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/engine_state.h"
#include "engine/feed.h"
#include "engine/job.h"
#include "engine/section.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <pthread.h>

#define EXPIRY_PERIOD_NS (50 * NS_PER_MS)

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
    if (now_ns < engine->first_deadline_ns)
        return; // else every queued job would be looked at, 20 times a second, under the mutex
    const int64_t first_ns[] = {lanes_move_expired(&engine->lanes, now_ns, &expired),
                                queue_move_expired(&engine->direct, now_ns, &expired),
                                queue_move_expired(&engine->tasks, now_ns, &expired)};
    engine->first_deadline_ns = INT64_MAX;
    for (size_t i = 0; i < ARRAY_LENGTH(first_ns); i++) {
        if (first_ns[i] < engine->first_deadline_ns)
            engine->first_deadline_ns = first_ns[i];
    }
    if (expired.n == 0)
        return;
    engine_wake(engine); // for the jobs behind them
    engine->n_busy++;
    pthread_mutex_unlock(&engine->mutex);
    while (expired.n > 0)
        fail_expired_job(engine, queue_pop(&expired));
    pthread_mutex_lock(&engine->mutex);
    engine_end_busy(engine);
}

void *engine_expire(void *arg)
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
