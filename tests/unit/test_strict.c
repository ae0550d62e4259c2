// Tests of http/wire/strict.c, entity_tag.c and raw_head_*.c as pure functions over bytes.
// tests/http/test_bad_inputs.py tests the same over a socket.
#include "http/wire/entity_tag.h"
#include "http/wire/problem.h"
#include "http/wire/raw_head.h"
#include "http/wire/strict.h"

#include "suite.h"

#include <check.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

START_TEST(methods)
{
    ck_assert_int_eq(strict_method("GET"), METHOD_GET);
    ck_assert_int_eq(strict_method("POST"), METHOD_POST);
    ck_assert_int_eq(strict_method("PATCH"), METHOD_PATCH);
    ck_assert_int_eq(strict_method("TRACE"), METHOD_OTHER);
    ck_assert_int_eq(strict_method("get"), METHOD_UNKNOWN);
    ck_assert_int_eq(strict_method("BREW"), METHOD_UNKNOWN);
    ck_assert_int_eq(strict_method(""), METHOD_UNKNOWN);
}
END_TEST

START_TEST(targets_that_are_fine)
{
    static const char *const targets[] = {
        "/",
        "/livez",
        "/v1/stock/A.b_c:d-9",
        "/v1/stock/a..b",
        "/v1/stock/...",
        "/v1/stock/%41",
        "/v1/stock?after=../x",
        "/v1/ledger?counter=stock%2FA&limit=1",
        "/a//b",
        "/.well-known/x",
        "/v1/stock?x=..",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++)
        ck_assert_msg(strict_target(targets[i], strlen(targets[i])) == NULL, "%s", targets[i]);
}
END_TEST

START_TEST(targets_that_are_not)
{
    static const struct slice targets[] = {
        SLICE(""),           SLICE("*"),          SLICE("livez"),   SLICE("http://a/livez"),
        SLICE("/a b"),       SLICE("/a\tb"),      SLICE("/a\0b"),   SLICE("/a\x7f"),
        SLICE("/a\xc3\xa4"), SLICE("/a#b"),       SLICE("/a\\b"),   SLICE("/a\"b"),
        SLICE("/%00"),       SLICE("/a%00.html"), SLICE("/%0a"),    SLICE("/%1F"),
        SLICE("/%7f"),       SLICE("/%"),         SLICE("/%4"),     SLICE("/%4g"),
        SLICE("/a?x=%"),     SLICE("/a?x=%00"),   SLICE("/."),      SLICE("/.."),
        SLICE("/../a"),      SLICE("/a/./b"),     SLICE("/a/../b"), SLICE("/a/.."),
        SLICE("/a/..?x"),    SLICE("/%2e%2e/a"),  SLICE("/.%2E"),   SLICE("/%2e"),
    };
    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++)
        ck_assert_msg(strict_target(targets[i].text, targets[i].length) != NULL, "%s",
                      targets[i].text);
}
END_TEST

START_TEST(tokens)
{
    ck_assert(strict_is_token(SLICE("X-Holdfast_1.a!#$%&'*+^`|~")));
    static const struct slice bad[] = {SLICE(""),     SLICE("a b"), SLICE("a:"),
                                       SLICE("a("),   SLICE("a\t"), SLICE("a\0"),
                                       SLICE("\xe4"), SLICE("a,b"), SLICE("a\"")};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        ck_assert_msg(!strict_is_token(bad[i]), "%zu", i);
}
END_TEST

// "Name: value" lines, ended by NULL.
static enum rc judge(bool http_1_1, struct framing *ret_framing, const char *const *lines)
{
    struct fields fields = {0};
    const char *why = NULL;
    for (; *lines != NULL; lines++) {
        const char *colon = strchr(*lines, ':');
        size_t name = (size_t)(colon - *lines);
        const char *value = colon + 1 + strspn(colon + 1, " ");
        strict_field(&fields, (struct slice){*lines, name}, (struct slice){value, strlen(value)});
    }
    enum rc rc = strict_framing(&fields, http_1_1, 65536, ret_framing, &why);
    ck_assert_msg((rc == RC_OK) == (why == NULL), "a refusal, and nothing else, has a reason");
    return rc;
}
#define JUDGE(http_1_1, framing, ...)                                                              \
    judge(http_1_1, framing, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(framing_that_is_fine)
{
    struct framing framing = {0};
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a"), RC_OK);
    ck_assert(!framing.chunked && framing.length == 0);
    ck_assert_int_eq(JUDGE(true, &framing, "host:a", "CONTENT-LENGTH: 65536"), RC_OK);
    ck_assert(!framing.chunked && framing.length == 65536);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "Transfer-Encoding: Chunked"), RC_OK);
    ck_assert(framing.chunked && framing.length == 0);
    ck_assert_int_eq(JUDGE(false, &framing, "Content-Length: 5"), RC_OK);
    ck_assert_uint_eq(framing.length, 5);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "X: a\tb \x80"), RC_OK);
}
END_TEST

