// One lane: its links to jobs, its place in the hash table, and its first job's in the list of what
// can run.
#include "engine/lane.h"

#include "base/text.h"
#include "engine/job.h"
#include "engine/lanes.h"

#include <stdlib.h>
#include <string.h>

// ---- jobs and their links -----------------------------------------------------------------------

struct job_link *job_link_at(struct job *job, size_t i)
{
    return i == 0 ? &job->link : &job->more_links[i - 1];
}

void lane_append(struct lane *lane, struct job_link *link)
{
    link->prev = lane->tail;
    link->next = NULL;
    if (lane->tail != NULL)
        lane->tail->next = link;
    else
        lane->head = link;
    lane->tail = link;
    link->job->n_heads += lane->head == link;
    lane->n++;
}

void lane_prepend(struct lane *lane, struct job_link *link)
{
    link->prev = NULL;
    link->next = lane->head;
    if (lane->head != NULL) {
        lane->head->job->n_heads--;
        lane->head->prev = link;
    } else {
        lane->tail = link;
    }
    lane->head = link;
    link->job->n_heads++;
    lane->n++;
}

void lane_remove_link(struct job_link *link)
{
    struct lane *lane = link->lane;
    if (link->prev != NULL) {
        link->prev->next = link->next;
    } else {
        link->job->n_heads--;
        lane->head = link->next;
        if (link->next != NULL)
            link->next->job->n_heads++;
    }
    if (link->next != NULL)
        link->next->prev = link->prev;
    else
        lane->tail = link->prev;
    lane->n--;
}

// ---- the list of what can run -------------------------------------------------------------------

bool lanes_list_if_ready(struct lanes *lanes, struct job *job)
{
    if (job->ready || job->n_heads < job->n_links)
        return false;
    for (size_t i = 0; i < job->n_links; i++) {
        if (job_link_at(job, i)->lane->pick != NULL)
            return false;
    }
    job->ready = true;
    job->next = NULL;
    job->prev = lanes->ready_tail;
    if (lanes->ready_tail != NULL)
        lanes->ready_tail->next = job;
    else
        lanes->ready_head = job;
    lanes->ready_tail = job;
    return true;
}

void lanes_unlist(struct lanes *lanes, struct job *job)
{
    if (!job->ready)
        return;
    job->ready = false;
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        lanes->ready_head = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    else
        lanes->ready_tail = job->prev;
}

// ---- the hash table ----------------------------------------------------------------------------

static size_t bucket_of(const struct guard *guard, const char *counter)
{
    uint64_t hash = text_hash(TEXT_HASH_START, counter, strlen(counter));
    return (size_t)text_hash(hash, &guard, sizeof guard) % LANES_BUCKETS;
}

struct lane *lanes_get(struct lanes *lanes, struct guard *guard, const char *counter)
{
    size_t bucket = bucket_of(guard, counter);
    struct lane *lane = lanes->buckets[bucket];
    while (lane != NULL && (lane->guard != guard || strcmp(lane->counter, counter) != 0))
        lane = lane->next_in_bucket;
    if (lane != NULL)
        return lane;
    lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return NULL;
    lane->guard = guard;
    lane->bucket = bucket;
    text_copy(lane->counter, sizeof lane->counter, counter);
    lane->next_in_bucket = lanes->buckets[bucket];
    lanes->buckets[bucket] = lane;
    return lane;
}

static void free_lane(struct lanes *lanes, struct lane *lane)
{
    struct lane **at = &lanes->buckets[lane->bucket];
    while (*at != lane)
        at = &(*at)->next_in_bucket;
    *at = lane->next_in_bucket;
    free(lane);
}

void lanes_settle(struct lanes *lanes, struct lane *lane)
{
    if (lane->pick != NULL)
        return;
    if (lane->n == 0)
        free_lane(lanes, lane);
    else
        lanes_list_if_ready(lanes, lane->head->job);
}
