// Tests histogram, timeline and counts: every value is kept within its relative error, quantiles
// are those of the sorted values, and nothing is lost when slots double or threads are merged.
#include "measure/measure.h"

#include "base/clock.h"

#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY (24 * 3600 * NS_PER_S)

static struct histogram new_histogram(unsigned digits)
{
    struct histogram histogram;
    ck_assert(histogram_init(&histogram, digits));
    return histogram;
}

// A repeatable sequence (Knuth's MMIX generator).
static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 11;
}

// From 1 us to 1 hour, equally many in each power of ten.
static int64_t next_duration(uint64_t *state)
{
    double share = (double)next_random(state) / 0x1p53;
    return (int64_t)(1e3 * pow(3.6e9, share));
}

START_TEST(every_value_is_kept_within_its_error)
{
    for (unsigned digits = 1; digits <= 3; digits++) {
        struct histogram histogram = new_histogram(digits);
        double bound = pow(10, -(double)digits);
        for (int64_t value = 1; value < DAY; value += 1 + value / 317) {
            histogram_clear(&histogram);
            histogram_add(&histogram, value);
            histogram_add(&histogram, DAY); // otherwise the quantile would be the exact maximum
            int64_t kept = histogram_quantile(&histogram, 0.5);
            ck_assert_int_ge(kept, value);
            ck_assert_msg((double)(kept - value) < bound * (double)value, "%lld became %lld",
                          (long long)value, (long long)kept);
        }
        histogram_release(&histogram);
    }
}
END_TEST

START_TEST(small_values_are_exact)
{
    struct histogram histogram = new_histogram(3);
    for (int64_t i = 1; i <= 100; i++)
        histogram_add(&histogram, i);
    ck_assert_int_eq(histogram_quantile(&histogram, 0), 1);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.07), 7);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.071), 8);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.5), 50);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.99), 99);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.999), 100);
    ck_assert_int_eq(histogram_quantile(&histogram, 1), 100);
    ck_assert_double_eq_tol(histogram_mean(&histogram), 50.5, 1e-9);
    histogram_release(&histogram);
}
END_TEST

static int compare_durations(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

#define VALUES 20000

START_TEST(quantiles_are_those_of_the_sorted_values)
{
    static const double quantiles[] = {0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1};
    static int64_t values[VALUES];
    struct histogram histogram = new_histogram(3);
    uint64_t state = 7;
    for (size_t i = 0; i < VALUES; i++)
        histogram_add(&histogram, values[i] = next_duration(&state));
    qsort(values, VALUES, sizeof *values, compare_durations);
    for (size_t i = 0; i < ARRAY_LENGTH(quantiles); i++) {
        size_t rank = (size_t)ceil(quantiles[i] * VALUES - 1e-6);
        int64_t wanted = values[rank > 0 ? rank - 1 : 0];
        int64_t found = histogram_quantile(&histogram, quantiles[i]);
        ck_assert_msg(found >= wanted && (double)(found - wanted) < 0.001 * (double)wanted,
                      "quantile %g: %lld, not %lld", quantiles[i], (long long)found,
                      (long long)wanted);
    }
    ck_assert_int_eq(histogram_quantile(&histogram, 1), values[VALUES - 1]);
    for (size_t i = 0; i < VALUES; i += VALUES / 10) {
        uint64_t below = histogram_count_below(&histogram, values[i]);
        ck_assert_uint_le(below, i);
        ck_assert_uint_ge(histogram_count_below(&histogram, values[i] + values[i] / 500 + 1), i);
    }
    ck_assert_uint_eq(histogram_count_below(&histogram, 2 * values[VALUES - 1]), VALUES);
    ck_assert_int_eq(histogram.min, values[0]);
    ck_assert_int_eq(histogram.max, values[VALUES - 1]);
    histogram_release(&histogram);
}
END_TEST

START_TEST(values_outside_the_range_count_at_its_ends)
{
    struct histogram histogram = new_histogram(3);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.5), 0);
    ck_assert_double_eq(histogram_mean(&histogram), 0);
    histogram_add(&histogram, -5);
    histogram_add(&histogram, INT64_MAX);
    ck_assert_uint_eq(histogram.count, 2);
    ck_assert_int_eq(histogram.min, 0);
    ck_assert_int_eq(histogram.max, DAY);
    ck_assert_int_eq(histogram_quantile(&histogram, 0.5), 0);
    ck_assert_int_eq(histogram_quantile(&histogram, 1), DAY);
    histogram_release(&histogram);
}
END_TEST