START_TEST(framing_that_is_not)
{
    struct framing framing = {0};
    const enum rc bad = RC_MALFORMED_REQUEST;
    ck_assert_int_eq(JUDGE(true, &framing, "X: a"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "Host: a"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a b"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "Content-Length: 5", "Content-Length: 5"),
                     bad);
    ck_assert_int_eq(
        JUDGE(true, &framing, "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "Transfer-Encoding: chunked",
                           "Transfer-Encoding: chunked"),
                     bad);
    ck_assert_int_eq(JUDGE(false, &framing, "Host: a", "Transfer-Encoding: chunked"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "X : a"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "X: a\rb"), bad);
    ck_assert_int_eq(JUDGE(true, &framing, "Host: a", "X: a\nb"), bad);
    static const char *const lengths[] = {"Content-Length: +5",  "Content-Length: -5",
                                          "Content-Length: 5,5", "Content-Length: 0x5",
                                          "Content-Length:",     "Content-Length: 5 "};
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        ck_assert_int_eq(JUDGE(true, &framing, "Host: a", lengths[i]), bad);
}
END_TEST

START_TEST(codings_and_sizes)
{
    struct framing framing = {0};
    static const char *const codings[] = {"Transfer-Encoding: gzip", "Transfer-Encoding: chunked,",
                                          "Transfer-Encoding: gzip, chunked",
                                          "Transfer-Encoding:", "Transfer-Encoding: chunked "};
    for (size_t i = 0; i < ARRAY_LENGTH(codings); i++)
        ck_assert_int_eq(JUDGE(true, &framing, "Host: a", codings[i]), RC_NOT_IMPLEMENTED);
    static const char *const lengths[] = {
        "Content-Length: 65537", "Content-Length: 18446744073709551615",
        "Content-Length: 18446744073709551621", "Content-Length: 99999999999999999999999999"};
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        ck_assert_int_eq(JUDGE(true, &framing, "Host: a", lengths[i]), RC_BODY_TOO_LARGE);
}
END_TEST

START_TEST(fields_that_matter)
{
    struct fields fields = {0};
    strict_field(&fields, SLICE("idempotency-KEY"), SLICE("k"));
    strict_field(&fields, SLICE("Content-Type"), SLICE("application/json"));
    strict_field(&fields, SLICE("Authorization"), SLICE("Bearer t"));
    strict_field(&fields, SLICE("X-Holdfast-Strategy"), SLICE("none"));
    strict_field(&fields, SLICE("Expect"), SLICE("100-continue"));
    ck_assert_ptr_null(fields.wrong);
    ck_assert_uint_eq(fields.idempotency_key.length, 1);
    ck_assert_uint_eq(fields.strategy.length, 4);
    ck_assert(fields.expects_continue);
    strict_field(&fields, SLICE("if-match"), SLICE("*"));
    strict_field(&fields, SLICE("If-None-Match"), SLICE("\"v58\""));
    ck_assert_uint_eq(fields.if_match.length, 1);
    ck_assert_uint_eq(fields.if_none_match.length, 5);
    ck_assert_ptr_null(fields.wrong);
    strict_field(&fields, SLICE("Idempotency-Key"), SLICE("k"));
    ck_assert_ptr_nonnull(fields.wrong);
}
END_TEST

// ---- entity tags --------------------------------------------------------------------------------

static const struct slice absent = {NULL, 0};

static struct slice sent(const char *text)
{
    return (struct slice){text, strlen(text)};
}

// Whether the condition holds for version 58, for 9, and for a counter that does not exist.
static void check_condition(struct slice if_match, struct slice if_none_match, bool at_58,
                            bool at_9, bool at_none)
{
    struct precondition condition;
    struct problem problem = {0};
    const char *text = if_match.text != NULL ? if_match.text : if_none_match.text;
    ck_assert_msg(entity_tag_read(if_match, if_none_match, &condition, &problem) == RC_OK, "%s: %s",
                  text, problem.detail);
    ck_assert_msg(precondition_holds(&condition, 58) == at_58, "58: %s", text);
    ck_assert_msg(precondition_holds(&condition, 9) == at_9, "9: %s", text);
    ck_assert_msg(precondition_holds(&condition, 0) == at_none, "none: %s", text);
}

START_TEST(entity_tags)
{
    char tag[ENTITY_TAG_MAX + 1];
    entity_tag_write(tag, 58);
    ck_assert_str_eq(tag, "\"v58\"");
    entity_tag_write(tag, INT64_MAX);
    ck_assert_str_eq(tag, "\"v9223372036854775807\"");
    static const char *const of_58[] = {
        "\"v58\"",     " \"v58\"\t", "\"a\",\"v58\"", ",, \"v58\" ,", "\"v1\" , \"v58\",\"v7\"",
        "\"\",\"v58\""};
    for (size_t i = 0; i < ARRAY_LENGTH(of_58); i++) {
        check_condition(sent(of_58[i]), absent, true, false, false);
        check_condition(absent, sent(of_58[i]), false, true, true);
    }
    check_condition(sent("*"), absent, true, true, false);
    check_condition(absent, sent(" * "), false, false, true);
    check_condition(absent, absent, true, true, true);
    // Only a strong comparison tells a weak tag from a strong one.
    check_condition(sent("W/\"v58\""), absent, false, false, false);
    check_condition(absent, sent("W/\"v58\""), false, true, true);
    // Tags that this server has not made.
    static const char *const strange[] = {"\"58\"",
                                          "\"v058\"",
                                          "\"v+58\"",
                                          "\"v58x\"",
                                          "\"v5,8\"",
                                          "\"V58\"",
                                          "\"v\"",
                                          "\"v0\"",
                                          "\"v-58\"",
                                          "\"\xff\"",
                                          "\"v99999999999999999999999999\""};
    for (size_t i = 0; i < ARRAY_LENGTH(strange); i++)
        check_condition(sent(strange[i]), absent, false, false, false);
}
END_TEST

START_TEST(malformed_entity_tags)
{
    static const char *const bad[] = {"",          " ",         ",",           "v58",
                                      "\"v58",     "v58\"",     "'v58'",       "\"v5 8\"",
                                      "w/\"v58\"", "W\"v58\"",  "W/",          "*,*",
                                      "* \"v58\"", "\"v58\" *", "\"a\" \"b\"", "\"a\"\"b\""};
    struct precondition condition = {.n = 7};
    struct problem problem = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        ck_assert_msg(entity_tag_read(sent(bad[i]), absent, &condition, &problem) ==
                          RC_MALFORMED_REQUEST,
                      "%s", bad[i]);
        ck_assert(problem.detail[0] != '\0');
    }
    ck_assert_int_eq(entity_tag_read(sent("*"), sent("*"), &condition, &problem),
                     RC_MALFORMED_REQUEST);
    ck_assert_uint_eq(condition.n, 7);

    char list[6 * (PRECONDITION_VERSIONS_MAX + 1) + 1] = "";
    for (int i = 0; i < PRECONDITION_VERSIONS_MAX; i++)
        memcpy(list + 6 * i, "\"v58\",", 7);
    check_condition(sent(list), absent, true, false, false);
    memcpy(list + 6 * PRECONDITION_VERSIONS_MAX, "\"v58\",", 7);
    ck_assert_int_eq(entity_tag_read(sent(list), absent, &condition, &problem),
                     RC_MALFORMED_REQUEST);
}
END_TEST

