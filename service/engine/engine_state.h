// The engine's own: its state, and what its parts share. engine.c starts the threads of
// engine_workers.c and engine_expiry.c; all use engine_state.c.
#pragma once

#include "domain/ids.h"
#include "engine/database_series.h"
#include "engine/engine.h"
#include "engine/guards.h"
#include "engine/lanes.h"
#include "engine/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker {
    struct engine *engine;
    pthread_t thread;
    struct section *section;
    struct pick pick;
    // Direct mode: the job to run, and copies of the names of its locks, because the job may be
    // freed before the guard is left.
    struct job *direct;
    char direct_keys[LEGS_MAX][COUNTER_NAME_MAX + 1];
    bool in_section, entering; // entering: waiting for the guard
    int64_t since_ns;          // monotonic: start of entering, or of being inside
};

struct engine {
    struct engine_settings settings;
    struct store *store;
    struct metrics *metrics;
    struct guards guards;
    struct database_series database_series;
    struct background *background;
    struct feed *feed;
    struct recent_keys *recent;
    pthread_t expiry;
    bool expiry_started;

    pthread_mutex_t mutex;  // protects everything below
    pthread_cond_t work;    // a job was queued, or stopping
    pthread_cond_t idle;    // no job queued, no worker busy
    pthread_cond_t stopped; // ends the expiry's sleep
    struct lanes lanes;
    struct queue direct, tasks;
    // Not later than the deadline of any job in the lanes and queues. It may be earlier, because a
    // job that is taken does not change it.
    int64_t first_deadline_ns;
    struct guard *current[ENDPOINT_COUNT];
    size_t lanes_at_once[ENDPOINT_COUNT]; // see adapt
    // Workers: busy with a section or a task (the expiry counts too while it answers jobs); idle;
    // and idle ones that wake after STUCK_AFTER_NS to look for a stuck section.
    size_t n_busy, n_waiting, n_watching;
    bool draining, stopping, task_was_last;
    size_t n_workers;
    struct worker *workers;
};

// Every worker may run one request, without lanes.
bool engine_is_direct(const struct engine *engine);

// Jobs that wait. With the mutex held.
size_t engine_n_queued(const struct engine *engine);

// With the mutex held. Call when a worker or the expiry has finished all jobs that it took.
void engine_end_busy(struct engine *engine);

// Call for each job that is queued. With the mutex held.
void engine_note_deadline(struct engine *engine, const struct job *job);

// The guard of the job's strategy, or of its endpoint's. With the mutex held.
struct guard *engine_guard_for(const struct engine *engine, const struct job *job);

// Wakes an idle worker if it would find something to do: a task, a section that may start, or a
// stuck section to watch for. With the mutex held, after anything of that may have come up; a
// worker calls it when it has taken its own job.
void engine_wake(struct engine *engine);

// The threads' functions. arg: the struct worker, and the struct engine.
void *engine_work(void *arg);
void *engine_expire(void *arg);
