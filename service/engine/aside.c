// A thread is made for each job and joined by whoever comes next: the next job, or the stop. It
// gives up its place before it finishes the job, so that who has been answered may ask again at
// once; what is left of it then is one call that does not block, so joining takes no time.
//
// What breaks it: a job that waits for anything but its connection. Cancelling reaches no further
// than that.
#include "engine/aside.h"

#include "engine/engine.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>

struct aside {
    struct store *store;
    pthread_mutex_t mutex; // protects everything below
    struct job *job;       // under way; NULL: none
    struct db *db;         // its connection, for as long as it may be cancelled
    pthread_t thread;      // of this job or the last, ...
    bool to_be_joined;     // ... if there was one
    bool stopping;
};

static void *run(void *arg)
{
    struct aside *aside = arg;
    pthread_mutex_lock(&aside->mutex); // until the one who submits is done with its part
    struct job *job = aside->job;
    struct db *db = aside->db;
    pthread_mutex_unlock(&aside->mutex);

    enum rc rc = job->run(job, db);

    pthread_mutex_lock(&aside->mutex);
    aside->db = NULL;
    if (aside->stopping && rc != RC_OK)
        rc = RC_OVERLOADED;
    pthread_mutex_unlock(&aside->mutex);
    db_free(db);

    pthread_mutex_lock(&aside->mutex);
    aside->job = NULL;
    pthread_mutex_unlock(&aside->mutex);
    job->finished(job, rc);
    return NULL;
}

// With the mutex held and no job under way.
static enum rc start(struct aside *aside, struct job *job)
{
    if (aside->to_be_joined)
        pthread_join(aside->thread, NULL);
    aside->to_be_joined = false;
    enum rc rc = db_new(aside->store, &aside->db);
    if (rc != RC_OK)
        return rc;
    if (pthread_create(&aside->thread, NULL, run, aside) != 0) {
        db_free(aside->db);
        aside->db = NULL;
        return RC_NO_MEMORY;
    }
    aside->job = job;
    aside->to_be_joined = true;
    return RC_OK;
}

enum rc aside_submit(struct aside *aside, struct job *job)
{
    enum rc rc;
    pthread_mutex_lock(&aside->mutex);
    if (aside->stopping)
        rc = RC_OVERLOADED;
    else if (aside->job != NULL)
        rc = RC_RECONCILIATION_RUNNING;
    else
        rc = start(aside, job);
    pthread_mutex_unlock(&aside->mutex);
    return rc;
}

void aside_stop(struct aside *aside)
{
    if (aside == NULL)
        return;
    pthread_mutex_lock(&aside->mutex);
    aside->stopping = true;
    if (aside->db != NULL)
        db_cancel(aside->db);
    bool join = aside->to_be_joined;
    aside->to_be_joined = false;
    pthread_t thread = aside->thread;
    pthread_mutex_unlock(&aside->mutex);
    if (join)
        pthread_join(thread, NULL);
}

enum rc aside_new(struct store *store, struct aside **ret_aside)
{
    struct aside *aside = calloc(1, sizeof *aside);
    if (aside == NULL)
        return RC_NO_MEMORY;
    aside->store = store;
    pthread_mutex_init(&aside->mutex, NULL);
    *ret_aside = aside;
    return RC_OK;
}

void aside_free(struct aside *aside)
{
    if (aside == NULL)
        return;
    aside_stop(aside);
    pthread_mutex_destroy(&aside->mutex);
    free(aside);
}
