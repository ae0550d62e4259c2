// What a section holds, for section.c, which runs it, section_attempt.c, which goes once through
// it, and section_new.c, which makes and frees it.
#pragma once

#include "base/clock.h"
#include "engine/batch.h"
#include "engine/section.h"
#include "metrics/metrics.h"

struct section {
    struct db *db;
    struct metrics *metrics;
    struct engine_hooks hooks;
    struct batch batch;
    struct job **jobs;     // taken, in the order of the batch
    struct job **deferred; // taken, but their request key is in the batch already
    struct job **current;  // what the batch was filled with
    struct job **returned; // to be given back
    size_t max_batch;
    bool undemanding, unfenced;

    // The run under way.
    enum endpoint endpoint;
    struct guard *guard;
    const char *const *keys;
    size_t n_keys;
    struct guard_hold hold;
    size_t n_returned;
    bool entered, met_others, blocked;
    int64_t db_deadline_ns;
    bool plenty; // the last batch that was read had enough for all: try the next one unread
};

// A row's lock was waited for, and the wait given up: the session's innodb_lock_wait_timeout is 1
// s.
#define BLOCKED_AFTER_NS (800 * NS_PER_MS)

// Once through load, decide, save and commit. The caller rolls back when it fails.
MUST_CHECK enum rc section_attempt(struct section *section);
// After RC_OUTCOME_UNKNOWN of an attempt.
MUST_CHECK enum rc section_resolve_unknown(struct section *section);
// A unique key refused a row: a replay, or somebody else's version.
MUST_CHECK enum rc section_resolve_duplicate(struct section *section);

void section_count(struct section *section, enum metric_event event, uint64_t by);
void section_pause_at(struct section *section, enum pause_point point);
