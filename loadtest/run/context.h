// What client threads share: `struct run` among all threads of a run, `struct context` among the
// parts of one thread (client, operations, pool, recorder).
#pragma once

#include "run/plan.h"
#include "run/request.h"
#include "run/target.h"

#include <pthread.h>
#include <stdatomic.h>

struct history_writer;

enum stop_level {
    STOP_NOT,
    STOP_NO_NEW,   // no new operations; those begun, and their retries, are completed
    STOP_NO_RETRY, // requests in flight are awaited, nothing else is sent
    STOP_AT_ONCE,  // requests in flight are abandoned; their outcome is unknown
};

// The first part is borrowed and does not change.
struct run {
    const struct plan *plan;
    const struct scenario *scenario;
    const struct history_head *head;
    struct history_writer *writer; // NULL: no history
    struct addresses *addresses;   // one per target

    int64_t start_ns;         // monotonic; set before `go` is passed
    pthread_barrier_t opened; // all connections are open, or `failed` is set
    pthread_barrier_t loaded; // latch: every request is sent except for its last byte
    pthread_barrier_t go;
    atomic_llong next_operation;
    atomic_int stop;
    atomic_int finished;         // threads
    atomic_llong attempts;       // lines of the history
    atomic_llong last_answer_ns; // since the run began; 0: there was no answer
    pthread_mutex_t mutex;
    char failed[HISTORY_ERROR_MAX]; // why the run cannot begin, "" if it can; under the mutex
};

// Owned by the client thread. No other thread uses it.
struct context {
    struct run *run;
    const struct plan *plan;
    int64_t number; // of the thread, from 0
    int64_t now_ns; // monotonic, as of the last look at the clock
    struct request_queue ready, finished;
    bool out_of_memory; // no new operations
};

// The thread's share of the plan's connections: of each target if requests are routed, else of all.
static inline size_t context_connections(const struct context *context)
{
    const struct plan *plan = context->plan;
    return (size_t)((plan->connections + plan->threads - 1 - context->number) / plan->threads);
}

// Finishes a request that never was sent. It has had no effect, and never will.
static inline void context_fail_unsent(struct context *context, struct request *request,
                                       const char *why)
{
    answer_missing(why, &request->answer);
    request->answer.outcome = OUTCOME_FAIL;
    request->target = REQUEST_NOT_SENT;
    request->invoke_ns = context->now_ns - context->run->start_ns;
    request_push(&context->finished, request);
}

static inline int run_stop(const struct run *run)
{
    return atomic_load_explicit(&run->stop, memory_order_relaxed);
}

static inline bool run_failed(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    bool failed = run->failed[0] != '\0';
    pthread_mutex_unlock(&run->mutex);
    return failed;
}