static void check_same(const struct histogram *a, const struct histogram *b)
{
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_int_eq(a->min, b->min);
    ck_assert_int_eq(a->max, b->max);
    ck_assert_double_le(fabs(a->sum - b->sum), 1e-9 * b->sum);
    ck_assert_int_eq(memcmp(a->counts, b->counts, a->n_counts * sizeof *a->counts), 0);
}

START_TEST(merging_equals_adding_to_one_histogram)
{
    struct histogram parts[3], whole = new_histogram(3), merged = new_histogram(3);
    uint64_t state = 11;
    for (size_t i = 0; i < 3; i++)
        parts[i] = new_histogram(3);
    for (size_t i = 0; i < 3000; i++) {
        int64_t value = next_duration(&state);
        histogram_add(&whole, value);
        histogram_add(&parts[i % 2], value); // the third stays empty
    }
    for (size_t i = 0; i < 3; i++) {
        histogram_merge(&merged, &parts[i]);
        histogram_release(&parts[i]);
    }
    check_same(&merged, &whole);

    histogram_clear(&merged);
    struct histogram empty = new_histogram(3);
    check_same(&merged, &empty);
    histogram_release(&merged);
    histogram_release(&whole);
    histogram_release(&empty);
}
END_TEST

static struct timeline new_timeline(void)
{
    struct timeline timeline;
    ck_assert(timeline_init(&timeline));
    return timeline;
}

static void check_same_timeline(const struct timeline *a, const struct timeline *b)
{
    ck_assert_int_eq(a->slot_ns, b->slot_ns);
    ck_assert_uint_eq(a->n_slots, b->n_slots);
    for (size_t i = 0; i < TIMELINE_SLOTS; i++) {
        ck_assert_int_eq(memcmp(a->slots[i].counts, b->slots[i].counts, sizeof a->slots[i].counts),
                         0);
        check_same(&a->slots[i].latency, &b->slots[i].latency);
    }
}

START_TEST(a_burst_has_many_slots)
{
    struct timeline timeline = new_timeline();
    for (int64_t at = 0; at < 50 * NS_PER_MS; at += NS_PER_MS / 10)
        timeline_add(&timeline, at, ANSWER_OK, 1000);
    ck_assert_int_eq(timeline.slot_ns, TIMELINE_SLOT_NS);
    ck_assert_uint_eq(timeline.n_slots, 500);
    timeline_release(&timeline);
}
END_TEST

// Each slot has the right values, whether they were added before or after the slots doubled.
START_TEST(slots_double_when_outgrown)
{
    struct timeline timeline = new_timeline();
    const int64_t step = TIMELINE_SLOT_NS / 2, n = TIMELINE_SLOTS * 2 * 7;
    for (int64_t i = 0; i < n; i++)
        timeline_add(&timeline, i * step, (enum answer_class)(i % 3), 1000 * (i + 1));
    ck_assert_int_eq(timeline.slot_ns, TIMELINE_SLOT_NS * 8);
    ck_assert_uint_eq(timeline.n_slots, TIMELINE_SLOTS * 7 / 8);
    for (int64_t slot = 0; slot < TIMELINE_SLOTS; slot++) {
        const struct slot *found = &timeline.slots[slot];
        bool used = slot < TIMELINE_SLOTS * 7 / 8;
        int64_t first = slot * 16;
        ck_assert_int_eq(found->counts[0] + found->counts[1] + found->counts[2], used ? 16 : 0);
        ck_assert_int_eq(found->counts[first % 3], used ? 6 : 0); // 16 = 6 + 5 + 5
        ck_assert_int_eq(found->latency.min, used ? 1000 * (first + 1) : 0);
        ck_assert_int_eq(found->latency.max, used ? 1000 * (first + 16) : 0);
    }
    timeline_release(&timeline);
}
END_TEST

