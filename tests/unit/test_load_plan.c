// Tests what a load run does: the n-th operation is repeatable and follows its distribution,
// resources are created and their state is recorded, and starts follow the rate.
#include "base/clock.h"
#include "base/text.h"
#include "control/http.h"
#include "run/arrival.h"
#include "run/cart.h"
#include "run/follow.h"
#include "run/keys.h"
#include "run/options.h"
#include "run/scenario.h"
#include "run/setup.h"
#include "run/template.h"

#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

// The plan of a command line.
static struct plan parse(const char *words)
{
    // The plan borrows from the arguments: they live as long as the test program.
    static char text[8][1024];
    static size_t next;
    struct plan plan = {0};
    char error[HISTORY_ERROR_MAX] = "";
    char *line = text[next++ % ARRAY_LENGTH(text)];
    char *argv[ARGUMENTS_MAX + 1] = {"run"}, *rest = line;
    int argc = 1;
    ck_assert(text_copy(line, sizeof text[0], words));
    for (char *word; argc < ARGUMENTS_MAX && (word = strtok_r(rest, " ", &rest)) != NULL;)
        argv[argc++] = word;
    ck_assert_msg(options_parse(argc, argv, &plan, error) == OPTIONS_RUN, "%s: %s", words, error);
    return plan;
}

// ---- scenarios

static struct scenario *new_scenario(const struct plan *plan)
{
    struct scenario *scenario = NULL;
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(scenario_new(plan, &scenario, error), "%s", error);
    return scenario;
}

START_TEST(an_operation_is_repeatable)
{
    static const char *const commands[] = {"--scenario mixed --skus 50", "--scenario points"};
    char words[2][128];
    text_format(words[0], sizeof words[0], "%s --zipf 1 --seed 9 --run r --requests 100",
                commands[_i]);
    text_format(words[1], sizeof words[1],
                "%s --zipf 1 --seed 10 --run r --requests 100 --threads 3", commands[_i]);
    struct plan plan = parse(words[0]), other_plan = parse(words[1]);
    struct scenario *scenario = new_scenario(&plan), *other = new_scenario(&other_plan);
    struct task first[500], task;
    int differ = 0;
    for (int64_t n = 0; n < 500; n++)
        scenario_task(scenario, n, &first[n]);
    for (int64_t n = 499; n >= 0; n--) {
        scenario_task(scenario, n, &task);
        ck_assert_int_eq(task.kind, first[n].kind);
        ck_assert_uint_eq(task.counter, first[n].counter);
        ck_assert_str_eq(task.resource, first[n].resource);
        ck_assert_int_eq(task.user, first[n].user);
        ck_assert_int_eq(task.quantity, first[n].quantity);
        ck_assert_uint_eq(task.n_more, first[n].n_more);
        ck_assert_uint_eq(task.more[0].counter, first[n].more[0].counter);
        scenario_task(other, n, &task);
        differ += task.counter != first[n].counter;
    }
    ck_assert_int_gt(differ, 100);
    scenario_free(scenario);
    scenario_free(other);
}
END_TEST

START_TEST(keys_are_of_their_kind)
{
    char key[KEY_MAX + 1], other[KEY_MAX + 1], user[KEY_MAX + 1];
    struct plan plan = parse("--run r1 --seed 5");
    key_write(&plan, 1234567890123456789, 0, key);
    ck_assert_str_eq(key, "r1-1234567890123456789");
    user_write(0, user);
    ck_assert_str_eq(user, "u0");
    plan.keys = KEYS_UUID4;
    key_write(&plan, 7, 0, key);
    ck_assert_uint_eq(strlen(key), KEY_MAX);
    ck_assert_uint_eq(strspn(key, "0123456789abcdef-"), KEY_MAX);
    ck_assert(key[8] == '-' && key[13] == '-' && key[18] == '-' && key[23] == '-');
    ck_assert_int_eq(key[14], '4');
    ck_assert_ptr_nonnull(strchr("89ab", key[19]));
    key_write(&plan, 8, 0, other);
    ck_assert_str_ne(key, other);
    key_write(&plan, 7, 99, other);
    ck_assert_str_eq(key, other);
    (void)text_copy(plan.run, sizeof plan.run, "r2");
    key_write(&plan, 7, 0, other);
    ck_assert_str_ne(key, other);
}
END_TEST

// The example of RFC 9562, appendix A.6, has this time.
START_TEST(a_uuid7_begins_with_its_time)
{
    char key[KEY_MAX + 1], later[KEY_MAX + 1];
    struct plan plan = parse("--run r1 --seed 5 --keys uuid7 --no-check");
    for (int64_t n = 0; n < 1000; n++) {
        key_write(&plan, n, INT64_C(0x017f22e279b0), key);
        ck_assert_msg(strncmp(key, "017f22e2-79b0-7", 15) == 0, "%s", key);
        ck_assert_ptr_nonnull(strchr("89ab", key[19]));
        key_write(&plan, n / 2, INT64_C(0x017f22e279b1), later);
        ck_assert_int_lt(strcmp(key, later), 0);
    }
}
END_TEST

START_TEST(deduct_spreads_evenly)
{
    struct plan plan = parse("--skus 10 --seed 1 --run r --quantity 2 --users 7");
    struct scenario *scenario = new_scenario(&plan);
    int64_t counts[10] = {0};
    struct task task;
    for (int64_t n = 0; n < 100000; n++) {
        scenario_task(scenario, n, &task);
        ck_assert_int_eq(task.user, n % 7);
        ck_assert_int_eq(task.quantity, 2);
        counts[task.counter]++;
    }
    for (size_t i = 0; i < 10; i++)
        ck_assert_int_le(llabs(counts[i] - 10000), 400); // more than 4 standard deviations
    ck_assert_str_eq(scenario_template(scenario, task.template),
                     "POST /v1/stock/{{resource}}/deduct\nContent-Type: application/json\n"
                     "Idempotency-Key: {{key}}\n\n"
                     "{\"quantity\":{{quantity}},\"user_id\":\"{{user}}\"}");
    scenario_free(scenario);
}
END_TEST

