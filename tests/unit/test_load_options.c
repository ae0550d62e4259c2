// Tests the command line of a load run: values, defaults that depend on each other, and that a bad
// command line is rejected with a remedy.
#include "base/clock.h"
#include "base/text.h"
#include "run/options.h"
#include "run/scenario.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX 24

static enum options_result parse_words(const char *words, struct plan *plan, char *error)
{
    // The plan borrows from the arguments: they live as long as the test program.
    static char text[8][1024];
    static size_t next;
    char *line = text[next++ % ARRAY_LENGTH(text)];
    char *argv[ARGUMENTS_MAX + 1] = {"run"}, *rest = line;
    int argc = 1;
    ck_assert(text_copy(line, sizeof text[0], words));
    for (char *word; argc < ARGUMENTS_MAX && (word = strtok_r(rest, " ", &rest)) != NULL;)
        argv[argc++] = word;
    return options_parse(argc, argv, plan, error);
}

static struct plan parse(const char *words)
{
    struct plan plan = {0};
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(parse_words(words, &plan, error) == OPTIONS_RUN, "%s: %s", words, error);
    return plan;
}

START_TEST(a_run_needs_no_flags)
{
    struct plan plan = parse("");
    ck_assert_uint_eq(plan.n_targets, 1);
    ck_assert_str_eq(plan.targets[0].url, "http://127.0.0.1:8080");
    ck_assert_str_eq(plan.targets[0].authority, "127.0.0.1:8080");
    ck_assert_str_eq(scenario_kind_name(plan.scenario), "deduct");
    ck_assert(plan.set_up && plan.check && !plan.quiet && !plan.allow_foreign);
    ck_assert_int_eq(plan.arrival, ARRIVAL_CLOSED);
    ck_assert_int_eq(plan.connections, 64);
    ck_assert_int_eq(plan.requests, 0);
    ck_assert_int_eq(plan.duration_ns, 10 * NS_PER_S);
    ck_assert_int_eq(plan.stock, 1000000);
    ck_assert_int_eq(plan.skus, 1);
    ck_assert_int_eq(plan.quantity, 1);
    ck_assert_int_eq(plan.users, 1000);
    ck_assert_int_eq(plan.threads, 1);
    ck_assert_int_eq(plan.timeout_ns, 5 * NS_PER_S);
    ck_assert_uint_eq(strlen(plan.run), 6);
    ck_assert_uint_eq(strspn(plan.run, "abcdefghijklmnopqrstuvwxyz0123456789"), 6);
    struct plan other = parse("");
    ck_assert_str_ne(plan.run, other.run);
    ck_assert_uint_ne(plan.seed, other.seed);
}
END_TEST

START_TEST(defaults_depend_on_scenario_and_arrival)
{
    struct plan plan = parse("--arrival latch");
    ck_assert_int_eq(plan.requests, 1000);
    ck_assert_int_eq(plan.connections, 1000);
    ck_assert_int_eq(plan.duration_ns, 0);
    ck_assert_int_eq(plan.stock, 500);
    plan = parse("--arrival latch --requests 5000");
    ck_assert_int_eq(plan.connections, 1000);
    plan = parse("--arrival latch --requests 200 --quantity 3 --skus 4");
    ck_assert_int_eq(plan.connections, 200);
    ck_assert_int_eq(plan.stock, 75);
    plan = parse("--arrival latch --connections 3000");
    ck_assert_int_eq(plan.requests, 3000);
    plan = parse("--requests 1 --skus 5");
    ck_assert_int_eq(plan.stock, 1);
    ck_assert_int_eq(plan.connections, 1);
    plan = parse("--scenario coupon --users 70");
    ck_assert_int_eq(plan.requests, 210);
    ck_assert_int_eq(plan.total, 35);
    ck_assert_int_eq(plan.duration_ns, 0);
    plan = parse("--scenario draw --users 70");
    ck_assert_int_eq(plan.requests, 70);
    plan = parse("--scenario draw --users 70 --tries 5 --duration 1s");
    ck_assert_int_eq(plan.requests, 350);
    ck_assert_int_eq(plan.duration_ns, NS_PER_S);
    plan = parse("--scenario coupon --duration 2s");
    ck_assert_int_eq(plan.requests, 0);
    plan = parse("--scenario mixed --requests 1000");
    ck_assert_int_eq(plan.stock, 250); // half of the deductions' 40 % and the reservations' 10 %
    ck_assert_int_eq(plan.mix[KIND_DEDUCT], 40);
    ck_assert_int_eq(plan.mix[KIND_TRANSFER], 5);
    plan = parse("--scenario checkout");
    ck_assert_double_eq(plan.cancel, 0.12);
    ck_assert_double_eq(plan.refund, 0.28);
    ck_assert_double_lt(plan.leave, 0); // by the weights of --then
    plan = parse("--scenario points --quantity 7");
    ck_assert_int_eq(plan.accounts, 20);
    ck_assert_int_eq(plan.balance, 70);
    ck_assert_int_eq(plan.mix[KIND_TRANSFER], 40);
    ck_assert_int_eq(plan.mix[KIND_DEDUCT], 0);
    plan = parse("--scenario points --quantity 1000000");
    ck_assert_int_eq(plan.balance, 1000000);
    plan = parse("--scenario coupon --rate 5..10");
    ck_assert_int_eq(plan.requests, 0); // a ramp has a duration
    ck_assert_int_eq(plan.duration_ns, 10 * NS_PER_S);
}
END_TEST

