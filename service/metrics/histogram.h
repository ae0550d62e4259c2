// A histogram with fixed buckets, written by many threads without a lock.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 20

// Upper bounds, ascending, inclusive. Values above the last bound have one more bucket.
struct histogram_bounds {
    size_t n;
    int64_t upper[HISTOGRAM_BUCKETS_MAX];
};

// All zero is empty.
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS_MAX + 1];
    _Atomic uint64_t sum;
};

// 50 microseconds to 10 seconds, in nanoseconds.
extern const struct histogram_bounds histogram_durations;
// 1 to 1,024 in powers of two.
extern const struct histogram_bounds histogram_sizes;

// Any thread. A negative value counts as 0.
void histogram_observe(struct histogram *histogram, const struct histogram_bounds *bounds,
                       int64_t value);

// One reading. Each bucket is read once and the count is their total, so count and buckets agree.
// The sum may be an observation ahead or behind.
struct histogram_reading {
    uint64_t cumulative[HISTOGRAM_BUCKETS_MAX + 1]; // at or below each bound; then all
    uint64_t count, sum;
};

void histogram_read(const struct histogram *histogram, const struct histogram_bounds *bounds,
                    struct histogram_reading *ret_reading);
