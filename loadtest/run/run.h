// A run: threads of clients, begun together, watched, stopped, and counted.
#pragma once

#include "measure/measure.h"
#include "run/connection.h"
#include "run/plan.h"

#include <pthread.h>
#include <stdatomic.h>

struct history_writer;
struct scenario;

enum stop_level {
    STOP_NOT,
    STOP_NO_NEW,   // no new operations; what has begun, and its retries, is carried to its end
    STOP_NO_RETRY, // what is on its way is awaited, nothing else is sent
    STOP_AT_ONCE,  // what is on its way is given up; its outcome is not known
};

// What the client threads share. The first part is borrowed and does not change.
struct run {
    const struct plan *plan;
    const struct scenario *scenario;
    const struct history_head *head;
    struct history_writer *writer; // NULL: no history
    struct address *addresses;     // one a target

    int64_t start_ns;         // set before `go` is passed
    pthread_barrier_t opened; // all connections are open, or `failed` is set
    pthread_barrier_t loaded; // latch: every request but for its last byte has been sent
    pthread_barrier_t go;
    atomic_llong next_operation;
    atomic_int stop;
    atomic_int finished;         // threads
    atomic_llong attempts;       // lines of the history
    atomic_llong last_answer_ns; // since the run began; 0: there was none
    pthread_mutex_t mutex;
    char failed[HISTORY_ERROR_MAX]; // "" : nothing failed; under the mutex
};

struct run_result {
    double duration_s; // until the last answer
    int64_t attempts;  // lines of the history
    bool interrupted;
};

// Carries the plan out. Blocks SIGINT and SIGTERM in the calling thread while it runs: the first
// one ends it early, the second one at once. False with a sentence in ret_error (HISTORY_ERROR_MAX
// bytes) if it could not begin. `ret_measure` is initialised by the caller.
MUST_CHECK bool run_load(const struct plan *plan, const struct scenario *scenario,
                         const struct history_head *head, struct history_writer *writer,
                         struct measure *ret_measure, struct run_result *ret_result,
                         char *ret_error);