START_TEST(values_are_read)
{
    struct plan plan =
        parse("http://a:1 --scenario=mixed --mix deduct=1,draw=3 --skus 10 --stock 7 --zipf 1.5 "
              "--resource R --prizes a:2:3,b:0:0 --blank 5 --per-user 2 --total 9 http://b/shop/");
    ck_assert_uint_eq(plan.n_targets, 2);
    ck_assert_str_eq(plan.targets[1].prefix, "/shop");
    ck_assert_int_eq(plan.mix[KIND_DEDUCT], 1);
    ck_assert_int_eq(plan.mix[KIND_DRAW], 3);
    ck_assert_int_eq(plan.mix[KIND_READ] + plan.mix[KIND_ISSUE] + plan.mix[KIND_OTHER], 0);
    ck_assert_int_eq(plan.spread, SPREAD_ZIPF);
    ck_assert_double_eq(plan.zipf_exponent, 1.5);
    ck_assert_uint_eq(plan.n_prizes, 2);
    ck_assert_str_eq(plan.prizes[1].name, "b");
    ck_assert_int_eq(plan.prizes[0].quantity, 2);
    ck_assert_int_eq(plan.prizes[0].weight, 3);
    ck_assert_int_eq(plan.blank_weight, 5);
    ck_assert_int_eq(plan.per_user_limit, 2);
    ck_assert_int_eq(plan.total, 9);
    ck_assert_str_eq(plan.resource, "R");
    plan =
        parse("--rate 2.5 --duration 1.5m --spacing even --duplicate 5% --retry 3 --timeout 250ms"
              " --threads 2 --seed 7 --run x1 --quiet --no-check --strategy mutex");
    ck_assert_int_eq(plan.arrival, ARRIVAL_OPEN);
    ck_assert_double_eq(plan.rate, 2.5);
    ck_assert_double_eq(plan.rate_to, 2.5);
    ck_assert(!plan.poisson && plan.quiet && !plan.check);
    ck_assert_int_eq(plan.duration_ns, 90 * NS_PER_S);
    ck_assert_double_eq_tol(plan.duplicate, 0.05, 1e-12);
    ck_assert_int_eq(plan.retries, 3);
    ck_assert_int_eq(plan.timeout_ns, 250 * NS_PER_MS);
    ck_assert_int_eq(plan.threads, 2);
    ck_assert_uint_eq(plan.seed, 7);
    ck_assert_str_eq(plan.run, "x1");
    ck_assert_str_eq(plan.strategy, "mutex");
    plan = parse("--rate 10..2000.5 --require p99<20ms --require violations==0");
    ck_assert_int_eq(plan.arrival, ARRIVAL_RAMP);
    ck_assert_double_eq(plan.rate, 10);
    ck_assert_double_eq(plan.rate_to, 2000.5);
    ck_assert_uint_eq(plan.n_requirements, 2);
    plan = parse("--template order.http --think 0 --duplicate 0.5");
    ck_assert_str_eq(scenario_kind_name(plan.scenario), "template");
    ck_assert(!plan.check);
    plan = parse("--scenario checkout --cancel 1% --refund 0.5 --leave 0 --partial 1 --code 30% "
                 "--uses 7 --then confirm=1,return=2");
    ck_assert_double_eq_tol(plan.cancel, 0.01, 1e-12);
    ck_assert_double_eq(plan.refund, 0.5);
    ck_assert_double_eq(plan.leave, 0);
    ck_assert_double_eq(plan.partial, 1);
    ck_assert_double_eq_tol(plan.code, 0.3, 1e-12);
    ck_assert_int_eq(plan.code_uses, 7);
    plan = parse("http://a http://b --route resource");
    ck_assert(plan.routed);
    ck_assert(!parse("http://a http://b --route any").routed);
    ck_assert_int_eq(parse("--keys uuid4 --no-check").keys, KEYS_UUID4);
    ck_assert_int_eq(parse("--keys uuid7 --no-check").keys, KEYS_UUID7);
    ck_assert_int_eq(parse("--keys run").keys, KEYS_RUN);
    plan = parse("--resource R --no-setup --allow-foreign");
    ck_assert(!plan.set_up && plan.allow_foreign);
}
END_TEST

