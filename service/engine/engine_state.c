// What every thread of the engine needs of its state.
#include "engine/engine_state.h"

#include "engine/job.h"

#include <pthread.h>

bool engine_is_direct(const struct engine *engine)
{
    return engine->settings.max_batch == 1;
}

size_t engine_n_queued(const struct engine *engine)
{
    return engine->lanes.n_queued + engine->direct.n + engine->tasks.n;
}

void engine_note_deadline(struct engine *engine, const struct job *job)
{
    if (job->deadline_ns < engine->first_deadline_ns)
        engine->first_deadline_ns = job->deadline_ns;
}

void engine_end_busy(struct engine *engine)
{
    engine->n_busy--;
    if (engine->n_busy == 0 && engine_n_queued(engine) == 0)
        pthread_cond_broadcast(&engine->idle);
}

struct guard *engine_guard_for(const struct engine *engine, const struct job *job)
{
    if (job->strategy != NULL)
        return guards_find(&engine->guards, job->strategy);
    return engine->current[operation_endpoint(job->operation)];
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
