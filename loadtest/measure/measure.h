// The counts of a run. Each client thread has a measure of its own; they are merged at the end and
// for the live line. Not thread-safe.
//
// refused: a 4xx, such as 409 for sold out. error: a 5xx, a timeout, a broken connection, or a
// malformed answer (broken HTTP, or not the JSON that the API promises).
#pragma once

#include "measure/histogram.h"
#include "measure/timeline.h"

#define MEASURE_PROBLEMS_MAX 48
#define MEASURE_KINDS_MAX 24 // kinds of requests, numbered by the caller

struct measure_problem {
    char slug[40]; // "out-of-stock", "timeout", "connection refused"
    int64_t count;
};

struct measure {
    struct histogram latency;    // every request, from its intended start
    struct histogram ok_latency; // requests answered with a 2xx, from their intended start
    struct histogram operations; // every operation, from its intended start to its last answer
    struct timeline timeline;
    int64_t statuses[600]; // by HTTP status; [0]: no answer
    int64_t classes[ANSWER_CLASSES];
    int64_t kinds[MEASURE_KINDS_MAX][ANSWER_CLASSES];      // the same of each kind of request
    struct measure_problem problems[MEASURE_PROBLEMS_MAX]; // the last one: "all others"
    size_t n_problems;
    int64_t requests_sent, operations_begun, operations_done;
    int64_t retries, duplicates, replays, unknown, timeouts, malformed;
    int64_t bytes_read, bytes_written;
};

// False: out of memory. Takes about 4 MB, most of it only when it is used.
MUST_CHECK bool measure_init(struct measure *measure);
void measure_release(struct measure *measure); // a zeroed measure is fine

// Counts one problem with this slug.
void measure_problem(struct measure *measure, const char *slug);

void measure_merge(struct measure *into, const struct measure *other);
void measure_clear(struct measure *measure); // keeps the memory
