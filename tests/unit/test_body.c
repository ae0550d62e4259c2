// Tests of http/wire/body.c and problem.c: which bodies are refused, with which result and text.
#include "base/json_write.h"
#include "http/wire/body.h"
#include "http/wire/problem.h"

#include "base/text.h"
#include "domain/operation.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

struct deduct {
    int64_t quantity;
    char sku[ID_MAX + 1];
    char user_id[USER_ID_MAX + 1];
    char title[11];
};

static enum rc decode(const char *bytes, size_t length, struct deduct *ret_deduct,
                      struct problem *problem)
{
    *problem = (struct problem){0};
    const struct field fields[] = {
        {"quantity", FIELD_INT, true, 1, 1000000, &ret_deduct->quantity},
        {"sku", FIELD_ID, false, 0, 0, ret_deduct->sku},
        {"user_id", FIELD_VISIBLE, false, 1, USER_ID_MAX, ret_deduct->user_id},
        {"title", FIELD_TEXT, false, 1, 10, ret_deduct->title},
    };
    return body_decode(bytes, length, fields, ARRAY_LENGTH(fields), problem);
}
#define DECODE(bytes) decode(bytes, sizeof(bytes) - 1, &deduct, &problem)

START_TEST(good_bodies)
{
    struct deduct deduct = {0};
    struct problem problem;
    ck_assert_int_eq(DECODE("{\"quantity\":3,\"sku\":\"u:1\",\"title\":\"K\xc3\xa4se\"}"), RC_OK);
    ck_assert_int_eq(deduct.quantity, 3);
    ck_assert_str_eq(deduct.sku, "u:1");
    ck_assert_str_eq(deduct.title, "K\xc3\xa4se");
    ck_assert_int_eq(DECODE(" \r\n\t{ \"quantity\" : 1000000 } \n"), RC_OK);
    ck_assert_int_eq(DECODE("{\"qu\\u0061ntity\":1}"), RC_OK);
    ck_assert_int_eq(problem.rc, RC_OK);
}
END_TEST

START_TEST(users_and_orders_are_named_as_the_shop_names_them)
{
    struct deduct deduct = {0};
    struct problem problem;
    char longest[USER_ID_MAX + 1], body[256];
    memset(longest, '~', USER_ID_MAX);
    longest[USER_ID_MAX] = '\0';
    const char *const good[] = {"!",       "ann.b+c@shop.example",  "auth0|123", longest,
                                "(a){b}'", "gid://shop/Customer/1", "%00?&=;"};
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        text_format(body, sizeof body, "{\"quantity\":1,\"user_id\":\"%s\"}", good[i]);
        ck_assert_msg(decode(body, strlen(body), &deduct, &problem) == RC_OK, "%s", body);
        ck_assert_str_eq(deduct.user_id, good[i]);
    }
    text_format(body, sizeof body, "{\"quantity\":1,\"user_id\":\"%s~\"}", longest);
    ck_assert_int_eq(decode(body, strlen(body), &deduct, &problem), RC_INVALID_FIELD);
    ck_assert_str_eq(problem.expected, "a string of 1 to 128 visible ASCII characters");
    const char *const bad[] = {"\"\"",         "\"a b\"", "\"\\n\"", "\"\\u007f\"",
                               "\"\xc3\xa4\"", "5",       "null"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        text_format(body, sizeof body, "{\"quantity\":1,\"user_id\":%s}", bad[i]);
        ck_assert_msg(decode(body, strlen(body), &deduct, &problem) == RC_INVALID_FIELD, "%s",
                      body);
        ck_assert_str_eq(problem.field, "user_id");
    }
}
END_TEST

START_TEST(texts_without_control_characters)
{
    struct deduct deduct = {0};
    struct problem problem;
    // C0, DEL, C1, line and paragraph separators
    static const char *const bad[] = {"\\u0001", "\\n",          "\\u001f",    "\x7f",
                                      "\\u0080", "\xc2\x85",     "\\u009b",    "\xc2\x9f",
                                      "\\u2028", "\xe2\x80\xa9", "ab\xc2\x80", "\\u2029z"};
    // their neighbours
    static const char *const good[] = {
        " ",           "~", "\xc2\xa0", "\xc3\x85", "\xe2\x80\xa7", "\xe2\x80\xaa", "\xe2\x82\xa8",
        "\xe3\x80\xa8"};
    char body[64];
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        int length = snprintf(body, sizeof body, "{\"quantity\":1,\"title\":\"%s\"}", bad[i]);
        ck_assert_int_eq(decode(body, (size_t)length, &deduct, &problem), RC_INVALID_FIELD);
        ck_assert_str_eq(problem.field, "title");
    }
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        int length = snprintf(body, sizeof body, "{\"quantity\":1,\"title\":\"%s\"}", good[i]);
        ck_assert_int_eq(decode(body, (size_t)length, &deduct, &problem), RC_OK);
        ck_assert_str_eq(deduct.title, good[i]);
    }
}
END_TEST

