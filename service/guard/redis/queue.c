// The queues of this process's waiters for locks in Redis, one for each set of keys.
//
// Without them every waiting thread would ask Redis for itself, and each hold would cost two
// scripts.
//
// A local queue is free (not in the table), acquiring (its first waiter is on the way to Redis) or
// held (it has a tenure). The lock is a lease: if it expires before the holder has left, the head
// of the local queue stops waiting for the holder and acquires for itself. The late holder's tenure
// then belongs to no queue, and releasing it frees nothing of the next owner's.
//
// No wake-up is lost. A waiter registers with the listener before the attempt that puts it into the
// queue in Redis, so a grant finds it however early it comes. A message may still be lost: the
// connection breaks, or Redis restarts. So the waiter tries again when the connection breaks and
// when it is back, when the lease of the lock in the way must have ended, and at the latest after a
// third of a lease or a second. Such an attempt also keeps the place in the queue, and it finds a
// grant whose message was lost, because the lock is ours then. The lease of a granted lock is
// counted from the last answered attempt; the grant came later, so the lock is ours for longer.
//
// The head of the local queue spins while the listener is not subscribed (not yet, or its
// connection is down), and always with several masters, which have no queue in common.
#include "guard/redis/queue.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/backoff.h"
#include "guard/guard.h"
#include "guard/redis/claim.h"
#include "guard/redis/withdrawal.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256
#define RETRY_NS NS_PER_S          // the longest pause between attempts
#define TENURE_NS (50 * NS_PER_MS) // then other processes get a turn; at most a third of the lease
#define ABANDON_NS (250 * NS_PER_MS)  // at most, out of the time that enter has left
#define WITHDRAW_NS (100 * NS_PER_MS) // at most, past the limit: Redis has just answered

// A thread of this process that waits in a local queue.
struct waiter {
    struct waiter *next;
    pthread_cond_t cond;
    bool called;   // the fields below are set
    bool acquires; // it must acquire, with `tenure` unless NULL; else it holds `tenure`
    struct redis_tenure *tenure; // a tenure to be acquired keeps its place in the queue in Redis
    enum rc rc;                  // RC_LOCK_BUSY: the limit came; else why it is to give up
};

struct local_queue {
    struct local_queue *next; // in its bucket
    struct waiter *head, *last;
    struct redis_tenure *tenure; // held; NULL: acquiring
    uint64_t hash;
    char name[]; // the keys, separated by blanks
};

