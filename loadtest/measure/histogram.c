// Computes quantiles up to p99.99 of any number of latencies.
//
// Problem: latencies reach from microseconds to hours. Memory must be fixed, and adding one may
// cost a few nanoseconds. A mean hides the slow requests, a sample loses the tail, and buckets of
// fixed width are exact only in the range they were chosen for.
//
// Approach: log-linear buckets. Below 2^(p+1) each value has a bucket of its own. Above, a value is
// shifted right until p+1 bits are left, and shift and bits together are the bucket's number. A
// bucket is then at most 1/2^p of its values wide. With p = 10 there are 38,912 buckets up to 24
// hours, which take 304 KiB.
//
// What breaks it: two threads that add to one histogram. Each thread has its own, and they are
// merged.
#include "measure/histogram.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX (24 * 3600 * NS_PER_S)

static size_t bucket_of(const struct histogram *histogram, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    unsigned parts_log2 = histogram->parts_log2;
    unsigned highest = 63U - (unsigned)__builtin_clzll(bits | UINT64_C(1) << parts_log2);
    unsigned shift = highest - parts_log2;
    return ((size_t)shift << parts_log2) + (size_t)(bits >> shift);
}

static int64_t highest_of(const struct histogram *histogram, size_t bucket)
{
    size_t power = bucket >> histogram->parts_log2;
    size_t shift = power > 1 ? power - 1 : 0;
    uint64_t bits = bucket - (shift << histogram->parts_log2);
    return (int64_t)(((bits + 1) << shift) - 1);
}

bool histogram_init(struct histogram *histogram, unsigned digits)
{
    static const unsigned parts_log2[] = {4, 7, 10}; // 16, 128, 1,024 parts
    *histogram = (struct histogram){.parts_log2 = parts_log2[digits - 1]};
    histogram->n_counts = bucket_of(histogram, VALUE_MAX) + 1;
    histogram->counts = calloc(histogram->n_counts, sizeof *histogram->counts);
    return histogram->counts != NULL;
}

void histogram_release(struct histogram *histogram)
{
    free(histogram->counts);
    *histogram = (struct histogram){0};
}

void histogram_add(struct histogram *histogram, int64_t value_ns)
{
    if (value_ns < 0)
        value_ns = 0;
    if (value_ns > VALUE_MAX)
        value_ns = VALUE_MAX;
    histogram->counts[bucket_of(histogram, value_ns)]++;
    if (histogram->count == 0 || value_ns < histogram->min)
        histogram->min = value_ns;
    if (value_ns > histogram->max)
        histogram->max = value_ns;
    histogram->count++;
    histogram->sum += (double)value_ns;
}

void histogram_merge(struct histogram *into, const struct histogram *other)
{
    if (other->count == 0)
        return;
    size_t last = bucket_of(other, other->max);
    for (size_t i = bucket_of(other, other->min); i <= last; i++)
        into->counts[i] += other->counts[i];
    if (into->count == 0 || other->min < into->min)
        into->min = other->min;
    if (other->max > into->max)
        into->max = other->max;
    into->count += other->count;
    into->sum += other->sum;
}

void histogram_clear(struct histogram *histogram)
{
    if (histogram->count == 0)
        return;
    size_t first = bucket_of(histogram, histogram->min);
    size_t n = bucket_of(histogram, histogram->max) - first + 1;
    memset(histogram->counts + first, 0, n * sizeof *histogram->counts);
    histogram->count = 0;
    histogram->min = histogram->max = 0;
    histogram->sum = 0;
}

int64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    if (histogram->count == 0)
        return 0;
    // The next smaller double, because 0.07 * 100 is 7.000000000000001 and must not select the 8th.
    double rank = ceil(nextafter(quantile, 0) * (double)histogram->count);
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank, seen = 0;
    for (size_t i = bucket_of(histogram, histogram->min); i < histogram->n_counts; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            int64_t value = highest_of(histogram, i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}

uint64_t histogram_count_below(const struct histogram *histogram, int64_t value_ns)
{
    uint64_t below = 0;
    for (size_t i = 0; i < histogram->n_counts && highest_of(histogram, i) < value_ns; i++)
        below += histogram->counts[i];
    return below;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count > 0 ? histogram->sum / (double)histogram->count : 0;
}
