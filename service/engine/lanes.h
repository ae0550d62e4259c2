// Lanes: queues of requests on the same counter under the same strategy, in order of arrival. A
// request on several counters stands in the lane of each. With partitions (partition.h) a lane is
// that of all counters of a partition. A worker picks lanes, and while they are picked no other
// worker runs their requests.
// Not thread-safe: the engine's mutex protects it.
//
// A lane is, in this order: created by its first job, picked by a worker, put back, and freed if it
// is empty.
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
    struct job *ready_head, *ready_tail; // jobs that can run; the first has been ready longest
    size_t n_queued;                     // jobs in all lanes
    size_t partitions;                   // lock.partitions: 0, or set before the first job
};

// Lanes picked together: of one strategy, ordered by counter. It must not move while they are
// picked.
struct pick {
    struct lane *lanes[GUARD_KEYS_MAX];
    const char *keys[GUARD_KEYS_MAX];
    size_t n;
    struct guard *guard;
    enum endpoint endpoint; // of the first job
    int64_t deadline_ns;    // of the first job
    bool divisible;         // the first job alone needs fewer lanes
    bool alone;             // its lanes are marked so
};

// What a pick or a take may hold.
struct lanes_budget {
    size_t jobs, legs, lanes;
};

// False if out of memory; the job was not taken. ret_became_ready: the caller should wake a worker.
MUST_CHECK bool lanes_push(struct lanes *lanes, struct guard *guard, struct job *job,
                           bool *ret_became_ready);

bool lanes_ready(const struct lanes *lanes);

// The operation that has been ready longest. Only when lanes_ready().
const struct operation *lanes_first(const struct lanes *lanes);

// Picks the lanes of the job that has been ready longest, those that the next jobs in them need,
// and those of other ready jobs of the same strategy and endpoint, within the budget. Ready jobs
// that do not fit are passed over and keep their places. A lane marked `alone` is picked with
// nothing that its first job does not need. Only when lanes_ready().
void lanes_pick(struct lanes *lanes, const struct lanes_budget *budget, struct pick *ret_pick);

// Takes the jobs with submitted_ns < before_ns from the picked lanes, within the budget of jobs and
// legs, and first those that the pick has counted on; returns how many. Every lane's jobs come in
// order of arrival. A job that also needs a lane which is not picked stays, and so do the jobs
// behind it.
size_t lanes_take(struct lanes *lanes, struct pick *pick, int64_t before_ns,
                  const struct lanes_budget *budget, struct job **ret_jobs);

// Requests that wait in the deepest of the picked lanes.
size_t lanes_deepest(const struct pick *pick);

// Requests that wait in all picked lanes. One that stands in several of them counts in each.
size_t lanes_waiting(const struct pick *pick);

// Moves the jobs whose deadline has passed at `now_ns`, also those of picked lanes, to the end of a
// queue. Returns the first deadline of the jobs that remain; INT64_MAX if none does. Looks at every
// job.
int64_t lanes_move_expired(struct lanes *lanes, int64_t now_ns, struct queue *expired);

// Requeues jobs that were taken from these lanes at the head, in the order in which they were
// taken.
void lanes_return(struct lanes *lanes, struct job *const *jobs, size_t n);

// Ends the pick. Lanes with jobs can be picked again, each alone next time if `alone`; empty lanes
// are freed.
void lanes_put_back(struct lanes *lanes, struct pick *pick, bool alone);