START_TEST(not_json)
{
    struct deduct deduct = {0};
    struct problem problem;
    const enum rc bad = RC_MALFORMED_REQUEST;
    ck_assert_int_eq(DECODE(""), bad);
    ck_assert_int_eq(DECODE("quantity=1"), bad);
    ck_assert_int_eq(DECODE("[1]"), bad);
    ck_assert_int_eq(DECODE("1"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1}x"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1}\0"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"quantity\":1}"), bad);
    ck_assert_int_eq(DECODE("\xef\xbb\xbf{\"quantity\":1}"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"user_id\":\"\xff\"}"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"user_id\":\"\\u0000\"}"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"user_id\":\"\\ud800\"}"), bad);
    ck_assert_int_eq(DECODE("{\"quantity\":Infinity}"), bad);
    ck_assert(problem.detail[0] != '\0');
}
END_TEST

START_TEST(nesting)
{
    struct problem problem = {0};
    for (int depth = BODY_DEPTH_MAX; depth <= BODY_DEPTH_MAX + 1; depth++) {
        struct buffer body = {0};
        buffer_append_text(&body, "{\"a\":");
        for (int i = 1; i < depth; i++)
            buffer_append_text(&body, "[");
        for (int i = 1; i < depth; i++)
            buffer_append_text(&body, "]");
        buffer_append_text(&body, "}");
        json_t *object = NULL;
        enum rc rc = body_parse(body.data, body.length, &object, &problem);
        ck_assert_int_eq(rc, depth > BODY_DEPTH_MAX ? RC_MALFORMED_REQUEST : RC_OK);
        json_decref(object);
        buffer_release(&body);
    }
    json_t *object = NULL;
    static const char brackets[] = "{\"a\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\"}";
    ck_assert_int_eq(body_parse(brackets, sizeof brackets - 1, &object, &problem), RC_OK);
    json_decref(object);
}
END_TEST

START_TEST(wrong_values)
{
    struct deduct deduct = {0};
    struct problem problem;
    static const char *const values[] = {"0",
                                         "-1",
                                         "1000001",
                                         "1.0",
                                         "1e2",
                                         "\"1\"",
                                         "true",
                                         "null",
                                         "[1]",
                                         "{}",
                                         "9223372036854775808",
                                         "1e400"};
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        char bytes[64];
        text_format(bytes, sizeof bytes, "{\"quantity\":%s}", values[i]);
        ck_assert_msg(decode(bytes, strlen(bytes), &deduct, &problem) == RC_INVALID_FIELD, "%s",
                      values[i]);
    }
    ck_assert_int_eq(deduct.quantity, 0);
    ck_assert_int_eq(DECODE("{}"), RC_INVALID_FIELD);
    ck_assert_str_eq(problem.field, "quantity");
    ck_assert_str_eq(problem.expected, "an integer from 1 to 1000000");
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"sku\":\"a@b\"}"), RC_INVALID_FIELD);
    ck_assert_str_eq(problem.field, "sku");
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"title\":\"\"}"), RC_INVALID_FIELD);
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"title\":\"12345678901\"}"), RC_INVALID_FIELD);
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"title\":\"a\\nb\"}"), RC_INVALID_FIELD);
}
END_TEST

