// No lost wake-ups, without asking twice: a waiter learns at revision R who is ahead, and hears of
// every deletion after R. The stream brings deletions in the order of their revisions, but it may
// bring one before the waiter has enlisted; so the last ones are kept, and from which revision on
// they are complete. Where that is later than R (the stream is new, or too much has happened) the
// waiter is told that it is blind, and looks again.
//
// A member that is stopped, or cut off from the others, keeps the connection alive and says
// nothing. Those who look now and then see what it ought to have told; if nothing has come a while
// later, the connection is dropped.
//
// Order does the rest: a waiter whose own key has gone hears of it before it hears of what went
// later. So "nobody is ahead" also means that its own keys were there at that moment.
#include "guard/etcd/watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/etcd/stream.h"
#include "guard/etcd/text.h"

#include <stdlib.h>

#define BUCKETS 4096
#define RECENT_MAX 2048
#define RETRY_NS (100 * NS_PER_MS)
#define SILENCE_MAX_NS (500 * NS_PER_MS) // longer than a deletion takes from etcd to here

struct deletion {
    uint64_t name;
    int64_t revision;
};

struct etcd_watch {
    struct etcd_client *client;
    struct etcd_stream *stream;
    char request[4 * ETCD_NAME64_MAX];
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex;
    pthread_cond_t changed; // wanted, stopping
    bool wanted, stopping;
    bool connected, was_connected; // now, and ever
    int64_t complete_from;         // no deletion after this revision is missing below
    struct deletion recent[RECENT_MAX];
    size_t n_recent;   // ever; the newest is at (n_recent - 1) % RECENT_MAX
    int64_t missed_ns; // since when it has not told what somebody else has seen; 0: it has
    struct etcd_watched_key *buckets[BUCKETS];
};

// ---- keys, with the mutex held -----------------------------------------------------------------

static struct etcd_watched_key **bucket_of(struct etcd_watch *watch, uint64_t name)
{
    return &watch->buckets[name % BUCKETS];
}

static void insert(struct etcd_watch *watch, struct etcd_watched_key *key)
{
    key->pointer = bucket_of(watch, key->name);
    key->next = *key->pointer;
    if (key->next != NULL)
        key->next->pointer = &key->next;
    *key->pointer = key;
    if (!key->own)
        key->waiter->ahead++;
}

static void take_out(struct etcd_watched_key *key)
{
    if (key->pointer == NULL)
        return;
    *key->pointer = key->next;
    if (key->next != NULL)
        key->next->pointer = key->pointer;
    key->pointer = NULL;
    if (!key->own)
        key->waiter->ahead--;
}

static void on_deleted(struct etcd_watched_key *key)
{
    struct etcd_waiter *waiter = key->waiter;
    take_out(key);
    if (key->own)
        waiter->lost = true;
    if (key->own || waiter->ahead <= waiter->wake_at)
        pthread_cond_signal(&waiter->cond);
}

static void remember(struct etcd_watch *watch, uint64_t name, int64_t revision)
{
    struct deletion *slot = &watch->recent[watch->n_recent % RECENT_MAX];
    if (watch->n_recent >= RECENT_MAX && slot->revision > watch->complete_from)
        watch->complete_from = slot->revision;
    *slot = (struct deletion){name, revision};
    watch->n_recent++;
}

static bool deleted_since(const struct etcd_watch *watch, uint64_t name, int64_t revision)
{
    for (size_t i = watch->n_recent; i > 0 && i + RECENT_MAX > watch->n_recent; i--) {
        const struct deletion *deletion = &watch->recent[(i - 1) % RECENT_MAX];
        if (deletion->revision <= revision)
            return false;
        if (deletion->name == name)
            return true;
    }
    return false;
}

// ---- the stream, on the watch's thread ----------------------------------------------------------

static void read_events(struct etcd_watch *watch, const json_t *events)
{
    size_t i;
    const json_t *event;
    if (json_array_size(events) > 0)
        watch->missed_ns = 0; // late, but not silent
    json_array_foreach(events, i, event)
    {
        const json_t *kv = json_object_get(event, "kv");
        const char *name64 = json_string_value(json_object_get(kv, "key"));
        if (name64 == NULL)
            continue;
        uint64_t name = etcd_name_hash(name64);
        int64_t revision = etcd_number(kv, "mod_revision");
        remember(watch, name, revision);
        for (struct etcd_watched_key *key = *bucket_of(watch, name), *next; key != NULL;
             key = next) {
            next = key->next;
            if (key->name == name && revision > key->revision)
                on_deleted(key);
        }
    }
}

static bool on_line(void *arg, const char *line, size_t length)
{
    struct etcd_watch *watch = arg;
    json_t *answer CLEANUP(etcd_answer_cleanup) = json_loadb(line, length, 0, NULL);
    const json_t *result = json_object_get(answer, "result");
    if (result == NULL || json_is_true(json_object_get(result, "canceled")))
        return false;
    pthread_mutex_lock(&watch->mutex);
    if (json_is_true(json_object_get(result, "created"))) {
        if (watch->was_connected)
            etcd_client_count_reconnect(watch->client);
        watch->connected = watch->was_connected = true;
        watch->complete_from = etcd_revision(result);
    }
    read_events(watch, json_object_get(result, "events"));
    pthread_mutex_unlock(&watch->mutex);
    return true;
}

