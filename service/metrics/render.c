// The Prometheus text format, version 0.0.4: a HELP and a TYPE line a metric, all its series below.
// A series that has counted nothing is left out. That keeps the page short, although the arrays
// have a place for every endpoint and strategy.
#include "metrics/metrics.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics_internal.h"

#include <inttypes.h>
#include <string.h>

struct words {
    const char *name, *help;
};

static const struct words event_words[METRIC_EVENT_COUNT] = {
    [METRIC_ACQUIRED] = {"holdfast_guard_acquired_total", "Guards entered"},
    [METRIC_KEPT] = {"holdfast_guard_kept_total",
                     "Rounds of jobs that ran under the hold of the round before"},
    [METRIC_ENTER_FAILED] = {"holdfast_guard_enter_failed_total",
                             "Guards that could not be entered: timeout, or no server"},
    [METRIC_LOST] = {"holdfast_guard_lost_total", "Locks lost while they were held"},
    [METRIC_RENEWED] = {"holdfast_lease_renewals_total", "Leases extended while they were held"},
    [METRIC_RENEW_FAILED] = {"holdfast_lease_renewals_failed_total",
                             "Lease renewals that the lock server did not answer"},
    [METRIC_RENEWAL_ENDED] = {"holdfast_lease_renewals_ended_total",
                              "Holds that reached lock.max_hold_ms; their lease is left to expire"},
    [METRIC_REFUSED_STALE] = {"holdfast_stale_tokens_refused_total",
                              "Writes rejected because the row has seen a newer fencing token"},
    [METRIC_CONFLICT] = {"holdfast_conflicts_total",
                         "Saves whose demand on the row was not met, and deadlocks"},
    [METRIC_RETRY] = {"holdfast_section_retries_total", "Attempts that were repeated"},
    [METRIC_REPLAYED] = {"holdfast_replays_total", "Requests answered with their earlier result"},
    [METRIC_UNKNOWN_RESOLVED] =
        {"holdfast_unknown_commits_resolved_total",
         "Commits that were not acknowledged and whose outcome was looked up"},
    [METRIC_DEADLINE] = {"holdfast_deadline_missed_total",
                         "Requests whose deadline passed before they ran"},
};

static const struct words histogram_words[METRIC_HISTOGRAM_COUNT] = {
    [METRIC_GUARD_WAIT] = {"holdfast_guard_wait_seconds", "Time to enter the guard"},
    [METRIC_GUARD_HOLD] = {"holdfast_guard_hold_seconds", "Time inside the guard"},
    [METRIC_COMMIT] = {"holdfast_commit_seconds", "Duration of the commit"},
    [METRIC_BATCH_SIZE] = {"holdfast_batch_size", "Requests that shared a transaction"},
    [METRIC_LANE_DEPTH] = {"holdfast_lane_depth",
                           "Requests waiting in the deepest lane of a section"},
};

static void render_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

// NULL for a slot without a strategy.
static const char *slot_name(size_t slot)
{
    if (slot == STRATEGY_SLOTS - 1)
        return "other";
    for (size_t i = 0; strategies[i]; i++)
        if (i == slot)
            return strategies[i]->name;
    return NULL;
}

static void render_event(const struct metrics *metrics, size_t event, struct buffer *out)
{
    const struct words *words = &event_words[event];
    render_head(out, words->name, "counter", words->help);
    for (size_t endpoint = 0; endpoint < ENDPOINT_COUNT; endpoint++) {
        for (size_t slot = 0; slot < STRATEGY_SLOTS; slot++) {
            uint64_t count =
                atomic_load_explicit(&metrics->events[event][endpoint][slot], memory_order_relaxed);
            if (count > 0 && slot_name(slot))
                buffer_format(out, "%s{endpoint=\"%s\",strategy=\"%s\"} %" PRIu64 "\n", words->name,
                              endpoint_name((enum endpoint)endpoint), slot_name(slot), count);
        }
    }
}

// Bounds and sums are integers in nanoseconds (unit 1e9) or plain numbers (unit 1).
static void render_histogram(const char *name, const char *labels,
                             const struct histogram *histogram,
                             const struct histogram_bounds *bounds, struct buffer *out)
{
    double unit = bounds == &histogram_durations ? (double)NS_PER_S : 1.0;
    struct histogram_reading reading;
    histogram_read(histogram, bounds, &reading);
    if (reading.count == 0)
        return;
    for (size_t i = 0; i < bounds->n; i++)
        buffer_format(out, "%s_bucket{%s,le=\"%.9g\"} %" PRIu64 "\n", name, labels,
                      (double)bounds->upper[i] / unit, reading.cumulative[i]);
    buffer_format(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, reading.count);
    buffer_format(out, "%s_sum{%s} %.15g\n", name, labels, (double)reading.sum / unit);
    buffer_format(out, "%s_count{%s} %" PRIu64 "\n", name, labels, reading.count);
}

