// Background tasks of a session's thread, such as the retry of a release that was not acknowledged.
// A chore runs when it is due and the server is reachable, or as soon as its session is over.
#pragma once

#include "base/cleanup.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Embedded first in memory from malloc.
struct chore {
    struct chore *next;
    uint64_t generation; // of its session
    int64_t due_ns;      // monotonic; run may set it later, to be called again then
    // True: done. The list does not touch the chore after that, so run may free it. Called without
    // the mutex; takes a bounded time.
    bool (*run)(struct chore *chore);
};

// The session's mutex is held in all of these. `changed` is broadcast whenever a chore was run.
struct chores {
    struct chore *first, *running;
    pthread_mutex_t *mutex;
    pthread_cond_t *changed;
};

// Takes ownership of the chore until its run returns true.
void chores_add(struct chores *chores, struct chore *chore);
// Runs one chore that is due or of another generation, and releases the mutex meanwhile. While the
// server is not `reachable`, chores of this generation stay, due or not. False: none ran.
bool chores_run_one(struct chores *chores, int64_t now_ns, bool reachable, uint64_t generation);
// When the next chore is due; INT64_MAX if there is none.
int64_t chores_due(const struct chores *chores);
// Cancels a chore; waits while it runs. True: cancelled, and the caller owns it again. False: it
// was done already.
MUST_CHECK bool chores_cancel(struct chores *chores, struct chore *chore);
// Frees the remaining chores. Without the mutex, after the last chores_add.
void chores_free(struct chores *chores);