struct redis_queue {
    const struct guard_settings *settings;
    struct redis_masters *masters;
    struct redis_withdrawals *withdrawals;
    struct redis_listener *listener; // NULL: several masters
    int64_t ttl_ns, retry_ns, tenure_ns;
    pthread_mutex_t mutex;
    struct local_queue *buckets[BUCKETS];
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- the tenure ---------------------------------------------------------------------------------

struct redis_tenure *redis_tenure_new(const char *const *keys, size_t n,
                                      const struct guard_settings *settings, const char *name)
{
    struct redis_tenure *tenure = calloc(1, sizeof *tenure);
    if (tenure == NULL)
        return NULL;
    tenure->claim = redis_claim_new(keys, n, settings->lock_ttl_ms, settings->instance, name);
    if (tenure->claim == NULL) {
        free(tenure);
        return NULL;
    }
    return tenure;
}

void redis_tenure_free(struct redis_tenure *tenure)
{
    if (tenure != NULL)
        free(redis_tenure_end(tenure));
}

struct redis_claim *redis_tenure_end(struct redis_tenure *tenure)
{
    struct redis_claim *claim = tenure->claim;
    free(tenure);
    return claim;
}

void redis_tenure_begin(struct redis_tenure *tenure, uint64_t token, uint64_t n_tokens,
                        int64_t expires_ns)
{
    tenure->begun_ns = clock_now_ns();
    tenure->expires_ns = expires_ns;
    tenure->token = token;
    tenure->n_tokens = n_tokens;
}

uint64_t redis_tenure_token(struct redis_tenure *tenure)
{
    return tenure->token - --tenure->n_tokens;
}

// ---- open and close -----------------------------------------------------------------------------

enum rc redis_queue_new(const struct guard_settings *settings, struct redis_masters *masters,
                        struct redis_withdrawals *withdrawals, struct redis_queue **ret_queue)
{
    struct redis_queue *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    pthread_mutex_init(&self->mutex, NULL);
    self->settings = settings;
    self->masters = masters;
    self->withdrawals = withdrawals;
    self->ttl_ns = settings->lock_ttl_ms * NS_PER_MS;
    self->retry_ns = least(self->ttl_ns / 3, RETRY_NS);
    self->tenure_ns = least(self->ttl_ns / 3, TENURE_NS);
    const struct redis_address *address = redis_masters_single(masters);
    enum rc rc = address != NULL ? redis_listener_new(address, &self->listener) : RC_OK;
    if (rc != RC_OK) {
        redis_queue_free(self);
        return rc;
    }
    *ret_queue = self;
    return RC_OK;
}

void redis_queue_free(struct redis_queue *self)
{
    if (self == NULL)
        return;
    redis_listener_free(self->listener);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

uint64_t redis_queue_reconnects(struct redis_queue *self)
{
    return self->listener != NULL ? redis_listener_reconnects(self->listener) : 0;
}

// ---- the local queue, under the mutex -----------------------------------------------------------

static struct local_queue *find(struct redis_queue *self, uint64_t hash, const char *name)
{
    struct local_queue *queue = self->buckets[hash % BUCKETS];
    while (queue != NULL && (queue->hash != hash || strcmp(queue->name, name) != 0))
        queue = queue->next;
    return queue;
}

static struct local_queue *add(struct redis_queue *self, uint64_t hash, const char *name)
{
    size_t size = strlen(name) + 1;
    struct local_queue *queue = malloc(sizeof *queue + size);
    if (queue == NULL)
        return NULL;
    *queue = (struct local_queue){.next = self->buckets[hash % BUCKETS], .hash = hash};
    memcpy(queue->name, name, size);
    self->buckets[hash % BUCKETS] = queue;
    return queue;
}

// The queue has no holder and no waiter any more.
static void drop(struct redis_queue *self, struct local_queue *queue)
{
    struct local_queue **at = &self->buckets[queue->hash % BUCKETS];
    while (*at != queue)
        at = &(*at)->next;
    *at = queue->next;
    free(queue);
}

// Wakes a new head, which has to watch the lease of the tenure from now on.
static void wake_head(struct local_queue *queue)
{
    if (queue->head != NULL && queue->tenure != NULL)
        pthread_cond_signal(&queue->head->cond);
}

static void append(struct local_queue *queue, struct waiter *waiter)
{
    if (queue->head == NULL)
        queue->head = waiter;
    else
        queue->last->next = waiter;
    queue->last = waiter;
}

static void remove_waiter(struct local_queue *queue, struct waiter *waiter)
{
    struct waiter *before = NULL, **at = &queue->head;
    while (*at != waiter) {
        before = *at;
        at = &before->next;
    }
    *at = waiter->next;
    if (queue->last == waiter)
        queue->last = before;
    if (before == NULL)
        wake_head(queue);
}

// Removes the head of the queue, sets its outcome and wakes it. False if the queue is empty.
static bool call_head(struct local_queue *queue, bool acquires, struct redis_tenure *tenure,
                      enum rc rc)
{
    struct waiter *waiter = queue->head;
    if (waiter == NULL)
        return false;
    remove_waiter(queue, waiter);
    waiter->called = true;
    waiter->acquires = acquires;
    waiter->tenure = tenure;
    waiter->rc = rc;
    pthread_cond_signal(&waiter->cond);
    return true;
}

static void wait_in(struct redis_queue *self, struct local_queue *queue, struct waiter *waiter,
                    int64_t limit_ns)
{
    append(queue, waiter);
    while (!waiter->called) {
        int64_t now_ns = clock_now_ns();
        struct redis_tenure *tenure = queue->head == waiter ? queue->tenure : NULL;
        int64_t expires_ns = tenure != NULL ? tenure->expires_ns : INT64_MAX;
        if (tenure != NULL && now_ns >= expires_ns) {
            tenure->queue = NULL;
            queue->tenure = NULL;
            call_head(queue, true, NULL, RC_OK);
        } else if (now_ns >= limit_ns) {
            remove_waiter(queue, waiter);
            waiter->called = true;
            waiter->rc = RC_LOCK_BUSY;
        } else {
            clock_wait(&waiter->cond, &self->mutex, least(limit_ns, expires_ns));
        }
    }
}

// ---- acquiring from Redis, for all waiters of a local queue -------------------------------------

static struct redis_tenure *register_new(struct redis_queue *self, const char *const *keys,
                                         size_t n, const char *name)
{
    struct redis_tenure *tenure = redis_tenure_new(keys, n, self->settings, name);
    if (tenure != NULL && self->listener != NULL)
        redis_listener_register(self->listener, &tenure->waiter, tenure->claim->owner);
    return tenure;
}

static void unregister(struct redis_queue *self, struct redis_tenure *tenure)
{
    if (self->listener != NULL)
        redis_listener_unregister(self->listener, &tenure->waiter);
}

// One attempt. If there is a channel, it joins the queue in Redis or keeps the place there.
// RC_LOCK_BUSY: not acquired; ret_result tells when to retry.
static enum rc acquire_once(struct redis_queue *self, struct redis_tenure *tenure,
                            const char *channel, int64_t limit_ns, struct redis_result *ret_result)
{
    int64_t left_ns = limit_ns - clock_now_ns();
    struct redis_attempt attempt = {.n_tokens = REDIS_QUEUE_TURNS,
                                    .channel = channel,
                                    .place_ms = 3 * self->retry_ns / NS_PER_MS + 500};
    if (self->listener != NULL)
        attempt.number = redis_listener_attempt(self->listener, &tenure->waiter);
    // A quarter of the time is reserved for abandoning the claim.
    enum rc rc = redis_claim_acquire(self->masters, tenure->claim, &attempt, limit_ns - left_ns / 4,
                                     ret_result);
    if (rc != RC_OK)
        return rc;
    if (ret_result->token == 0)
        return RC_LOCK_BUSY;
    redis_tenure_begin(tenure, ret_result->token, REDIS_QUEUE_TURNS, ret_result->expires_ns);
    return RC_OK;
}

// Waits in the queue in Redis. True: granted. False: try again, or the limit came.
static bool wait_for_grant(struct redis_queue *self, struct redis_tenure *tenure, int64_t begun_ns,
                           int64_t lock_left_ns, int64_t limit_ns)
{
    int64_t pause_ns = self->retry_ns;
    if (lock_left_ns > 0)
        pause_ns = least(pause_ns, lock_left_ns + NS_PER_MS);
    uint64_t token =
        redis_listener_wait(self->listener, &tenure->waiter, least(limit_ns, begun_ns + pause_ns));
    if (token == 0 || clock_now_ns() >= begun_ns + self->ttl_ns)
        return false;
    tenure->claim->granted = tenure->claim->unsettled;
    redis_tenure_begin(tenure, token, REDIS_QUEUE_TURNS, begun_ns + self->ttl_ns);
    return true;
}

static enum rc acquire(struct redis_queue *self, struct redis_tenure *tenure, int64_t limit_ns)
{
    struct backoff backoff = {limit_ns, 0};
    for (bool answered = false;; answered = true) {
        const char *channel =
            self->listener != NULL ? redis_listener_channel(self->listener, answered) : "";
        struct redis_result result;
        int64_t begun_ns = clock_now_ns();
        enum rc rc = acquire_once(self, tenure, channel, limit_ns, &result);
        if (rc == RC_BACKEND_UNAVAILABLE && answered &&
            limit_ns - begun_ns < REDIS_SHORT_TIMEOUT_NS)
            return RC_LOCK_BUSY;
        if (rc != RC_LOCK_BUSY)
            return rc;
        if (channel[0] == '\0') {
            if (!backoff_sleep(&backoff))
                return RC_LOCK_BUSY;
        } else {
            if (wait_for_grant(self, tenure, begun_ns, result.retry_ns, limit_ns))
                return RC_OK;
            if (clock_now_ns() >= limit_ns)
                return RC_LOCK_BUSY;
        }
    }
}

// Takes ownership of the tenure, which may be NULL for lack of memory, unless it returns RC_OK.
static enum rc acquire_for_queue(struct redis_queue *self, struct local_queue *queue,
                                 struct redis_tenure *tenure, int64_t limit_ns)
{
    enum rc rc = tenure != NULL ? acquire(self, tenure, limit_ns) : RC_NO_MEMORY;
    if (rc == RC_OK)
        unregister(self, tenure);
    pthread_mutex_lock(&self->mutex);
    bool continued = false;
    if (rc == RC_OK) {
        tenure->queue = queue;
        queue->tenure = tenure;
        wake_head(queue);
    } else if (rc ==
               RC_LOCK_BUSY) { // only our time is over: the next waiter goes on with the tenure
        continued = call_head(queue, true, tenure, RC_OK);
    } else {
        while (call_head(queue, false, NULL, rc))
            continue;
    }
    if (rc != RC_OK && !continued)
        drop(self, queue);
    pthread_mutex_unlock(&self->mutex);
    if (rc == RC_OK || continued || tenure == NULL)
        return rc;
    unregister(self, tenure);
    int64_t now_ns = clock_now_ns();
    struct redis_claim *claim = redis_tenure_end(tenure);
    bool in_flight = rc != RC_LOCK_BUSY || claim->granted != 0;
    redis_claim_abandon(self->masters, claim, in_flight,
                        rc == RC_LOCK_BUSY ? now_ns + WITHDRAW_NS
                                           : least(limit_ns, now_ns + ABANDON_NS));
    redis_withdraw(self->withdrawals, claim, in_flight);
    return rc;
}

// ---- enter and leave ----------------------------------------------------------------------------

enum rc redis_queue_enter(struct redis_queue *self, const char *const *keys, size_t n,
                          const char *name, int64_t limit_ns, struct redis_tenure **ret_tenure)
{
    struct buffer set CLEANUP(buffer_release) = {0};
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buffer_append_text(&set, " ");
        buffer_append_text(&set, keys[i]);
    }
    if (set.data == NULL || set.failed)
        return RC_NO_MEMORY;
    uint64_t hash = text_hash(TEXT_HASH_START, set.data, set.length);
    struct waiter waiter = {.rc = RC_OK};
    pthread_cond_init(&waiter.cond, NULL);
    pthread_mutex_lock(&self->mutex);
    struct local_queue *queue = find(self, hash, set.data);
    if (queue != NULL) {
        wait_in(self, queue, &waiter, limit_ns);
    } else {
        queue = add(self, hash, set.data);
        waiter.acquires = true;
        waiter.rc = queue != NULL ? RC_OK : RC_NO_MEMORY;
    }
    pthread_mutex_unlock(&self->mutex);
    pthread_cond_destroy(&waiter.cond);
    if (waiter.rc == RC_OK && waiter.acquires) {
        if (waiter.tenure == NULL)
            waiter.tenure = register_new(self, keys, n, name);
        waiter.rc = acquire_for_queue(self, queue, waiter.tenure, limit_ns);
    }
    if (waiter.rc == RC_OK)
        *ret_tenure = waiter.tenure;
    return waiter.rc;
}

bool redis_queue_hand_over(struct redis_queue *self, struct redis_tenure *tenure, bool trusted)
{
    int64_t now_ns = clock_now_ns();
    if (!trusted || tenure->n_tokens == 0 || now_ns - tenure->begun_ns >= self->tenure_ns ||
        tenure->expires_ns - now_ns < self->ttl_ns / 2)
        return false;
    pthread_mutex_lock(&self->mutex);
    bool handed_over = tenure->queue != NULL && call_head(tenure->queue, false, tenure, RC_OK);
    pthread_mutex_unlock(&self->mutex);
    return handed_over;
}

struct redis_claim *redis_queue_end_tenure(struct redis_queue *self, struct redis_tenure *tenure)
{
    pthread_mutex_lock(&self->mutex);
    struct local_queue *queue = tenure->queue;
    if (queue != NULL) {
        queue->tenure = NULL;
        if (!call_head(queue, true, NULL, RC_OK))
            drop(self, queue);
    }
    pthread_mutex_unlock(&self->mutex);
    return redis_tenure_end(tenure);
}
