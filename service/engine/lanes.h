// Lanes: queues of requests on the same counter under the same strategy, in order of arrival. A
// worker picks lanes, and while they are picked no other worker runs their requests.
// Not thread-safe: the engine's mutex protects it.
//
// A lane is, in this order: created by its first job, ready, picked by a worker, and then ready
// again if it has jobs, or freed.
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

// Lanes picked together: of one strategy and endpoint, ordered by counter.
struct pick {
    struct lane *lanes[GUARD_KEYS_MAX];
    const char *keys[GUARD_KEYS_MAX];
    size_t n;
    struct guard *guard;
    enum endpoint endpoint;
    int64_t deadline_ns; // of the job that has waited longest
};

// False if out of memory; the job was not taken. ret_became_ready: the caller should wake a worker.
MUST_CHECK bool lanes_push(struct lanes *lanes, struct guard *guard, struct job *job,
                           bool *ret_became_ready);

bool lanes_ready(const struct lanes *lanes);

// The operation at the head of the lane that has been ready longest. Only when lanes_ready().
const struct operation *lanes_first(const struct lanes *lanes);

// Picks the lane that has been ready longest, and the ready lanes behind it of the same strategy
// and endpoint, as long as they fit into max_jobs and max_lanes. A lane marked `alone` is picked
// alone. Only when lanes_ready().
void lanes_pick(struct lanes *lanes, size_t max_jobs, size_t max_lanes, struct pick *ret_pick);

// Takes the jobs with submitted_ns < before_ns from the picked lanes, ordered by counter and
// arrival.
size_t lanes_take(struct lanes *lanes, struct pick *pick, int64_t before_ns, struct job **ret_jobs,
                  size_t max);

// Requests that wait in the deepest of the picked lanes.
size_t lanes_deepest(const struct pick *pick);

// Moves the jobs whose deadline has passed at `now_ns`, also those of picked lanes, to the end of a
// queue.
void lanes_move_expired(struct lanes *lanes, int64_t now_ns, struct queue *expired);

// Requeues jobs that were taken from these lanes at the head, in the order in which they were
// taken.
void lanes_return(struct lanes *lanes, struct pick *pick, struct job *const *jobs, size_t n);

// Ends the pick. Lanes with jobs become ready again, each to be picked alone next time if `alone`;
// empty lanes are freed.
void lanes_put_back(struct lanes *lanes, struct pick *pick, bool alone);