START_TEST(times_may_come_in_any_order)
{
    struct timeline forward = new_timeline(), backward = new_timeline();
    for (int64_t i = 0; i < 1000; i++)
        timeline_add(&forward, i * NS_PER_MS, ANSWER_REFUSED, i);
    for (int64_t i = 999; i >= 0; i--)
        timeline_add(&backward, i * NS_PER_MS, ANSWER_REFUSED, i);
    timeline_add(&forward, -1, ANSWER_ERROR, 1);
    timeline_add(&backward, 0, ANSWER_ERROR, 1);
    check_same_timeline(&forward, &backward);
    timeline_clear(&forward);
    struct timeline empty = new_timeline();
    check_same_timeline(&forward, &empty);
    timeline_release(&forward);
    timeline_release(&backward);
    timeline_release(&empty);
}
END_TEST

START_TEST(timelines_of_different_widths_merge)
{
    for (int turn = 0; turn < 2; turn++) {
        struct timeline fast = new_timeline(), slow = new_timeline(), whole = new_timeline();
        for (int64_t i = 0; i < 300; i++) {
            timeline_add(&fast, i * 33333, ANSWER_OK, i);
            timeline_add(&whole, i * 33333, ANSWER_OK, i);
            timeline_add(&slow, i * 7 * NS_PER_MS, ANSWER_ERROR, 5 * i);
            timeline_add(&whole, i * 7 * NS_PER_MS, ANSWER_ERROR, 5 * i);
        }
        ck_assert_int_lt(fast.slot_ns, slow.slot_ns);
        struct timeline *into = turn == 0 ? &fast : &slow;
        timeline_merge(into, turn == 0 ? &slow : &fast);
        check_same_timeline(into, &whole);
        timeline_release(&fast);
        timeline_release(&slow);
        timeline_release(&whole);
    }
}
END_TEST

static struct measure *new_measure(void)
{
    struct measure *measure = malloc(sizeof *measure);
    ck_assert_ptr_nonnull(measure);
    ck_assert(measure_init(measure));
    return measure;
}

static void free_measure(struct measure *measure)
{
    measure_release(measure);
    free(measure);
}

static int64_t problem_count(const struct measure *measure, const char *slug)
{
    int64_t count = 0;
    for (size_t i = 0; i < measure->n_problems; i++) {
        if (strcmp(measure->problems[i].slug, slug) == 0)
            count += measure->problems[i].count;
    }
    return count;
}