START_TEST(deduct_follows_zipf)
{
    struct plan plan = parse("--skus 1000 --zipf 0.99 --seed 1 --run r");
    struct scenario *scenario = new_scenario(&plan);
    static int64_t counts[1000];
    struct task task;
    double sum = 0;
    const int64_t draws = 400000;
    for (int64_t n = 0; n < draws; n++) {
        scenario_task(scenario, n, &task);
        counts[task.counter]++;
    }
    for (size_t k = 1; k <= 1000; k++)
        sum += pow((double)k, -0.99);
    for (size_t k = 1; k <= 1000; k++) {
        double expected = (double)draws * pow((double)k, -0.99) / sum;
        ck_assert_msg(fabs((double)counts[k - 1] - expected) < 5 * sqrt(expected) + 1,
                      "product %zu: %lld, expected %g", k, (long long)counts[k - 1], expected);
    }
    scenario_free(scenario);
}
END_TEST

START_TEST(users_take_turns_at_coupons_and_draws)
{
    static const struct {
        const char *words, *resource;
        enum attempt_kind kind;
    } cases[] = {{"--scenario coupon --users 5 --run r", "load-r-1", KIND_ISSUE},
                 {"--scenario draw --users 5 --resource WHEEL", "WHEEL", KIND_DRAW}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct plan plan = parse(cases[i].words);
        struct scenario *scenario = new_scenario(&plan);
        for (int64_t n = 0; n < 15; n++) {
            struct task task;
            scenario_task(scenario, n, &task);
            ck_assert_int_eq(task.kind, cases[i].kind);
            ck_assert_int_eq(task.user, n % 5);
            ck_assert_uint_eq(task.counter, 0);
            ck_assert_int_eq(task.quantity, 0);
            ck_assert_str_eq(task.resource, cases[i].resource);
        }
        scenario_free(scenario);
    }
}
END_TEST

