// A job: what can be submitted to the engine. It is an operation on counters, a function that a
// worker runs with its database connection, or a request to the feed.
#pragma once

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct feed_request;
struct lane;
struct operation;
struct strategy;

// A job's place in the lane of one of its counters. The engine's while it has the job.
struct job_link {
    struct job_link *prev, *next; // in the lane
    struct lane *lane;
    struct job *job;
};

// The submitter owns the memory and must keep it until `finished` is called: once, by a thread of
// the engine, as its last access to the job.
struct job {
    // The engine's while it has the job.
    struct job *prev, *next; // in the queue or list where it waits
    struct job_link link;    // of the operation's first leg
    size_t n_links, n_heads; // in how many lanes it stands; in how many of them it is first
    bool ready;              // it is in the list of what can run

    struct job_link *more_links; // room for operation->n_more, the submitter's
    int64_t deadline_ns;  // monotonic; past it the job fails with RC_OVERLOADED without running
    int64_t submitted_ns; // set by the engine
    void (*finished)(struct job *job, enum rc rc);

    // Either an operation on a counter ...
    struct operation *operation;     // rc is also in operation->outcome.rc
    const struct strategy *strategy; // NULL: the endpoint's; else this one (lab mode's header)
    // ... or, where operation is NULL, a function. A worker runs it once with its connection,
    // outside a transaction.
    enum rc (*run)(struct job *job, struct db *db);
    // A function that may run for hours: it runs on a thread and a connection of its own, one such
    // job at a time, without a deadline. engine_drain cancels it.
    bool background;
    // ... or, where this is set, a wait for changes (engine/feed.h), which sets its own deadline.
    struct feed_request *feed;
    // Has the client of a waiting job closed its side of the connection? It is then finished early.
    // On a thread of the engine; NULL: not known.
    bool (*is_gone)(const struct job *job);
};
