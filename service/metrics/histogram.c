// A histogram with fixed buckets.
//
// Problem: every thread observes latencies, tens of thousands of times a second.
//
// Approach: a short scan over fixed bounds and two relaxed atomic additions; no lock, no
// allocation. The buckets are cumulated by the reader, which keeps the writers short.
//
// What breaks it: bounds that change while the process runs. Quantiles are only as exact as the
// buckets, so values far outside the bounds lose all precision.
#include "metrics/histogram.h"

#include "base/clock.h"

#define US INT64_C(1000)
#define MS NS_PER_MS

const struct histogram_bounds histogram_durations = {
    .n = 17,
    .upper = {50 * US, 100 * US, 250 * US, 500 * US, 1 * MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS,
              50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS},
};

const struct histogram_bounds histogram_sizes = {
    .n = 11,
    .upper = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
};

void histogram_observe(struct histogram *histogram, const struct histogram_bounds *bounds,
                       int64_t value)
{
    if (value < 0)
        value = 0;
    size_t bucket = 0;
    while (bucket < bounds->n && value > bounds->upper[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, (uint64_t)value, memory_order_relaxed);
}

void histogram_read(const struct histogram *histogram, const struct histogram_bounds *bounds,
                    struct histogram_reading *ret_reading)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= bounds->n; i++) {
        total += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        ret_reading->cumulative[i] = total;
    }
    ret_reading->count = total;
    ret_reading->sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
}
