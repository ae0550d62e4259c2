// lock.wait = notify: waiting in turn for a lock in Redis, in the process's own line (redis_line.h)
// and, on one Redis, in the line there, whose first is told (redis_listener.h).
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/redis/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_settings;
struct redis_claim;
struct redis_masters;
struct redis_queue;
struct redis_withdrawals;

// All are borrowed. Starts no thread and connects to nothing yet.
MUST_CHECK enum rc redis_queue_new(const struct guard_settings *settings,
                                   struct redis_masters *masters,
                                   struct redis_withdrawals *withdrawals,
                                   struct redis_queue **ret_queue);
void redis_queue_free(struct redis_queue *queue); // nobody may be in it; NULL is fine

// RC_OK: *ret_tenure is held, its next token is ours. `name` is for the owner, if a new one is
// needed. RC_LOCK_BUSY, RC_BACKEND_UNAVAILABLE: nothing is left behind. Any thread.
MUST_CHECK enum rc redis_queue_enter(struct redis_queue *queue, const char *const *keys, size_t n,
                                     const char *name, int64_t limit_ns,
                                     struct redis_tenure **ret_tenure);

// True: somebody in this process goes on with the tenure, Redis need not know. False: release the
// claim, then call redis_queue_left. `trusted`: the hold was not lost.
MUST_CHECK bool redis_queue_pass(struct redis_queue *queue, struct redis_tenure *tenure,
                                 bool trusted);
// Frees the tenure, save for its claim, which is the caller's to free.
MUST_CHECK struct redis_claim *redis_queue_left(struct redis_queue *queue,
                                                struct redis_tenure *tenure);

uint64_t redis_queue_reconnects(struct redis_queue *queue);

// How many holds in a row may be had without asking Redis in between; so many tokens are taken.
#define REDIS_QUEUE_TURNS 32
