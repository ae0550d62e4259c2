// Several instances sweep the same database without knowing of each other. Their expiries of one
// hold have the same request key and the same counters, so the first counts and the others change
// nothing.
#include "engine/sweeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "domain/reservation.h"
#include "engine/engine.h"
#include "metrics/metrics.h"
#include "store/tables/reservation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SWEEP_MAX 256 // holds at once: more would take longer for the requests between them
#define DEADLINE_NS (5 * NS_PER_S)

struct swept {
    struct sweeper *sweeper;
    struct job job;
    struct operation operation;
    char child[COUNTER_NAME_MAX + 1], reservation[RESERVATION_ID_MAX + 1];
};

struct sweeper {
    struct engine *engine;
    int64_t period_ns;
    pthread_t thread;
    struct job find;
    struct swept *swept; // SWEEP_MAX
    size_t n;
    int64_t oldest_ms; // of what was found: when it was due
    // A hold that fell due then may still be open; monotonic. It stays while nothing can be found.
    _Atomic int64_t swept_to_ns;
    _Atomic int64_t n_expired;

    pthread_mutex_t mutex;
    pthread_cond_t changed; // a job has finished, or stopping
    size_t n_running;
    bool stopping;
};

static void on_finished(struct sweeper *sweeper)
{
    pthread_mutex_lock(&sweeper->mutex);
    sweeper->n_running--;
    pthread_cond_signal(&sweeper->changed);
    pthread_mutex_unlock(&sweeper->mutex);
}

static void on_found(struct job *job, enum rc rc)
{
    struct sweeper *sweeper = CONTAINER_OF(job, struct sweeper, find);
    if (rc != RC_OK)
        sweeper->n = 0;
    on_finished(sweeper);
}

static void on_swept(struct job *job, enum rc rc)
{
    struct sweeper *sweeper = CONTAINER_OF(job, struct swept, job)->sweeper;
    if (rc == RC_OK) // what failed is found again
        atomic_fetch_add(&sweeper->n_expired, 1);
    on_finished(sweeper);
}

static void submit(struct sweeper *sweeper, struct job *job)
{
    job->deadline_ns = clock_now_ns() + DEADLINE_NS;
    pthread_mutex_lock(&sweeper->mutex);
    sweeper->n_running++;
    pthread_mutex_unlock(&sweeper->mutex);
    enum rc rc = engine_submit(sweeper->engine, job);
    if (rc != RC_OK)
        job->finished(job, rc);
}

static void await(struct sweeper *sweeper)
{
    pthread_mutex_lock(&sweeper->mutex);
    while (sweeper->n_running > 0)
        pthread_cond_wait(&sweeper->changed, &sweeper->mutex);
    pthread_mutex_unlock(&sweeper->mutex);
}

static enum rc add(void *arg, const struct hold *hold)
{
    struct sweeper *sweeper = arg;
    if (sweeper->n == 0)
        sweeper->oldest_ms = hold->expires_at_ms;
    struct swept *swept = &sweeper->swept[sweeper->n++];
    *swept = (struct swept){.sweeper = sweeper};
    text_copy(swept->reservation, sizeof swept->reservation, hold->reservation);
    hold_name(swept->child, counter_id(hold->counter), hold->reservation, (size_t)hold->line);
    struct operation *operation = &swept->operation;
    operation->kind = OPERATION_EXPIRE;
    operation->reservation = swept->reservation;
    operation->leg.child = swept->child;
    operation->leg.amount = hold->quantity;
    text_copy(operation->leg.counter, sizeof operation->leg.counter, hold->counter);
    reservation_expire_key(operation->request_key, hold->reservation, (size_t)hold->line);
    swept->job.operation = operation;
    swept->job.finished = on_swept;
    return RC_OK;
}