static void render_histograms(const struct metrics *metrics, size_t which, struct buffer *out)
{
    const struct words *words = &histogram_words[which];
    render_head(out, words->name, "histogram", words->help);
    for (size_t endpoint = 0; endpoint < ENDPOINT_COUNT; endpoint++) {
        for (size_t slot = 0; slot < STRATEGY_SLOTS; slot++) {
            if (!slot_name(slot))
                continue;
            char labels[96];
            (void)text_format(labels, sizeof(labels), "endpoint=\"%s\",strategy=\"%s\"",
                              endpoint_name((enum endpoint)endpoint), slot_name(slot));
            render_histogram(words->name, labels, &metrics->histograms[which][endpoint][slot],
                             metric_is_size(which) ? &histogram_sizes : &histogram_durations, out);
        }
    }
}

static void render_requests(const struct metrics *metrics, struct buffer *out)
{
    static const char total[] = "holdfast_http_requests_total";
    static const char duration[] = "holdfast_http_request_seconds";
    render_head(out, total, "counter", "Answered requests");
    for (size_t i = 0; i < OPERATION_SLOTS; i++) {
        const struct operation_metrics *slot = &metrics->operations[i];
        const char *operation = atomic_load(&slot->operation);
        for (size_t j = 0; operation && j < STATUS_SLOTS; j++) {
            uint64_t requests = atomic_load(&slot->statuses[j].requests);
            if (requests > 0)
                buffer_format(out, "%s{operation=\"%s\",status=\"%d\"} %" PRIu64 "\n", total,
                              operation, atomic_load(&slot->statuses[j].status), requests);
        }
    }
    render_head(out, duration, "histogram", "Time from the request's arrival to its answer");
    for (size_t i = 0; i < OPERATION_SLOTS; i++) {
        const char *operation = atomic_load(&metrics->operations[i].operation);
        char labels[96];
        if (!operation)
            continue;
        (void)text_format(labels, sizeof(labels), "operation=\"%s\"", operation);
        render_histogram(duration, labels, &metrics->operations[i].duration, &histogram_durations,
                         out);
    }
}

static bool is_first_of_name(const struct metrics *metrics, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(metrics->gauges[i].name, metrics->gauges[index].name) == 0)
            return false;
    return true;
}

static void render_gauges(struct metrics *metrics, struct buffer *out)
{
    pthread_mutex_lock(&metrics->gauges_lock);
    for (size_t i = 0; i < metrics->n_gauges; i++) {
        const struct gauge *first = &metrics->gauges[i];
        if (!is_first_of_name(metrics, i))
            continue;
        render_head(out, first->name, first->type, first->help);
        for (size_t j = i; j < metrics->n_gauges; j++) {
            const struct gauge *gauge = &metrics->gauges[j];
            if (strcmp(gauge->name, first->name) != 0)
                continue;
            int64_t value = gauge->read(gauge->arg);
            buffer_format(out, *gauge->labels ? "%s{%s} " : "%s%s ", gauge->name, gauge->labels);
            if (gauge->is_duration)
                buffer_format(out, "%.3f\n", (double)value / (double)NS_PER_S);
            else
                buffer_format(out, "%" PRId64 "\n", value);
        }
    }
    pthread_mutex_unlock(&metrics->gauges_lock);
}

void metrics_render(struct metrics *metrics, struct buffer *out)
{
    for (size_t event = 0; event < METRIC_EVENT_COUNT; event++)
        render_event(metrics, event, out);
    for (size_t which = 0; which < METRIC_HISTOGRAM_COUNT; which++)
        render_histograms(metrics, which, out);
    render_requests(metrics, out);
    render_gauges(metrics, out);
    pthread_mutex_lock(&metrics->gauges_lock);
    for (size_t i = 0; i < metrics->n_pages; i++)
        metrics->pages[i].render(metrics->pages[i].arg, out);
    pthread_mutex_unlock(&metrics->gauges_lock);
    metrics_render_process(metrics, out);
}
