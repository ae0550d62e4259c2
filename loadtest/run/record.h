// The recorder of a client thread: counts requests and operations, and writes the history's lines.
#pragma once

#include "base/text.h"
#include "measure/measure.h"
#include "run/context.h"

struct recorder {
    const struct context *context;
    int64_t last_answer_ns; // since the run began; 0: there was no answer

    pthread_mutex_t mutex; // over the two measures
    struct measure measure;
    struct measure recent; // since the last recorder_sample with a `recent`
    struct buffer history; // lines that are not yet handed to the writer
};

// False: out of memory. recorder_release is due in either case.
MUST_CHECK bool recorder_init(struct recorder *recorder, const struct context *context);
void recorder_release(struct recorder *recorder);

// ---- by the client thread -----------------------------------------------------------------------

// Adds one to a counter of recorder->measure.
void record_one(struct recorder *recorder, int64_t *counter);
// A request is about to be sent; `begins`: the first one of its operation.
void record_sent(struct recorder *recorder, size_t bytes, bool begins);
// The request has its answer, or the reason why there is none. Writes its line if it was sent.
void record_finished(struct recorder *recorder, const struct request *request);
void record_operation_end(struct recorder *recorder, const struct operation *operation);
void record_connect_failure(struct recorder *recorder, const char *why);
// Hands the remaining lines to the history's writer.
void record_flush(struct recorder *recorder);

// ---- by any thread ------------------------------------------------------------------------------

// Adds what was counted so far to `total`, and what was counted since the last call to `recent`,
// each unless NULL.
void recorder_sample(struct recorder *recorder, struct measure *total, struct measure *recent);
