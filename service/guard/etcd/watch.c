// One watch per process for the deletions of all lock keys: an HTTP answer that does not end, one
// line of JSON per message, on a connection and a thread of its own. libcurl's multi interface runs
// it, because its easy calls cannot be interrupted while nothing arrives.
//
// It has to wake each waiter in time and lose no wake-up, without a request per wake-up. A waiter
// learns at revision R which keys are ahead, and the watch reports every deletion after R.
// Deletions arrive in the order of their revisions, perhaps before the waiter has added its keys.
// So the watch remembers the last RECENT_MAX deletions, and the revision after which these are
// complete. If that is later than R, because the watch is new or too much has happened, there is a
// gap: the waiter has to read the queue again.
//
// The order proves one more thing. A waiter whose own key was deleted learns it before any later
// deletion. So "no key is ahead" also means that its own keys existed at that moment.
//
// What breaks it: a member that is stopped, or cut off from the other members, keeps the connection
// open and sends nothing. TCP's keep-alive finds only a peer that has vanished. So the waiters read
// the queue now and then, and report deletions that they missed here. If no event comes for
// SILENCE_MAX_NS after such a report, the watch drops the connection and reconnects.
#include "guard/etcd/watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/etcd/messages.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define RECENT_MAX 2048
#define POLL_MS 10000
#define CONNECT_MS 1000L
#define RETRY_NS (100 * NS_PER_MS)
#define SILENCE_MAX_NS (500 * NS_PER_MS) // longer than a deletion takes to arrive

struct deletion {
    uint64_t name;
    int64_t revision;
};

struct etcd_watch {
    struct etcd_client *client;
    char request[4 * ETCD_NAME64_MAX];
    pthread_t thread;
    bool started;
    CURLM *multi;
    struct buffer rest;               // an incomplete line
    atomic_bool dropped, interrupted; // end this connection; end for good

    pthread_mutex_t mutex;
    pthread_cond_t changed;        // wanted, stopping
    bool wanted, stopping;         // wanted: a waiter has come
    bool connected, was_connected; // now; ever
    int64_t complete_from;         // `recent` lacks no deletion after this revision
    struct deletion recent[RECENT_MAX];
    size_t n_recent;   // since connecting; the newest is at (n_recent - 1) % RECENT_MAX
    int64_t missed_ns; // monotonic: a missed deletion was reported, and no event came since; or 0
    struct etcd_watched_key *buckets[BUCKETS];
};

// ---- the table of watched keys, with the mutex held ---------------------------------------------

static struct etcd_watched_key **bucket_of(struct etcd_watch *watch, uint64_t name)
{
    return &watch->buckets[name % BUCKETS];
}

static void link_key(struct etcd_watch *watch, struct etcd_watched_key *key)
{
    key->pointer = bucket_of(watch, key->name);
    key->next = *key->pointer;
    if (key->next != NULL)
        key->next->pointer = &key->next;
    *key->pointer = key;
    if (!key->own)
        key->waiter->ahead++;
}

static void unlink_key(struct etcd_watched_key *key)
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
    unlink_key(key);
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

// ---- messages, on the watch's thread ------------------------------------------------------------

static void read_events(struct etcd_watch *watch, const json_t *events)
{
    size_t i;
    const json_t *event;
    if (json_array_size(events) > 0)
        watch->missed_ns = 0; // the watch may lag, but is not silent
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

// False ends the connection.
static bool on_line(struct etcd_watch *watch, const char *line, size_t length)
{
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

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct etcd_watch *watch = arg;
    struct buffer *rest = &watch->rest;
    buffer_append(rest, data, size * n);
    if (rest->failed)
        return 0;
    char *line = rest->data, *end;
    while ((end = memchr(line, '\n', rest->length - (size_t)(line - rest->data))) != NULL) {
        if (!on_line(watch, line, (size_t)(end - line)))
            return 0;
        line = end + 1;
    }
    size_t used = (size_t)(line - rest->data);
    memmove(rest->data, line, rest->length - used);
    rest->length -= used;
    return size * n;
}

// ---- the connection, on the watch's thread ------------------------------------------------------

// Connects, sends the request and reads until the connection breaks, on_line returns false, or a
// thread drops or interrupts it. Without the mutex.
static void run_connection(struct etcd_watch *watch)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return;
    struct curl_slist *headers = NULL;
    etcd_client_prepare(watch->client, curl, "/v3/watch", watch->request, &headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, watch);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    buffer_release(&watch->rest);
    watch->dropped = false;
    curl_multi_add_handle(watch->multi, curl);
    int running = 1;
    while (!watch->interrupted && !watch->dropped &&
           curl_multi_perform(watch->multi, &running) == CURLM_OK && running > 0)
        if (curl_multi_poll(watch->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            break;
    curl_multi_remove_handle(watch->multi, curl);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
}

static void end_connection(struct etcd_watch *watch, atomic_bool *flag)
{
    *flag = true;
    curl_multi_wakeup(watch->multi);
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
        run_connection(watch);
        pthread_mutex_lock(&watch->mutex);
        if (watch->connected && !watch->stopping)
            LOG_DEBUG("etcd: the watch was disconnected");
        report_gap(watch);
        if (!watch->stopping)
            clock_wait(&watch->changed, &watch->mutex, clock_now_ns() + RETRY_NS);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

// ---- new and free -------------------------------------------------------------------------------

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
    watch->multi = curl_multi_init();
    watch->started =
        watch->multi != NULL && pthread_create(&watch->thread, NULL, watch_main, watch) == 0;
    if (!watch->started) {
        etcd_watch_free(watch);
        return RC_NO_MEMORY;
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
        end_connection(watch, &watch->interrupted);
        pthread_join(watch->thread, NULL);
    }
    curl_multi_cleanup(watch->multi);
    buffer_release(&watch->rest);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

// ---- for the waiters ----------------------------------------------------------------------------

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
        link_key(watch, &keys[i]);
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
        unlink_key(&keys[i]);
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
        end_connection(watch, &watch->dropped);
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
