// Tests of the metrics: all counts are rendered in the text format, with buckets that add up, also
// when many threads count at once.
#include "metrics/metrics.h"

#include "base/clock.h"
#include "base/text.h"

#include "guard/strategy/registry.h"
#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct metrics *new_metrics(void)
{
    struct metrics *metrics = NULL;
    ck_assert_int_eq(metrics_new(&metrics), RC_OK);
    return metrics;
}

// The caller frees.
static char *render(struct metrics *metrics)
{
    struct buffer out = {0};
    metrics_render(metrics, &out);
    ck_assert(!out.failed);
    return out.data;
}

static void check_line(const char *text, const char *line)
{
    const char *found = strstr(text, line);
    ck_assert_msg(found && (found == text || found[-1] == '\n') && found[strlen(line)] == '\n',
                  "no line '%s' in\n%s", line, text);
}

START_TEST(counts_by_endpoint_and_strategy)
{
    struct metrics *metrics = new_metrics();
    const struct strategy *mutex = strategy_find("mutex");
    metrics_count(metrics, METRIC_RETRY, ENDPOINT_COUPON, mutex, 2);
    metrics_count(metrics, METRIC_RETRY, ENDPOINT_COUPON, mutex, 3);
    metrics_count(metrics, METRIC_RETRY, ENDPOINT_STOCK, NULL, 1);
    char *text = render(metrics);
    check_line(text, "# TYPE holdfast_section_retries_total counter");
    check_line(text, "holdfast_section_retries_total{endpoint=\"coupon\",strategy=\"mutex\"} 5");
    check_line(text, "holdfast_section_retries_total{endpoint=\"stock\",strategy=\"other\"} 1");
    free(text);
    metrics_free(metrics);
}
END_TEST

START_TEST(histograms_are_cumulative)
{
    struct metrics *metrics = new_metrics();
    const struct strategy *strategy = strategy_find("conditional");
    metrics_observe(metrics, METRIC_COMMIT, ENDPOINT_STOCK, strategy, NS_PER_MS);     // 0.001
    metrics_observe(metrics, METRIC_COMMIT, ENDPOINT_STOCK, strategy, NS_PER_MS + 1); // 0.0025
    metrics_observe(metrics, METRIC_COMMIT, ENDPOINT_STOCK, strategy, 20 * NS_PER_S); // +Inf
    metrics_observe(metrics, METRIC_BATCH_SIZE, ENDPOINT_STOCK, strategy, 256);
    char *text = render(metrics);
#define SERIES(suffix)                                                                             \
    "holdfast_commit_seconds" suffix "endpoint=\"stock\",strategy=\"conditional\""
    check_line(text, SERIES("_bucket{") ",le=\"0.0005\"} 0");
    check_line(text, SERIES("_bucket{") ",le=\"0.001\"} 1");
    check_line(text, SERIES("_bucket{") ",le=\"0.0025\"} 2");
    check_line(text, SERIES("_bucket{") ",le=\"10\"} 2");
    check_line(text, SERIES("_bucket{") ",le=\"+Inf\"} 3");
    check_line(text, SERIES("_count{") "} 3");
    check_line(text, SERIES("_sum{") "} 20.002000001");
    check_line(text, "holdfast_batch_size_bucket{endpoint=\"stock\",strategy=\"conditional\","
                     "le=\"128\"} 0");
    check_line(text, "holdfast_batch_size_sum{endpoint=\"stock\",strategy=\"conditional\"} 256");
    free(text);
    metrics_free(metrics);
}
END_TEST

START_TEST(requests_by_operation_and_status)
{
    struct metrics *metrics = new_metrics();
    char same_text[] = "deduct"; // another address, the same operation
    metrics_request(metrics, "deduct", 200, NS_PER_MS);
    metrics_request(metrics, same_text, 200, NS_PER_MS);
    metrics_request(metrics, "deduct", 409, NS_PER_MS);
    metrics_request(metrics, "get-stock", 200, NS_PER_MS);
    char *text = render(metrics);
    check_line(text, "holdfast_http_requests_total{operation=\"deduct\",status=\"200\"} 2");
    check_line(text, "holdfast_http_requests_total{operation=\"deduct\",status=\"409\"} 1");
    check_line(text, "holdfast_http_requests_total{operation=\"get-stock\",status=\"200\"} 1");
    check_line(text, "holdfast_http_request_seconds_count{operation=\"deduct\"} 3");
    free(text);
    metrics_free(metrics);
}
END_TEST

