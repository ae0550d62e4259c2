// Background retries of releases that a Redis master did not acknowledge.
//
// A release without a reply may never have arrived. The lock would then keep every other owner out
// until its lease ends. So one thread retries until the master answers, on whatever connection
// works by then: the silent one was closed. The script deletes only what this owner holds, and an
// owner's name is never used again, so a retry does no harm however late it runs.
//
// After a lease there is nothing left to free, except by an acquire that ran even later; that lease
// then ends the lock. So it does for claims beyond the limit of pending ones. A master that does
// not answer is skipped for the rest of the round.
#include "guard/redis/withdrawal.h"

#include "base/clock.h"
#include "guard/redis/claim.h"

#include <pthread.h>
#include <stdlib.h>

#define ANSWER_NS (300 * NS_PER_MS)
#define PAUSE_NS (200 * NS_PER_MS)
#define WITHDRAWALS_MAX 512

struct withdrawal {
    struct withdrawal *next;
    struct redis_claim *claim;
    bool in_flight;
    int64_t until_ns; // when the lease has ended
};

struct redis_withdrawals {
    struct redis_masters *masters;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct withdrawal *first; // pending, without those in the thread's current round
    size_t n;                 // with those
    bool running, stopping;
    pthread_t thread;
};

enum rc redis_withdrawals_new(struct redis_masters *masters,
                              struct redis_withdrawals **ret_withdrawals)
{
    struct redis_withdrawals *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->masters = masters;
    pthread_cond_init(&self->changed, NULL);
    pthread_mutex_init(&self->mutex, NULL);
    *ret_withdrawals = self;
    return RC_OK;
}

static void withdrawal_free(struct withdrawal *withdrawal)
{
    free(withdrawal->claim);
    free(withdrawal);
}

// Tries each withdrawal once. Returns those that are still pending.
static struct withdrawal *run_round(struct redis_withdrawals *self, struct withdrawal *first,
                                    size_t *ret_done)
{
    struct withdrawal *left = NULL, **last = &left, *next;
    unsigned silent = 0;
    *ret_done = 0;
    for (struct withdrawal *each = first; each != NULL; each = next) {
        struct redis_claim *claim = each->claim;
        next = each->next;
        unsigned skipped = claim->unsettled & silent;
        claim->unsettled &= ~silent;
        if (claim->unsettled != 0)
            redis_claim_abandon(self->masters, claim, each->in_flight, clock_now_ns() + ANSWER_NS);
        silent |= claim->unsettled;
        claim->unsettled |= skipped;
        if (claim->unsettled == 0 || clock_now_ns() >= each->until_ns) {
            withdrawal_free(each);
            ++*ret_done;
        } else {
            each->next = NULL;
            *last = each;
            last = &each->next;
        }
    }
    return left;
}

static void wait_for_round(struct redis_withdrawals *self, int64_t due_ns)
{
    while (!self->stopping && self->first == NULL)
        pthread_cond_wait(&self->changed, &self->mutex);
    while (!self->stopping && clock_now_ns() < due_ns)
        clock_wait(&self->changed, &self->mutex, due_ns);
}

// Runs one more round after it was told to stop.
static void *withdrawals_main(void *arg)
{
    struct redis_withdrawals *self = arg;
    int64_t due_ns = 0;
    pthread_mutex_lock(&self->mutex);
    for (bool stopping = false; !stopping;) {
        wait_for_round(self, due_ns);
        stopping = self->stopping;
        struct withdrawal *all = self->first;
        self->first = NULL;
        pthread_mutex_unlock(&self->mutex);
        size_t done;
        struct withdrawal *left = run_round(self, all, &done);
        due_ns = left != NULL ? clock_now_ns() + PAUSE_NS : 0;
        pthread_mutex_lock(&self->mutex);
        self->n -= done;
        struct withdrawal **end = &left;
        while (*end != NULL)
            end = &(*end)->next;
        *end = self->first;
        self->first = left;
    }
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

void redis_withdrawals_free(struct redis_withdrawals *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->mutex);
    self->stopping = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    if (self->running)
        pthread_join(self->thread, NULL);
    while (self->first != NULL) {
        struct withdrawal *next = self->first->next;
        withdrawal_free(self->first);
        self->first = next;
    }
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

// False: too many are pending, or no thread could be started. The mutex is held.
static bool add(struct redis_withdrawals *self, struct withdrawal *withdrawal)
{
    if (self->n == WITHDRAWALS_MAX)
        return false;
    if (!self->running)
        self->running = pthread_create(&self->thread, NULL, withdrawals_main, self) == 0;
    if (!self->running)
        return false;
    withdrawal->next = self->first;
    self->first = withdrawal;
    self->n++;
    pthread_cond_signal(&self->changed);
    return true;
}

void redis_withdraw(struct redis_withdrawals *self, struct redis_claim *claim, bool in_flight)
{
    struct withdrawal *withdrawal = claim->unsettled != 0 ? malloc(sizeof *withdrawal) : NULL;
    if (withdrawal == NULL) {
        free(claim);
        return;
    }
    *withdrawal = (struct withdrawal){.claim = claim,
                                      .in_flight = in_flight,
                                      .until_ns = clock_now_ns() + claim->ttl_ms * NS_PER_MS};
    pthread_mutex_lock(&self->mutex);
    bool added = add(self, withdrawal);
    pthread_mutex_unlock(&self->mutex);
    if (!added)
        withdrawal_free(withdrawal);
}
