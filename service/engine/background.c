// The background job and its thread. background_submit creates a thread for each job; the next
// submit, or background_stop, joins it. The thread clears `job` before it calls `finished`, so a
// client that has its answer can submit again at once. `finished` does not block, so the join is
// immediate.
//
// What breaks it: a job that waits for anything but its connection. Cancelling can interrupt
// nothing else.
#include "engine/background.h"

#include "engine/job.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>

struct background {
    struct store *store;
    pthread_mutex_t mutex; // protects everything below
    struct job *job;       // running; NULL: none
    struct db *db;         // its connection, while it may be cancelled
    pthread_t thread;      // of the current or the last job
    bool to_join;          // the thread was not joined yet
    bool stopping;
};

static void *run(void *arg)
{
    struct background *background = arg;
    pthread_mutex_lock(&background->mutex); // until background_submit has set everything
    struct job *job = background->job;
    struct db *db = background->db;
    pthread_mutex_unlock(&background->mutex);

    enum rc rc = job->run(job, db);

    pthread_mutex_lock(&background->mutex);
    background->db = NULL;
    if (background->stopping && rc != RC_OK)
        rc = RC_OVERLOADED;
    pthread_mutex_unlock(&background->mutex);
    db_free(db);

    pthread_mutex_lock(&background->mutex);
    background->job = NULL;
    pthread_mutex_unlock(&background->mutex);
    job->finished(job, rc);
    return NULL;
}

// With the mutex held and no job running.
static enum rc start(struct background *background, struct job *job)
{
    if (background->to_join)
        pthread_join(background->thread, NULL);
    background->to_join = false;
    enum rc rc = db_new(background->store, &background->db);
    if (rc != RC_OK)
        return rc;
    if (pthread_create(&background->thread, NULL, run, background) != 0) {
        db_free(background->db);
        background->db = NULL;
        return RC_NO_MEMORY;
    }
    background->job = job;
    background->to_join = true;
    return RC_OK;
}

enum rc background_submit(struct background *background, struct job *job)
{
    enum rc rc;
    pthread_mutex_lock(&background->mutex);
    if (background->stopping)
        rc = RC_OVERLOADED;
    else if (background->job != NULL)
        rc = RC_RECONCILIATION_RUNNING;
    else
        rc = start(background, job);
    pthread_mutex_unlock(&background->mutex);
    return rc;
}

void background_stop(struct background *background)
{
    if (background == NULL)
        return;
    pthread_mutex_lock(&background->mutex);
    background->stopping = true;
    if (background->db != NULL)
        db_cancel(background->db);
    bool join = background->to_join;
    background->to_join = false;
    pthread_t thread = background->thread;
    pthread_mutex_unlock(&background->mutex);
    if (join)
        pthread_join(thread, NULL);
}

enum rc background_new(struct store *store, struct background **ret_background)
{
    struct background *background = calloc(1, sizeof *background);
    if (background == NULL)
        return RC_NO_MEMORY;
    background->store = store;
    pthread_mutex_init(&background->mutex, NULL);
    *ret_background = background;
    return RC_OK;
}

void background_free(struct background *background)
{
    if (background == NULL)
        return;
    background_stop(background);
    pthread_mutex_destroy(&background->mutex);
    free(background);
}
