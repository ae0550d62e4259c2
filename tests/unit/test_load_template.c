// Tests request templates: a request is rendered byte for byte, and a text that is no request, or
// that servers could parse in two ways, is rejected with its line number.
#include "run/template.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const struct template_values some_values = {
    .resource = "SKU-1", .key = "k3x9-17", .user = "u42", .quantity = 3, .n = 17, .seed = 5};

static struct template *compile(const char *text, const char *prefix, const char *fields)
{
    struct template *template = NULL;
    char error[HISTORY_ERROR_MAX] = "";
    bool compiled = template_compile(text, "shop:8080", prefix, fields, &template, error);
    ck_assert_msg(compiled, "%s: %s", text, error);
    return template;
}

static void check_rendered(const char *text, const char *prefix, const char *fields,
                           const char *expected)
{
    struct template *template = compile(text, prefix, fields);
    struct buffer out = {0};
    template_render(template, &some_values, &out);
    ck_assert_str_eq(out.data, expected);
    buffer_release(&out);
    template_free(template);
}

START_TEST(a_template_is_rendered_byte_for_byte)
{
    check_rendered("POST /v1/stock/{{resource}}/deduct\n"
                   "Content-Type: application/json\n"
                   "Idempotency-Key: {{key}}\n"
                   "\n"
                   "{\"quantity\":{{quantity}},\"user_id\":\"{{user}}\"}\n",
                   "/shop", "X-Holdfast-Strategy: mutex\r\n",
                   "POST /shop/v1/stock/SKU-1/deduct HTTP/1.1\r\n"
                   "Host: shop:8080\r\n"
                   "Content-Type: application/json\r\n"
                   "Idempotency-Key: k3x9-17\r\n"
                   "X-Holdfast-Strategy: mutex\r\n"
                   "Content-Length: 30\r\n"
                   "\r\n"
                   "{\"quantity\":3,\"user_id\":\"u42\"}");
}
END_TEST

START_TEST(only_a_body_has_a_length)
{
    check_rendered("GET /stock/{{resource}}?n={{n}}", "", "",
                   "GET /stock/SKU-1?n=17 HTTP/1.1\r\nHost: shop:8080\r\n\r\n");
    check_rendered("DELETE /x\n\n", "", "", "DELETE /x HTTP/1.1\r\nHost: shop:8080\r\n\r\n");
    check_rendered("POST /x\n", "", "",
                   "POST /x HTTP/1.1\r\nHost: shop:8080\r\nContent-Length: 0\r\n\r\n");
    check_rendered("GET /x\n\nbody", "", "",
                   "GET /x HTTP/1.1\r\nHost: shop:8080\r\nContent-Length: 4\r\n\r\nbody");
}
END_TEST

START_TEST(lines_may_end_with_crlf_and_bodies_keep_theirs)
{
    check_rendered(
        "PUT /x HTTP/1.1\r\nA: b\r\n\r\n{\r\n }\r\n", "", "",
        "PUT /x HTTP/1.1\r\nHost: shop:8080\r\nA: b\r\nContent-Length: 5\r\n\r\n{\r\n }");
    check_rendered("PUT /x\n\n\n\n", "", "",
                   "PUT /x HTTP/1.1\r\nHost: shop:8080\r\nContent-Length: 1\r\n\r\n\n");
    check_rendered(
        "PUT /x\n\n{{n}}{{key}}{{resource}}", "", "",
        "PUT /x HTTP/1.1\r\nHost: shop:8080\r\nContent-Length: 14\r\n\r\n17k3x9-17SKU-1");
}
END_TEST

// Content-Length must match the body, and a retry must render the same bytes as the first request.
START_TEST(random_values_are_functions_of_the_operation)
{
    struct template *template = compile("POST /x\n\n{{random 1000}} {{random 1000}}", "", "");
    struct buffer out = {0}, again = {0};
    int differ = 0;
    long long sum = 0;
    for (int64_t n = 0; n < 1000; n++) {
        struct template_values values = some_values;
        long long length, first, second;
        values.n = n;
        buffer_clear(&out);
        buffer_clear(&again);
        template_render(template, &values, &out);
        template_render(template, &values, &again);
        ck_assert_str_eq(out.data, again.data);
        const char *body = strstr(out.data, "\r\n\r\n") + 4;
        ck_assert_int_eq(sscanf(strstr(out.data, "Length:"), "Length: %lld", &length), 1);
        ck_assert_int_eq(length, (long long)strlen(body));
        ck_assert_int_eq(sscanf(body, "%lld %lld", &first, &second), 2);
        ck_assert(first >= 0 && first < 1000 && second >= 0 && second < 1000);
        differ += first != second;
        sum += first;
    }
    ck_assert_int_gt(differ, 950);
    ck_assert(sum > 450 * 1000 && sum < 550 * 1000);
    struct template_values other_seed = some_values;
    other_seed.seed++;
    buffer_clear(&out);
    buffer_clear(&again);
    template_render(template, &some_values, &out);
    template_render(template, &other_seed, &again);
    ck_assert_str_ne(out.data, again.data);
    buffer_release(&out);
    buffer_release(&again);
    template_free(template);
}
END_TEST

