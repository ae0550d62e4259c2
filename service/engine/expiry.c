// Workers answer late jobs when they come to them. If the database hangs, no worker comes: they all
// wait for it, and somebody who never waits has to answer in their place. The same thread ends the
// workers' waits, so that what they have in hand is answered as well.
#include "engine/expiry.h"

#include "base/clock.h"
#include "engine/engine_parts.h"
#include "engine/section.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <stdlib.h>

#define EXPIRY_PERIOD_NS (50 * NS_PER_MS)

struct expiry {
    struct engine *engine;
    pthread_t thread;
    pthread_mutex_t mutex; // protects:
    bool stopping;
    pthread_cond_t stop;
};

static void answer(struct engine *engine, struct job *job)
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

// Counts as busy meanwhile: the engine is not idle before everybody was told.
static void answer_late(struct engine *engine)
{
    struct queue late = {0};
    int64_t now_ns = clock_now_ns();
    pthread_mutex_lock(&engine->mutex);
    lanes_move_late(&engine->lanes, now_ns, &late);
    queue_move_late(&engine->direct, now_ns, &late);
    queue_move_late(&engine->tasks, now_ns, &late);
    engine->n_busy += late.n > 0;
    pthread_mutex_unlock(&engine->mutex);
    if (late.n == 0)
        return;
    while (late.n > 0)
        answer(engine, queue_pop(&late));
    pthread_mutex_lock(&engine->mutex);
    engine->n_busy--;
    if (engine->n_busy == 0 && engine_queued(engine) == 0)
        pthread_cond_broadcast(&engine->idle);
    pthread_mutex_unlock(&engine->mutex);
}

static void *run(void *arg)
{
    struct expiry *expiry = arg;
    struct engine *engine = expiry->engine;
    pthread_mutex_lock(&expiry->mutex);
    while (!expiry->stopping) {
        pthread_mutex_unlock(&expiry->mutex);
        for (size_t i = 0; i < engine->settings.workers; i++)
            db_expire(section_db(engine->workers[i].section));
        answer_late(engine);
        int64_t until_ns = clock_now_ns() + EXPIRY_PERIOD_NS;
        pthread_mutex_lock(&expiry->mutex);
        if (!expiry->stopping)
            clock_wait(&expiry->stop, &expiry->mutex, until_ns);
    }
    pthread_mutex_unlock(&expiry->mutex);
    return NULL;
}

static void free_expiry(struct expiry *expiry)
{
    pthread_cond_destroy(&expiry->stop);
    pthread_mutex_destroy(&expiry->mutex);
    free(expiry);
}

enum rc expiry_start(struct engine *engine, struct expiry **ret_expiry)
{
    struct expiry *expiry = calloc(1, sizeof *expiry);
    if (expiry == NULL)
        return RC_NO_MEMORY;
    expiry->engine = engine;
    pthread_mutex_init(&expiry->mutex, NULL);
    pthread_cond_init(&expiry->stop, NULL);
    if (pthread_create(&expiry->thread, NULL, run, expiry) != 0) {
        free_expiry(expiry);
        return RC_NO_MEMORY;
    }
    *ret_expiry = expiry;
    return RC_OK;
}

void expiry_stop(struct expiry *expiry)
{
    if (expiry == NULL)
        return;
    pthread_mutex_lock(&expiry->mutex);
    expiry->stopping = true;
    pthread_cond_signal(&expiry->stop);
    pthread_mutex_unlock(&expiry->mutex);
    pthread_join(expiry->thread, NULL);
    free_expiry(expiry);
}
