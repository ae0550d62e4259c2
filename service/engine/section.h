// The section: enter the guard, load, decide, save, commit, leave; with retries and deadlines. Each
// worker has one, and only that worker's thread uses it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "engine/pause_points.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct feed;
struct guard;
struct job;
struct metrics;
struct recent_keys;
struct section;
struct store;

struct section_settings {
    size_t max_batch;           // operations of one run
    bool undemanding, unfenced; // as in engine_settings
    int64_t tenure_ms;          // as in engine_settings
    struct feed *feed; // learns which counters each commit has changed; borrowed, NULL if none
    struct recent_keys *recent; // of the instance; borrowed
    struct engine_hooks hooks;
};

// The store and metrics are borrowed, and the hooks' argument. RC_NO_MEMORY.
MUST_CHECK enum rc section_new(struct store *store, struct metrics *metrics,
                               const struct section_settings *settings,
                               struct section **ret_section);
void section_free(struct section *section); // NULL is fine

// The section's connection. The worker uses it for tasks between sections; any thread may call
// db_expire on it.
struct db *section_db(struct section *section);

// Where the operations come from. They are taken only after the guard was entered, so that requests
// that arrive during the wait for a lock join the batch.
struct section_source {
    // Fills in jobs submitted before this moment, each counter's in order of arrival: at most
    // max_jobs with at most max_legs; returns how many. Called once the guard was entered, and
    // again while `queued` lets the section stay inside (tenure.h).
    size_t (*take)(void *arg, int64_t before_ns, struct job **ret_jobs, size_t max_jobs,
                   size_t max_legs);
    // Requeues jobs that are not finished and may run again, in the order in which they were taken.
    // Called at most once a run, and only if the run is divisible.
    void (*give_back)(void *arg, struct job *const *jobs, size_t n);
    // How many jobs wait for this section, and how many others wait. NULL: the jobs of a run are
    // all taken at once.
    size_t (*queued)(void *arg, size_t *ret_others);
    void *arg;
};

enum section_end {
    SECTION_UNDISTURBED,
    SECTION_DISTURBED, // other writers interfered: fewer counters at once would serve better
    SECTION_BLOCKED,   // a wait for a lock, of a guard or a row, timed out: run each counter alone
};

// What a section runs over.
struct section_scope {
    enum endpoint endpoint; // the first operation's: the label of its metrics
    struct guard *guard;
    const char *const *keys; // what is locked, counters or partitions: sorted, distinct
    size_t n_keys;
    bool partitioned; // the keys are partitions, not counters
    bool divisible;   // its operations need not run together
    int64_t deadline_ns;
};

// Runs one section: one round of jobs or, within the tenure, several under the same hold. Finishes
// every job it took, or gives it back. The deadline bounds the wait for the guard. With several
// counters the wait is also bounded to a second, because one stuck lock would delay the others.
enum section_end section_run(struct section *section, const struct section_scope *scope,
                             const struct section_source *source);
