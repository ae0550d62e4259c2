// The counters of a history by name: those of its head, and those that begin during the run, which
// the lines name.
#pragma once

#include "base/cleanup.h"
#include "history/arena.h"
#include "history/history.h"
#include "history/index.h"

struct counters {
    struct history_head *head;   // its counters grow
    struct history_arena *arena; // owns the names in the index; borrowed
    struct index index;
    size_t capacity; // of the head's counters
};

// Borrows both. False: out of memory.
MUST_CHECK bool counters_init(struct counters *counters, struct history_head *head,
                              struct history_arena *arena, size_t expected);
void counters_release(struct counters *counters); // a zeroed one is fine; the head stays

// Appends a copy to the head's counters. ret_new: false if there is one of this name, which stays
// as it is. False: out of memory.
MUST_CHECK bool counters_add(struct counters *counters, const struct history_counter *counter,
                             bool *ret_new);

// The counter of this name. One that the head does not have is appended if its name says that it
// may begin during the run. False: there is none, or no memory.
MUST_CHECK bool counters_find(struct counters *counters, const char *name, size_t *ret_counter);
