// The service's metrics: what every thread counts and observes.
//
// Problem: metrics must not slow the service down, and no client may be able to add time series.
//
// Approach: counters and histograms are arrays over events, endpoints and the registry's
// strategies; writers add with relaxed atomics. HTTP operations have a small open-addressed table,
// keyed by name. A slot is claimed once with compare-and-swap and never freed, so a look-up needs
// no lock.
//
// What breaks it: operation names that are not static strings, because the table keeps their
// address. With more than OPERATION_SLOTS names, the rest are not counted.
#include "metrics/metrics.h"

#include "base/text.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics_internal.h"

#include <stdlib.h>
#include <string.h>

enum rc metrics_new(struct metrics **ret_metrics)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    if (!metrics)
        return RC_NO_MEMORY;
    if (pthread_mutex_init(&metrics->gauges_lock, NULL) != 0) {
        free(metrics);
        return RC_NO_MEMORY;
    }
    (void)pthread_mutex_init(&metrics->process_lock, NULL);
    metrics_sample_process(metrics);
    *ret_metrics = metrics;
    return RC_OK;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    (void)pthread_mutex_destroy(&metrics->gauges_lock);
    (void)pthread_mutex_destroy(&metrics->process_lock);
    buffer_release(&metrics->process);
    free(metrics);
}

static size_t strategy_slot(const struct strategy *strategy)
{
    size_t slot = 0;
    while (slot < STRATEGY_SLOTS - 1 && strategies[slot] && strategies[slot] != strategy)
        slot++;
    return slot < STRATEGY_SLOTS - 1 && strategies[slot] ? slot : STRATEGY_SLOTS - 1;
}

void metrics_count(struct metrics *metrics, enum metric_event event, enum endpoint endpoint,
                   const struct strategy *strategy, uint64_t by)
{
    atomic_fetch_add_explicit(&metrics->events[event][endpoint][strategy_slot(strategy)], by,
                              memory_order_relaxed);
}

void metrics_observe(struct metrics *metrics, enum metric_histogram histogram,
                     enum endpoint endpoint, const struct strategy *strategy, int64_t value)
{
    const struct histogram_bounds *bounds =
        metric_is_size(histogram) ? &histogram_sizes : &histogram_durations;
    histogram_observe(&metrics->histograms[histogram][endpoint][strategy_slot(strategy)], bounds,
                      value);
}

static struct operation_metrics *find_operation(struct metrics *metrics, const char *operation)
{
    uint64_t hash = text_hash(TEXT_HASH_START, operation, strlen(operation));
    for (size_t i = 0; i < OPERATION_SLOTS; i++) {
        struct operation_metrics *slot = &metrics->operations[(hash + i) % OPERATION_SLOTS];
        const char *seen = atomic_load_explicit(&slot->operation, memory_order_relaxed);
        // If another thread claims the slot first, `seen` becomes that thread's name.
        if (!seen && atomic_compare_exchange_strong(&slot->operation, &seen, operation))
            return slot;
        if (seen == operation || strcmp(seen, operation) == 0)
            return slot;
    }
    return NULL;
}

static struct status_count *find_status(struct operation_metrics *operation, int status)
{
    for (size_t i = 0; i < STATUS_SLOTS - 1; i++) {
        struct status_count *slot = &operation->statuses[i];
        int seen = atomic_load_explicit(&slot->status, memory_order_relaxed);
        if (!seen && atomic_compare_exchange_strong(&slot->status, &seen, status))
            return slot;
        if (seen == status)
            return slot;
    }
    return &operation->statuses[STATUS_SLOTS - 1];
}

void metrics_request(struct metrics *metrics, const char *operation, int status,
                     int64_t duration_ns)
{
    struct operation_metrics *found = find_operation(metrics, operation);
    if (!found)
        return;
    atomic_fetch_add_explicit(&find_status(found, status)->requests, 1, memory_order_relaxed);
    histogram_observe(&found->duration, &histogram_durations, duration_ns);
}

static void register_gauge(struct metrics *metrics, const struct gauge *gauge)
{
    pthread_mutex_lock(&metrics->gauges_lock);
    if (metrics->n_gauges < GAUGES_MAX)
        metrics->gauges[metrics->n_gauges++] = *gauge;
    pthread_mutex_unlock(&metrics->gauges_lock);
}

void metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                   int64_t (*read)(void *arg), void *arg)
{
    register_gauge(metrics, &(struct gauge){"gauge", name, labels, help, read, arg, false});
}

void metrics_duration(struct metrics *metrics, const char *name, const char *labels,
                      const char *help, int64_t (*read)(void *arg), void *arg)
{
    register_gauge(metrics, &(struct gauge){"gauge", name, labels, help, read, arg, true});
}

void metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                     const char *help, int64_t (*read)(void *arg), void *arg)
{
    register_gauge(metrics, &(struct gauge){"counter", name, labels, help, read, arg, false});
}

void metrics_page(struct metrics *metrics, void (*render)(void *arg, struct buffer *out), void *arg)
{
    pthread_mutex_lock(&metrics->gauges_lock);
    if (metrics->n_pages < PAGES_MAX)
        metrics->pages[metrics->n_pages++] = (struct page){render, arg};
    pthread_mutex_unlock(&metrics->gauges_lock);
}