START_TEST(targets_are_parsed)
{
    static const struct {
        const char *url, *host, *authority, *prefix;
        int port;
    } good[] = {
        {"http://shop", "shop", "shop", "", 80},
        {"HTTP://shop.example:80/", "shop.example", "shop.example", "", 80},
        {"http://127.0.0.1:8080/a/b//", "127.0.0.1", "127.0.0.1:8080", "/a/b", 8080},
        {"http://[::1]:8080", "::1", "[::1]:8080", "", 8080},
        {"http://[2001:db8::7]/x", "2001:db8::7", "[2001:db8::7]", "/x", 80},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct plan plan = parse(good[i].url);
        ck_assert_str_eq(plan.targets[0].host, good[i].host);
        ck_assert_str_eq(plan.targets[0].authority, good[i].authority);
        ck_assert_str_eq(plan.targets[0].prefix, good[i].prefix);
        ck_assert_int_eq(plan.targets[0].port, good[i].port);
    }
}
END_TEST

START_TEST(tokens_may_come_from_the_environment)
{
    ck_assert_int_eq(setenv("HOLDFAST_AUTH_ADMIN_TOKEN", "secret", 1), 0);
    ck_assert_int_eq(setenv("HOLDFAST_AUTH_CLIENT_TOKEN", "", 1), 0);
    struct plan plan = parse("");
    ck_assert_str_eq(plan.admin_token, "secret");
    ck_assert_ptr_null(plan.client_token);
    plan = parse("--admin-token other");
    ck_assert_str_eq(plan.admin_token, "other");
    char error[HISTORY_ERROR_MAX];
    ck_assert_int_eq(setenv("HOLDFAST_AUTH_CLIENT_TOKEN", "two lines\r\nX: y", 1), 0);
    ck_assert_int_eq(parse_words("", &plan, error), OPTIONS_WRONG);
    ck_assert_ptr_nonnull(strstr(error, "HOLDFAST_AUTH_CLIENT_TOKEN"));
    ck_assert_ptr_null(strstr(error, "two lines"));
    ck_assert_int_eq(unsetenv("HOLDFAST_AUTH_ADMIN_TOKEN"), 0);
    ck_assert_int_eq(unsetenv("HOLDFAST_AUTH_CLIENT_TOKEN"), 0);
}
END_TEST

