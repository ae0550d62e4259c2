// Counters and histograms in the Prometheus text format. Labels are bounded: no SKU, no user.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "guard/guard.h"

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct metrics;

// All functions but new and free: any thread. Counting and observing take no lock.
MUST_CHECK enum rc metrics_new(struct metrics **ret_metrics);
void metrics_free(struct metrics *metrics);

// Events, counted by endpoint and strategy.
enum metric_event {
    METRIC_ACQUIRED,         // guard entered
    METRIC_KEPT,             // jobs run under a hold that was kept for them (lock.tenure_ms)
    METRIC_ENTER_FAILED,     // guard not entered: timeout, or its server is unavailable
    METRIC_LOST,             // lock found lost: by its renewal, before save or commit, on leave
    METRIC_RENEWED,          // a lease extended
    METRIC_RENEW_FAILED,     // a lease not extended because the server did not answer; retried
    METRIC_RENEWAL_ENDED,    // a hold reached lock.max_hold_ms: its lease is left to expire
    METRIC_REFUSED_STALE,    // a stale fencing token rejected
    METRIC_CONFLICT,         // update demand not met, deadlock, version already taken
    METRIC_RETRY,            // an attempt repeated
    METRIC_REPLAYED,         // answered with an earlier result
    METRIC_UNKNOWN_RESOLVED, // a COMMIT that was not acknowledged, looked up
    METRIC_DEADLINE,         // a request past its deadline before it ran
    METRIC_EVENT_COUNT
};

void metrics_count(struct metrics *metrics, enum metric_event event, enum endpoint endpoint,
                   const struct strategy *strategy, uint64_t by);

// Histograms, by endpoint and strategy.
enum metric_histogram {
    METRIC_GUARD_WAIT, // durations are observed in nanoseconds and rendered in seconds
    METRIC_GUARD_HOLD,
    METRIC_COMMIT,
    METRIC_BATCH_SIZE, // requests a section
    METRIC_LANE_DEPTH, // requests in the deepest lane that a section takes from
    METRIC_HISTOGRAM_COUNT
};

void metrics_observe(struct metrics *metrics, enum metric_histogram histogram,
                     enum endpoint endpoint, const struct strategy *strategy, int64_t value);

// Counts one answered HTTP request, by operation and status, and observes its duration. The
// operation ("deduct", "get-stock", ...) is a static string from the router's bounded set.
void metrics_request(struct metrics *metrics, const char *operation, int status,
                     int64_t duration_ns);

// Register a gauge or counter of another room; `read` is called at every rendering. The name, help
// and labels (`endpoint="stock"`, may be "") must stay valid.
void metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                   int64_t (*read)(void *arg), void *arg);

// A gauge that is read in nanoseconds and rendered in seconds.
void metrics_duration(struct metrics *metrics, const char *name, const char *labels,
                      const char *help, int64_t (*read)(void *arg), void *arg);

void metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                     const char *help, int64_t (*read)(void *arg), void *arg);

// Registers a function that appends whole metrics of another room, for labels that change. At most
// PAGES_MAX (metrics_internal.h) of them.
void metrics_page(struct metrics *metrics, void (*render)(void *arg, struct buffer *out),
                  void *arg);

// Reads from the kernel what only the kernel knows of the process (memory, open files). The page
// shows the last sample, so that rendering does no I/O; metrics_new takes the first.
void metrics_sample_process(struct metrics *metrics);

// Appends one page. Does no I/O.
void metrics_render(struct metrics *metrics, struct buffer *out);