START_TEST(mixed_follows_its_weights)
{
    struct plan plan =
        parse("--scenario mixed --skus 3 --seed 4 --run r --mix deduct=50,read=30,draw=20");
    struct scenario *scenario = new_scenario(&plan);
    int64_t counts[KIND_COUNT] = {0}, wrong = 0, accounts = 0;
    for (int64_t n = 0; n < 100000; n++) { // counted, because each ck_assert costs a write
        struct task task;
        scenario_task(scenario, n, &task);
        counts[task.kind]++;
        accounts += task.kind == KIND_READ && task.counter >= 3;
        wrong += task.kind == KIND_DRAW ? task.counter != 24
                                        : task.counter >= (task.kind == KIND_READ ? 23 : 3);
        wrong += task.quantity != (task.kind == KIND_DEDUCT ? 1 : 0);
        const char *text = scenario_template(scenario, task.template);
        const char *begin = task.kind != KIND_READ ? "POST "
                            : task.counter < 3     ? "GET /v1/stock/"
                                                   : "GET /v1/points/";
        wrong += strncmp(text, begin, strlen(begin)) != 0;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_le(llabs(counts[KIND_DEDUCT] - 50000), 800);
    ck_assert_int_le(llabs(counts[KIND_READ] - 30000), 800);
    ck_assert_int_le(llabs(counts[KIND_DRAW] - 20000), 800);
    ck_assert_int_le(llabs(accounts - 15000), 600); // a read is of a product or of an account
    ck_assert_int_eq(counts[KIND_ISSUE] + counts[KIND_TRANSFER] + counts[KIND_OTHER], 0);
    scenario_free(scenario);
}
END_TEST

START_TEST(transfers_go_both_ways_between_accounts_by_zipf)
{
    struct plan plan = parse("--scenario points --accounts 50 --zipf 1 --seed 2 --run r "
                             "--mix transfer=1 --quantity 3");
    struct scenario *scenario = new_scenario(&plan);
    int64_t hot = 0, wrong = 0;
    for (int64_t n = 0; n < 20000; n += 2) {
        struct task one, two;
        scenario_task(scenario, n, &one);
        scenario_task(scenario, n + 1, &two);
        hot += one.counter == 0 || one.more[0].counter == 0;
        wrong += one.kind != KIND_TRANSFER || one.counter == one.more[0].counter;
        wrong += one.counter != two.more[0].counter || two.counter != one.more[0].counter;
        wrong += one.more[0].amount != 3 || one.quantity != 3 || one.n_more != 1;
        wrong += strcmp(one.owner, two.resource) != 0 || strcmp(two.owner, one.resource) != 0;
    }
    ck_assert_int_eq(wrong, 0);
    // The first account has a share of 1 / (1 + 1/2 + ... + 1/50) = 0.2223 of each draw, and is
    // one of the two accounts of 0.2223 * (2 - 0.2223) = 0.395 of the pairs.
    ck_assert_int_le(llabs(hot - 3950), 250);
    scenario_free(scenario);
}
END_TEST

// What follows a reservation: by the weights, the same for the same number, and only if it was
// made.
START_TEST(the_next_step_depends_on_the_answer)
{
    struct plan plan = parse("--scenario reserve --skus 5 --lines 3 --seed 3 --run r --then "
                             "confirm=5,release=2,return=2,leave=1");
    struct scenario *scenario = new_scenario(&plan);
    struct answer made = {.outcome = OUTCOME_OK, .expires_at_ms = {5000, true}, .detail = "R1"};
    struct answer refused = {.outcome = OUTCOME_FAIL, .detail = "out-of-stock"};
    struct answer late = {.outcome = OUTCOME_FAIL, .detail = "reservation-expired"};
    int64_t confirmed = 0, released = 0, returned = 0, left = 0, wrong = 0;
    for (int64_t n = 0; n < 10000; n++) {
        struct task task;
        struct follow_up next, again;
        scenario_task(scenario, n, &task);
        wrong += task.kind == KIND_RESERVE && follow_up(&plan, n, &task, &refused, &next);
        if (task.kind != KIND_RESERVE)
            continue;
        bool follows = follow_up(&plan, n, &task, &made, &next);
        wrong += follows != follow_up(&plan, n, &task, &made, &again);
        left += !follows;
        if (!follows)
            continue;
        wrong += next.task.kind != again.task.kind || strcmp(next.task.reservation, "R1") != 0;
        wrong += next.task.n_more != task.n_more || next.task.counter != task.counter;
        returned += next.at_ms == 5000;
        confirmed += next.at_ms == 0 && next.task.kind == KIND_CONFIRM;
        released += next.task.kind == KIND_RELEASE;
        // Who is too late buys the first product like anybody.
        if (next.task.kind == KIND_CONFIRM)
            wrong += !follow_up(&plan, n, &next.task, &late, &again) ||
                     again.task.kind != KIND_DEDUCT || again.task.n_more != 0;
    }
    int64_t all = confirmed + released + returned + left;
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_le(llabs(10 * confirmed - 5 * all), all / 2);
    ck_assert_int_le(llabs(10 * released - 2 * all), all / 2);
    ck_assert_int_le(llabs(10 * returned - 2 * all), all / 2);
    scenario_free(scenario);
}
END_TEST

// How many of 10,000 tasks are followed by each kind; KIND_COUNT: by nothing.
static void count_next(const struct plan *plan, const struct task *task,
                       const struct answer *answer, int64_t ret_counts[KIND_COUNT + 1])
{
    memset(ret_counts, 0, (KIND_COUNT + 1) * sizeof *ret_counts);
    for (int64_t n = 0; n < 10000; n++) {
        struct follow_up next;
        bool follows = follow_up(plan, n, task, answer, &next);
        ret_counts[follows ? next.task.kind : KIND_COUNT]++;
    }
}

START_TEST(shares_decide_what_follows)
{
    struct plan plan = parse("--scenario checkout --cancel 0.2 --refund 0.5 --leave 0.3 "
                             "--partial 0.4 --then confirm=1");
    const struct answer made = {.outcome = OUTCOME_OK, .detail = "R1"};
    const struct task order = {.kind = KIND_ORDER, .n_more = 2}, hold = {.kind = KIND_RESERVE};
    int64_t counts[KIND_COUNT + 1];
    count_next(&plan, &order, &made, counts);
    ck_assert_int_le(llabs(counts[KIND_CANCEL] - 2000), 200);
    ck_assert_int_le(llabs(counts[KIND_REFUND] - 5000), 250);
    ck_assert_int_le(llabs(counts[KIND_COUNT] - 3000), 250);
    count_next(&plan, &hold, &made, counts); // a part is confirmed, all of it becomes an order
    ck_assert_int_le(llabs(counts[KIND_COUNT] - 3000), 250);
    ck_assert_int_le(llabs(counts[KIND_CONFIRM] - 2800), 250);
    ck_assert_int_le(llabs(counts[KIND_ORDER] - 4200), 250);
    plan = parse("--scenario checkout");
    count_next(&plan, &order, &made, counts);
    ck_assert_int_le(llabs(counts[KIND_CANCEL] - 1200), 150);
    ck_assert_int_le(llabs(counts[KIND_REFUND] - 2800), 200);
    count_next(&plan, &hold, &made, counts);
    ck_assert_int_le(llabs(counts[KIND_COUNT] - 1000), 150);
    plan = parse("--scenario checkout --cancel 0 --refund 0 --leave 0 --partial 0");
    count_next(&plan, &order, &made, counts);
    ck_assert_int_eq(counts[KIND_COUNT], 10000);
    count_next(&plan, &hold, &made, counts);
    ck_assert_int_eq(counts[KIND_COUNT], 0);
}
END_TEST

START_TEST(a_redemption_is_rolled_back_by_its_name)
{
    struct plan plan = parse("--scenario checkout");
    const struct answer made = {.outcome = OUTCOME_OK, .detail = "C:7"};
    const struct answer refused = {.outcome = OUTCOME_FAIL, .detail = "coupon-redeemed"};
    struct task redeem = {.kind = KIND_REDEEM, .code = 1};
    int64_t counts[KIND_COUNT + 1];
    count_next(&plan, &redeem, &made, counts);
    ck_assert_int_le(llabs(counts[KIND_ROLLBACK] - 5000), 250);
    count_next(&plan, &redeem, &refused, counts);
    ck_assert_int_eq(counts[KIND_ROLLBACK], 0);
    redeem.kind = KIND_ROLLBACK; // some try again
    count_next(&plan, &redeem, &made, counts);
    ck_assert_int_le(llabs(counts[KIND_ROLLBACK] - 1250), 150);
    struct follow_up next;
    int64_t n = 0;
    while (!follow_up(&plan, n, &redeem, &made, &next))
        n++;
    ck_assert_str_eq(next.task.order, "C:7");
}
END_TEST

// Of a part the last line is left out, and half of the first.
START_TEST(bodies_and_legs_of_a_checkout)
{
    struct plan plan = parse("--scenario checkout --skus 3 --accounts 2 --quantity 3 --run r");
    struct scenario *scenario = new_scenario(&plan);
    const struct answer sold = {.outcome = OUTCOME_OK, .version = {4, true}};
    struct task task = {.kind = KIND_CONFIRM,
                        .counter = 1,
                        .n_more = 2,
                        .quantity = 3,
                        .reservation = "R1",
                        .more = {{.counter = 0}, {.counter = 2}}};
    char body[CART_BODY_MAX];
    struct cart_room room;
    struct attempt attempt = {.kind = KIND_CONFIRM};
    (void)text_copy(scenario_resources(scenario)->codes[1], CODE_MAX + 1, "C-2");
    cart_body(scenario, &task, "ann", body);
    ck_assert_str_eq(body, "{}");
    task.partial = true;
    cart_body(scenario, &task, "ann", body);
    ck_assert_str_eq(body, "{\"lines\":[{\"sku\":\"load-r-2\",\"quantity\":2},"
                           "{\"sku\":\"load-r-1\",\"quantity\":3}]}");
    cart_describe(scenario, &task, &sold, &room, &attempt);
    ck_assert_int_eq(attempt.quantity, 1);
    ck_assert_uint_eq(attempt.n_more, 5);
    ck_assert_int_eq(attempt.more[0].amount, 0);
    ck_assert_int_eq(attempt.more[1].amount, 3);
    ck_assert_int_eq(attempt.more[4].amount, -3);
    ck_assert_str_eq(attempt.more[4].name, "hold/load-r-3/R1/2");
    // An order has its code before the account, its next steps behind it.
    task = (struct task){.kind = KIND_ORDER,
                         .counter = 1,
                         .quantity = 3,
                         .order = "r-1",
                         .points = 5,
                         .account = 1,
                         .code = 2};
    cart_body(scenario, &task, "ann", body);
    ck_assert_str_eq(body, "{\"user_id\":\"ann\",\"order_id\":\"r-1\",\"lines\":[{\"sku\":"
                           "\"load-r-2\",\"quantity\":3}],\"points\":5,\"code\":\"C-2\"}");
    attempt = (struct attempt){.kind = KIND_ORDER};
    cart_describe(scenario, &task, &sold, &room, &attempt);
    ck_assert_uint_eq(attempt.n_more, 3);
    ck_assert_uint_eq(attempt.more[1].counter, 3 + 2 + 1);
    ck_assert_int_eq(attempt.more[1].amount, -1);
    ck_assert_uint_eq(attempt.more[2].counter, 3 + 1);
    task.kind = attempt.kind = KIND_REFUND;
    cart_body(scenario, &task, "ann", body);
    ck_assert_str_eq(body, "{\"reason\":\"changed my mind\",\"lines\":[{\"line\":0,\"restock\":"
                           "false,\"quantity\":3}],\"points\":5,\"code\":true}");
    cart_describe(scenario, &task, &sold, &room, &attempt);
    ck_assert_uint_eq(attempt.n_more, 2);
    ck_assert_uint_eq(attempt.more[1].counter, 3 + 2 + 1);
    ck_assert_int_eq(attempt.more[1].amount, 1);
    task.kind = KIND_REDEEM;
    cart_body(scenario, &task, "ann", body);
    ck_assert_str_eq(body, "{\"code\":\"C-2\",\"user_id\":\"ann\"}");
    scenario_free(scenario);
}
END_TEST

// Most codes are tried by their owner.
START_TEST(some_orders_have_a_code)
{
    struct plan plan = parse("--scenario checkout --accounts 5 --code 0.4 --seed 3");
    struct scenario *scenario = new_scenario(&plan);
    int64_t orders = 0, codes = 0, redemptions = 0, others = 0;
    for (int64_t n = 0; n < 20000; n++) {
        struct task task;
        scenario_task(scenario, n, &task);
        orders += task.kind == KIND_ORDER;
        codes += task.kind == KIND_ORDER && task.code > 0;
        redemptions += task.kind == KIND_REDEEM;
        others += task.code > 0 && task.code != task.account + 1;
    }
    ck_assert_int_le(llabs(orders - 10000), 400);
    ck_assert_int_le(llabs(codes - 4000), 300);
    ck_assert_int_le(llabs(redemptions - 1000), 150);
    ck_assert_int_le(llabs(others - 250), 100);
    scenario_free(scenario);
}
END_TEST

START_TEST(points_follow_their_weights)
{
    struct plan plan = parse("--scenario points --accounts 7 --seed 3 --run r --quantity 2");
    struct scenario *scenario = new_scenario(&plan);
    int64_t counts[KIND_COUNT] = {0}, wrong = 0;
    for (int64_t n = 0; n < 100000; n++) {
        struct task task;
        char name[32];
        scenario_task(scenario, n, &task);
        counts[task.kind]++;
        text_format(name, sizeof name, "load-r-%zu", task.counter + 1);
        wrong += task.counter >= 7 || strcmp(task.owner, name) != 0;
        wrong += task.quantity != (task.kind == KIND_READ ? 0 : 2);
        wrong += task.n_more != (task.kind == KIND_TRANSFER ? 1 : 0);
        const char *text = scenario_template(scenario, task.template);
        const char *begin = task.kind == KIND_READ ? "GET /v1/points/" : "POST /v1/points/";
        wrong += strncmp(text, begin, strlen(begin)) != 0;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_le(llabs(counts[KIND_EARN] - 25000), 700);
    ck_assert_int_le(llabs(counts[KIND_SPEND] - 25000), 700);
    ck_assert_int_le(llabs(counts[KIND_TRANSFER] - 40000), 800);
    ck_assert_int_le(llabs(counts[KIND_READ] - 10000), 500);
    scenario_free(scenario);
}
END_TEST

START_TEST(every_request_of_every_scenario_compiles)
{
    struct plan plan = parse("--scenario mixed --skus 3");
    struct scenario *scenario = new_scenario(&plan);
    for (size_t i = 0; i < scenario_templates(scenario); i++) {
        struct template *template = NULL;
        char error[HISTORY_ERROR_MAX];
        ck_assert(template_compile(scenario_template(scenario, i), "a", "/p", "A: b\r\n", &template,
                                   error));
        template_free(template);
    }
    scenario_free(scenario);
}
END_TEST

static void write_file(char *path, const char *text, size_t length)
{
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(write(descriptor, text, length), (ssize_t)length);
    (void)close(descriptor);
}

START_TEST(a_template_is_read_from_its_file)
{
    char path[] = "load_plan_XXXXXX", words[64], error[HISTORY_ERROR_MAX];
    write_file(path, "GET /x/{{resource}}\n", 20);
    text_format(words, sizeof words, "--template %s --resource R --quantity 4", path);
    struct plan plan = parse(words);
    struct scenario *scenario = new_scenario(&plan);
    (void)unlink(path);
    struct task task;
    scenario_task(scenario, 1234, &task);
    ck_assert_int_eq(task.kind, KIND_OTHER);
    ck_assert_uint_eq(task.counter, SIZE_MAX);
    ck_assert_str_eq(task.resource, "R");
    ck_assert_int_eq(task.user, 234);
    ck_assert_int_eq(task.quantity, 4);
    ck_assert_uint_eq(scenario_templates(scenario), 1);
    ck_assert_str_eq(scenario_template(scenario, task.template), "GET /x/{{resource}}\n");
    struct history_head head = {.n_counters = 9};
    ck_assert(setup_resources(&plan, scenario_resources(scenario), NULL, &head, error));
    ck_assert_uint_eq(head.n_counters, 0);
    free(head.counters);
    scenario_free(scenario);
}
END_TEST

START_TEST(a_bad_template_file_is_rejected)
{
    static const struct {
        const char *text;
        size_t length;
        const char *word;
    } bad[] = {
        {"GET /x\nHost: y\n", 15, "line 2: leave out Host"},
        {"", 0, "line 1:"},
        {"GET /\0x", 7, "NUL"},
    };
    struct scenario *scenario = NULL;
    char error[HISTORY_ERROR_MAX];
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        char path[] = "load_plan_XXXXXX", words[64];
        write_file(path, bad[i].text, bad[i].length);
        text_format(words, sizeof words, "--template %s", path);
        struct plan plan = parse(words);
        bool made = scenario_new(&plan, &scenario, error);
        (void)unlink(path);
        ck_assert(!made);
        ck_assert_msg(strstr(error, bad[i].word) && strstr(error, path), "%s", error);
    }
    struct plan plan = parse("--template no-such-file.http");
    ck_assert(!scenario_new(&plan, &scenario, error));
    ck_assert_ptr_nonnull(strstr(error, "cannot open no-such-file.http"));
}
END_TEST

// ---- setting up, with scripted answers in place of control/http.c

struct http {
    const char *script; // "METHOD PATH BODY => ANSWER\n" for each call, in order
};

static bool answer_call(struct http *http, const char *method, const char *path, const json_t *body,
                        json_t **ret_json, char *ret_error)
{
    char expected[512], asked[512];
    char *sent = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *arrow = strstr(http->script, " => ");
    ck_assert_msg(arrow, "not expected: %s %s", method, path);
    text_format(expected, sizeof expected, "%.*s", (int)(arrow - http->script), http->script);
    text_format(asked, sizeof asked, "%s %s %s", method, path, sent != NULL ? sent : "-");
    ck_assert_str_eq(asked, expected);
    free(sent);
    const char *answer = arrow + strlen(" => ");
    http->script = answer + strcspn(answer, "\n") + 1;
    *ret_json = json_loads(answer, JSON_DISABLE_EOF_CHECK, NULL);
    if (*ret_json == NULL)
        text_copy(ret_error, HISTORY_ERROR_MAX, "the service refused");
    return *ret_json != NULL;
}

bool http_call(struct http *http, const char *method, const char *path, const json_t *body,
               json_t **ret_json, char *ret_error)
{
    return answer_call(http, method, path, body, ret_json, ret_error);
}

bool http_post(struct http *http, const char *path, const char *key, const json_t *body,
               json_t **ret_json, char *ret_error)
{
    char method[96];
    text_format(method, sizeof method, "POST(%s)", key);
    return answer_call(http, method, path, body, ret_json, ret_error);
}

static bool set_up(const struct plan *plan, const struct scenario *scenario, const char *script,
                   struct history_head *head, char *error)
{
    struct http http = {.script = script};
    if (!setup_resources(plan, scenario_resources(scenario), &http, head, error))
        return false;
    ck_assert_str_eq(http.script, ""); // every scripted call was made
    return true;
}

static void check_counter(const struct history_counter *counter, const char *name,
                          enum counter_kind kind, int64_t version, int64_t remaining, int64_t total,
                          int64_t limit)
{
    ck_assert_str_eq(counter->name, name);
    ck_assert_int_eq(counter->kind, kind);
    ck_assert_int_eq(counter->version, version);
    ck_assert_int_eq(counter->remaining, remaining);
    ck_assert_int_eq(counter->total, total);
    ck_assert_int_eq(counter->per_user_limit, limit);
}

START_TEST(resources_are_created_and_recorded)
{
    struct plan plan = parse("--scenario mixed --skus 2 --stock 5 --total 4 --per-user 3 --run r "
                             "--accounts 2 --balance 6 --prizes gold:1:2,dust:9:8 --blank 7");
    struct scenario *scenario = new_scenario(&plan);
    struct history_head head = {0};
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(
        set_up(
            &plan, scenario,
            "PUT /v1/stock/load-r-1 {\"quantity\":5,\"price_cents\":100} => {\"remaining\":5,\"version\":1}\n"
            "PUT /v1/stock/load-r-2 {\"quantity\":5,\"price_cents\":100} => {\"remaining\":5,\"version\":6}\n"
            "POST(balance-r-1) /v1/points/load-r-1/earn {\"points\":6} => "
            "{\"remaining\":6,\"version\":1}\n"
            "POST(balance-r-2) /v1/points/load-r-2/earn {\"points\":6} => "
            "{\"remaining\":6,\"version\":1}\n"
            "PUT /v1/coupons/load-r-1 {\"total\":4,\"per_user_limit\":3} => "
            "{\"remaining\":4,\"version\":1,\"total\":4,\"per_user_limit\":3}\n"
            "PUT /v1/lotteries/load-r-1 {\"draws_per_user\":3,\"blank_weight\":7,\"prizes\":["
            "{\"prize\":\"gold\",\"quantity\":1,\"weight\":2},"
            "{\"prize\":\"dust\",\"quantity\":9,\"weight\":8}]} => "
            "{\"remaining\":10,\"version\":1,\"draws_per_user\":3,\"prizes\":["
            "{\"prize\":\"dust\",\"quantity\":9,\"won\":0,\"remaining\":9},"
            "{\"prize\":\"gold\",\"quantity\":1,\"won\":0,\"remaining\":1}]}\n",
            &head, error),
        "%s", error);
    ck_assert_uint_eq(head.n_counters, 8);
    check_counter(&head.counters[0], "stock/load-r-1", COUNTER_STOCK, 1, 5, 0, 0);
    check_counter(&head.counters[1], "stock/load-r-2", COUNTER_STOCK, 6, 5, 0, 0);
    check_counter(&head.counters[2], "points/load-r-1", COUNTER_POINTS, 1, 6, 0, 0);
    check_counter(&head.counters[3], "points/load-r-2", COUNTER_POINTS, 1, 6, 0, 0);
    check_counter(&head.counters[4], "coupon/load-r-1", COUNTER_COUPON, 1, 4, 4, 3);
    check_counter(&head.counters[5], "lottery/load-r-1", COUNTER_LOTTERY, 1, 10, 0, 3);
    check_counter(&head.counters[6], "prize/load-r-1/dust", COUNTER_PRIZE, 1, 9, 9, 0);
    check_counter(&head.counters[7], "prize/load-r-1/gold", COUNTER_PRIZE, 1, 1, 1, 0);
    for (int64_t n = 0; n < 200; n++) { // operations point at their counters
        struct task task;
        scenario_task(scenario, n, &task);
        const char *first = strchr(head.counters[task.counter].name, '/') + 1;
        const char *last =
            task.n_more > 0 ? strchr(head.counters[task.more[0].counter].name, '/') + 1 : first;
        if (attempt_kind_may_name(task.kind, COUNTER_HOLD))
            continue; // several products: cart.c
        if (task.kind != KIND_READ)
            ck_assert_int_eq(head.counters[task.counter].kind, attempt_kind_counter(task.kind));
        ck_assert_str_eq(last, task.resource);
        ck_assert(task.owner == NULL || strcmp(task.owner, first) == 0);
    }
    free(head.counters);
    scenario_free(scenario);
}
END_TEST

// A page of a thousand rows, of which the last has version `last` and remaining 7.
static void append_page(struct buffer *script, int64_t last)
{
    buffer_append_text(script, "{\"rows\":[");
    for (int i = 0; i < 999; i++)
        buffer_append_text(script, "{},");
    buffer_format(script, "{\"version\":%lld,\"remaining\":7}]}\n", (long long)last);
}

START_TEST(existing_resources_are_only_read)
{
    struct plan plan = parse("--scenario draw --resource W --no-setup");
    struct scenario *scenario = new_scenario(&plan);
    struct history_head head = {0};
    struct buffer script = {0};
    char error[HISTORY_ERROR_MAX] = "";
    buffer_append_text(&script,
                       "GET /v1/lotteries/W - => {\"remaining\":8,\"version\":2500,"
                       "\"draws_per_user\":2,\"prizes\":["
                       "{\"prize\":\"a\",\"quantity\":2000,\"won\":1994,\"remaining\":6},"
                       "{\"prize\":\"b\",\"quantity\":3,\"won\":1,\"remaining\":2}]}\n"
                       "GET /v1/ledger?counter=prize/W/a&after_version=0&limit=1000 - => ");
    append_page(&script, 1000);
    buffer_append_text(&script,
                       "GET /v1/ledger?counter=prize/W/a&after_version=1000&limit=1000 - => ");
    append_page(&script, 2000);
    buffer_append_text(
        &script,
        "GET /v1/ledger?counter=prize/W/a&after_version=2000&limit=1000 - => {\"rows\":[]}\n"
        "GET /v1/ledger?counter=prize/W/b&after_version=0&limit=1000 - => "
        "{\"rows\":[{\"version\":1,\"remaining\":3},{\"version\":2,\"remaining\":2}]}\n");
    ck_assert_msg(set_up(&plan, scenario, script.data, &head, error), "%s", error);
    ck_assert_uint_eq(head.n_counters, 3);
    check_counter(&head.counters[0], "lottery/W", COUNTER_LOTTERY, 2500, 8, 0, 2);
    check_counter(&head.counters[1], "prize/W/a", COUNTER_PRIZE, 2000, 7, 2000, 0);
    check_counter(&head.counters[2], "prize/W/b", COUNTER_PRIZE, 2, 2, 3, 0);
    buffer_release(&script);
    free(head.counters);
    scenario_free(scenario);
}
END_TEST

START_TEST(accounts_earn_their_balance_and_are_recorded)
{
    struct plan plan = parse("--scenario points --accounts 2 --balance 30 --run r");
    struct scenario *scenario = new_scenario(&plan);
    struct history_head head = {0};
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(set_up(&plan, scenario,
                         "POST(balance-r-1) /v1/points/load-r-1/earn {\"points\":30} => "
                         "{\"points\":30,\"remaining\":30,\"version\":1}\n"
                         "POST(balance-r-2) /v1/points/load-r-2/earn {\"points\":30} => "
                         "{\"points\":30,\"remaining\":41,\"version\":9}\n",
                         &head, error),
                  "%s", error);
    ck_assert_uint_eq(head.n_counters, 2);
    check_counter(&head.counters[0], "points/load-r-1", COUNTER_POINTS, 1, 30, 0, 0);
    check_counter(&head.counters[1], "points/load-r-2", COUNTER_POINTS, 9, 41, 0, 0);
    free(head.counters);
    scenario_free(scenario);
    plan = parse("--scenario points --accounts 2 --resource U --no-setup");
    scenario = new_scenario(&plan);
    ck_assert_msg(set_up(&plan, scenario,
                         "GET /v1/points/U-1 - => {\"points\":5,\"version\":4}\n"
                         "GET /v1/points/U-2 - => {\"points\":0,\"version\":3}\n",
                         &head, error),
                  "%s", error);
    check_counter(&head.counters[0], "points/U-1", COUNTER_POINTS, 4, 5, 0, 0);
    check_counter(&head.counters[1], "points/U-2", COUNTER_POINTS, 3, 0, 0, 0);
    free(head.counters);
    scenario_free(scenario);
}
END_TEST

START_TEST(codes_are_issued_and_recorded)
{
    struct plan plan =
        parse("--scenario checkout --accounts 1 --balance 6 --stock 5 --uses 3 --run r");
    struct scenario *scenario = new_scenario(&plan);
    struct history_head head = {0};
    char error[HISTORY_ERROR_MAX] = "";
    const char *script =
        "PUT /v1/stock/load-r-1 {\"quantity\":5,\"price_cents\":100} => "
        "{\"remaining\":5,\"version\":1}\n"
        "POST(balance-r-1) /v1/points/load-r-1/earn {\"points\":6} => "
        "{\"remaining\":6,\"version\":1}\n"
        "PUT /v1/coupons/load-r-1 {\"total\":1000000,\"per_user_limit\":1000000,"
        "\"discount_percent\":10,\"uses_per_code\":3} => {\"remaining\":1000000,\"version\":1}\n"
        "POST(code-r-1) /v1/coupons/load-r-1/issue {\"user_id\":\"load-r-1\"} => ";
    char whole[1024];
    text_format(whole, sizeof whole, "%s{\"code\":\"A-B\"}\n", script);
    ck_assert_msg(set_up(&plan, scenario, whole, &head, error), "%s", error);
    ck_assert_uint_eq(head.n_counters, 3);
    check_counter(&head.counters[2], "code/A-B", COUNTER_CODE, 0, 0, 3, 0);
    ck_assert_str_eq(head.counters[2].owner, "load-r-1");
    ck_assert_str_eq(scenario_resources(scenario)->codes[0], "A-B");
    free(head.counters);
    text_format(whole, sizeof whole, "%s{\"code\":7}\n", script);
    ck_assert(!set_up(&plan, scenario, whole, &head, error));
    ck_assert_ptr_nonnull(strstr(error, "has no code"));
    scenario_free(scenario);
    plan = parse("--scenario checkout --accounts 1 --resource X --no-setup");
    scenario = new_scenario(&plan);
    ck_assert_msg(set_up(&plan, scenario,
                         "GET /v1/stock/X - => {\"remaining\":5,\"version\":1}\n"
                         "GET /v1/points/X - => {\"points\":5,\"version\":4}\n",
                         &head, error),
                  "%s", error);
    ck_assert_uint_eq(head.n_counters, 2);
    free(head.counters);
    scenario_free(scenario);
}
END_TEST

START_TEST(a_failed_set_up_says_why)
{
    struct plan plan = parse("--resource S --no-setup");
    struct scenario *scenario = new_scenario(&plan);
    struct history_head head = {0};
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert(!set_up(&plan, scenario, "GET /v1/stock/S - => no\n", &head, error));
    ck_assert_str_eq(error, "the service refused");
    ck_assert_ptr_null(head.counters);
    scenario_free(scenario);
    scenario = new_scenario(&plan);
    ck_assert(!set_up(&plan, scenario, "GET /v1/stock/S - => {\"remaining\":1}\n", &head, error));
    ck_assert_ptr_nonnull(strstr(error, "/v1/stock/S has no integer 'version'"));
    scenario_free(scenario);
}
END_TEST

// ---- arrival

START_TEST(even_starts_are_evenly_spaced_over_all_threads)
{
    struct plan plan = parse("--rate 1000 --spacing even --threads 4");
    struct arrival threads[4];
    for (int64_t i = 0; i < 4; i++)
        arrival_init(&threads[i], &plan, i);
    for (int64_t n = 0; n < 4000; n++)
        ck_assert_int_le(llabs(arrival_next(&threads[n % 4]) - n * NS_PER_MS), 1);
}
END_TEST

// The number of a thread's starts before the end.
static int64_t count_starts(const struct plan *plan, int64_t thread, int64_t end_ns)
{
    struct arrival arrival;
    int64_t count = 0, last = 0;
    arrival_init(&arrival, plan, thread);
    for (int64_t at; (at = arrival_next(&arrival)) < end_ns; last = at) {
        if (at < last) // not ck_assert, which costs a write
            ck_abort_msg("the schedule goes back in time");
        count++;
    }
    return count;
}

static int64_t count_all(const struct plan *plan, int64_t end_ns)
{
    int64_t count = 0;
    for (int64_t i = 0; i < plan->threads; i++)
        count += count_starts(plan, i, end_ns);
    return count;
}

START_TEST(poisson_starts_have_their_rate_and_deviation)
{
    struct plan plan = parse("--rate 1000 --threads 3 --seed 3");
    ck_assert_int_le(llabs(count_all(&plan, 100 * NS_PER_S) - 100000), 1500); // sigma 316
    for (int64_t i = 0; i < 3; i++)
        ck_assert_int_le(llabs(count_starts(&plan, i, 100 * NS_PER_S) - 33333), 900);
    ck_assert_int_ne(count_starts(&plan, 0, 100 * NS_PER_S),
                     count_starts(&plan, 1, 100 * NS_PER_S));
    // Exponential gaps: their standard deviation is their mean, and 1/e of them are longer.
    struct arrival arrival;
    double sum = 0, squares = 0;
    int64_t longer = 0, last = 0;
    arrival_init(&arrival, &plan, 0);
    for (int i = 0; i < 100000; i++) {
        int64_t at = arrival_next(&arrival);
        double gap_ms = (double)(at - last) / (double)NS_PER_MS;
        sum += gap_ms;
        squares += gap_ms * gap_ms;
        longer += gap_ms > 3;
        last = at;
    }
    double mean = sum / 100000, deviation = sqrt(squares / 100000 - mean * mean);
    ck_assert_double_eq_tol(mean, 3, 0.05);
    ck_assert_double_eq_tol(deviation, 3, 0.1);
    ck_assert_double_eq_tol((double)longer / 100000, exp(-1), 0.01);
}
END_TEST

START_TEST(a_schedule_can_be_repeated)
{
    struct plan plan = parse("--rate 1000 --seed 3"), other = parse("--rate 1000 --seed 4");
    struct arrival a, b, c;
    arrival_init(&a, &plan, 0);
    arrival_init(&b, &plan, 0);
    arrival_init(&c, &other, 0);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        int64_t at = arrival_next(&a);
        ck_assert_int_eq(at, arrival_next(&b));
        differ += at != arrival_next(&c);
    }
    ck_assert_int_gt(differ, 95);
}
END_TEST