// Each message names the flag and the remedy.
START_TEST(a_bad_command_line_is_rejected_with_a_remedy)
{
    static const struct {
        const char *words, *flag, *remedy;
    } bad[] = {
        {"--histroy x", "--histroy", "did you mean --history?"},
        {"--connection 5", "--connection", "did you mean --connections?"},
        {"--frobnicate", "--frobnicate", "--help"},
        {"-q", "-q", "--help"},
        {"--users", "--users", "needs a value: --users M"},
        {"--users --quiet", "--users", "needs a value"},
        {"--quiet=yes", "--quiet", "takes no value"},
        {"--users 5 --users 6", "--users", "given twice"},
        {"--users 0", "--users: '0'", "from 1 to 1000000000"},
        {"--users 1e3", "--users: '1e3'", "whole number"},
        {"--connections 100001", "--connections", "from 1 to 100000"},
        {"--skus 100001", "--skus", "from 1 to 100000"},
        {"--threads 65", "--threads", "from 1 to 64"},
        {"--duration 10", "--duration: '10'", "with its unit (ms, s, m or h)"},
        {"--duration 0", "--duration", "from 1ms"},
        {"--duration 10days", "--duration", "unit"},
        {"--timeout 2h", "--timeout", "to 1h"},
        {"--rate 0", "--rate", "such as 500"},
        {"--rate nan", "--rate", "such as 500"},
        {"--rate 1e999", "--rate", "such as 500"},
        {"--rate 0x10", "--rate", "such as 500"},
        {"--rate 1..2..3", "--rate", "100..2000"},
        {"--rate 100000000", "--rate", "10000000"},
        {"--duplicate 2", "--duplicate: '2'", "such as 5%"},
        {"--duplicate 101%", "--duplicate", "0 to 1"},
        {"--skus 9 --zipf 11", "--zipf", "0 to 10"},
        {"--scenario shopping", "--scenario: 'shopping'",
         "one of deduct, coupon, draw, points, reserve, checkout, mixed, template"},
        {"--arrival burst", "--arrival", "one of latch, closed, open, ramp"},
        {"--spread hot", "--spread", "even or zipf"},
        {"--spacing odd --rate 5", "--spacing", "poisson or even"},
        {"--resource a/b", "--resource: 'a/b'", "A-Z a-z 0-9"},
        {"--run a-very-long-name-here", "--run", "1 to 16"},
        {"--strategy x\ty", "--strategy", "A-Z a-z 0-9"},
        {"--scenario draw --prizes gold", "--prizes: 'gold'", "NAME:QUANTITY:WEIGHT"},
        {"--scenario draw --prizes ,gold:1:1", "--prizes: ''", "NAME:QUANTITY:WEIGHT"},
        {"--scenario draw --prizes a:1:1,a:2:2", "--prizes: 'a:2:2'", "a different name"},
        {"--scenario draw --prizes a:1000001:1", "--prizes", "NAME:QUANTITY:WEIGHT"},
        {"--scenario draw --prizes=", "--prizes", "such as gold:1:1"},
        {"--scenario mixed --mix buy=1", "--mix: 'buy=1'",
         "deduct, issue, draw, earn, spend, transfer, reserve, order, redeem, read"},
        {"--scenario mixed --mix read=1,read=2", "--mix: 'read=2'", "once"},
        {"--scenario mixed --mix read=0", "--mix", "all 0"},
        {"--scenario points --mix earn=1,deduct=1", "--mix: scenario points has no deduct",
         "--scenario mixed"},
        {"--json=", "--json", "a file path"},
        {"--require p42<1", "--require", "p99"},
        // Contradictions.
        {"--rate 5 --arrival closed", "--rate", "say --arrival open"},
        {"--rate 5 --arrival latch", "--rate", "leave out one of them"},
        {"--rate 5..9 --arrival open", "--rate", "say --arrival ramp"},
        {"--rate 5 --arrival ramp", "--arrival ramp", "--rate 100..2000"},
        {"--arrival open", "--arrival open", "--rate 500"},
        {"--arrival ramp", "--arrival ramp", "--rate 100..2000"},
        {"--spacing even", "--spacing", "give --rate"},
        {"--think 1s --rate 5", "--think", "--arrival closed"},
        {"--tries 3", "--tries", "--scenario: coupon, draw"},
        {"--tries 3 --scenario coupon --requests 5", "--tries", "--requests: leave out"},
        {"--total 3", "--total", "--scenario: coupon, mixed"},
        {"--stock 3 --scenario coupon", "--stock", "--scenario: deduct, reserve, checkout, mixed"},
        {"--quantity 3 --scenario draw", "--quantity",
         "deduct, points, reserve, checkout, mixed, template"},
        {"--mix read=1", "--mix", "--scenario: points, reserve, checkout, mixed"},
        {"--accounts 3", "--accounts", "--scenario: points, checkout, mixed"},
        {"--scenario mixed --accounts 1", "--accounts 1", "--mix without transfer"},
        {"--scenario points --accounts 1", "--accounts 1", "--mix without transfer"},
        {"--scenario points --no-setup --resource x --balance 3", "--balance", "--no-setup"},
        {"--template x --scenario deduct", "--template", "--scenario: template"},
        {"--template x --no-setup", "--no-setup", "leave it out"},
        {"--scenario template", "--template FILE", "needs the request"},
        {"--no-setup", "--no-setup", "--resource NAME"},
        {"--no-setup --skus 3", "--no-setup", "--resource NAME"},
        {"--no-setup --resource x --stock 3", "--stock", "leave out one of them"},
        {"--no-setup --resource x --scenario coupon --total 3", "--total", "--no-setup"},
        {"--scenario checkout --cancel 0.5 --refund 0.6", "--cancel and --refund", "at most 1"},
        {"--scenario checkout --cancel 101%", "--cancel", "0 to 1"},
        {"--scenario reserve --cancel 0.1", "--cancel", "--scenario: checkout, mixed"},
        {"--scenario reserve --code 0.1", "--code", "--scenario: checkout"},
        {"--scenario checkout --no-setup --resource x --uses 3", "--uses", "--no-setup"},
        {"--scenario reserve --leave 0.1 --then confirm=1,leave=1", "--leave", "leave out one"},
        {"--partial 0.5", "--partial", "--scenario: reserve, checkout, mixed"},
        {"--zipf 1 --spread even --skus 9", "--zipf", "leave out one of them"},
        {"--spread zipf", "Zipf", "--skus 1000"},
        {"--scenario points --mix earn=1 --accounts 1 --zipf 1", "Zipf", "--accounts 1000"},
        {"--skus 10000 --resource aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff",
         "--resource", "shorter"},
        {"--arrival latch --requests 10 --connections 11", "--connections 11", "with --requests"},
        {"--arrival latch --scenario coupon --users 5 --connections 16", "--connections 16",
         "15 requests"},
        {"--threads 8 --connections 4", "--threads 8", "more with --connections"},
        {"--require violations==0 --no-check", "--require violations", "--no-check"},
        {"--require violations==0 --template x", "--require violations", "--scenario"},
        {"--allow-foreign --no-check", "--allow-foreign", "--no-check"},
        {"http://a http://b --route sku", "--route: 'sku'", "any or resource"},
        {"--route resource", "--route", "one URL"},
        {"--keys uuid7", "--keys", "add --no-check"},
        {"--keys uuid4 --no-check --history x", "--history", "leave out one"},
        {"--keys uuid1", "--keys: 'uuid1'", "run, uuid4 or uuid7"},
        {"http://a http://b --route resource --arrival latch", "--route resource", "latch"},
        {"--json x --html x", "--json and --html", "give each its own"},
        // Targets.
        {"127.0.0.1:8080", "'127.0.0.1:8080'", "begins with http://"},
        {"https://shop", "'https://shop'", "plain port"},
        {"http://", "'http://'", "no host"},
        {"http://:80", "no host", "HOST"},
        {"http://shop:0", "port", "1 to 65535"},
        {"http://shop:65536", "port", "1 to 65535"},
        {"http://shop:", "port", "1 to 65535"},
        {"http://::1:80", "no host", "IPv6 HOST in [ ]"},
        {"http://[::g]", "IPv6", "[::1]"},
        {"http://[::1", "host", "[ ]"},
        {"http://[::1]x", "address", "port and a path"},
        {"http://me:pw@shop", "user or password", "--client-token"},
        {"http://shop/a?b=c", "prefix", "query"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct plan plan;
        char error[HISTORY_ERROR_MAX] = "";
        ck_assert_msg(parse_words(bad[i].words, &plan, error) == OPTIONS_WRONG, "accepted: %s",
                      bad[i].words);
        ck_assert_msg(strstr(error, bad[i].flag) && strstr(error, bad[i].remedy), "%s gave: %s",
                      bad[i].words, error);
    }
}
END_TEST

START_TEST(help_lists_everything)
{
    struct plan plan;
    char error[HISTORY_ERROR_MAX];
    ck_assert_int_eq(parse_words("--users 5 --help --frobnicate", &plan, error), OPTIONS_HELP);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    options_help(out);
    (void)fclose(out);
    static const char *const words[] = {"--allow-foreign", "--zipf S", "  mixed ",
                                        "  latch ",        "Results",  "p99.9"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        ck_assert_msg(strstr(text, words[i]), "no %s in\n%s", words[i], text);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        ck_assert_msg(strcspn(line, "\n") <= 100, "too wide: %.100s", line);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load options");
    TCase *tests = tcase_create("load options");
    tcase_add_test(tests, a_run_needs_no_flags);
    tcase_add_test(tests, defaults_depend_on_scenario_and_arrival);
    tcase_add_test(tests, values_are_read);
    tcase_add_test(tests, targets_are_parsed);
    tcase_add_test(tests, tokens_may_come_from_the_environment);
    tcase_add_test(tests, a_bad_command_line_is_rejected_with_a_remedy);
    tcase_add_test(tests, help_lists_everything);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
