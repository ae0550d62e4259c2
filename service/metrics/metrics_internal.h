// The arrays that metrics.c writes and render.c reads.
#pragma once

#include "base/text.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

// Strategies of the registry; the last slot is for strategies that are not in it (tests).
#define STRATEGY_SLOTS 24
#define OPERATION_SLOTS 64 // a power of two
#define STATUS_SLOTS 16
#define GAUGES_MAX 64
#define PAGES_MAX 2

// A status of one operation; 0 is an empty slot. The last slot is for statuses without a slot.
struct status_count {
    _Atomic int status;
    _Atomic uint64_t requests;
};

struct operation_metrics {
    const char *_Atomic operation; // NULL is an empty slot
    struct status_count statuses[STATUS_SLOTS];
    struct histogram duration;
};

// A gauge or a counter that is read when rendering.
struct gauge {
    const char *type, *name, *labels, *help;
    int64_t (*read)(void *arg);
    void *arg;
    bool is_duration; // nanoseconds, rendered in seconds
};

struct page {
    void (*render)(void *arg, struct buffer *out);
    void *arg;
};

struct metrics {
    _Atomic uint64_t events[METRIC_EVENT_COUNT][ENDPOINT_COUNT][STRATEGY_SLOTS];
    struct histogram histograms[METRIC_HISTOGRAM_COUNT][ENDPOINT_COUNT][STRATEGY_SLOTS];
    struct operation_metrics operations[OPERATION_SLOTS];

    pthread_mutex_t gauges_lock; // registration and rendering only
    struct gauge gauges[GAUGES_MAX];
    size_t n_gauges;
    struct page pages[PAGES_MAX];
    size_t n_pages;

    pthread_mutex_t process_lock;
    struct buffer process; // the last sample
};

// Sizes have other bounds than durations.
static inline bool metric_is_size(size_t histogram)
{
    return histogram == METRIC_BATCH_SIZE || histogram == METRIC_LANE_DEPTH;
}

// Metrics of the process: memory, processor time, open files, start, build.
void metrics_render_process(struct metrics *metrics, struct buffer *out);
