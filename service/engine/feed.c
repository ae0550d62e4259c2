// The feed's thread, and what wakes it.
//
// The thread works in rounds. A round reads what has changed and hands each row to all requests
// that wait for it (feed_read.c). So what a change costs the database does not depend on how many
// clients wait for it. A round begins
//   - when a commit of this instance has changed a counter that a request waits for, or a new
//     request has come: only those counters are read;
//   - every feed.poll_ms while a request waits, for the changes of other instances and of
//     administration: all counters are read.
// At least ROUND_PAUSE_NS pass between two rounds, which bounds what the feed asks of the database
// however often a counter changes.
//
// A commit must not pay for clients that wait for something else. So the counters that are waited
// for are counted by a hash of their name. A worker looks its counters up there and marks the hash
// as changed, without a lock; it takes the mutex only to wake the thread, once a round. Two names
// with the same hash cost a read that finds nothing.
//
// No change is missed. A request enters its hashes before its counters are first read, and a
// round takes the marks before it reads. A commit that a read did not see therefore leaves a mark
// for the next round.
//
// What breaks it: a request that is touched by its submitter before it is finished.
#include "engine/feed.h"

#include "base/clock.h"
#include "base/text.h"
#include "engine/feed_read.h"
#include "engine/job.h"
#include "engine/queue.h"
#include "metrics/metrics.h"
#include "store/tables/counter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HASHES 1024
#define WORD_BITS 64
#define WORDS (HASHES / WORD_BITS)
#define ROUND_PAUSE_NS (10 * NS_PER_MS)

// How a request ended.
enum result { RESULT_CHANGES, RESULT_NOTHING, RESULT_GONE, RESULT_FAILED, RESULT_COUNT };

struct feed {
    struct feed_settings settings;
    pthread_t thread;
    bool started;
    struct feed_reader *reader; // the thread's own

    atomic_size_t n;                 // requests that are not finished
    atomic_uint waited_for[HASHES];  // how many of their counters have this hash
    _Atomic uint64_t changed[WORDS]; // a bit for each hash
    atomic_bool woken;               // there is something to do: the thread knows, or is signalled
    atomic_size_t results[RESULT_COUNT], rounds;

    pthread_mutex_t mutex; // protects everything in this part
    pthread_cond_t wake, idle;
    struct queue waiting;
    bool in_round, draining, stopping;
    int64_t poll_ns, earliest_ns; // when all is read next, and when a round may begin
};

static size_t hash_of(const char *name)
{
    return (size_t)(text_hash(TEXT_HASH_START, name, strlen(name)) % HASHES);
}

// ---- other threads ------------------------------------------------------------------------------

static void wake(struct feed *feed)
{
    if (atomic_exchange(&feed->woken, true))
        return;
    pthread_mutex_lock(&feed->mutex);
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->mutex);
}

void feed_changed(struct feed *feed, const struct counter_change *changes, size_t n)
{
    if (feed == NULL || atomic_load(&feed->n) == 0)
        return;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        size_t hash = hash_of(changes[i].before.name);
        if (atomic_load(&feed->waited_for[hash]) == 0)
            continue;
        atomic_fetch_or(&feed->changed[hash / WORD_BITS], UINT64_C(1) << hash % WORD_BITS);
        any = true;
    }
    if (any)
        wake(feed);
}

enum rc feed_submit(struct feed *feed, struct job *job)
{
    struct feed_request *request = job->feed;
    request->looked = request->more = false;
    job->submitted_ns = clock_now_ns();
    job->deadline_ns = job->submitted_ns + request->wait_ms * NS_PER_MS;
    pthread_mutex_lock(&feed->mutex);
    bool taken = !feed->draining && atomic_load(&feed->n) < feed->settings.limit;
    if (taken) {
        atomic_fetch_add(&feed->n, 1);
        for (size_t i = 0; i < request->n; i++)
            atomic_fetch_add(&feed->waited_for[hash_of(request->counters[i].name)], 1);
        queue_push(&feed->waiting, job);
    }
    pthread_mutex_unlock(&feed->mutex);
    if (!taken)
        return RC_OVERLOADED;
    wake(feed);
    return RC_OK;
}