START_TEST(a_ramp_follows_the_integral_of_its_rate)
{
    static const struct {
        const char *words;
        double from, to;
    } ramps[] = {
        {"--rate 100..1100 --duration 10s --spacing even --threads 3", 100, 1100},
        {"--rate 0..1000 --duration 10s --spacing even --threads 2", 0, 1000},
        {"--rate 1000..0 --duration 10s --spacing even", 1000, 0},
        {"--rate 300..300 --duration 10s --spacing even --threads 2", 300, 300},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(ramps); i++) {
        struct plan plan = parse(ramps[i].words);
        for (int64_t second = 1; second <= 10; second++) {
            double t = (double)second;
            double slope = (ramps[i].to - ramps[i].from) / 10;
            double expected = ramps[i].from * t + slope * t * t / 2;
            int64_t count = count_all(&plan, second * NS_PER_S);
            ck_assert_msg(fabs((double)count - expected) <= 2, "%s at %lld s: %lld, expected %g",
                          ramps[i].words, (long long)second, (long long)count, expected);
        }
    }
    struct plan poisson = parse("--rate 100..2100 --duration 50s --threads 2 --seed 8");
    ck_assert_int_le(llabs(count_all(&poisson, 25 * NS_PER_S) - 15000), 600);
    ck_assert_int_le(llabs(count_all(&poisson, 50 * NS_PER_S) - 55000), 1200);
}
END_TEST