#if MHD_VERSION < 0x01000000
// A header section as the parser leaves it; 0 stands for NUL.
static const char *scan(const char *request, size_t length)
{
    char head[256];
    memcpy(head, request, length);
    for (size_t i = 0; i < length; i++)
        head[i] = head[i] == '0' ? '\0' : head[i];
    const char *target = head + 5;
    return raw_head_scan(head, length, target, 2, target + 3);
}
#define SCAN(request) scan(request, sizeof(request) - 1)
#define LINE "POST0/a0HTTP/1.100"

START_TEST(raw_heads)
{
    ck_assert_ptr_null(SCAN(LINE "00"));
    ck_assert_ptr_null(SCAN(LINE "Host0 a0000"));
    ck_assert_ptr_null(SCAN(LINE "Host0 a00X0b0000"));
    ck_assert_ptr_null(SCAN(LINE "X00000"));             // an empty value, then the end
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a0X0b0000")); // bare LF
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a000"));      // bare LF at the end
    ck_assert_ptr_nonnull(SCAN("POST0/a0HTTP/1.10Host0 a0000"));
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a0b0000")); // NUL in a value
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a00000"));  // NUL at a value's end
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a000X0b0000"));
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a00 b0000")); // folded
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a00\tb0000"));
    ck_assert_ptr_nonnull(SCAN(LINE));
    ck_assert_ptr_nonnull(SCAN(LINE "Host0 a"));
}
END_TEST

START_TEST(raw_request_lines)
{
    static const char head[] = "POST\0/a\0HTTP/1.1\0\0\0";
    const size_t length = sizeof head;
    ck_assert_ptr_null(raw_head_scan(head, length, head + 5, 2, head + 8));
    ck_assert_ptr_nonnull(raw_head_scan(head, length, head + 6, 2, head + 9)); // two spaces
    ck_assert_ptr_nonnull(raw_head_scan(head, length, head + 5, 1, head + 8)); // NUL in the target
    ck_assert_ptr_nonnull(raw_head_scan(head, 10, head + 5, 2, head + 8));
    ck_assert_ptr_nonnull(raw_head_scan(head, length, head + 5, 2, "")); // no version
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("strict");
    TCase *tcase = tcase_create("strict");
    tcase_add_test(tcase, methods);
    tcase_add_test(tcase, targets_that_are_fine);
    tcase_add_test(tcase, targets_that_are_not);
    tcase_add_test(tcase, tokens);
    tcase_add_test(tcase, framing_that_is_fine);
    tcase_add_test(tcase, framing_that_is_not);
    tcase_add_test(tcase, codings_and_sizes);
    tcase_add_test(tcase, fields_that_matter);
    tcase_add_test(tcase, entity_tags);
    tcase_add_test(tcase, malformed_entity_tags);
#if MHD_VERSION < 0x01000000
    tcase_add_test(tcase, raw_heads);
    tcase_add_test(tcase, raw_request_lines);
#endif
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