void feed_expire(struct feed *feed)
{
    feed_reader_expire(feed->reader);
}

void feed_drain(struct feed *feed)
{
    if (feed == NULL)
        return;
    pthread_mutex_lock(&feed->mutex);
    feed->draining = true;
    pthread_cond_signal(&feed->wake);
    while (atomic_load(&feed->n) > 0 || feed->in_round)
        pthread_cond_wait(&feed->idle, &feed->mutex);
    pthread_mutex_unlock(&feed->mutex);
}

// ---- rounds: reading ----------------------------------------------------------------------------

// Takes the marks, and adds the counters to be read: all, or those that have changed and those that
// were not read yet.
static enum rc collect(struct feed *feed, const struct queue *requests, bool all)
{
    uint64_t changed[WORDS];
    for (size_t i = 0; i < WORDS; i++)
        changed[i] = atomic_exchange(&feed->changed[i], 0);
    feed_reader_begin(feed->reader);
    for (struct job *job = requests->head; job != NULL; job = job->next) {
        struct feed_request *request = job->feed;
        request->n_news = request->n_rows = 0;
        for (size_t i = 0; i < request->n; i++) {
            struct feed_counter *counter = &request->counters[i];
            size_t hash = hash_of(counter->name);
            bool marked = (changed[hash / WORD_BITS] >> hash % WORD_BITS & 1) != 0;
            if (!all && !marked && request->looked)
                continue;
            enum rc rc = feed_reader_add(feed->reader, request, counter);
            if (rc != RC_OK)
                return rc;
        }
    }
    return RC_OK;
}

// ---- rounds: answering --------------------------------------------------------------------------

static void finish(struct feed *feed, struct job *job, enum rc rc, enum result result)
{
    const struct feed_request *request = job->feed;
    for (size_t i = 0; i < request->n; i++)
        atomic_fetch_sub(&feed->waited_for[hash_of(request->counters[i].name)], 1);
    atomic_fetch_add(&feed->results[result], 1);
    atomic_fetch_sub(&feed->n, 1);
    job->finished(job, rc);
}

// Finishes the jobs that have rows or need not wait any longer. The others stay in the queue.
static void answer(struct feed *feed, struct queue *requests, enum rc rc, bool all, bool draining)
{
    int64_t now_ns = clock_now_ns();
    for (size_t n = requests->n; n > 0; n--) {
        struct job *job = queue_pop(requests);
        struct feed_request *request = job->feed;
        request->looked = rc == RC_OK;
        if (request->n_rows > 0)
            finish(feed, job, RC_OK, RESULT_CHANGES);
        else if (draining || job->deadline_ns <= now_ns)
            finish(feed, job, rc, rc == RC_OK ? RESULT_NOTHING : RESULT_FAILED);
        else if (all && job->is_gone != NULL && job->is_gone(job))
            finish(feed, job, rc, RESULT_GONE);
        else
            queue_push(requests, job);
    }
}

// With the mutex held; releases it while it reads and answers.
static void run_round(struct feed *feed)
{
    struct queue requests = feed->waiting;
    bool draining = feed->draining;
    bool all = draining || clock_now_ns() >= feed->poll_ns;
    feed->waiting = (struct queue){0};
    feed->in_round = true;
    atomic_store(&feed->woken, false);
    pthread_mutex_unlock(&feed->mutex);

    atomic_fetch_add(&feed->rounds, 1);
    enum rc rc = collect(feed, &requests, all);
    if (rc == RC_OK)
        rc = feed_reader_read(feed->reader);
    answer(feed, &requests, rc, all, draining);

    pthread_mutex_lock(&feed->mutex);
    while (requests.n > 0)
        queue_push(&feed->waiting, queue_pop(&requests));
    feed->in_round = false;
    // From the end on, so that a slow database is not asked without a pause.
    int64_t now_ns = clock_now_ns();
    feed->earliest_ns = now_ns + ROUND_PAUSE_NS;
    if (all)
        feed->poll_ns = now_ns + feed->settings.poll_ms * NS_PER_MS;
    if (atomic_load(&feed->n) == 0)
        pthread_cond_broadcast(&feed->idle);
}