static enum rc find(struct job *job, struct db *db)
{
    struct sweeper *sweeper = CONTAINER_OF(job, struct sweeper, find);
    int64_t now_ms = 0, began_ns = clock_now_ns();
    enum rc rc = hold_due_anywhere(db, SWEEP_MAX, add, sweeper, &now_ms);
    int64_t overdue_ms = sweeper->n > 0 ? now_ms - sweeper->oldest_ms : 0;
    if (rc == RC_OK)
        atomic_store(&sweeper->swept_to_ns, began_ns - overdue_ms * NS_PER_MS);
    return rc;
}

// Returns how many holds were due.
static size_t sweep(struct sweeper *sweeper)
{
    sweeper->n = 0;
    submit(sweeper, &sweeper->find);
    await(sweeper);
    for (size_t i = 0; i < sweeper->n; i++)
        submit(sweeper, &sweeper->swept[i].job);
    await(sweeper);
    return sweeper->n;
}

static void *run(void *arg)
{
    struct sweeper *sweeper = arg;
    pthread_mutex_lock(&sweeper->mutex);
    // Instances that start together do not sweep together.
    int64_t next_ns = clock_now_ns() + (int64_t)random_below((uint64_t)sweeper->period_ns);
    while (!sweeper->stopping) {
        if (clock_now_ns() < next_ns) {
            clock_wait(&sweeper->changed, &sweeper->mutex, next_ns);
            continue;
        }
        pthread_mutex_unlock(&sweeper->mutex);
        bool more = sweep(sweeper) == SWEEP_MAX;
        pthread_mutex_lock(&sweeper->mutex);
        next_ns = clock_now_ns() + (more ? 0 : sweeper->period_ns);
    }
    pthread_mutex_unlock(&sweeper->mutex);
    return NULL;
}

static int64_t read_lag(void *arg)
{
    struct sweeper *sweeper = arg;
    return clock_now_ns() - atomic_load(&sweeper->swept_to_ns);
}

static int64_t read_expired(void *arg)
{
    struct sweeper *sweeper = arg;
    return atomic_load(&sweeper->n_expired);
}

enum rc sweeper_new(struct engine *engine, struct metrics *metrics, int64_t period_ms,
                    struct sweeper **ret_sweeper)
{
    struct sweeper *sweeper = calloc(1, sizeof *sweeper);
    if (sweeper == NULL)
        return RC_NO_MEMORY;
    sweeper->engine = engine;
    sweeper->period_ns = period_ms * NS_PER_MS;
    sweeper->swept_to_ns = clock_now_ns();
    sweeper->find.run = find;
    sweeper->find.finished = on_found;
    sweeper->swept = calloc(SWEEP_MAX, sizeof *sweeper->swept);
    pthread_mutex_init(&sweeper->mutex, NULL);
    pthread_cond_init(&sweeper->changed, NULL);
    if (sweeper->swept == NULL || pthread_create(&sweeper->thread, NULL, run, sweeper) != 0) {
        pthread_cond_destroy(&sweeper->changed);
        pthread_mutex_destroy(&sweeper->mutex);
        free(sweeper->swept);
        free(sweeper);
        return RC_NO_MEMORY;
    }
    metrics_duration(metrics, "holdfast_sweeper_lag_seconds", "",
                     "How long a hold may have been due without having been swept.", read_lag,
                     sweeper);
    metrics_counter(metrics, "holdfast_holds_swept_total", "", "Holds that the sweeper expired.",
                    read_expired, sweeper);
    *ret_sweeper = sweeper;
    return RC_OK;
}

void sweeper_free(struct sweeper *sweeper)
{
    if (sweeper == NULL)
        return;
    pthread_mutex_lock(&sweeper->mutex);
    sweeper->stopping = true;
    pthread_cond_signal(&sweeper->changed);
    pthread_mutex_unlock(&sweeper->mutex);
    pthread_join(sweeper->thread, NULL);
    pthread_cond_destroy(&sweeper->changed);
    pthread_mutex_destroy(&sweeper->mutex);
    free(sweeper->swept);
    free(sweeper);
}
