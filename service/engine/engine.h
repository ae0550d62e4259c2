// The engine: takes jobs and runs them on a pool of workers.
//
// Requests on the same counter queue in a lane. A worker takes everything that waits there, up to
// combine.max_batch, and runs it through one section (enter, load, decide, save, commit, leave).
// With max_batch = 1 there are no lanes: any worker takes any request (direct mode).
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "engine/feed.h"
#include "engine/job.h"
#include "engine/pause_points.h"
#include "guard/guard.h"

#include <stdbool.h>
#include <stddef.h>

struct engine;
struct metrics;
struct store;

struct engine_settings {
    size_t workers;     // threads, each with its own connection
    size_t max_batch;   // combine.max_batch: 1 is direct mode; at most ENGINE_BATCH_MAX
    size_t queue_limit; // at most so many queued jobs; further ones get RC_OVERLOADED
    bool lab;           // strategies for the lab may be set
    bool undemanding;   // for the lab: whatever the strategy's rule, sections run under RULE_NAIVE
    bool unfenced;      // the same for strategies of RULE_FENCED only
    int64_t tenure_ms;  // how long a lock may be kept for the next jobs of its lanes; 0: not at all
    size_t partitions;  // of counters, each with one lock (partition.h); 0: a lock a counter
    struct guard_settings guard;
    const char *strategy[ENDPOINT_COUNT]; // names
    struct engine_hooks hooks;
    struct feed_settings feed;
};

#define ENGINE_BATCH_MAX 1024

// Starts the workers. The store, metrics and strings of the settings are borrowed until
// engine_free. RC_USAGE with a sentence in ret_error (GUARD_ERROR_MAX bytes) for strategies that
// cannot be used, or not together.
MUST_CHECK enum rc engine_new(const struct engine_settings *settings, struct store *store,
                              struct metrics *metrics, struct engine **ret_engine, char *ret_error);

// RC_OK: the job was taken. Any other code: it was not, and `finished` is not called. RC_OVERLOADED
// while the queue or the feed is full or the engine drains; RC_USAGE if the job's own strategy
// cannot be used. For a background job: RC_RECONCILIATION_RUNNING while another one runs,
// RC_NO_MEMORY if no thread can be started. Any thread; never blocks on I/O.
MUST_CHECK enum rc engine_submit(struct engine *engine, struct job *job);

// Takes no more jobs, cancels the background job, and waits until every taken job is finished.
// Any thread but a worker's.
void engine_drain(struct engine *engine);

// Drains, stops the workers, frees. NULL is fine.
void engine_free(struct engine *engine);

// ---- strategies at run time; any thread ---------------------------------------------------------

const struct strategy *engine_strategy(struct engine *engine, enum endpoint endpoint);

// RC_USAGE with a sentence in ret_why (GUARD_ERROR_MAX bytes) if it cannot be used here, or not
// beside the other endpoints' strategies (guards_can_mix; the lab may mix all). Requests that wait
// in a lane run under the strategy of their submit; in direct mode under that of their start.
MUST_CHECK enum rc engine_set_strategy(struct engine *engine, enum endpoint endpoint,
                                       const struct strategy *strategy, char *ret_why);

// RC_OK, or RC_USAGE and the reason in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc engine_can_use(struct engine *engine, const struct strategy *strategy,
                                  char *ret_why);

// The guard of a strategy if it can be used here, else NULL. For /readyz and tests.
struct guard *engine_guard(struct engine *engine, const struct strategy *strategy);

// Queued jobs plus busy workers; a worker that runs a batch counts once.
size_t engine_depth(struct engine *engine);
