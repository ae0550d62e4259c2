// What a section holds, for section.c, which runs it, and section_new.c, which makes and frees it.
#pragma once

#include "engine/batch.h"
#include "engine/section.h"

struct section {
    struct db *db;
    struct metrics *metrics;
    struct engine_hooks hooks;
    struct batch batch;
    struct job **jobs;     // taken, in the order of the batch
    struct job **deferred; // taken, but their request key is in the batch already
    struct job **current;  // what the batch was filled with
    size_t max_batch;
    bool undemanding, unfenced;

    // The run under way.
    enum endpoint endpoint;
    struct guard *guard;
    const char *const *keys;
    size_t n_keys;
    struct guard_hold hold;
    bool entered, met_others;
    int64_t db_deadline_ns;
    bool plenty; // the last batch that was read had enough for all: try the next one unread
};
