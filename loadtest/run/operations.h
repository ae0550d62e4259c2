// The operations of a client thread: begins them, retries their requests, and ends them.
#pragma once

#include "run/record.h"

struct operations {
    struct context *context;
    struct recorder *recorder;
    struct timers delayed; // requests that wait: a user thinks, or a retry backs off
    struct request *spare_requests;
    struct operation *spare_operations;
    int64_t unfinished; // requests without a result
    bool exhausted;     // no operation is left to begin
    bool ended;         // the requests of operations that have not begun are dropped
    uint64_t random;
};

void operations_init(struct operations *operations, struct context *context,
                     struct recorder *recorder);
void operations_release(struct operations *operations); // a zeroed one is fine

// Begins the next operation: its request, or its two, become ready, after the user's think time if
// `think`. intended_ns is since the run began, or -1 for the moment of sending. False if no
// operation is left or the run is ending.
bool operations_begin(struct operations *operations, int64_t intended_ns, bool think);

// Makes the delayed requests ready whose time has come. Once the run is ending, drops the requests
// of operations that have not begun, whose users think or are away.
void operations_resume(struct operations *operations);
// When operations_resume has something to do next, monotonic; INT64_MAX: never.
int64_t operations_next_ns(const struct operations *operations);

// The request has its answer, or the reason why there is none. Counts it, and decides what follows:
// a retry, the end of the operation, what the user does because of the answer, else the user's next
// operation. Takes ownership of the request.
void operations_finish(struct operations *operations, struct request *request);

// Drops all ready and delayed requests, without counting them.
void operations_drop(struct operations *operations);
