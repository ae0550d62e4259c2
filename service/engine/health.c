// Tries the workers, the database and the lock servers, each on a thread of its own, once a second.
//
// A thread each, because a server that hangs blocks the attempt for a second or more, and must not
// hide the others. An attempt does what work does (store/tables/probe.c, guard_ping): a replica, a
// full disk or a lost right answers a ping, and refuses work. Only the strategies that an endpoint
// uses are tried. What has not answered for STALE_NS counts as unavailable, although the attempt
// has not ended. A fault that work has met (db_fault) counts at once.
//
// An instance serves if one endpoint does: a load balancer that took it out because of one lock
// server would turn away the requests that need none.
//
// What breaks it: a fault in a corner that no attempt touches. Requests meet it, and the log counts
// them (http/server/failure_log.c).
#include "engine/health.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine.h"
#include "guard/strategy/registry.h"
#include "guard/trouble.h"
#include "metrics/metrics.h"
#include "store/db/db.h"
#include "store/tables/probe.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_NS NS_PER_S
#define STALE_NS (3 * NS_PER_S)
#define FIRST_NS (1200 * NS_PER_MS) // the start waits so long for the first results
#define JOB_NS NS_PER_S             // a worker must take a job within it
#define DATABASE_WAIT_MS 1000
#define SAMPLE_EVERY 5 // attempts of the workers between two samples of the process

struct backend {
    struct health *health;
    const char *name;
    const struct strategy *strategy; // NULL: the workers, or the database
    struct db *db;                   // the database's; NULL for the others
    pthread_t thread;
    bool started;

    // With the mutex held.
    bool known, up;
    struct guard_trouble trouble; // unless up
    int64_t began_ns;             // monotonic: of the attempt in progress; 0: none
    int64_t down_ns;              // monotonic: since when it is not up
};

struct health {
    struct engine *engine;
    struct store *store;
    struct metrics *metrics;
    struct job job;    // the workers' attempt
    bool job_done;     // with the mutex held
    enum rc job_rc;    // of the last one
    size_t n_backends; // workers, database, then the lock servers
    struct backend backends[HEALTH_BACKENDS_MAX];
    pthread_mutex_t mutex;
    pthread_cond_t changed; // a result, a finished job, or stopping
    bool stopping;
};

// ---- the attempts: true if the backend can be used ----------------------------------------------

static enum rc do_nothing(struct job *job, struct db *db)
{
    (void)job, (void)db;
    return RC_OK;
}

static void on_finished(struct job *job, enum rc rc)
{
    struct health *health = CONTAINER_OF(job, struct health, job);
    pthread_mutex_lock(&health->mutex);
    health->job_done = true;
    health->job_rc = rc;
    pthread_cond_broadcast(&health->changed);
    pthread_mutex_unlock(&health->mutex);
}

// A queue that is full shows nothing about the workers, who may be as fast as they can. They are
// unavailable if a job waits in vain.
static bool try_workers(struct health *health, struct guard_trouble *ret_trouble)
{
    health->job.run = do_nothing;
    health->job.finished = on_finished;
    health->job.deadline_ns = clock_now_ns() + JOB_NS;
    health->job_done = false;
    if (engine_submit(health->engine, &health->job) != RC_OK)
        return true;
    pthread_mutex_lock(&health->mutex);
    while (!health->job_done)
        pthread_cond_wait(&health->changed, &health->mutex);
    bool taken = health->job_rc == RC_OK;
    pthread_mutex_unlock(&health->mutex);
    if (!taken)
        trouble_set(ret_trouble, "busy", "no worker has taken a job within a second");
    return taken;
}

static bool try_database(struct db *db, struct guard_trouble *ret_trouble)
{
    if (probe_run(db) == RC_OK)
        return true;
    enum db_fault fault = db_fault(db);
    trouble_set(ret_trouble, fault != DB_FAULT_NONE ? db_fault_word(fault) : TROUBLE_NO_ANSWER,
                db_error(db));
    return false;
}

static bool try_backend(struct backend *backend, struct guard_trouble *ret_trouble)
{
    struct health *health = backend->health;
    if (backend->strategy != NULL)
        return guard_ping(engine_guard(health->engine, backend->strategy), ret_trouble) == RC_OK;
    return backend->db != NULL ? try_database(backend->db, ret_trouble)
                               : try_workers(health, ret_trouble);
}

static bool in_use(const struct backend *backend)
{
    if (backend->strategy == NULL)
        return true;
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        if (engine_strategy(backend->health->engine, (enum endpoint)i) == backend->strategy)
            return true;
    return false;
}

// ---- what they find -----------------------------------------------------------------------------

// What an attempt has changed, for the log.
struct change {
    bool news, first;
    int64_t down_ns; // how long the backend was unavailable
};

