// Tests parts of the load tester's client: the response parser, fed in pieces of every size, the
// classification of answers, and the timers.
#include "base/text.h"
#include "run/answer.h"
#include "run/response.h"
#include "run/timers.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

// ---- response ----------------------------------------------------------------------------------

// Parses `text`, which grows by `step` bytes with each call. Copies the body to `ret_body`.
static enum response_state feed(const char *text, size_t step, bool ended, struct response *ret,
                                char *ret_body, size_t *ret_consumed)
{
    size_t length = strlen(text);
    char *bytes = malloc(length + 1);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, text, length + 1);
    struct response_parser parser = {0};
    enum response_state state = RESPONSE_PARTIAL;
    for (size_t given = 0; state == RESPONSE_PARTIAL && given < length;) {
        given = given + step < length ? given + step : length;
        state =
            response_parse(&parser, bytes, given, ended && given == length, false, ret_consumed);
    }
    *ret = parser.response;
    if (state == RESPONSE_DONE) {
        memcpy(ret_body, parser.response.body, parser.response.body_length);
        ret_body[parser.response.body_length] = '\0';
    }
    free(bytes);
    return state;
}

static const char with_length[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length:  5 \r\n"
                                  "retry-after: 7\r\nX-Other: Connection: close\r\n\r\nhello";
static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                              "Idempotent-Replayed: true\r\n\r\n"
                              "3\r\nabc\r\nA;extension=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
static const char until_close[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end";
static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"
                              "Content-Length: 2\r\nConnection: close\r\n\r\nok";

START_TEST(a_response_is_read_in_any_pieces)
{
    static const struct {
        const char *text, *body;
        int status;
        bool ended, close, replayed;
        int64_t retry_after_s;
    } cases[] = {{with_length, "hello", 503, false, false, false, 7},
                 {chunked, "abc0123456789", 200, false, false, true, -1},
                 {until_close, "to the end", 200, true, true, false, -1},
                 {interim, "ok", 201, false, true, false, -1}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        for (size_t step = 1; step < 120; step += step < 5 ? 1 : 23) {
            struct response response;
            char body[64];
            size_t consumed = 0;
            enum response_state state =
                feed(cases[i].text, step, cases[i].ended, &response, body, &consumed);
            ck_assert_int_eq(state, RESPONSE_DONE);
            ck_assert_str_eq(body, cases[i].body);
            ck_assert_int_eq(response.status, cases[i].status);
            ck_assert_int_eq(response.close, cases[i].close);
            ck_assert_int_eq(response.replayed, cases[i].replayed);
            ck_assert_int_eq(response.retry_after_s, cases[i].retry_after_s);
            ck_assert_uint_eq(consumed, strlen(cases[i].text));
        }
    }
}
END_TEST

START_TEST(a_broken_response_is_rejected)
{
    static const char *const broken[] = {
        "HTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        struct response response;
        char body[64];
        size_t consumed;
        ck_assert_int_eq(feed(broken[i], 1000, false, &response, body, &consumed), RESPONSE_BAD);
    }
}
END_TEST

START_TEST(a_truncated_response_is_broken)
{
    static const char *const cut[] = {
        "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"};
    for (size_t i = 0; i < ARRAY_LENGTH(cut); i++) {
        struct response response;
        char body[64];
        size_t consumed;
        ck_assert_int_eq(feed(cut[i], 7, false, &response, body, &consumed), RESPONSE_PARTIAL);
        ck_assert_int_eq(feed(cut[i], 7, true, &response, body, &consumed), RESPONSE_BAD);
    }
}
END_TEST

START_TEST(the_next_response_begins_where_this_one_ends)
{
    struct response response;
    char body[64], two[512];
    size_t consumed;
    (void)text_format(two, sizeof two, "%s%s", with_length, with_length);
    ck_assert_int_eq(feed(two, sizeof two, false, &response, body, &consumed), RESPONSE_DONE);
    ck_assert_uint_eq(consumed, strlen(with_length));
}
END_TEST

// ---- answer ------------------------------------------------------------------------------------

static struct answer read_answer(int status, const char *body)
{
    const struct response response = {
        .status = status, .retry_after_s = -1, .body = body, .body_length = strlen(body)};
    struct answer answer;
    answer_read(&response, true, &answer);
    return answer;
}

START_TEST(an_answer_is_classified_as_the_api_promises)
{
    static const struct {
        int status;
        const char *body, *detail;
        enum attempt_outcome outcome;
        bool retryable;
    } cases[] = {
        {200, "{\"sku\":\"S\",\"version\":7}", "", OUTCOME_OK, false},
        {201, "{\"code\":\"AB-1\",\"version\":7}", "AB-1", OUTCOME_OK, false},
        {200, "{\"prize\":null,\"version\":7}", "", OUTCOME_OK, false},
        {409, "{\"type\":\"/problems/out-of-stock\"}", "out-of-stock", OUTCOME_FAIL, false},
        {422, "{}", "status-422", OUTCOME_FAIL, false},
        {429, "", "status-429", OUTCOME_FAIL, true},
        {408, "", "status-408", OUTCOME_INFO, true},
        {500, "{\"type\":\"/problems/internal\"}", "internal", OUTCOME_INFO, false},
        {503, "{\"type\":\"/problems/lock-lost\"}", "lock-lost", OUTCOME_FAIL, true},
        {503, "{\"type\":\"/problems/outcome-unknown\"}", "outcome-unknown", OUTCOME_INFO, true},
        {503, "<html>", "status-503", OUTCOME_INFO, true},
        {504, "", "status-504", OUTCOME_INFO, true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct answer answer = read_answer(cases[i].status, cases[i].body);
        ck_assert_msg(answer.outcome == cases[i].outcome && answer.retryable == cases[i].retryable,
                      "%d %s", cases[i].status, cases[i].body);
        ck_assert_str_eq(answer.detail, cases[i].detail);
    }
}
END_TEST

START_TEST(an_answer_carries_what_the_checker_needs)
{
    struct answer answer =
        read_answer(409, "{\"type\":\"/problems/out-of-stock\",\"remaining\":3,\"version\":1001}");
    ck_assert(maybe_equal(answer.remaining, (struct maybe){3, true}));
    ck_assert(maybe_equal(answer.version, (struct maybe){1001, true}));
    answer = read_answer(200, "{\"remaining\":-1,\"version\":-1}");
    ck_assert(maybe_equal(answer.remaining, (struct maybe){-1, true}));
    ck_assert(maybe_equal(answer.version, (struct maybe){-1, true}));
    answer = read_answer(200, "{}");
    ck_assert(!answer.remaining.known);
    ck_assert(!answer.version.known);
}
END_TEST

// ---- timers ------------------------------------------------------------------------------------

START_TEST(timers_are_due_in_order_and_can_be_cancelled)
{
    enum { N = 1000 };
    static struct timer all[N];
    struct timers timers = {0};
    uint32_t random = 1;
    for (size_t i = 0; i < N; i++) {
        random = random * 1664525U + 1013904223U;
        ck_assert(timers_set(&timers, &all[i], random >> 8));
    }
    for (size_t i = 0; i < N; i += 3)
        timers_cancel(&timers, &all[i]);
    for (size_t i = 1; i < N; i += 3)
        ck_assert(timers_set(&timers, &all[i], (int64_t)i)); // moved
    int64_t last = -1;
    size_t n = 0;
    struct timer *timer;
    while ((timer = timers_pop(&timers, INT64_MAX)) != NULL) {
        ck_assert_int_ge(timer->due_ns, last);
        ck_assert_uint_ne((size_t)(timer - all) % 3, 0);
        ck_assert_uint_eq(timer->place, 0);
        last = timer->due_ns;
        n++;
    }
    ck_assert_uint_eq(n, N - (N + 2) / 3);
    ck_assert_int_eq(timers_next(&timers), INT64_MAX);
    timers_release(&timers);
}
END_TEST

START_TEST(a_timer_is_not_due_early)
{
    struct timer timer = {0};
    struct timers timers = {0};
    ck_assert(timers_set(&timers, &timer, 100));
    ck_assert_ptr_null(timers_pop(&timers, 99));
    ck_assert_ptr_eq(timers_pop(&timers, 100), &timer);
    ck_assert_ptr_null(timers_pop(&timers, INT64_MAX));
    timers_release(&timers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load client");
    TCase *tests = tcase_create("load client");
    tcase_add_test(tests, a_response_is_read_in_any_pieces);
    tcase_add_test(tests, a_broken_response_is_rejected);
    tcase_add_test(tests, a_truncated_response_is_broken);
    tcase_add_test(tests, the_next_response_begins_where_this_one_ends);
    tcase_add_test(tests, an_answer_is_classified_as_the_api_promises);
    tcase_add_test(tests, an_answer_carries_what_the_checker_needs);
    tcase_add_test(tests, timers_are_due_in_order_and_can_be_cancelled);
    tcase_add_test(tests, a_timer_is_not_due_early);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
