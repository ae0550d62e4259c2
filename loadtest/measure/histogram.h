// A log-linear histogram of durations, after HdrHistogram by Gil Tene: each power of two is cut
// into equal parts, so that every value is kept with the same relative error, from a microsecond to
// hours, in a fixed amount of memory. Adding costs a few instructions.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram {
    unsigned parts_log2; // parts of each power of two: 2^10 keeps 3 decimal digits
    size_t n_counts;
    uint64_t *counts;
    uint64_t count;
    int64_t min, max; // exact; 0 when empty
    double sum;
};

// digits 1 to 3. False: out of memory. Values are nanoseconds; below 0 counts as 0, above 24 hours
// as 24 hours.
MUST_CHECK bool histogram_init(struct histogram *histogram, unsigned digits);
void histogram_release(struct histogram *histogram); // a zeroed one is fine

void histogram_add(struct histogram *histogram, int64_t value_ns);
void histogram_merge(struct histogram *into, const struct histogram *other); // of equal digits
void histogram_clear(struct histogram *histogram);

// The value that this share of all values (0 to 1) does not exceed, as the highest value of its
// bucket, but never more than max. 0 when empty.
int64_t histogram_quantile(const struct histogram *histogram, double quantile);
double histogram_mean(const struct histogram *histogram);
