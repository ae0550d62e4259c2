// The executor: requests on the same counter queue in a lane; a worker takes everything that waits
// there, up to combine.max_batch, and carries it through one section (enter, load, decide, save,
// commit, leave). With max_batch = 1 there are no lanes: any worker takes any request (direct
// mode).
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "guard/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct engine;
struct metrics;
struct store;

// Where tests may stop a section, to force a race instead of hoping for one.
enum pause_point {
    PAUSE_BEFORE_LOAD,   // the guard was entered, nothing was read
    PAUSE_BEFORE_SAVE,   // decided, and the lock was looked at; nothing was written
    PAUSE_BEFORE_COMMIT, // written, before the last look at the lock
    PAUSE_IN_COMMIT,     // after that look, before COMMIT is sent: only the demand can help now
    PAUSE_AFTER_COMMIT,  // durable, and nobody was told
    PAUSE_BEFORE_LEAVE,  // everybody was told, and the lock is still there
    PAUSE_POINT_COUNT
};

struct engine_hooks {
    // On the worker's thread; NULL in production.
    void (*pause)(void *arg, enum pause_point point, enum endpoint endpoint);
    void *arg;
};

struct engine_settings {
    size_t workers;     // threads, each with its own connection
    size_t max_batch;   // combine.max_batch: 1 is direct mode; at most ENGINE_BATCH_MAX
    size_t queue_limit; // requests waiting; past it RC_OVERLOADED
    bool lab;           // strategies for the lab may be set
    bool undemanding;   // for the lab: whatever the strategy's rule, sections run under RULE_NAIVE
    bool unfenced;      // the same for strategies of RULE_FENCED only
    struct guard_settings guard;
    const char *strategy[ENDPOINT_COUNT]; // names
    struct engine_hooks hooks;
};

#define ENGINE_BATCH_MAX 1024

// What can be submitted. Owned by the submitter, who must keep it until `finished` is called: once,
// by a thread of the engine, as its last touch.
struct job {
    struct job *next; // the engine's while it has the job
    int64_t
        deadline_ns; // monotonic; past it the job is finished with RC_OVERLOADED without running
    int64_t submitted_ns; // set by the engine
    void (*finished)(struct job *job, enum rc rc);

    // Either an operation on a counter ...
    struct operation *operation;     // rc is also in operation->outcome.rc
    const struct strategy *strategy; // NULL: the endpoint's; else this one (lab mode's header)
    // ... or, where operation is NULL, a function that a worker runs with its connection, outside a
    // transaction and once.
    enum rc (*run)(struct job *job, struct db *db);
    // Such a function may run for hours if it runs aside: on a thread and a connection of its own,
    // one at a time in all, past its deadline. engine_drain cancels it.
    bool aside;
};

// Starts the workers. The store, metrics and strings of the settings are borrowed until
// engine_free. RC_USAGE with a sentence in ret_error (GUARD_ERROR_MAX bytes) for a strategy that
// cannot be used.
MUST_CHECK enum rc engine_new(const struct engine_settings *settings, struct store *store,
                              struct metrics *metrics, struct engine **ret_engine, char *ret_error);

// Takes the job, or answers RC_OVERLOADED at once and takes nothing (also while draining). One that
// runs aside: RC_RECONCILIATION_RUNNING while another does, RC_NO_MEMORY if it cannot. Any thread;
// never blocks on I/O.
MUST_CHECK enum rc engine_submit(struct engine *engine, struct job *job);

// Takes no more jobs, cancels the one that runs aside, and waits until every taken job is finished.
// Any thread but a worker's.
void engine_drain(struct engine *engine);

// Drains, stops the workers, frees. NULL is fine.
void engine_free(struct engine *engine);

// ---- strategies at run time; any thread
// ----------------------------------------------------------

const struct strategy *engine_strategy(struct engine *engine, enum endpoint endpoint);

// RC_USAGE with a sentence in ret_why (GUARD_ERROR_MAX bytes) if it cannot be used here. Requests
// already taken end under the strategy they began with.
MUST_CHECK enum rc engine_set_strategy(struct engine *engine, enum endpoint endpoint,
                                       const struct strategy *strategy, char *ret_why);

// RC_OK, or RC_USAGE and why not in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc engine_can_use(struct engine *engine, const struct strategy *strategy,
                                  char *ret_why);

// The guard of a strategy if it can be used here, else NULL. For /readyz and tests.
struct guard *engine_guard(struct engine *engine, const struct strategy *strategy);

// Requests waiting or running now.
size_t engine_depth(struct engine *engine);
