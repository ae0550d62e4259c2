// A hash table of lanes, by guard and counter, and a list of the jobs that can run. A lane exists
// from its first job until a worker puts it back empty, or the expiry has emptied it.
//
// A job has a link in the lane of each of its counters. All links are appended at once, under the
// engine's mutex, so all lanes agree on one order of arrival. A job can run when it is first in all
// its lanes and none of them is picked; it counts the lanes in which it is first, so nothing is
// searched. (Selective queues of locks as in VLL: Ren, Thomson, Abadi, "Lightweight Locking for
// Main Memory Database Systems", VLDB 2013.)
//
// No deadlock: a job waits only for jobs that arrived earlier, and for picks. The oldest job of all
// is first in all its lanes, so it runs as soon as its lanes are put back; and a pick waits for no
// lane, because it takes its lanes at once or not at all. What the guard waits for is entered in
// the order of the counters' names.
//
// No starvation: while a job is first in a lane, no later job of that lane can run. A pick begins
// with the job that has been ready longest, and counts on as many jobs as its budget allows. A take
// gives these first. So a lane that grows while the lock is waited for takes no room from others.
#include "engine/lanes.h"

#include "engine/job.h"
#include "engine/lane.h"
#include "engine/partition.h"
#include "engine/queue.h"

#include <stdlib.h>
#include <string.h>

// A pick passes over at most so many ready jobs that do not fit it.
#define PASSED_MAX 1024

bool lanes_ready(const struct lanes *lanes)
{
    return lanes->ready_head != NULL;
}

const struct operation *lanes_first(const struct lanes *lanes)
{
    return lanes->ready_head->operation;
}

// ---- push ---------------------------------------------------------------------------------------

static bool stands_in(struct job *job, size_t n_links, const struct lane *lane)
{
    while (n_links > 0 && job_link_at(job, n_links - 1)->lane != lane)
        n_links--;
    return n_links > 0;
}

bool lanes_push(struct lanes *lanes, struct guard *guard, struct job *job, bool *ret_became_ready)
{
    size_t n = operation_n_legs(job->operation), leg = 0, found = 0;
    job->n_heads = 0;
    job->ready = false;
    for (; leg < n; leg++) {
        char name[COUNTER_NAME_MAX + 1];
        const char *counter = operation_leg(job->operation, leg)->counter;
        struct lane *lane =
            lanes_get(lanes, guard, partition_name(lanes->partitions, guard, counter, name));
        if (lane == NULL)
            break;
        if (stands_in(job, found, lane))
            continue; // two counters of one partition
        struct job_link *link = job_link_at(job, found++);
        link->job = job;
        link->lane = lane;
    }
    job->n_links = found;
    for (size_t i = 0; i < found; i++) {
        struct lane *lane = job_link_at(job, i)->lane;
        if (leg == n)
            lane_append(lane, job_link_at(job, i));
        else
            lanes_settle(lanes, lane);
    }
    if (leg < n)
        return false;
    *ret_became_ready = lanes_list_if_ready(lanes, job);
    lanes->n_queued++;
    return true;
}

// ---- pick ---------------------------------------------------------------------------------------

static void pick_lane(struct lanes *lanes, struct pick *pick, struct lane *lane)
{
    if (lane->head != NULL)
        lanes_unlist(lanes, lane->head->job);
    lane->pick = pick;
    lane->next = lane->head;
    lane->quota = 0;
    pick->lanes[pick->n++] = lane;
}

// How many lanes the pick lacks for this job. SIZE_MAX if the job would not be next in all of them.
static size_t lacks(const struct pick *pick, struct job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n_links; i++) {
        struct job_link *link = job_link_at(job, i);
        struct lane *lane = link->lane;
        bool free = lane->pick == NULL && lane->head == link && !lane->alone;
        if (!free && (lane->pick != pick || lane->next != link))
            return SIZE_MAX;
        n += free;
    }
    return n;
}

