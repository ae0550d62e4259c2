// The section: enter, load, decide, save, commit, leave; with its retries and deadlines. One a
// worker, used by that worker's thread only.
#pragma once

#include "base/cleanup.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct section;

// The settings' max_batch bounds the operations of one run. The store and metrics are borrowed, and
// the hooks' argument.
MUST_CHECK enum rc section_new(struct store *store, struct metrics *metrics,
                               const struct engine_settings *settings,
                               struct section **ret_section);
void section_free(struct section *section); // NULL is fine

// The section's connection, for what a worker runs besides sections.
struct db *section_db(struct section *section);

// Where the operations come from. They are taken only after the guard was entered, so that whatever
// arrives while a lock is waited for joins the batch.
struct section_source {
    // Fills in jobs submitted before this moment, ordered by counter and then by arrival, at most
    // max; returns how many. Called at most once a run.
    size_t (*take)(void *arg, int64_t before_ns, struct job **ret_jobs, size_t max);
    // Takes back jobs that are not finished and may run again, ordered as they were. Called at most
    // once a run, and only with several counters.
    void (*give_back)(void *arg, struct job *const *jobs, size_t n);
    void *arg;
};

enum section_end {
    SECTION_UNDISTURBED,
    SECTION_DISTURBED, // other writers came in between: fewer counters at once would serve better
    SECTION_BLOCKED,   // a lock, of a guard or a row, was waited for in vain: each counter alone
};

// Runs one section over these counters (sorted, distinct) and finishes every job it took, or gives
// it back. The deadline bounds the wait for the guard, and so does the interest of the others: of
// several counters one that cannot be had is waited for a second at most.
enum section_end section_run(struct section *section, enum endpoint endpoint, struct guard *guard,
                             const char *const *keys, size_t n_keys, int64_t deadline_ns,
                             const struct section_source *source);