// Operations and statuses are counted as long as there is room for them; the rest are dropped.
START_TEST(too_many_names_do_no_harm)
{
    static char names[300][16];
    struct metrics *metrics = new_metrics();
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof(names[i]), "operation-%d", i);
        metrics_request(metrics, names[i], 200, 1);
        metrics_request(metrics, names[0], 200 + i, 1);
    }
    char *text = render(metrics);
    check_line(text, "holdfast_http_requests_total{operation=\"operation-0\",status=\"200\"} 2");
    check_line(text, "holdfast_http_request_seconds_count{operation=\"operation-0\"} 301");
    free(text);
    metrics_free(metrics);
}
END_TEST

static int64_t read_number(void *arg)
{
    return *(const int64_t *)arg;
}

START_TEST(gauges_of_one_name_share_their_head)
{
    struct metrics *metrics = new_metrics();
    int64_t one = 1, two = -2, three = 3, lag_ns = 1250 * NS_PER_MS;
    metrics_gauge(metrics, "depth", "endpoint=\"stock\"", "Waiting", read_number, &one);
    metrics_gauge(metrics, "ready", "", "Whether", read_number, &three);
    metrics_gauge(metrics, "depth", "endpoint=\"coupon\"", "Waiting", read_number, &two);
    metrics_duration(metrics, "lag_seconds", "", "Since", read_number, &lag_ns);
    char *text = render(metrics);
    ck_assert_ptr_nonnull(strstr(text, "# HELP depth Waiting\n# TYPE depth gauge\n"
                                       "depth{endpoint=\"stock\"} 1\n"
                                       "depth{endpoint=\"coupon\"} -2\n"));
    check_line(text, "ready 3");
    check_line(text, "lag_seconds 1.250");
    free(text);
    metrics_free(metrics);
}
END_TEST

START_TEST(what_is_asked_for_may_be_a_counter)
{
    struct metrics *metrics = new_metrics();
    int64_t seven = 7;
    metrics_counter(metrics, "reconnects_total", "backend=\"database\"", "Lost and made again",
                    read_number, &seven);
    metrics_counter(metrics, "reconnects_total", "backend=\"redis-lock\"", "Lost and made again",
                    read_number, &seven);
    char *text = render(metrics);
    ck_assert_ptr_nonnull(strstr(text, "# HELP reconnects_total Lost and made again\n"
                                       "# TYPE reconnects_total counter\n"
                                       "reconnects_total{backend=\"database\"} 7\n"
                                       "reconnects_total{backend=\"redis-lock\"} 7\n"));
    free(text);
    metrics_free(metrics);
}
END_TEST

// Every event and histogram has its own name, and all of them show up by endpoint and strategy.
START_TEST(everything_that_is_counted_is_shown)
{
    static const char *const names[] = {
        "holdfast_guard_acquired_total",
        "holdfast_guard_kept_total",
        "holdfast_guard_enter_failed_total",
        "holdfast_guard_lost_total",
        "holdfast_lease_renewals_total",
        "holdfast_lease_renewals_failed_total",
        "holdfast_lease_renewals_ended_total",
        "holdfast_stale_tokens_refused_total",
        "holdfast_conflicts_total",
        "holdfast_section_retries_total",
        "holdfast_replays_total",
        "holdfast_unknown_commits_resolved_total",
        "holdfast_deadline_missed_total",
        "holdfast_guard_wait_seconds_count",
        "holdfast_guard_hold_seconds_count",
        "holdfast_commit_seconds_count",
        "holdfast_batch_size_count",
        "holdfast_lane_depth_count",
    };
    ck_assert_uint_eq(ARRAY_LENGTH(names), METRIC_EVENT_COUNT + METRIC_HISTOGRAM_COUNT);
    struct metrics *metrics = new_metrics();
    const struct strategy *strategy = strategy_find("lock-table");
    for (int i = 0; i < METRIC_EVENT_COUNT; i++)
        metrics_count(metrics, (enum metric_event)i, ENDPOINT_LOTTERY, strategy, 1);
    for (int i = 0; i < METRIC_HISTOGRAM_COUNT; i++)
        metrics_observe(metrics, (enum metric_histogram)i, ENDPOINT_LOTTERY, strategy, 1);
    char *text = render(metrics);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char line[160];
        snprintf(line, sizeof line, "%s{endpoint=\"lottery\",strategy=\"lock-table\"} 1", names[i]);
        check_line(text, line);
    }
    check_line(text, "holdfast_lane_depth_bucket{endpoint=\"lottery\",strategy=\"lock-table\","
                     "le=\"1\"} 1");
    free(text);
    metrics_free(metrics);
}
END_TEST

