// Waiting for locks in Redis with lock.wait = notify: first in this process's own queue, then in
// the queue in Redis.
//
// One local queue stands for one set of keys. Only its head goes to Redis. The process that holds
// the locks hands them from waiter to waiter for a while, without a round trip.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/redis/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_settings;
struct local_queue;
struct redis_claim;
struct redis_masters;
struct redis_queue;
struct redis_withdrawals;

// The locks as this process acquires and then holds them under one owner, over one or more holds.
// One thread at a time uses it: the waiter that acquires, then each holder.
struct redis_tenure {
    struct local_queue *queue; // the queue module's own; NULL: no waiter depends on its end
    struct redis_claim *claim;
    struct redis_waiter waiter; // while it is being acquired
    _Atomic int64_t expires_ns; // monotonic, the end of the lease; the renewal moves it on
    int64_t begun_ns;           // monotonic: when it was acquired
    uint64_t token, n_tokens;   // the highest fencing token, and how many are left; one per hold
};

// Not acquired yet, in no queue. NULL if there is no memory.
MUST_CHECK struct redis_tenure *redis_tenure_new(const char *const *keys, size_t n,
                                                 const struct guard_settings *settings,
                                                 const char *name);
void redis_tenure_free(struct redis_tenure *tenure); // NULL is fine
// Frees the tenure and returns its claim, which the caller frees.
MUST_CHECK struct redis_claim *redis_tenure_end(struct redis_tenure *tenure);

// The locks are held from now on, with `n_tokens` tokens of which `token` is the highest.
void redis_tenure_begin(struct redis_tenure *tenure, uint64_t token, uint64_t n_tokens,
                        int64_t expires_ns);
// Takes one of its tokens, above all taken before.
uint64_t redis_tenure_token(struct redis_tenure *tenure);

// All arguments are borrowed. Connects lazily and starts no thread yet.
MUST_CHECK enum rc redis_queue_new(const struct guard_settings *settings,
                                   struct redis_masters *masters,
                                   struct redis_withdrawals *withdrawals,
                                   struct redis_queue **ret_queue);
void redis_queue_free(struct redis_queue *self); // no thread may be in it; NULL is fine

// RC_OK: the caller holds *ret_tenure and takes its next token. `name` becomes the owner if a new
// one is needed. RC_LOCK_BUSY, RC_BACKEND_UNAVAILABLE: nothing is left behind. Any thread.
MUST_CHECK enum rc redis_queue_enter(struct redis_queue *self, const char *const *keys, size_t n,
                                     const char *name, int64_t limit_ns,
                                     struct redis_tenure **ret_tenure);

// Hands the tenure to the next waiter of this process. False if there is none or the tenure is too
// old: release the claim, then call redis_queue_end_tenure. `trusted`: the hold was not lost.
MUST_CHECK bool redis_queue_hand_over(struct redis_queue *self, struct redis_tenure *tenure,
                                      bool trusted);
// Lets the next waiter acquire. Frees the tenure and returns its claim, which the caller frees.
MUST_CHECK struct redis_claim *redis_queue_end_tenure(struct redis_queue *self,
                                                      struct redis_tenure *tenure);

// How many times the listener's connection was lost and replaced. Any thread.
uint64_t redis_queue_reconnects(struct redis_queue *self);

// How many holds in a row one tenure may serve; each takes one of so many tokens.
#define REDIS_QUEUE_TURNS 32