// Counts on this job: takes the lanes that it needs, and it is no longer next in any.
static void count_on(struct lanes *lanes, struct pick *pick, struct job *job,
                     struct lanes_budget *left)
{
    for (size_t i = 0; i < job->n_links; i++) {
        struct job_link *link = job_link_at(job, i);
        if (link->lane->pick == NULL) {
            pick_lane(lanes, pick, link->lane);
            left->lanes--;
        }
        link->lane->next = link->next;
        link->lane->quota++;
    }
    left->jobs--;
    left->legs -= operation_n_legs(job->operation);
}

static bool fits(const struct job *job, size_t lacking, const struct lanes_budget *left)
{
    return left->jobs > 0 && operation_n_legs(job->operation) <= left->legs &&
           lacking <= left->lanes;
}

// Follows the lanes from index `from` on, as long as their next job needs only lanes that are
// picked or free. A hot lane brings in the cold lanes of the jobs that stand in it.
static void follow(struct lanes *lanes, struct pick *pick, size_t from, struct lanes_budget *left)
{
    for (size_t i = from; i < pick->n; i++) {
        struct lane *lane = pick->lanes[i];
        while (lane->next != NULL) {
            struct job *job = lane->next->job;
            if (!fits(job, lacks(pick, job), left))
                break;
            count_on(lanes, pick, job, left);
        }
    }
}

static int compare_lanes(const void *a, const void *b)
{
    return strcmp((*(struct lane *const *)a)->counter, (*(struct lane *const *)b)->counter);
}

static bool has_lane_alone(struct job *job)
{
    for (size_t i = 0; i < job->n_links; i++) {
        if (job_link_at(job, i)->lane->alone)
            return true;
    }
    return false;
}

// Whether a job that shares no lane with the pick may join it. Not one of another endpoint: where
// one decision has read more than counters, a conflict makes the whole batch start again.
static bool belongs(const struct pick *pick, struct job *job)
{
    return job->link.lane->guard == pick->guard &&
           operation_endpoint(job->operation) == pick->endpoint && !has_lane_alone(job);
}

void lanes_pick(struct lanes *lanes, const struct lanes_budget *budget, struct pick *ret_pick)
{
    struct job *first = lanes->ready_head;
    struct lanes_budget left = *budget;
    if (left.lanes > GUARD_KEYS_MAX)
        left.lanes = GUARD_KEYS_MAX;
    if (left.lanes < first->n_links)
        left.lanes = first->n_links;
    ret_pick->n = 0;
    ret_pick->guard = first->link.lane->guard;
    ret_pick->endpoint = operation_endpoint(first->operation);
    ret_pick->deadline_ns = first->deadline_ns;
    bool alone = ret_pick->alone = has_lane_alone(first);
    count_on(lanes, ret_pick, first, &left);
    if (!alone)
        follow(lanes, ret_pick, 0, &left);
    struct job *job = alone ? NULL : lanes->ready_head, *next;
    for (size_t passed = 0; job != NULL && left.jobs > 0 && passed < PASSED_MAX; job = next) {
        size_t n = ret_pick->n;
        next = job->next; // stays listed: `follow` counts on no job that is ready
        if (!belongs(ret_pick, job) || !fits(job, lacks(ret_pick, job), &left)) {
            passed++;
            continue;
        }
        count_on(lanes, ret_pick, job, &left);
        follow(lanes, ret_pick, n, &left);
    }
    ret_pick->divisible = ret_pick->n > first->n_links;
    qsort(ret_pick->lanes, ret_pick->n, sizeof ret_pick->lanes[0], compare_lanes);
    for (size_t i = 0; i < ret_pick->n; i++)
        ret_pick->keys[i] = ret_pick->lanes[i]->counter;
}

// ---- take ---------------------------------------------------------------------------------------

static bool can_take(const struct pick *pick, struct job *job, int64_t before_ns,
                     const struct lanes_budget *left, bool by_quota)
{
    if (job->submitted_ns >= before_ns || job->n_heads < job->n_links || !fits(job, 0, left))
        return false;
    for (size_t i = 0; i < job->n_links; i++) {
        const struct lane *lane = job_link_at(job, i)->lane;
        if (lane->pick != pick || (by_quota && lane->quota == 0))
            return false;
    }
    return true;
}

