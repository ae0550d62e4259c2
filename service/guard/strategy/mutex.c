// mutex: one mutex a key, inside this process.
//
// Idea
//   All threads of one process that want the same key take turns: enter locks the keys in sorted
//   order, leave unlocks them. The key is the counter's name, the same for every code path that
//   touches it, so that everything the decision reads of that counter is inside.
//
// Guarantees
//   One process: between enter and leave nobody else of this process is inside with the same key.
//   No expiry is needed, because a mutex dies with its holders; there is no clock to be wrong.
//
// Fails when
//   A second instance runs: it has its own mutexes, reads the same row at the same time, and the
//   update demands nothing (naive), so both write. It is the lost update of `none` again, one level
//   up, and a test with one process will never show it.
//
// Cost
//   Tens of nanoseconds without contention. Waiting costs a thread; it ends at the deadline or
//   lock.wait_ms on the monotonic clock (503 `lock-busy`), at once with lock.wait = fail. Who waits
//   is woken in no particular order.
//
// A mutex here is a flag and a condition variable under its shard's pthread mutex: unlike a bare
// pthread mutex it waits on the monotonic clock with portable calls, and one thread can hold
// hundreds of them. Entries exist only while somebody uses them, so the table does not grow with
// the shop.
#include "guard/guard.h"

#include "base/clock.h"
#include "base/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_mutex;

#define SHARDS 64

struct entry {
    struct entry *next;
    size_t users; // the holder and everybody who waits
    bool locked;
    pthread_cond_t freed;
    char key[];
};

struct shard {
    pthread_mutex_t mutex;
    struct entry *first;
};

struct mutex_guard {
    struct guard guard;
    int64_t wait_ns;
    bool wait;
    struct shard shards[SHARDS];
};

static struct mutex_guard *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct mutex_guard, guard);
}

static enum rc mutex_open(const struct guard_settings *settings, struct guard **ret_guard,
                          char *ret_why)
{
    (void)ret_why;
    struct mutex_guard *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->wait = strcmp(settings->lock_wait, "fail") != 0;
    self->wait_ns = settings->lock_wait_ms * NS_PER_MS;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&self->shards[i].mutex, NULL);
    *ret_guard = &self->guard;
    return RC_OK;
}

static void mutex_close(struct guard *guard)
{
    struct mutex_guard *self = of(guard);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&self->shards[i].mutex);
    free(self);
}

static struct shard *shard_of(struct mutex_guard *self, const char *key)
{
    return &self->shards[text_hash(TEXT_HASH_START, key, strlen(key)) % SHARDS];
}

// Under the shard's mutex, as the two below.
static struct entry **find(struct shard *shard, const char *key)
{
    struct entry **at = &shard->first;
    while (*at != NULL && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

static struct entry *use(struct shard *shard, const char *key)
{
    struct entry *entry = *find(shard, key);
    if (entry == NULL) {
        size_t size = strlen(key) + 1;
        entry = calloc(1, sizeof *entry + size);
        if (entry == NULL)
            return NULL;
        memcpy(entry->key, key, size);
        pthread_cond_init(&entry->freed, NULL);
        entry->next = shard->first;
        shard->first = entry;
    }
    entry->users++;
    return entry;
}

static void unuse(struct shard *shard, struct entry *entry)
{
    if (--entry->users > 0)
        return;
    *find(shard, entry->key) = entry->next;
    pthread_cond_destroy(&entry->freed);
    free(entry);
}

static enum rc lock_key(struct mutex_guard *self, const char *key, int64_t limit_ns)
{
    struct shard *shard = shard_of(self, key);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = use(shard, key);
    if (entry == NULL)
        rc = RC_NO_MEMORY;
    while (rc == RC_OK && entry->locked)
        if (!self->wait || !clock_wait(&entry->freed, &shard->mutex, limit_ns))
            rc = entry->locked ? RC_LOCK_BUSY : RC_OK;
    if (rc == RC_OK)
        entry->locked = true;
    else if (entry != NULL)
        unuse(shard, entry);
    pthread_mutex_unlock(&shard->mutex);
    return rc;
}

static void unlock_key(struct mutex_guard *self, const char *key)
{
    struct shard *shard = shard_of(self, key);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = *find(shard, key);
    if (entry != NULL) { // always: the holder keeps it in use
        entry->locked = false;
        pthread_cond_signal(&entry->freed);
        unuse(shard, entry);
    }
    pthread_mutex_unlock(&shard->mutex);
}

static enum rc mutex_enter(struct guard *guard, struct db *db, const char *const *keys,
                           size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)db, (void)ret_hold;
    struct mutex_guard *self = of(guard);
    int64_t limit_ns = clock_now_ns() + self->wait_ns;
    if (deadline_ns < limit_ns)
        limit_ns = deadline_ns;
    for (size_t i = 0; i < n_keys; i++) {
        enum rc rc = lock_key(self, keys[i], limit_ns);
        if (rc != RC_OK) {
            while (i-- > 0)
                unlock_key(self, keys[i]);
            return rc;
        }
    }
    return RC_OK;
}

static enum rc mutex_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    (void)db;
    for (size_t i = hold->n_keys; i-- > 0;)
        unlock_key(of(guard), hold->keys[i]);
    return RC_OK;
}

const struct strategy strategy_mutex = {
    .name = "mutex",
    .summary = "A mutex a counter, inside one process: right for one instance, wrong for two.",
    .scope = SCOPE_PROCESS,
    .rule = RULE_NAIVE,
    .open = mutex_open,
    .close = mutex_close,
    .enter = mutex_enter,
    .leave = mutex_leave,
};
