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
    // max; returns how many. Called exactly once a run.
    size_t (*take)(void *arg, int64_t before_ns, struct job **ret_jobs, size_t max);
    void *arg;
};

// Runs one section over these counters (sorted, distinct) and finishes every job it took. The
// deadline bounds the wait for the guard. Returns false if other writers came in between, so that
// fewer counters at once would serve better.
bool section_run(struct section *section, enum endpoint endpoint, struct guard *guard,
                 const char *const *keys, size_t n_keys, int64_t deadline_ns,
                 const struct section_source *source);