static void take(struct job *job, struct lanes_budget *left)
{
    for (size_t i = 0; i < job->n_links; i++) {
        struct lane *lane = job_link_at(job, i)->lane;
        lane->quota -= lane->quota > 0;
        lane_remove_link(job_link_at(job, i));
    }
    left->jobs--;
    left->legs -= operation_n_legs(job->operation);
}

size_t lanes_take(struct lanes *lanes, struct pick *pick, int64_t before_ns,
                  const struct lanes_budget *budget, struct job **ret_jobs)
{
    struct lanes_budget left = *budget;
    size_t n = 0;
    bool by_quota = true, progress = true;
    while (progress || by_quota) {
        by_quota = by_quota && progress;
        progress = false;
        for (size_t i = 0; i < pick->n; i++) {
            struct lane *lane = pick->lanes[i];
            while (lane->head != NULL &&
                   can_take(pick, lane->head->job, before_ns, &left, by_quota)) {
                ret_jobs[n] = lane->head->job;
                take(ret_jobs[n++], &left);
                progress = true;
            }
        }
    }
    for (size_t i = 0; i < pick->n; i++)
        pick->lanes[i]->quota = pick->lanes[i]->n; // if the pick takes once more
    lanes->n_queued -= n;
    return n;
}

size_t lanes_deepest(const struct pick *pick)
{
    size_t deepest = 0;
    for (size_t i = 0; i < pick->n; i++) {
        if (pick->lanes[i]->n > deepest)
            deepest = pick->lanes[i]->n;
    }
    return deepest;
}

size_t lanes_waiting(const struct pick *pick)
{
    size_t n = 0;
    for (size_t i = 0; i < pick->n; i++)
        n += pick->lanes[i]->n;
    return n;
}

// ---- expiry, return, put back -------------------------------------------------------------------

// Returns the first deadline of the lane's jobs that remain.
static int64_t expire(struct lanes *lanes, struct lane *lane, int64_t now_ns, struct queue *expired)
{
    int64_t first_ns = INT64_MAX;
    struct job_link *link = lane->head;
    while (link != NULL) {
        struct job *job = link->job;
        link = link->next;
        if (job->deadline_ns > now_ns) {
            first_ns = job->deadline_ns < first_ns ? job->deadline_ns : first_ns;
            continue;
        }
        lanes_unlist(lanes, job);
        for (size_t i = 0; i < job->n_links; i++)
            lane_remove_link(job_link_at(job, i));
        queue_push(expired, job);
        lanes->n_queued--;
    }
    return first_ns;
}

int64_t lanes_move_expired(struct lanes *lanes, int64_t now_ns, struct queue *expired)
{
    size_t before = expired->n;
    int64_t first_ns = INT64_MAX;
    for (size_t i = 0; i < LANES_BUCKETS && lanes->n_queued > 0; i++) {
        for (struct lane *lane = lanes->buckets[i]; lane != NULL; lane = lane->next_in_bucket) {
            int64_t lane_ns = expire(lanes, lane, now_ns, expired);
            first_ns = lane_ns < first_ns ? lane_ns : first_ns;
        }
    }
    for (size_t i = 0; i < LANES_BUCKETS && expired->n > before; i++) {
        struct lane *lane = lanes->buckets[i];
        while (lane != NULL) {
            struct lane *next = lane->next_in_bucket;
            lanes_settle(lanes, lane);
            lane = next;
        }
    }
    return first_ns;
}

void lanes_return(struct lanes *lanes, struct job *const *jobs, size_t n)
{
    for (size_t i = n; i-- > 0;) {
        for (size_t j = 0; j < jobs[i]->n_links; j++)
            lane_prepend(job_link_at(jobs[i], j)->lane, job_link_at(jobs[i], j));
    }
    lanes->n_queued += n;
}

void lanes_put_back(struct lanes *lanes, struct pick *pick, bool alone)
{
    for (size_t i = 0; i < pick->n; i++) {
        pick->lanes[i]->pick = NULL;
        pick->lanes[i]->alone = alone;
    }
    for (size_t i = 0; i < pick->n; i++)
        lanes_settle(lanes, pick->lanes[i]);
    pick->n = 0;
}
