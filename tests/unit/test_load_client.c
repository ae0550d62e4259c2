// Tests parts of the load tester's client: the response parser, fed in pieces of every size, the
// classification of answers, and the timers.
#include "base/text.h"
#include "run/answer.h"
#include "run/json_object.h"
#include "run/response.h"
#include "run/timers.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)1024 * 1024)

// ---- response ----------------------------------------------------------------------------------

static const char *last_wrong; // of the last feed

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
            response_parse(&parser, bytes, given, ended && given == length, BODY_MAX, ret_consumed);
    }
    *ret = parser.response;
    last_wrong = parser.wrong;
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

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

// Each is refused, with the reason.
START_TEST(a_malformed_response_is_rejected)
{
    static const struct {
        const char *text, *wrong;
    } broken[] = {
        {"HTP/1.1 200 OK\r\n\r\n", "status line"},
        {"HTTP/1.1 2x0 OK\r\n\r\n", "status line"},
        {"HTTP/1.1 2000 OK\r\n\r\n", "status line"},
        {"HTTP/1.1 200OK\r\n\r\n", "status line"},
        {"HTTP/1.x 200 OK\r\n\r\n", "status line"},
        {"HTTP/1.1 099 OK\r\n\r\n", "status line"},
        {"HTTP/1.1 600 OK\r\n\r\n", "status line"},
        {"\r\n\r\n", "status line"},
        {OK "no colon\r\n\r\n", "header field"},
        {OK ": no name\r\n\r\n", "header field"},
        {OK "Content-Length : 2\r\n\r\nok", "header field"},
        {OK "Content-Length: 2\r\n folded: 1\r\n\r\nok", "header field"},
        {OK "X: a\rContent-Length: 2\r\n\r\nok", "header field"},
        {OK "X: \x1b[2J\r\n\r\n", "header field"},
        {OK "Content-Length: -1\r\n\r\n", "Content-Length"},
        {OK "Content-Length: +2\r\n\r\nok", "Content-Length"},
        {OK "Content-Length: 2 2\r\n\r\nok", "Content-Length"},
        {OK "Content-Length: 2, 2\r\n\r\nok", "Content-Length"},
        {OK "Content-Length: 0x2\r\n\r\nok", "Content-Length"},
        {OK "Content-Length:\r\n\r\n", "Content-Length"},
        {OK "Content-Length: 99999999999999999999\r\n\r\n", "Content-Length"},
        {OK "Content-Length: 99999999999\r\n\r\n", "body too large"},
        {OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", "two lengths"},
        {OK "Content-Length: 2\r\ncontent-length: 2\r\n\r\nok", "two lengths"},
        {OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "two lengths"},
        {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "two lengths"},
        {OK "Transfer-Encoding: gzip\r\n\r\n", "transfer coding"},
        {CHUNKED "zz\r\n", "chunk"},
        {CHUNKED "\r\n", "chunk"},
        {CHUNKED "-1\r\n", "chunk"},
        {CHUNKED "0x2\r\nok\r\n0\r\n\r\n", "chunk"},
        {CHUNKED "2 junk\r\nok\r\n0\r\n\r\n", "chunk"},
        {CHUNKED "2\r\nokay\r\n0\r\n\r\n", "chunk"},
        {CHUNKED "2\r\nokay0\r\n\r\n", "chunk"},
        {CHUNKED "FFFFFFFFFFFF\r\n", "chunk"},
        {CHUNKED "10000000000000002\r\nok\r\n0\r\n\r\n", "chunk"},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "body not allowed"},
        {"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nok", "body not allowed"},
        {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "body not allowed"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "101 unasked"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        char wrong[64];
        (void)text_format(wrong, sizeof wrong, "malformed answer: %s", broken[i].wrong);
        struct response response;
        char body[64];
        size_t consumed;
        ck_assert_msg(feed(broken[i].text, 1000, false, &response, body, &consumed) == RESPONSE_BAD,
                      "accepted: %s", broken[i].text);
        ck_assert_str_eq(last_wrong, wrong);
    }
}
END_TEST

// Sends `head`, then `again` for ever. Returns how many bytes are accepted.
static size_t feed_endlessly(const char *head, const char *again, const char *wrong)
{
    struct buffer bytes = {0};
    struct response_parser parser = {0};
    size_t consumed;
    buffer_append_text(&bytes, head);
    while (response_parse(&parser, bytes.data, bytes.length, false, BODY_MAX, &consumed) ==
           RESPONSE_PARTIAL) {
        ck_assert_msg(bytes.length < 4 * BODY_MAX, "no end of '%s'", again);
        // 64 at a time, because the head of an answer is searched at every call.
        for (int i = 0; i < 64; i++)
            buffer_append_text(&bytes, again);
    }
    ck_assert_str_eq(parser.wrong, wrong);
    size_t length = bytes.length;
    buffer_release(&bytes);
    return length;
}

START_TEST(nothing_in_a_response_is_endless)
{
    char line[1025];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    ck_assert_uint_le(
        feed_endlessly("", "HTTP/1.1 100 Continue\r\n\r\n", "malformed answer: endless 1xx"), 4096);
    const size_t head_max = RESPONSE_HEAD_MAX + 64 * sizeof line;
    static const char large[] = "malformed answer: head too large";
    ck_assert_uint_le(feed_endlessly("", line, large), head_max);
    ck_assert_uint_le(feed_endlessly(OK, "X: y\r\n", large), head_max);
    ck_assert_uint_le(feed_endlessly("HTTP/1.1 100 Continue\r\n", "X: y\r\n", large), head_max);
    ck_assert_uint_le(feed_endlessly(CHUNKED "0", ";a=b", "malformed answer: chunk"), 4096);
    ck_assert_uint_le(feed_endlessly(CHUNKED "0\r\n", "X: y\r\n", "malformed answer: chunk"),
                      head_max);
    const size_t body_max = BODY_MAX + 2 * head_max;
    static const char body[] = "malformed answer: body too large";
    ck_assert_uint_le(feed_endlessly(OK "\r\n", line, body), body_max);
    ck_assert_uint_le(feed_endlessly(CHUNKED, "4;extension\r\nbody\r\n", body), body_max);
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

static struct answer read_kind(enum attempt_kind kind, int status, const char *body)
{
    const struct response response = {.status = status,
                                      .json = body[0] != '<',
                                      .retry_after_s = -1,
                                      .body = body,
                                      .body_length = strlen(body)};
    struct answer answer;
    bool well_formed = answer_read(&response, kind, true, false, &answer);
    ck_assert_int_eq(well_formed, strncmp(answer.detail, "malformed", 9) != 0);
    return answer;
}

static struct answer read_answer(int status, const char *body)
{
    return read_kind(KIND_OTHER, status, body);
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
    answer = read_kind(KIND_READ, 200, "{\"user_id\":\"u1\",\"points\":5,\"version\":4}");
    ck_assert(maybe_equal(answer.remaining, (struct maybe){5, true}));
}
END_TEST

START_TEST(the_answer_to_a_transfer_carries_both_legs)
{
    struct answer answer = read_kind(
        KIND_TRANSFER, 200,
        "{\"from\":\"u1\",\"to\":\"u2\",\"points\":20,\"legs\":["
        "{\"counter\":\"points/u1\",\"remaining\":50,\"version\":3}, "
        "{\"version\":1,\"counter\":\"points/u2\",\"remaining\":20}],\"strategy\":\"conditional\"}");
    ck_assert(maybe_equal(answer.remaining, (struct maybe){50, true}));
    ck_assert(maybe_equal(answer.version, (struct maybe){3, true}));
    ck_assert(maybe_equal(answer.more[0].remaining, (struct maybe){20, true}));
    ck_assert(maybe_equal(answer.more[0].version, (struct maybe){1, true}));
    answer = read_kind(KIND_TRANSFER, 409,
                       "{\"type\":\"/problems/not-enough-points\",\"remaining\":7,\"version\":2}");
    ck_assert_str_eq(answer.detail, "not-enough-points");
    ck_assert(maybe_equal(answer.version, (struct maybe){2, true}));
    ck_assert(!answer.more[0].version.known);
    // Nested arrays of other answers mean nothing.
    answer = read_kind(KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7,\"legs\":[1]}");
    ck_assert_int_eq(answer.outcome, OUTCOME_OK);
}
END_TEST

// The legs of the lines have their numbers, an order's account and its code only their names.
START_TEST(a_refused_order_tells_which_legs_refuse)
{
    struct answer answer =
        read_kind(KIND_ORDER, 409,
                  "{\"type\":\"/problems/out-of-stock\",\"remaining\":0,\"version\":8,\"failed\":["
                  "{\"index\":1,\"counter\":\"stock/s\",\"remaining\":0,\"version\":8},"
                  "{\"counter\":\"code/C-1\",\"remaining\":0,\"version\":3},"
                  "{\"counter\":\"points/u1\",\"remaining\":2,\"version\":5}]}");
    ck_assert(!answer.version.known); // of the order
    ck_assert(maybe_equal(answer.more[1].version, (struct maybe){8, true}));
    ck_assert(maybe_equal(answer.code.version, (struct maybe){3, true}));
    ck_assert(maybe_equal(answer.account.version, (struct maybe){5, true}));
    ck_assert(maybe_equal(answer.account.remaining, (struct maybe){2, true}));
}
END_TEST

START_TEST(the_answer_to_a_redemption_carries_its_name)
{
    static const char body[] =
        "{\"redemption_id\":\"C-1:4\",\"state\":\"redeemed\",\"code\":\"C-1\","
        "\"legs\":[{\"counter\":\"code/C-1\",\"remaining\":2,\"version\":4}]}";
    struct answer answer = read_kind(KIND_REDEEM, 201, body);
    ck_assert_str_eq(answer.detail, "C-1:4");
    ck_assert(maybe_equal(answer.version, (struct maybe){4, true}));
    ck_assert(maybe_equal(answer.remaining, (struct maybe){2, true}));
    ck_assert_str_eq(read_kind(KIND_ROLLBACK, 200, body).detail, "C-1:4");
    ck_assert_int_eq(read_kind(KIND_ROLLBACK, 200, "{\"legs\":[]}").outcome, OUTCOME_INFO);
}
END_TEST

START_TEST(only_json_is_valid)
{
    static const char *const valid[] = {
        "{}",
        " \r\n\t{ } \n",
        "{\"\":null}",
        "{\"a\":[],\"b\":{},\"c\":[1,-0,0.5,-1.25e+10,1E9],\"d\":true , \"e\" : false}",
        "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00eF \xc3\xa9 \xf0\x9f\x98\x80 \x7f\"}",
        "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}",
    };
    static const char *const wrong[] = {
        "",
        " ",
        "{",
        "}",
        "[]",
        "null",
        "{}{}",
        "{}x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":- 1}",
        "{\"a\":0x1}",
        "{\"a\":NaN}",
        "{\"a\":nul}",
        "{\"a\":truey}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":[1}]",
        "{\"a\":\"b}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\xc3\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}",
        "{\"a\":\"\x80\"}",
        "\xef\xbb\xbf{}",
        "{\"a\":\"\\",
        "{\"a\":1",
        "{\"a\":tru",
        "{\"a\":-",
        "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(valid); i++) {
        size_t length = strlen(valid[i]);
        ck_assert_msg(json_object_is_valid(valid[i], length), "refused: %s", valid[i]);
        // In memory of its own, so that a sanitizer sees a read beyond the end.
        char *copy = malloc(length);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, valid[i], length);
        ck_assert(json_object_is_valid(copy, length));
        free(copy);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        size_t length = strlen(wrong[i]);
        char *copy = malloc(length + 1);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy + 1, wrong[i], length);
        ck_assert_msg(!json_object_is_valid(copy + 1, length), "accepted: %s", wrong[i]);
        free(copy);
    }
    ck_assert(!json_object_is_valid("{\"a\":\0}", 7));
    ck_assert(!json_object_is_valid("{}\0", 3));
    ck_assert(!json_object_is_valid("{\"a\":\"\\\0\"}", 9));
}
END_TEST

