// The section's own: its state, and what its parts share. section.c calls section_retry.c, which
// calls section_attempt.c; all use section_state.c.
#pragma once

#include "engine/batch.h"
#include "engine/section.h"
#include "engine/traced.h"
#include "metrics/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Grace period after a request's deadline before the connection is treated as hung. It lets a wait
// for a row's lock that ends around the deadline end by itself.
#define DB_GRACE_NS (NS_PER_S / 2)
// An attempt that conflicts after this long has waited for a row's lock until the timeout: the
// session's innodb_lock_wait_timeout is 1 s.
#define BLOCKED_AFTER_NS (800 * NS_PER_MS)

struct section {
    struct db *db;
    struct metrics *metrics;
    struct section_settings settings;
    struct batch batch;
    struct job **jobs;     // taken, in the order of the batch
    struct job **deferred; // taken, but an earlier job of the batch has the same request key
    struct job **current;  // the jobs of the batch
    struct job **returned; // to be given back
    bool skip_read; // the last batch that was read had enough for all: try the next one unread

    // The run in progress.
    struct section_scope scope;
    struct traced_hold hold;
    bool unknown[GUARD_KEYS_MAX]; // of scope.keys: the last batch has found no such counter
    size_t n_counters;            // at most so many counters are in the batch
    size_t n_returned;
    bool entered, disturbed, blocked;
    int64_t db_deadline_ns;
};

void section_count(struct section *section, enum metric_event event, uint64_t by);

void section_pause(struct section *section, enum pause_point point);

// Sets the deadline for every database call that follows.
void section_limit_db(struct section *section, int64_t deadline_ns);

bool section_held(const struct section *section);

// Enters the guard. Then `entered` is set, and section_leave leaves it; without it that does
// nothing.
MUST_CHECK enum rc section_enter(struct section *section, int64_t deadline_ns);
void section_leave(struct section *section);

// Once through load, decide, save and commit. The caller rolls back if it fails.
MUST_CHECK enum rc section_attempt(struct section *section);

// Attempts until every work of the batch is done. Otherwise the fault of the works that are not
// done, or RC_CONFLICT: the caller gives those works back.
MUST_CHECK enum rc section_run_batch(struct section *section, int64_t deadline_ns);

// The client's result when the attempts end with this one.
enum rc section_final_fault(enum rc rc);
