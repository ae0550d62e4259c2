// A hash table of lanes, by guard and counter, and a list of the lanes that are ready. A lane
// exists from its first job until a worker puts it back empty, or the expiry has emptied it.
#include "engine/lanes.h"

#include "base/text.h"
#include "engine/job.h"
#include "engine/queue.h"

#include <stdlib.h>
#include <string.h>

struct lane {
    struct lane *next_in_bucket, *next_ready;
    struct guard *guard;
    enum endpoint endpoint;
    bool picked, alone;
    size_t bucket;
    struct queue jobs;
    char counter[COUNTER_NAME_MAX + 1];
};

static size_t bucket_of(const struct guard *guard, const char *counter)
{
    uint64_t hash = text_hash(TEXT_HASH_START, counter, strlen(counter));
    return (size_t)text_hash(hash, &guard, sizeof guard) % LANES_BUCKETS;
}

static void append_ready(struct lanes *lanes, struct lane *lane)
{
    lane->next_ready = NULL;
    if (lanes->ready_tail != NULL)
        lanes->ready_tail->next_ready = lane;
    else
        lanes->ready_head = lane;
    lanes->ready_tail = lane;
}

static struct lane *add_lane(struct lanes *lanes, size_t bucket, struct guard *guard,
                             const struct operation *operation)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return NULL;
    lane->guard = guard;
    lane->endpoint = operation_endpoint(operation);
    lane->bucket = bucket;
    text_copy(lane->counter, sizeof lane->counter, operation->counter);
    lane->next_in_bucket = lanes->buckets[bucket];
    lanes->buckets[bucket] = lane;
    return lane;
}

bool lanes_push(struct lanes *lanes, struct guard *guard, struct job *job, bool *ret_became_ready)
{
    const char *counter = job->operation->counter;
    size_t bucket = bucket_of(guard, counter);
    struct lane *lane = lanes->buckets[bucket];
    while (lane != NULL && (lane->guard != guard || strcmp(lane->counter, counter) != 0))
        lane = lane->next_in_bucket;
    if (lane == NULL)
        lane = add_lane(lanes, bucket, guard, job->operation);
    if (lane == NULL)
        return false;
    queue_push(&lane->jobs, job);
    *ret_became_ready = lane->jobs.n == 1 && !lane->picked;
    if (*ret_became_ready)
        append_ready(lanes, lane);
    lanes->n_queued++;
    return true;
}

bool lanes_ready(const struct lanes *lanes)
{
    return lanes->ready_head != NULL;
}

const struct operation *lanes_first(const struct lanes *lanes)
{
    return lanes->ready_head->jobs.head->operation;
}

static int compare_lanes(const void *a, const void *b)
{
    return strcmp((*(struct lane *const *)a)->counter, (*(struct lane *const *)b)->counter);
}

void lanes_pick(struct lanes *lanes, size_t max_jobs, size_t max_lanes, struct pick *ret_pick)
{
    struct lane *first = lanes->ready_head;
    *ret_pick = (struct pick){.guard = first->guard,
                              .endpoint = first->endpoint,
                              .deadline_ns = first->jobs.head->deadline_ns};
    size_t n_jobs = 0;
    if (max_lanes > GUARD_KEYS_MAX)
        max_lanes = GUARD_KEYS_MAX;
    if (first->alone)
        max_lanes = 1;
    while (lanes->ready_head != NULL && ret_pick->n < max_lanes) {
        struct lane *lane = lanes->ready_head;
        bool fits =
            lane == first || (lane->guard == first->guard && lane->endpoint == first->endpoint &&
                              !lane->alone && n_jobs + lane->jobs.n <= max_jobs);
        if (!fits)
            break;
        lanes->ready_head = lane->next_ready;
        if (lanes->ready_head == NULL)
            lanes->ready_tail = NULL;
        lane->picked = true;
        n_jobs += lane->jobs.n;
        ret_pick->lanes[ret_pick->n++] = lane;
    }
    qsort(ret_pick->lanes, ret_pick->n, sizeof ret_pick->lanes[0], compare_lanes);
    for (size_t i = 0; i < ret_pick->n; i++)
        ret_pick->keys[i] = ret_pick->lanes[i]->counter;
}

size_t lanes_take(struct lanes *lanes, struct pick *pick, int64_t before_ns, struct job **ret_jobs,
                  size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < pick->n; i++) {
        struct lane *lane = pick->lanes[i];
        while (n < max && lane->jobs.n > 0 && lane->jobs.head->submitted_ns < before_ns)
            ret_jobs[n++] = queue_pop(&lane->jobs);
    }
    lanes->n_queued -= n;
    return n;
}

size_t lanes_deepest(const struct pick *pick)
{
    size_t deepest = 0;
    for (size_t i = 0; i < pick->n; i++) {
        if (pick->lanes[i]->jobs.n > deepest)
            deepest = pick->lanes[i]->jobs.n;
    }
    return deepest;
}

static void remove_lane(struct lanes *lanes, struct lane *lane)
{
    struct lane **link = &lanes->buckets[lane->bucket];
    while (*link != lane)
        link = &(*link)->next_in_bucket;
    *link = lane->next_in_bucket;
    free(lane);
}

// A lane that is ready must have a job.
static void remove_empty(struct lanes *lanes)
{
    struct lane *lane = lanes->ready_head;
    lanes->ready_head = lanes->ready_tail = NULL;
    while (lane != NULL) {
        struct lane *next = lane->next_ready;
        if (lane->jobs.n > 0)
            append_ready(lanes, lane);
        else
            remove_lane(lanes, lane);
        lane = next;
    }
}

void lanes_move_expired(struct lanes *lanes, int64_t now_ns, struct queue *expired)
{
    size_t before = expired->n;
    for (size_t i = 0; i < LANES_BUCKETS && lanes->n_queued > 0; i++) {
        for (struct lane *lane = lanes->buckets[i]; lane != NULL; lane = lane->next_in_bucket)
            queue_move_expired(&lane->jobs, now_ns, expired);
    }
    lanes->n_queued -= expired->n - before;
    remove_empty(lanes);
}

static struct lane *picked_lane(struct pick *pick, const char *counter)
{
    for (size_t i = 0; i < pick->n; i++)
        if (strcmp(pick->lanes[i]->counter, counter) == 0)
            return pick->lanes[i];
    return NULL;
}

void lanes_return(struct lanes *lanes, struct pick *pick, struct job *const *jobs, size_t n)
{
    for (size_t i = n; i-- > 0;)
        queue_push_front(&picked_lane(pick, jobs[i]->operation->counter)->jobs, jobs[i]);
    lanes->n_queued += n;
}

void lanes_put_back(struct lanes *lanes, struct pick *pick, bool alone)
{
    for (size_t i = 0; i < pick->n; i++) {
        struct lane *lane = pick->lanes[i];
        lane->picked = false;
        lane->alone = alone;
        if (lane->jobs.n > 0)
            append_ready(lanes, lane);
        else
            remove_lane(lanes, lane);
    }
    pick->n = 0;
}
