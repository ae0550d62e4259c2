// What the thread of a session does besides keeping it: each chore when its time has come and
// somebody answers, or as soon as its session is over.
#pragma once

#include "base/cleanup.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Embedded first in memory from malloc.
struct chore {
    struct chore *next;
    uint64_t generation; // of the session that it belongs to
    int64_t due_ns;      // monotonic; run may move it, to be called again then
    // True: done, and nobody here touches the chore any more; it may be freed within. Called
    // without the mutex; takes a bounded time.
    bool (*run)(struct chore *chore);
};

// The session's mutex is held in all of these. `changed` is broadcast whenever a chore was run.
struct chores {
    struct chore *first, *running;
    pthread_mutex_t *mutex;
    pthread_cond_t *changed;
};

// The chore belongs to the queue until its run says that it is done.
void chores_add(struct chores *chores, struct chore *chore);
// Runs one chore, and lets go of the mutex meanwhile, if one is due or of another generation; what
// is only due waits while nobody is `reachable`. False: there was none.
bool chores_run_one(struct chores *chores, int64_t now_ns, bool reachable, uint64_t generation);
// The earliest time at which one is due, INT64_MAX for none.
int64_t chores_due(const struct chores *chores);
// Waits while it runs. True: taken back, it will not run any more. False: it is done.
MUST_CHECK bool chores_take_back(struct chores *chores, struct chore *chore);
// Without the mutex, when nobody adds any more: frees what is left.
void chores_free(struct chores *chores);