START_TEST(a_bad_template_is_rejected_with_its_line)
{
    static const struct {
        const char *text, *line, *word;
    } bad[] = {
        {"", "line 1:", "request line"},
        {"\nGET /\n", "line 1:", "request line"},
        {"get /x", "line 1:", "request line"},
        {"GET", "line 1:", "request line"},
        {"GET x", "line 1:", "begin with /"},
        {"GET {{resource}}", "line 1:", "begin with /"},
        {"GET http://shop/x", "line 1:", "begin with /"},
        {"HEAD /x", "line 1:", "use GET"},
        {"GET /a b", "line 1:", "%20"},
        {"GET /x HTTP/1.0", "line 1:", "HTTP/1.1"},
        {"GET /x#y", "line 1:", "%23"},
        {"GET /x\rHost: y", "line 1:", "carriage return"},
        {"GET /x\nA: \x01", "line 2:", "0x01"},
        {"GET /x\nHost: shop", "line 2:", "leave out Host: the load tester adds it"},
        {"GET /x\nA: b\ncontent-length: 3\n\nabc",
         "line 3:", "leave out Content-Length: the load tester adds it"},
        {"POST /x\nTransfer-Encoding: chunked", "line 2:", "leave out Transfer-Encoding"},
        {"POST /x\nExpect: 100-continue", "line 2:", "leave out Expect"},
        {"POST /x\nauthorization: Bearer x", "line 2:", "leave out authorization"},
        {"POST /x\n{\"a\":1}", "line 2:", "empty line before the body"},
        {"POST /x\nA b: c", "line 2:", "expected a field"},
        {"POST /x\n A: folded", "line 2:", "expected a field"},
        {"GET /{{sku}}", "line 1:", "{{sku}} is not a placeholder; use {{resource}}"},
        {"GET /{{random}}", "line 1:", "{{random N}}"},
        {"GET /{{random 0}}", "line 1:", "{{random N}}"},
        {"GET /{{random x}}", "line 1:", "{{random N}}"},
        {"GET /{{key", "line 1:", "no closing }}"},
        {"POST /x\n\n{\n\n\"a\": {{b}}}", "line 5:", "{{b}} is not a placeholder"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct template *template = NULL;
        char error[HISTORY_ERROR_MAX] = "";
        ck_assert_msg(!template_compile(bad[i].text, "a", "", "X: y\r\nAuthorization: Bearer t\r\n",
                                        &template, error),
                      "accepted: %s", bad[i].text);
        ck_assert_ptr_null(template);
        ck_assert_msg(strstr(error, bad[i].line) == error && strstr(error, bad[i].word),
                      "%s gave: %s", bad[i].text, error);
    }
}
END_TEST

START_TEST(too_many_placeholders_are_rejected)
{
    struct buffer text = {0};
    struct template *template = NULL;
    char error[HISTORY_ERROR_MAX] = "";
    buffer_append_text(&text, "POST /x\n\n");
    for (int i = 0; i < 600; i++)
        buffer_append_text(&text, "{{n}},");
    ck_assert(!template_compile(text.data, "a", "", "", &template, error));
    ck_assert_ptr_nonnull(strstr(error, "placeholders"));
    buffer_release(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load template");
    TCase *tests = tcase_create("load template");
    tcase_add_test(tests, a_template_is_rendered_byte_for_byte);
    tcase_add_test(tests, only_a_body_has_a_length);
    tcase_add_test(tests, lines_may_end_with_crlf_and_bodies_keep_theirs);
    tcase_add_test(tests, random_values_are_functions_of_the_operation);
    tcase_add_test(tests, a_bad_template_is_rejected_with_its_line);
    tcase_add_test(tests, too_many_placeholders_are_rejected);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