// Reads without the mutex what only this backend's thread writes.
static struct change find_change(const struct backend *backend, bool up,
                                 const struct guard_trouble *trouble)
{
    struct change change = {.first = !backend->known};
    bool other_reason = backend->known && !backend->up && !up &&
                        strcmp(backend->trouble.reason, trouble->reason) != 0;
    change.news = change.first || up != backend->up || other_reason;
    if (up && !change.first)
        change.down_ns = clock_now_ns() - backend->down_ns;
    return change;
}

// With the mutex held.
static void store_result(struct backend *backend, bool up, const struct guard_trouble *trouble)
{
    if (!up && (backend->up || !backend->known))
        backend->down_ns = clock_now_ns();
    if (!up)
        backend->trouble = *trouble;
    backend->known = true;
    backend->up = up;
}

// "stock, order": the endpoints that use a strategy; "all endpoints" if it is NULL.
static void name_endpoints(struct engine *engine, const struct strategy *strategy, char *ret_names,
                           size_t size)
{
    text_format(ret_names, size, "%s", strategy == NULL ? "all endpoints" : "");
    for (int i = 0; strategy != NULL && i < ENDPOINT_COUNT; i++) {
        size_t used = strlen(ret_names);
        if (engine_strategy(engine, (enum endpoint)i) == strategy)
            text_format(ret_names + used, size - used, "%s%s", used > 0 ? ", " : "",
                        endpoint_name((enum endpoint)i));
    }
}

// Without the mutex: writing to the log may block.
static void log_change(const struct backend *backend, const struct change *change, bool up,
                       const struct guard_trouble *trouble)
{
    char endpoints[128];
    const struct health *health = backend->health;
    name_endpoints(health->engine, backend->strategy, endpoints, sizeof endpoints);
    if (!up)
        LOG_WARNING("%s: unavailable (%s): %s; not served: %s", backend->name, trouble->reason,
                    trouble->words, endpoints);
    else if (!change->first)
        LOG_INFO("%s: available again after %lld ms; served: %s", backend->name,
                 (long long)(change->down_ns / NS_PER_MS), endpoints);
    else if (backend->db != NULL)
        LOG_INFO("%s: connected to %s", backend->name, store_label(health->store));
    else if (backend->strategy != NULL)
        LOG_INFO("%s: connected; used by: %s", backend->name, endpoints);
}

static void *watch(void *arg)
{
    struct backend *backend = arg;
    struct health *health = backend->health;
    bool samples = backend->strategy == NULL && backend->db == NULL;
    pthread_mutex_lock(&health->mutex);
    for (unsigned n = 0; !health->stopping; n++) {
        int64_t began_ns = clock_now_ns();
        backend->began_ns = began_ns;
        pthread_mutex_unlock(&health->mutex);
        struct guard_trouble trouble = {.reason = TROUBLE_NO_ANSWER};
        bool used = in_use(backend), up = used && try_backend(backend, &trouble);
        if (samples && n % SAMPLE_EVERY == 0)
            metrics_sample_process(health->metrics);
        struct change change = find_change(backend, up, &trouble);
        if (used && change.news)
            log_change(backend, &change, up, &trouble);
        pthread_mutex_lock(&health->mutex);
        backend->began_ns = 0;
        if (used)
            store_result(backend, up, &trouble);
        else
            backend->known = false;
        pthread_cond_broadcast(&health->changed);
        while (!health->stopping && clock_now_ns() < began_ns + PERIOD_NS)
            clock_wait(&health->changed, &health->mutex, began_ns + PERIOD_NS);
    }
    pthread_mutex_unlock(&health->mutex);
    return NULL;
}

// ---- what it means ------------------------------------------------------------------------------

// With the mutex held. What is not known yet is not blamed.
static struct health_state state_of(const struct backend *backend)
{
    struct health_state state = {.name = backend->name, .ok = true};
    bool stale = backend->began_ns != 0 && clock_now_ns() - backend->began_ns > STALE_NS;
    enum db_fault fault = backend->db != NULL ? store_fault(backend->health->store) : DB_FAULT_NONE;
    if (fault != DB_FAULT_NONE)
        state.why = db_fault_word(fault);
    else if (backend->known && !backend->up)
        state.why = backend->trouble.reason;
    else if (stale)
        state.why = TROUBLE_NO_ANSWER;
    state.ok = state.why == NULL;
    return state;
}

