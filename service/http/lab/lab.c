// Holds the current run, and finishes the jobs that wait for it: a thread looks at them every few
// milliseconds while there are any. Events come by the thousand, so waking at each one would cost
// more than looking.
//
// The mutex protects the pointer to the run. It is held while a run is written, and while an ended
// run is freed; a run's own thread never takes it.
#include "http/lab/lab.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/job.h"
#include "http/lab/run.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_NS (20 * NS_PER_MS)

struct lab {
    struct lab_options options;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct run *run; // the last one; NULL before the first
    struct lab_wait *waits;
    uint64_t n_runs;
    bool quiesced, stopping;
};

// With the mutex held, as all static functions below.
static struct run *find(struct lab *lab, const char *id)
{
    return lab->run != NULL && strcmp(lab->run->id, id) == 0 ? lab->run : NULL;
}

static bool is_over(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    bool over = run_is_over(run);
    pthread_mutex_unlock(&run->mutex);
    return over;
}

static int state_of(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    int state = (int)run->state;
    pthread_mutex_unlock(&run->mutex);
    return state;
}

static bool is_satisfied(struct lab *lab, const struct lab_wait *wait, int64_t now_ns)
{
    struct run *run = find(lab, wait->id);
    if (run == NULL || lab->quiesced || now_ns >= wait->until_ns || state_of(run) != wait->state)
        return true;
    if (wait->actor >= 0)
        return run_has_arrived(run, (size_t)wait->actor);
    return (int64_t)atomic_load(&run->record.n) > wait->after;
}

static void finish_waits(struct lab *lab)
{
    struct lab_wait **link = &lab->waits;
    int64_t now_ns = clock_now_ns();
    while (*link != NULL) {
        struct lab_wait *wait = *link;
        bool gone = wait->job->is_gone != NULL && wait->job->is_gone(wait->job);
        if (!gone && !is_satisfied(lab, wait, now_ns)) {
            link = &wait->next;
            continue;
        }
        *link = wait->next;
        wait->job->finished(wait->job, RC_OK);
    }
}

static void *lab_main(void *arg)
{
    struct lab *lab = arg;
    pthread_mutex_lock(&lab->mutex);
    while (!lab->stopping) {
        finish_waits(lab);
        int64_t look_ns = lab->waits != NULL ? clock_now_ns() + LOOK_NS : INT64_MAX;
        if (look_ns == INT64_MAX)
            pthread_cond_wait(&lab->changed, &lab->mutex);
        else
            (void)clock_wait(&lab->changed, &lab->mutex, look_ns);
    }
    pthread_mutex_unlock(&lab->mutex);
    return NULL;
}

enum rc lab_new(const struct lab_options *options, struct lab **ret_lab)
{
    struct lab *lab = calloc(1, sizeof *lab);
    if (lab == NULL)
        return RC_NO_MEMORY;
    lab->options = *options;
    pthread_mutex_init(&lab->mutex, NULL);
    pthread_cond_init(&lab->changed, NULL);
    if (pthread_create(&lab->thread, NULL, lab_main, lab) != 0) {
        free(lab);
        return RC_NO_MEMORY;
    }
    *ret_lab = lab;
    return RC_OK;
}

void lab_quiesce(struct lab *lab)
{
    if (lab == NULL)
        return;
    pthread_mutex_lock(&lab->mutex);
    lab->quiesced = true;
    if (lab->run != NULL)
        run_cancel(lab->run);
    pthread_cond_broadcast(&lab->changed);
    pthread_mutex_unlock(&lab->mutex);
}

void lab_free(struct lab *lab)
{
    if (lab == NULL)
        return;
    lab_quiesce(lab);
    pthread_mutex_lock(&lab->mutex);
    lab->stopping = true;
    finish_waits(lab);
    pthread_cond_broadcast(&lab->changed);
    pthread_mutex_unlock(&lab->mutex);
    pthread_join(lab->thread, NULL);
    run_free(lab->run);
    pthread_cond_destroy(&lab->changed);
    pthread_mutex_destroy(&lab->mutex);
    free(lab);
}

enum rc lab_start(struct lab *lab, const struct lab_scenario *scenario,
                  const struct lab_settings *settings, char *ret_id)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&lab->mutex);
    if (lab->quiesced)
        rc = RC_OVERLOADED;
    else if (lab->run != NULL && !is_over(lab->run))
        rc = RC_LAB_BUSY;
    if (rc == RC_OK) {
        struct run *run = NULL;
        // A part by chance: after a restart no page takes the new run for its old one.
        text_format(ret_id, ID_MAX + 1, "run-%llu-%04llx", (unsigned long long)++lab->n_runs,
                    (unsigned long long)random_below(0x10000));
        rc = run_new(&lab->options, ret_id, scenario, settings, &run);
        if (rc == RC_OK) {
            run_free(lab->run);
            lab->run = run;
        }
    }
    pthread_cond_broadcast(&lab->changed);
    pthread_mutex_unlock(&lab->mutex);
    return rc;
}

enum rc lab_wait(struct lab *lab, struct lab_wait *wait)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&lab->mutex);
    struct run *run = find(lab, wait->id);
    if (lab->quiesced)
        rc = RC_OVERLOADED;
    else if (run == NULL)
        rc = RC_NOT_FOUND;
    if (rc == RC_OK) {
        wait->state = is_over(run) ? -1 : state_of(run);
        wait->next = lab->waits;
        lab->waits = wait;
        pthread_cond_broadcast(&lab->changed);
    }
    pthread_mutex_unlock(&lab->mutex);
    return rc;
}

enum rc lab_step(struct lab *lab, const char *id, int64_t actor)
{
    enum rc rc = RC_NOT_FOUND;
    pthread_mutex_lock(&lab->mutex);
    struct run *run = find(lab, id);
    if (run != NULL)
        rc = run_step(run, (size_t)actor) ? RC_OK : RC_INVALID_FIELD;
    pthread_mutex_unlock(&lab->mutex);
    return rc;
}

enum rc lab_cancel(struct lab *lab, const char *id)
{
    pthread_mutex_lock(&lab->mutex);
    struct run *run = find(lab, id);
    if (run != NULL)
        run_cancel(run);
    pthread_mutex_unlock(&lab->mutex);
    return run != NULL ? RC_OK : RC_NOT_FOUND;
}

enum rc lab_write(struct lab *lab, const char *id, int64_t after, int64_t events, const char *key,
                  struct buffer *out)
{
    struct run_view view = {.after = after, .limit = events, .events = events >= 0};
    pthread_mutex_lock(&lab->mutex);
    struct run *run = id == NULL ? lab->run : find(lab, id);
    if (run != NULL) {
        json_write_open(out, key, '{');
        pthread_mutex_lock(&run->mutex);
        run_write(run, &view, out);
        pthread_mutex_unlock(&run->mutex);
        json_write_close(out, '}');
    } else if (id == NULL) {
        json_write_null(out, key);
    }
    pthread_mutex_unlock(&lab->mutex);
    return run != NULL || id == NULL ? RC_OK : RC_NOT_FOUND;
}
