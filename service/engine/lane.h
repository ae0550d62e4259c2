// The lanes' own: one lane, and the list of the jobs that can run.
// Not thread-safe: the engine's mutex protects it.
#pragma once

#include "base/cleanup.h"
#include "domain/ids.h"

#include <stdbool.h>
#include <stddef.h>

struct guard;
struct job;
struct job_link;
struct lanes;
struct pick;

struct lane {
    struct lane *next_in_bucket;
    struct guard *guard;
    struct job_link *head, *tail;
    size_t n;
    const struct pick *pick; // NULL: not picked
    struct job_link *next;   // picked: the first that the pick has not counted on
    size_t quota;            // picked: jobs that the pick has counted on and not taken
    bool alone;
    size_t bucket;
    char counter[COUNTER_NAME_MAX + 1]; // or the partition's name
};

// A job's link in the i-th of its lanes.
struct job_link *job_link_at(struct job *job, size_t i);

// These keep each job's count of the lanes in which it is first, and nothing else.
void lane_append(struct lane *lane, struct job_link *link);
void lane_prepend(struct lane *lane, struct job_link *link);
void lane_remove_link(struct job_link *link);

// Appends the job to the list of what can run. False if it cannot run, or is in the list already.
bool lanes_list_if_ready(struct lanes *lanes, struct job *job);
void lanes_unlist(struct lanes *lanes, struct job *job); // does nothing if it is not in the list

// Finds the lane or adds it. NULL if out of memory.
MUST_CHECK struct lane *lanes_get(struct lanes *lanes, struct guard *guard, const char *counter);

// Frees an empty lane; else its first job may be able to run. Does nothing to a picked lane.
void lanes_settle(struct lanes *lanes, struct lane *lane);