START_TEST(a_ramp_stays_at_its_last_rate)
{
    struct plan plan = parse("--rate 100..1100 --duration 10s --spacing even");
    ck_assert_int_le(llabs(count_all(&plan, 12 * NS_PER_S) - (6000 + 2200)), 2);
    plan = parse("--rate 10..0 --duration 1s --spacing even");
    struct arrival arrival;
    arrival_init(&arrival, &plan, 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_lt(arrival_next(&arrival), NS_PER_S);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(arrival_next(&arrival), ARRIVAL_NEVER);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load plan");
    TCase *tests = tcase_create("scenario");
    tcase_add_loop_test(tests, an_operation_is_repeatable, 0, 2);
    tcase_add_test(tests, keys_are_of_their_kind);
    tcase_add_test(tests, a_uuid7_begins_with_its_time);
    tcase_add_test(tests, deduct_spreads_evenly);
    tcase_add_test(tests, deduct_follows_zipf);
    tcase_add_test(tests, users_take_turns_at_coupons_and_draws);
    tcase_add_test(tests, mixed_follows_its_weights);
    tcase_add_test(tests, points_follow_their_weights);
    tcase_add_test(tests, shares_decide_what_follows);
    tcase_add_test(tests, a_redemption_is_rolled_back_by_its_name);
    tcase_add_test(tests, bodies_and_legs_of_a_checkout);
    tcase_add_test(tests, some_orders_have_a_code);
    tcase_add_test(tests, codes_are_issued_and_recorded);
    tcase_add_test(tests, the_next_step_depends_on_the_answer);
    tcase_add_test(tests, transfers_go_both_ways_between_accounts_by_zipf);
    tcase_add_test(tests, every_request_of_every_scenario_compiles);
    tcase_add_test(tests, a_template_is_read_from_its_file);
    tcase_add_test(tests, a_bad_template_file_is_rejected);
    tcase_add_test(tests, resources_are_created_and_recorded);
    tcase_add_test(tests, existing_resources_are_only_read);
    tcase_add_test(tests, accounts_earn_their_balance_and_are_recorded);
    tcase_add_test(tests, a_failed_set_up_says_why);
    suite_add_tcase(suite, tests);
    tests = tcase_create("arrival");
    tcase_add_test(tests, even_starts_are_evenly_spaced_over_all_threads);
    tcase_add_test(tests, poisson_starts_have_their_rate_and_deviation);
    tcase_add_test(tests, a_schedule_can_be_repeated);
    tcase_add_test(tests, a_ramp_follows_the_integral_of_its_rate);
    tcase_add_test(tests, a_ramp_stays_at_its_last_rate);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
