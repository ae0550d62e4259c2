// Counters and histograms in the Prometheus text format. No SKU, user or other unbounded label.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "guard/guard.h"

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct metrics;

// All functions below but new and free: any thread, no lock on the hot path.
MUST_CHECK enum rc metrics_new(struct metrics **ret_metrics);
void metrics_free(struct metrics *metrics);

// What is counted by endpoint and strategy.
enum metric_event {
    METRIC_ACQUIRED,         // guard entered
    METRIC_ENTER_FAILED,     // guard not had
    METRIC_LOST,             // lock found lost: by its renewal, before save or commit, on leave
    METRIC_RENEWED,          // a lease extended
    METRIC_RENEW_FAILED,     // a lease not extended because nobody answered; tried again
    METRIC_RENEWAL_ENDED,    // a hold inside for lock.max_hold_ms: its lease is left to run out
    METRIC_REFUSED_STALE,    // a stale token refused
    METRIC_CONFLICT,         // update demand not met, deadlock, version already taken
    METRIC_RETRY,            // a section run again
    METRIC_REPLAYED,         // answered with an earlier result
    METRIC_UNKNOWN_RESOLVED, // a commit whose reply was lost, looked up
    METRIC_DEADLINE,         // a request past its deadline before it ran
    METRIC_EVENT_COUNT
};

void metrics_count(struct metrics *metrics, enum metric_event event, enum endpoint endpoint,
                   const struct strategy *strategy, uint64_t by);

// What is measured by endpoint and strategy.
enum metric_histogram {
    METRIC_GUARD_WAIT, // nanoseconds in, seconds out
    METRIC_GUARD_HOLD,
    METRIC_COMMIT,
    METRIC_BATCH_SIZE, // requests a section
    METRIC_LANE_DEPTH, // requests in the deepest lane that a section takes from
    METRIC_HISTOGRAM_COUNT
};

void metrics_observe(struct metrics *metrics, enum metric_histogram histogram,
                     enum endpoint endpoint, const struct strategy *strategy, int64_t value);

// One answered HTTP request: outcome by operation ("deduct", "get-stock", ...: a bounded set chosen
// by the router, static strings) and status, with its duration.
void metrics_request(struct metrics *metrics, const char *operation, int status,
                     int64_t duration_ns);

// Gauges and counters of other rooms are asked for when rendering. The name, help and labels
// (`endpoint="stock"`, may be "") are static strings.
void metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                   int64_t (*read)(void *arg), void *arg);

void metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                     const char *help, int64_t (*read)(void *arg), void *arg);

void metrics_render(struct metrics *metrics, struct buffer *out);
