// Lanes: requests on the same counter, under the same strategy, queue here in order of arrival. A
// lane is picked by one worker at a time. Not locked: the engine's mutex protects it.
#pragma once

#include "base/cleanup.h"
#include "domain/operation.h"
#include "guard/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job;
struct lane;
struct queue;

#define LANES_BUCKETS 4096

struct lanes {
    struct lane *buckets[LANES_BUCKETS];
    struct lane *ready_head, *ready_tail; // lanes with jobs that no worker has picked
    size_t n_queued;                      // jobs in all lanes
};

// Lanes picked together: one strategy and endpoint, ordered by counter.
struct pick {
    struct lane *lanes[GUARD_KEYS_MAX];
    const char *keys[GUARD_KEYS_MAX];
    size_t n;
    struct guard *guard;
    enum endpoint endpoint;
    int64_t deadline_ns; // of the job that has waited longest
};

// False when there is no memory; the job was not taken. ret_became_ready: a worker may be woken.
MUST_CHECK bool lanes_push(struct lanes *lanes, struct guard *guard, struct job *job,
                           bool *ret_became_ready);

bool lanes_ready(const struct lanes *lanes);

// The operation at the head of the lane that has been ready longest. Only when lanes_ready().
const struct operation *lanes_first(const struct lanes *lanes);

// Picks the lane that has been ready longest and, as long as they fit into max_jobs and max_lanes,
// those ready behind it of the same strategy and endpoint; one that is to go alone is picked alone.
// Only when lanes_ready().
void lanes_pick(struct lanes *lanes, size_t max_jobs, size_t max_lanes, struct pick *ret_pick);

// Takes jobs submitted before this moment from the picked lanes, ordered by counter and arrival.
size_t lanes_take(struct lanes *lanes, struct pick *pick, int64_t before_ns, struct job **ret_jobs,
                  size_t max);

// Requests that wait in the deepest of the picked lanes.
size_t lanes_deepest(const struct pick *pick);

// Moves the jobs whose deadline is not after this moment, of picked lanes too, to the end of a
// queue.
void lanes_move_late(struct lanes *lanes, int64_t now_ns, struct queue *late);

// Takes back jobs that were taken from these lanes, ordered as they were, before all others.
void lanes_return(struct lanes *lanes, struct pick *pick, struct job *const *jobs, size_t n);

// Gives the lanes back: those with jobs are ready again, next time each alone if so told; the
// others cease to be.
void lanes_put_back(struct lanes *lanes, struct pick *pick, bool alone);
