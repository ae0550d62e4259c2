// What engine.c and expiry.c share: the engine from within.
#pragma once

#include "engine/engine.h"
#include "engine/guards.h"
#include "engine/lanes.h"
#include "engine/queue.h"

#include <pthread.h>

struct aside;
struct expiry;
struct section;

struct worker {
    struct engine *engine;
    pthread_t thread;
    struct section *section;
    struct pick pick;
    struct job *direct;                        // direct mode: the one job to be taken ...
    char direct_counter[COUNTER_NAME_MAX + 1]; // ... whose counter's name must outlive it
    bool in_section, entering;                 // entering: waiting for the guard
    int64_t since_ns;                          // monotonic: has been entering, or inside
};

struct engine {
    struct engine_settings settings;
    struct store *store;
    struct metrics *metrics;
    struct guards guards;
    struct aside *aside;
    struct expiry *expiry;

    pthread_mutex_t mutex; // protects everything below
    pthread_cond_t work;   // something to do, or stopping
    pthread_cond_t idle;   // nothing queued, nobody busy
    struct lanes lanes;
    struct queue direct, tasks;
    struct guard *current[ENDPOINT_COUNT];
    size_t lanes_at_once[ENDPOINT_COUNT]; // shrinks when others interfere, grows when not
    size_t n_busy, n_waiting, n_watching; // workers; watching: waiting, and looking now and then
    bool draining, stopping, task_was_last;
    size_t n_workers;
    struct worker *workers;
};

// Jobs that wait. With the mutex held.
size_t engine_queued(const struct engine *engine);