START_TEST(process_describes_itself)
{
    struct metrics *metrics = new_metrics();
    char *text = render(metrics);
    static const char *const names[] = {"\nprocess_resident_memory_bytes ",
                                        "\nprocess_cpu_seconds_total ", "\nprocess_open_fds ",
                                        "\nprocess_max_fds ", "\nholdfast_build_info{version=\""};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        ck_assert_msg(strstr(text, names[i]), "no %s", names[i] + 1);
    const char *start = strstr(text, "\nprocess_start_time_seconds ");
    ck_assert_ptr_nonnull(start);
    double age = (double)clock_wall_ms() / 1e3 - strtod(strchr(start + 1, ' '), NULL);
    ck_assert(age > -2 && age < 600);
    // A monitor counts restarts as changes of this value, so every scrape must show the same.
    char *later = render(metrics);
    double again = strtod(strchr(strstr(later, "\nprocess_start_time_seconds ") + 1, ' '), NULL);
    ck_assert_double_eq(strtod(strchr(start + 1, ' '), NULL), again);
    free(later);
    free(text);
    metrics_free(metrics);
}
END_TEST

#define THREADS 4
#define ROUNDS 2000

static void *count_all(void *arg)
{
    static const char *const operations[] = {"deduct", "issue", "draw", "restock"};
    struct metrics *metrics = arg;
    const struct strategy *strategy = strategy_find("optimistic");
    for (int i = 0; i < ROUNDS; i++) {
        metrics_request(metrics, operations[i % 4], 200 + i % 3, 1000);
        metrics_count(metrics, METRIC_ACQUIRED, ENDPOINT_LOTTERY, strategy, 1);
        metrics_observe(metrics, METRIC_BATCH_SIZE, ENDPOINT_LOTTERY, strategy, 1);
        if (i % 500 == 0)
            free(render(metrics));
    }
    return NULL;
}

static double read_open_fds(struct metrics *metrics)
{
    char *text = render(metrics);
    const char *line = strstr(text, "\nprocess_open_fds ");
    ck_assert_ptr_nonnull(line);
    double n = strtod(strchr(line + 1, ' '), NULL);
    free(text);
    return n;
}

// Rendering runs on an HTTP thread, so it must not read /proc.
START_TEST(the_process_is_sampled_not_read)
{
    struct metrics *metrics = new_metrics();
    double before = read_open_fds(metrics);
    int fd = dup(STDERR_FILENO);
    ck_assert_int_ge(fd, 0);
    ck_assert(read_open_fds(metrics) == before);
    metrics_sample_process(metrics);
    ck_assert(read_open_fds(metrics) == before + 1);
    close(fd);
    metrics_free(metrics);
}
END_TEST

START_TEST(threads_lose_nothing)
{
    struct metrics *metrics = new_metrics();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_all, metrics), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char *text = render(metrics);
    check_line(text,
               "holdfast_guard_acquired_total{endpoint=\"lottery\",strategy=\"optimistic\"} 8000");
    check_line(text,
               "holdfast_batch_size_count{endpoint=\"lottery\",strategy=\"optimistic\"} 8000");
    check_line(text, "holdfast_http_request_seconds_count{operation=\"draw\"} 2000");
    free(text);
    metrics_free(metrics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, counts_by_endpoint_and_strategy);
    tcase_add_test(tests, histograms_are_cumulative);
    tcase_add_test(tests, requests_by_operation_and_status);
    tcase_add_test(tests, too_many_names_do_no_harm);
    tcase_add_test(tests, gauges_of_one_name_share_their_head);
    tcase_add_test(tests, what_is_asked_for_may_be_a_counter);
    tcase_add_test(tests, everything_that_is_counted_is_shown);
    tcase_add_test(tests, process_describes_itself);
    tcase_add_test(tests, the_process_is_sampled_not_read);
    tcase_add_test(tests, threads_lose_nothing);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