static void report_gap(struct etcd_watch *watch)
{
    watch->connected = false;
    watch->n_recent = 0;
    watch->missed_ns = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct etcd_watched_key *key = watch->buckets[i]; key != NULL; key = key->next) {
            key->waiter->gap = true;
            pthread_cond_signal(&key->waiter->cond);
        }
}

static void *watch_main(void *arg)
{
    struct etcd_watch *watch = arg;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->stopping) {
        if (!watch->wanted) {
            pthread_cond_wait(&watch->changed, &watch->mutex);
            continue;
        }
        pthread_mutex_unlock(&watch->mutex);
        etcd_stream_run(watch->stream);
        pthread_mutex_lock(&watch->mutex);
        if (watch->connected && !watch->stopping)
            LOG_DEBUG("etcd: the watch broke");
        report_gap(watch);
        if (!watch->stopping)
            clock_wait(&watch->changed, &watch->mutex, clock_now_ns() + RETRY_NS);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

// ---- making and ending --------------------------------------------------------------------------

enum rc etcd_watch_new(struct etcd_client *client, const char *prefix,
                       struct etcd_watch **ret_watch)
{
    struct etcd_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return RC_NO_MEMORY;
    char from64[ETCD_NAME64_MAX], end64[ETCD_NAME64_MAX];
    etcd_name(from64, "%s", prefix);
    etcd_range_end(end64, "%s", prefix);
    text_format(
        watch->request, sizeof watch->request,
        "{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\",\"filters\":[\"NOPUT\"]}}",
        from64, end64);
    watch->client = client;
    pthread_cond_init(&watch->changed, NULL);
    pthread_mutex_init(&watch->mutex, NULL);
    enum rc rc =
        etcd_stream_new(client, "/v3/watch", watch->request, on_line, watch, &watch->stream);
    if (rc == RC_OK) {
        watch->started = pthread_create(&watch->thread, NULL, watch_main, watch) == 0;
        rc = watch->started ? RC_OK : RC_NO_MEMORY;
    }
    if (rc != RC_OK) {
        etcd_watch_free(watch);
        return rc;
    }
    *ret_watch = watch;
    return RC_OK;
}

void etcd_watch_free(struct etcd_watch *watch)
{
    if (watch == NULL)
        return;
    if (watch->started) {
        pthread_mutex_lock(&watch->mutex);
        watch->stopping = true;
        pthread_cond_broadcast(&watch->changed);
        pthread_mutex_unlock(&watch->mutex);
        etcd_stream_interrupt(watch->stream);
        pthread_join(watch->thread, NULL);
    }
    etcd_stream_free(watch->stream);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

// ---- what others ask ----------------------------------------------------------------------------

void etcd_waiter_init(struct etcd_watch *watch, struct etcd_waiter *waiter)
{
    pthread_cond_init(&waiter->cond, NULL);
    pthread_mutex_lock(&watch->mutex);
    if (!watch->wanted) {
        watch->wanted = true;
        pthread_cond_broadcast(&watch->changed);
    }
    pthread_mutex_unlock(&watch->mutex);
}

void etcd_waiter_destroy(struct etcd_waiter *waiter)
{
    pthread_cond_destroy(&waiter->cond);
}

void etcd_watch_add(struct etcd_watch *watch, struct etcd_watched_key *keys, size_t n,
                    int64_t revision)
{
    pthread_mutex_lock(&watch->mutex);
    bool gap = !watch->connected || revision < watch->complete_from;
    for (size_t i = 0; i < n; i++) {
        keys[i].revision = revision;
        insert(watch, &keys[i]);
        keys[i].waiter->gap = keys[i].waiter->gap || gap;
        if (deleted_since(watch, keys[i].name, revision))
            on_deleted(&keys[i]);
    }
    pthread_mutex_unlock(&watch->mutex);
}

void etcd_watch_remove(struct etcd_watch *watch, struct etcd_watched_key *keys, size_t n)
{
    pthread_mutex_lock(&watch->mutex);
    for (size_t i = 0; i < n; i++)
        take_out(&keys[i]);
    pthread_mutex_unlock(&watch->mutex);
}

void etcd_watch_report_missed(struct etcd_watch *watch, uint64_t name, int64_t revision)
{
    int64_t now_ns = clock_now_ns();
    pthread_mutex_lock(&watch->mutex);
    bool missed = watch->connected && revision >= watch->complete_from &&
                  !deleted_since(watch, name, revision);
    if (missed && watch->missed_ns == 0)
        watch->missed_ns = now_ns;
    else if (missed && now_ns - watch->missed_ns > SILENCE_MAX_NS)
        etcd_stream_drop(watch->stream);
    pthread_mutex_unlock(&watch->mutex);
}

bool etcd_watch_wait(struct etcd_watch *watch, struct etcd_waiter *waiter, size_t wake_at,
                     int64_t limit_ns)
{
    pthread_mutex_lock(&watch->mutex);
    waiter->wake_at = wake_at;
    while (waiter->ahead > wake_at && !waiter->lost && !waiter->gap)
        if (!clock_wait(&waiter->cond, &watch->mutex, limit_ns))
            break;
    bool few = waiter->ahead <= wake_at && !waiter->lost && !waiter->gap;
    waiter->gap = false;
    pthread_mutex_unlock(&watch->mutex);
    return few;
}