START_TEST(excess_problems_are_counted_together)
{
    struct measure *a = new_measure(), *b = new_measure();
    char slug[80];
    for (int i = 0; i < 60; i++) {
        snprintf(slug, sizeof slug, "problem-%d", i);
        measure_problem(a, slug);
        snprintf(slug, sizeof slug, "other-%d", i);
        measure_problem(b, slug);
        measure_problem(b, "other-0");
    }
    ck_assert_uint_eq(a->n_problems, MEASURE_PROBLEMS_MAX);
    ck_assert_int_eq(problem_count(a, "all others"), 60 - (MEASURE_PROBLEMS_MAX - 1));
    measure_merge(a, b);
    ck_assert_uint_eq(a->n_problems, MEASURE_PROBLEMS_MAX);
    int64_t all = 0, named = 0;
    for (size_t i = 0; i < a->n_problems; i++) {
        all += a->problems[i].count;
        named += strcmp(a->problems[i].slug, "all others") == 0;
    }
    ck_assert_int_eq(all, 180);
    ck_assert_int_eq(named, 1);

    // Merges "all others" into a measure that has room, and then fills it up.
    measure_clear(a);
    measure_problem(b, "one more");
    measure_merge(a, b);
    for (int i = 0; i < 60; i++) {
        snprintf(slug, sizeof slug, "problem-%d", i);
        measure_problem(a, slug);
    }
    named = 0;
    for (size_t i = 0; i < a->n_problems; i++)
        named += strcmp(a->problems[i].slug, "all others") == 0;
    ck_assert_int_eq(named, 1);
    ck_assert_int_eq(problem_count(a, "other-0"), 61);

    measure_clear(a);
    memset(slug, 'x', sizeof slug - 1);
    slug[sizeof slug - 1] = '\0';
    measure_problem(a, slug);
    measure_problem(a, slug);
    ck_assert_uint_eq(a->n_problems, 1);
    ck_assert_int_eq(a->problems[0].count, 2);
    free_measure(a);
    free_measure(b);
}
END_TEST

START_TEST(measures_merge_and_clear)
{
    struct measure *a = new_measure(), *b = new_measure();
    int64_t *const counters[] = {&b->requests_sent,
                                 &b->operations_begun,
                                 &b->operations_done,
                                 &b->retries,
                                 &b->duplicates,
                                 &b->replays,
                                 &b->unknown,
                                 &b->timeouts,
                                 &b->malformed,
                                 &b->bytes_read,
                                 &b->bytes_written,
                                 &b->statuses[0],
                                 &b->statuses[599],
                                 &b->classes[0],
                                 &b->classes[2],
                                 &b->kinds[0][0],
                                 &b->kinds[MEASURE_KINDS_MAX - 1][2]};
    for (size_t i = 0; i < ARRAY_LENGTH(counters); i++)
        *counters[i] = (int64_t)i + 1;
    histogram_add(&b->latency, 5);
    histogram_add(&b->ok_latency, 5);
    histogram_add(&b->operations, 6);
    timeline_add(&b->timeline, 7, ANSWER_OK, 5);
    measure_merge(a, b);
    measure_merge(a, b);
    for (size_t i = 0; i < ARRAY_LENGTH(counters); i++) {
        size_t offset = (size_t)((char *)counters[i] - (char *)b);
        ck_assert_int_eq(*(int64_t *)(void *)((char *)a + offset), 2 * ((int64_t)i + 1));
    }
    ck_assert_uint_eq(a->latency.count, 2);
    ck_assert_uint_eq(a->ok_latency.count, 2);
    ck_assert_uint_eq(a->operations.count, 2);
    ck_assert_int_eq(a->timeline.slots[0].counts[ANSWER_OK], 2);
    measure_clear(a);
    ck_assert_int_eq(
        a->requests_sent + a->bytes_written + a->statuses[599] + a->classes[2] + a->kinds[0][0], 0);
    ck_assert_uint_eq(
        a->latency.count + a->ok_latency.count + a->operations.count + a->timeline.n_slots, 0);
    free_measure(a);
    free_measure(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure");
    TCase *tests = tcase_create("measure");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, every_value_is_kept_within_its_error);
    tcase_add_test(tests, small_values_are_exact);
    tcase_add_test(tests, quantiles_are_those_of_the_sorted_values);
    tcase_add_test(tests, values_outside_the_range_count_at_its_ends);
    tcase_add_test(tests, merging_equals_adding_to_one_histogram);
    tcase_add_test(tests, a_burst_has_many_slots);
    tcase_add_test(tests, slots_double_when_outgrown);
    tcase_add_test(tests, times_may_come_in_any_order);
    tcase_add_test(tests, timelines_of_different_widths_merge);
    tcase_add_test(tests, excess_problems_are_counted_together);
    tcase_add_test(tests, measures_merge_and_clear);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