#define LEG "{\"counter\":\"points/u1\",\"remaining\":3,\"version\":7}"

// Its outcome is unknown, whatever the status says. A user's own request may get any body.
START_TEST(a_malformed_answer_proves_nothing)
{
    static const struct {
        enum attempt_kind kind;
        int status;
        const char *body, *wrong; // wrong NULL: well-formed
    } cases[] = {
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7}", NULL},
        {KIND_READ, 200, "{\"version\":7,\"prices\":[1,{}],\"remaining\":3}", NULL},
        {KIND_ISSUE, 200, "{\"code\":\"A\",\"remaining\":3,\"version\":7}", NULL},
        {KIND_DRAW, 200, "{\"prize\":null,\"version\":7}", NULL},
        {KIND_DRAW, 200, "{\"prize\":\"gold\",\"version\":7}", NULL},
        {KIND_DEDUCT, 409, "{\"type\":\"/problems/out-of-stock\"}", NULL},
        {KIND_DEDUCT, 413, "<html>", NULL}, // by a proxy
        {KIND_OTHER, 200, "{\"version\":7", NULL},
        {KIND_OTHER, 200, "", NULL},
        {KIND_DEDUCT, 200, "", "body"},
        {KIND_DEDUCT, 200, "<html>", "body"},
        {KIND_DEDUCT, 200, "[]", "body"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7", "body"},
        {KIND_DEDUCT, 200, "{\"remaining\":3 \"version\":7}", "body"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7}}", "body"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7}{}", "body"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7,\"version\":8}", "member repeated"},
        {KIND_DEDUCT, 200, "{\"version\":\"7\",\"remaining\":3,\"version\":7}", "member repeated"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":99999999999999999999}", "members missing"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":7,\"x\":\"\xc3\"}", "body"},
        {KIND_DEDUCT, 409, "{\"type\":\"/problems/out-of-stock\"", "body"},
        {KIND_DEDUCT, 503, "{\"type\":\"/problems/lock-lost\"", "body"},
        {KIND_DEDUCT, 200, "{}", "members missing"},
        {KIND_DEDUCT, 200, "{\"version\":7}", "members missing"},
        {KIND_DEDUCT, 200, "{\"remaining\":3,\"version\":\"7\"}", "members missing"},
        {KIND_DEDUCT, 200, "{\"remaining\":3.5,\"version\":7}", "members missing"},
        {KIND_READ, 200, "{\"remaining\":3}", "members missing"},
        {KIND_ISSUE, 200, "{\"remaining\":3,\"version\":7}", "members missing"},
        {KIND_DRAW, 200, "{\"version\":7}", "members missing"},
        {KIND_DRAW, 200, "{\"prize\":7,\"version\":7}", "members missing"},
        {KIND_READ, 200, "{\"points\":5,\"version\":7}", NULL},
        {KIND_EARN, 200, "{\"points\":5,\"remaining\":9,\"version\":7}", NULL},
        {KIND_EARN, 200, "{\"points\":5,\"version\":7}", "members missing"},
        {KIND_READ, 200, "{\"points\":5,\"remaining\":5,\"version\":7}", "member repeated"},
        {KIND_TRANSFER, 200, "{\"version\":7,\"remaining\":3}", "members missing"},
        {KIND_TRANSFER, 200, "{\"legs\":7}", "members missing"},
        {KIND_TRANSFER, 200, "{\"legs\":[]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG "]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG "," LEG "," LEG "]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG ",{\"remaining\":3}]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG ",{\"remaining\":3,\"version\":\"7\"}]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG ",{\"version\":1,\"remaining\":3,\"version\":1}]}",
         "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG ",7]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG ",[" LEG "]]}", "legs"},
        {KIND_TRANSFER, 200, "{\"legs\":[" LEG "," LEG "],\"legs\":[" LEG "," LEG "]}",
         "member repeated"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct answer answer = read_kind(cases[i].kind, cases[i].status, cases[i].body);
        if (cases[i].wrong == NULL) {
            ck_assert_msg(answer.status == cases[i].status, "%s", cases[i].body);
            continue;
        }
        char wrong[64];
        (void)text_format(wrong, sizeof wrong, "malformed answer: %s", cases[i].wrong);
        ck_assert_msg(strcmp(answer.detail, wrong) == 0, "%s: '%s'", cases[i].body, answer.detail);
        ck_assert_int_eq(answer.outcome, OUTCOME_INFO);
        ck_assert_int_eq(answer.answer_class, ANSWER_ERROR);
        ck_assert_int_eq(answer.status, 0);
        ck_assert(!answer.version.known);
    }
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
    tcase_add_test(tests, a_malformed_response_is_rejected);
    tcase_add_test(tests, nothing_in_a_response_is_endless);
    tcase_add_test(tests, a_truncated_response_is_broken);
    tcase_add_test(tests, the_next_response_begins_where_this_one_ends);
    tcase_add_test(tests, an_answer_is_classified_as_the_api_promises);
    tcase_add_test(tests, an_answer_carries_what_the_checker_needs);
    tcase_add_test(tests, the_answer_to_a_transfer_carries_both_legs);
    tcase_add_test(tests, a_refused_order_tells_which_legs_refuse);
    tcase_add_test(tests, the_answer_to_a_redemption_carries_its_name);
    tcase_add_test(tests, only_json_is_valid);
    tcase_add_test(tests, a_malformed_answer_proves_nothing);
    tcase_add_test(tests, timers_are_due_in_order_and_can_be_cancelled);
    tcase_add_test(tests, a_timer_is_not_due_early);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