START_TEST(unknown_fields)
{
    struct deduct deduct = {0};
    struct problem problem;
    ck_assert_int_eq(DECODE("{\"quantity\":1,\"price\":1}"), RC_UNKNOWN_FIELD);
    ck_assert_str_eq(problem.field, "price");
    // A long name is truncated between characters.
    struct buffer bytes CLEANUP(buffer_release) = {0};
    buffer_append_text(&bytes, "{\"quantity\":1,\"x");
    for (int i = 0; i < 100; i++)
        buffer_append_text(&bytes, "\xc3\xa4");
    buffer_append_text(&bytes, "\":1}");
    ck_assert_int_eq(decode(bytes.data, bytes.length, &deduct, &problem), RC_UNKNOWN_FIELD);
    struct buffer out = {0};
    problem_write(&problem, NULL, &out);
    json_t *answer = json_loadb(out.data, out.length, 0, NULL);
    ck_assert_ptr_nonnull(answer);
    ck_assert_str_eq(json_string_value(json_object_get(answer, "type")), "/problems/unknown-field");
    json_decref(answer);
    buffer_release(&out);
}
END_TEST

START_TEST(media_types)
{
    struct problem problem = {0};
    ck_assert_int_eq(body_check_media_type(SLICE("application/json"), &problem), RC_OK);
    ck_assert_int_eq(body_check_media_type(SLICE("Application/JSON ; charset=UTF-8"), &problem),
                     RC_OK);
    ck_assert_int_eq(body_check_media_type(SLICE("application/json;charset=\"utf-8\""), &problem),
                     RC_OK);
    static const struct slice bad[] = {{NULL, 0},
                                       SLICE(""),
                                       SLICE("text/json"),
                                       SLICE("application/jsonp"),
                                       SLICE("application/json; charset=latin-1"),
                                       SLICE("application/json;"),
                                       SLICE("application/json, text/plain"),
                                       SLICE("application/problem+json")};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        ck_assert_int_eq(body_check_media_type(bad[i], &problem), RC_UNSUPPORTED_MEDIA_TYPE);
}
END_TEST

START_TEST(problems_in_words)
{
    struct problem problem = {0};
    struct operation operation = {.outcome = {.remaining = 2, .version = 59}};
    struct buffer out = {0};
    problem_set(&problem, RC_OUT_OF_STOCK, "Only %d left.", 2);
    problem_write(&problem, &operation, &out);
    ck_assert_str_eq(out.data, "{\"type\":\"/problems/out-of-stock\",\"title\":\"Not enough in "
                               "stock\",\"status\":409,\"detail\":\"Only 2 left.\",\"remaining\":2,"
                               "\"version\":59}");
    buffer_clear(&out);
    problem_field(&problem, RC_INVALID_FIELD, "quantity", "an integer from %d to %d", 1, 9);
    problem_write(&problem, &operation, &out);
    json_t *answer = json_loadb(out.data, out.length, 0, NULL);
    ck_assert_ptr_nonnull(answer);
    ck_assert_str_eq(json_string_value(json_object_get(answer, "field")), "quantity");
    ck_assert_str_eq(json_string_value(json_object_get(answer, "expected")),
                     "an integer from 1 to 9");
    ck_assert_ptr_null(json_object_get(answer, "remaining"));
    json_decref(answer);
    buffer_release(&out);
}
END_TEST

START_TEST(written_json)
{
    struct buffer out = {0};
    json_write_open(&out, NULL, '{');
    json_write_text(&out, "text", "a\"b\\c\x01 \xc3\xa4");
    json_write_open(&out, "list", '[');
    json_write_int(&out, NULL, INT64_MIN);
    json_write_null(&out, NULL);
    json_write_open(&out, NULL, '{');
    json_write_close(&out, '}');
    json_write_bool(&out, NULL, true);
    json_write_close(&out, ']');
    json_write_text_or_null(&out, "none", "");
    json_write_close(&out, '}');
    ck_assert_str_eq(out.data, "{\"text\":\"a\\\"b\\\\c\\u0001 \xc3\xa4\",\"list\":["
                               "-9223372036854775808,null,{},true],\"none\":null}");
    buffer_release(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("body");
    TCase *tcase = tcase_create("body");
    tcase_add_test(tcase, good_bodies);
    tcase_add_test(tcase, users_and_orders_are_named_as_the_shop_names_them);
    tcase_add_test(tcase, texts_without_control_characters);
    tcase_add_test(tcase, not_json);
    tcase_add_test(tcase, nesting);
    tcase_add_test(tcase, wrong_values);
    tcase_add_test(tcase, unknown_fields);
    tcase_add_test(tcase, media_types);
    tcase_add_test(tcase, problems_in_words);
    tcase_add_test(tcase, written_json);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