void health_read(struct health *health, struct health_report *ret_report)
{
    struct health_state states[HEALTH_BACKENDS_MAX] = {0};
    memset(ret_report, 0, sizeof *ret_report);
    pthread_mutex_lock(&health->mutex);
    for (size_t i = 0; i < health->n_backends; i++)
        states[i] = state_of(&health->backends[i]);
    pthread_mutex_unlock(&health->mutex);
    for (size_t i = 0; i < health->n_backends; i++)
        if (in_use(&health->backends[i]))
            ret_report->backends[ret_report->n_backends++] = states[i];
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        const struct strategy *strategy = engine_strategy(health->engine, (enum endpoint)e);
        struct health_state *endpoint = &ret_report->endpoints[e];
        *endpoint = (struct health_state){.name = endpoint_name((enum endpoint)e), .ok = true};
        for (size_t i = 0; endpoint->ok && i < health->n_backends; i++) {
            const struct strategy *needed = health->backends[i].strategy;
            if (states[i].ok || (needed != NULL && needed != strategy))
                continue;
            endpoint->ok = false;
            endpoint->why = states[i].why;
            ret_report->blamed[e] = states[i].name;
        }
        ret_report->serves = ret_report->serves || endpoint->ok;
    }
}

static void render(void *arg, struct buffer *out)
{
    struct health_report report;
    health_read(arg, &report);
    buffer_append_text(out, "# HELP holdfast_backend_up Can the backend be used? Else the reason, "
                            "as in /readyz\n# TYPE holdfast_backend_up gauge\n");
    for (size_t i = 0; i < report.n_backends; i++) {
        const struct health_state *backend = &report.backends[i];
        buffer_format(out, "holdfast_backend_up{backend=\"%s\",reason=\"%s\"} %d\n", backend->name,
                      backend->ok ? "" : backend->why, backend->ok);
    }
    buffer_append_text(out, "# HELP holdfast_endpoint_up Can the endpoint be served?\n"
                            "# TYPE holdfast_endpoint_up gauge\n");
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        buffer_format(out, "holdfast_endpoint_up{endpoint=\"%s\"} %d\n", report.endpoints[i].name,
                      report.endpoints[i].ok);
}

// ---- new and free -------------------------------------------------------------------------------

static enum rc add(struct health *health, const char *name, const struct strategy *strategy,
                   struct db *db)
{
    struct backend *backend = &health->backends[health->n_backends++];
    *backend = (struct backend){.health = health, .name = name, .strategy = strategy, .db = db};
    backend->started = pthread_create(&backend->thread, NULL, watch, backend) == 0;
    return backend->started ? RC_OK : RC_NO_MEMORY;
}

static enum rc add_all(struct health *health)
{
    struct db *db;
    enum rc rc = add(health, "workers", NULL, NULL);
    if (rc == RC_OK)
        rc = db_new(health->store, &db);
    if (rc == RC_OK) {
        db_limit_waits(db, DATABASE_WAIT_MS);
        rc = add(health, "database", NULL, db);
    }
    for (size_t i = 0; rc == RC_OK && strategies[i] != NULL; i++) {
        bool open = engine_guard(health->engine, strategies[i]) != NULL;
        if (open && strategies[i]->ping != NULL && health->n_backends < HEALTH_BACKENDS_MAX)
            rc = add(health, strategies[i]->name, strategies[i], NULL);
    }
    return rc;
}

static void await_first(struct health *health)
{
    int64_t limit_ns = clock_now_ns() + FIRST_NS;
    for (size_t i = 0; i < health->n_backends; i++) {
        struct backend *backend = &health->backends[i];
        bool used = in_use(backend), on_time = true;
        pthread_mutex_lock(&health->mutex);
        while (used && on_time && !backend->known)
            on_time = clock_wait(&health->changed, &health->mutex, limit_ns);
        pthread_mutex_unlock(&health->mutex);
        if (used && !on_time)
            LOG_WARNING("%s: no answer yet", backend->name);
    }
}

enum rc health_new(struct engine *engine, struct store *store, struct metrics *metrics,
                   struct health **ret_health)
{
    struct health *health = calloc(1, sizeof *health);
    if (health == NULL)
        return RC_NO_MEMORY;
    health->engine = engine;
    health->store = store;
    health->metrics = metrics;
    pthread_mutex_init(&health->mutex, NULL);
    pthread_cond_init(&health->changed, NULL);
    enum rc rc = add_all(health);
    if (rc != RC_OK) {
        health_free(health);
        return rc;
    }
    await_first(health);
    metrics_page(metrics, render, health);
    *ret_health = health;
    return RC_OK;
}

void health_free(struct health *health)
{
    if (health == NULL)
        return;
    pthread_mutex_lock(&health->mutex);
    health->stopping = true;
    pthread_cond_broadcast(&health->changed);
    pthread_mutex_unlock(&health->mutex);
    for (size_t i = 0; i < health->n_backends; i++) {
        if (health->backends[i].started)
            pthread_join(health->backends[i].thread, NULL);
        db_free(health->backends[i].db);
    }
    pthread_cond_destroy(&health->changed);
    pthread_mutex_destroy(&health->mutex);
    free(health);
}
