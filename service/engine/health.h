// What this instance can serve now, and why not the rest. Threads of its own try each backend the
// way work uses it, and remember the result, so that reading it never blocks.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"

#include <stdbool.h>
#include <stddef.h>

struct engine;
struct health;
struct metrics;
struct store;

#define HEALTH_BACKENDS_MAX 8

// One thing that requests need. The texts are static.
struct health_state {
    const char *name; // "workers", "database", or a strategy that needs a lock server
    bool ok;
    const char *why; // one word; NULL if ok
};

struct health_report {
    bool serves; // at least one endpoint is ok
    size_t n_backends;
    struct health_state backends[HEALTH_BACKENDS_MAX]; // those that an endpoint uses
    struct health_state endpoints[ENDPOINT_COUNT];
    const char *blamed[ENDPOINT_COUNT]; // the backend that an endpoint lacks; NULL if it is ok
};

// Starts the threads, and waits about a second at most for the first results, which it logs:
// what is connected, and what is not. Registers holdfast_backend_up and holdfast_endpoint_up. The
// arguments are borrowed until health_free. RC_NO_MEMORY.
MUST_CHECK enum rc health_new(struct engine *engine, struct store *store, struct metrics *metrics,
                              struct health **ret_health);
// Waits for the attempts in progress, a few seconds at most. The metrics must not be rendered after
// it. Before engine_free. NULL is fine.
void health_free(struct health *health);

// Any thread; no I/O.
void health_read(struct health *health, struct health_report *ret_report);
