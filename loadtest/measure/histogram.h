// A log-linear histogram of durations, after HdrHistogram by Gil Tene. Each power of two is divided
// into equal parts, so that every value has the same relative error, from a microsecond to hours,
// in a fixed amount of memory. Adding a value costs a few instructions.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram {
    unsigned parts_log2; // of the parts of each power of two: 10 keeps 3 decimal digits
    size_t n_counts;
    uint64_t *counts;
    uint64_t count;
    int64_t min, max; // exact; 0 when empty
    double sum;
};

// `digits`: decimal digits to keep, 1 to 3. Values are nanoseconds; those below 0 count as 0, those
// above 24 hours as 24 hours. False: out of memory.
MUST_CHECK bool histogram_init(struct histogram *histogram, unsigned digits);
void histogram_release(struct histogram *histogram); // a zeroed histogram is fine

void histogram_add(struct histogram *histogram, int64_t value_ns);
void histogram_merge(struct histogram *into,
                     const struct histogram *other); // both with the same digits
void histogram_clear(struct histogram *histogram);

// The value that this share (0 to 1) of all values does not exceed: the highest value of its
// bucket, but at most max. 0 when empty.
int64_t histogram_quantile(const struct histogram *histogram, double quantile);
// How many values are below this one, within the histogram's error: a bucket that the value divides
// does not count.
uint64_t histogram_count_below(const struct histogram *histogram, int64_t value_ns);
double histogram_mean(const struct histogram *histogram);