// When the next round is due. With the mutex held.
static int64_t next_round_ns(struct feed *feed)
{
    if (feed->waiting.n == 0) {
        // A commit may have woken the thread for requests that were just answered. The next request
        // must wake it again.
        atomic_store(&feed->woken, false);
        return INT64_MAX;
    }
    if (feed->draining)
        return 0;
    if (atomic_load(&feed->woken))
        return feed->earliest_ns;
    int64_t at_ns = feed->poll_ns;
    for (const struct job *job = feed->waiting.head; job != NULL; job = job->next)
        at_ns = job->deadline_ns < at_ns ? job->deadline_ns : at_ns;
    return at_ns > feed->earliest_ns ? at_ns : feed->earliest_ns;
}

static void *run(void *arg)
{
    struct feed *feed = arg;
    pthread_mutex_lock(&feed->mutex);
    while (!feed->stopping) {
        int64_t at_ns = next_round_ns(feed);
        if (clock_now_ns() < at_ns)
            clock_wait(&feed->wake, &feed->mutex, at_ns);
        else
            run_round(feed);
    }
    pthread_mutex_unlock(&feed->mutex);
    return NULL;
}

// ---- life ---------------------------------------------------------------------------------------

static int64_t read_size(void *arg)
{
    return (int64_t)atomic_load((const atomic_size_t *)arg);
}

static void register_metrics(struct feed *feed, struct metrics *metrics)
{
    static const char *const labels[RESULT_COUNT] = {
        [RESULT_CHANGES] = "result=\"changes\"",
        [RESULT_NOTHING] = "result=\"nothing\"",
        [RESULT_GONE] = "result=\"gone\"",
        [RESULT_FAILED] = "result=\"failed\"",
    };
    metrics_gauge(metrics, "holdfast_feed_waiting", "", "Requests that wait for changes.",
                  read_size, &feed->n);
    metrics_counter(metrics, "holdfast_feed_rounds_total", "",
                    "Rounds of the feed; each reads once what all that wait have missed.",
                    read_size, &feed->rounds);
    for (size_t i = 0; i < RESULT_COUNT; i++)
        metrics_counter(metrics, "holdfast_feed_answers_total", labels[i],
                        "Requests for changes that have ended, by result; gone: the client closed "
                        "its connection.",
                        read_size, &feed->results[i]);
}

enum rc feed_new(const struct feed_settings *settings, struct store *store, struct metrics *metrics,
                 struct feed **ret_feed)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return RC_NO_MEMORY;
    feed->settings = *settings;
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_cond_init(&feed->wake, NULL);
    pthread_cond_init(&feed->idle, NULL);
    enum rc rc = feed_reader_new(store, &feed->reader);
    if (rc == RC_OK) {
        feed->started = pthread_create(&feed->thread, NULL, run, feed) == 0;
        rc = feed->started ? RC_OK : RC_NO_MEMORY;
    }
    if (rc != RC_OK) {
        feed_free(feed);
        return rc;
    }
    register_metrics(feed, metrics);
    *ret_feed = feed;
    return RC_OK;
}

void feed_free(struct feed *feed)
{
    if (feed == NULL)
        return;
    if (feed->started) {
        feed_drain(feed);
        pthread_mutex_lock(&feed->mutex);
        feed->stopping = true;
        pthread_cond_signal(&feed->wake);
        pthread_mutex_unlock(&feed->mutex);
        pthread_join(feed->thread, NULL);
    }
    pthread_cond_destroy(&feed->wake);
    pthread_cond_destroy(&feed->idle);
    pthread_mutex_destroy(&feed->mutex);
    feed_reader_free(feed->reader);
    free(feed);
}
