// mutex: a mutex per key inside this process, and a save that demands nothing.
//
// Idea
//   All threads of one process that want the same key take turns. Enter locks the keys in sorted
//   order, leave unlocks them. The key is the counter's name on every code path, so everything that
//   the decision reads of that counter is protected. The save:
//
//     UPDATE counter SET remaining = :remaining, version = :version
//      WHERE name = :name
//
// Guarantees
//   In one process: between enter and leave no other thread is inside with the same key. There is
//   no lease and no clock that could be wrong, because a mutex dies with its holders.
//
// Fails when
//   A second instance runs. It has mutexes of its own, reads the same row at the same time, and no
//   save demands anything, so both write. It is the lost update of `none` again, one level up, and
//   a test with one process will never show it. Another strategy changes the same counter in this
//   process: its writers do not take the mutex. So endpoints that share counters may not mix
//   `mutex` with another strategy (guards_can_mix in engine/guards.c).
//
// Cost
//   Tens of nanoseconds without contention. A waiter costs a thread, and the order of waiters is
//   random. They wait on the monotonic clock. After lock.wait_ms, at the deadline, or at once with
//   lock.wait = fail, the request is answered 503 `lock-busy`.
//
// Implementation
//   A mutex here is a flag and a condition variable under its shard's pthread mutex. Unlike a bare
//   pthread mutex it waits on the monotonic clock with portable calls, and one thread can hold
//   hundreds of them. An entry exists only while a thread uses it, so the table does not grow with
//   the number of counters.
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
    size_t users; // the holder and the waiters
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

// The caller holds the shard's mutex, here and in the two functions below.
static struct entry **find(struct shard *shard, const char *key)
{
    struct entry **at = &shard->first;
    while (*at != NULL && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

static struct entry *entry_ref(struct shard *shard, const char *key)
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

static void entry_unref(struct shard *shard, struct entry *entry)
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
    struct entry *entry = entry_ref(shard, key);
    if (entry == NULL)
        rc = RC_NO_MEMORY;
    while (rc == RC_OK && entry->locked)
        if (!self->wait || !clock_wait(&entry->freed, &shard->mutex, limit_ns))
            rc = entry->locked ? RC_LOCK_BUSY : RC_OK;
    if (rc == RC_OK)
        entry->locked = true;
    else if (entry != NULL)
        entry_unref(shard, entry);
    pthread_mutex_unlock(&shard->mutex);
    return rc;
}

static void unlock_key(struct mutex_guard *self, const char *key)
{
    struct shard *shard = shard_of(self, key);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = *find(shard, key);
    if (entry != NULL) { // always: the holder has a reference
        entry->locked = false;
        pthread_cond_signal(&entry->freed);
        entry_unref(shard, entry);
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
    .summary = "A mutex per counter inside one process: correct for one instance, wrong for two.",
    .scope = SCOPE_PROCESS,
    .rule = RULE_NAIVE,
    .open = mutex_open,
    .close = mutex_close,
    .enter = mutex_enter,
    .leave = mutex_leave,
};
