// Tests of the pure rules: stock, points, coupons, the wheel, identifiers; by example and by
// property.
#include "base/random.h"
#include "base/text.h"
#include "domain/coupon.h"
#include "domain/kinds.h"
#include "domain/lottery.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Decides on counters[0], and returns the postings in the view.
static enum rc decide(struct view *view, struct operation *operation)
{
    static struct posting postings[1 + POSTINGS_MORE];
    static const size_t first[] = {0};
    view->postings = postings;
    view->legs = first;
    return operation_decide(view, operation);
}

static enum rc decide_stock(struct counter *stock, struct operation *operation)
{
    return decide(&(struct view){.counters = stock}, operation);
}

static struct operation deduct(int64_t quantity)
{
    return (struct operation){.kind = OPERATION_DEDUCT,
                              .leg = {.counter = "stock/A", .amount = quantity}};
}

START_TEST(stock_is_deducted_to_zero_and_no_further)
{
    struct counter stock = {.name = "stock/A", .remaining = 3, .version = 7};
    struct view view = {.counters = &stock};
    struct operation two = deduct(2), again = deduct(2), one = deduct(1);
    ck_assert_int_eq(decide(&view, &two), RC_OK);
    ck_assert_uint_eq(view.n_postings, 1);
    ck_assert_int_eq(view.postings[0].delta, -2);
    ck_assert_int_eq(view.postings[0].remaining, 1);
    ck_assert_int_eq(view.postings[0].version, 8);
    ck_assert_int_eq(two.outcome.remaining, 1);
    ck_assert_int_eq(two.outcome.version, 8);
    ck_assert_int_eq(decide(&view, &again), RC_OUT_OF_STOCK);
    ck_assert_uint_eq(view.n_postings, 0);
    ck_assert_int_eq(again.outcome.remaining, 1);
    ck_assert_int_eq(again.outcome.version, 8);
    ck_assert_int_eq(decide(&view, &one), RC_OK);
    ck_assert_int_eq(stock.remaining, 0);
    ck_assert_int_eq(stock.version, 9);
}
END_TEST

START_TEST(stock_that_was_not_loaded_is_not_found)
{
    struct counter stock = {.name = "stock/A"};
    struct operation operation = deduct(1);
    ck_assert_int_eq(decide_stock(&stock, &operation), RC_NOT_FOUND);
}
END_TEST

START_TEST(a_restock_does_not_pass_the_limit)
{
    struct counter stock = {.name = "stock/A", .remaining = REMAINING_MAX - 1, .version = 1};
    struct operation operation = {.kind = OPERATION_RESTOCK,
                                  .leg = {.counter = "stock/A", .amount = 2}};
    ck_assert_int_eq(decide_stock(&stock, &operation), RC_INVALID_FIELD);
    operation.leg.amount = 1;
    ck_assert_int_eq(decide_stock(&stock, &operation), RC_OK);
}
END_TEST

// For random sequences every counter stays >= 0, and remaining = opening + the sum of the deltas.
START_TEST(random_stock_sequences_add_up)
{
    for (int round = 0; round < 200; round++) {
        int64_t opening = (int64_t)random_below(50);
        struct counter stock = {.name = "stock/A", .remaining = opening, .version = 1};
        int64_t sum = 0, changes = 0;
        for (int step = 0; step < 200; step++) {
            struct operation operation = deduct(1 + (int64_t)random_below(20));
            if (random_below(3) == 0)
                operation.kind = OPERATION_RESTOCK;
            struct view view = {.counters = &stock};
            int64_t before = stock.remaining;
            enum rc rc = decide(&view, &operation);
            if (rc == RC_OK) {
                sum += view.postings[0].delta;
                changes++;
            } else {
                ck_assert_int_eq(rc, RC_OUT_OF_STOCK);
                ck_assert_int_lt(before, operation.leg.amount);
                ck_assert_int_eq(stock.remaining, before);
            }
            ck_assert_int_ge(stock.remaining, 0);
            ck_assert_int_eq(stock.remaining, opening + sum);
            ck_assert_int_eq(stock.version, 1 + changes);
        }
    }
}
END_TEST

// A transfer between two accounts: what each has, and what is decided. Version 0: it does not
// exist.
static const struct {
    struct counter from, to;
    int64_t points;
    enum rc rc;
    size_t refusing_leg;
} transfers[] = {
    {{.remaining = 5, .version = 3}, {.remaining = 2, .version = 1}, 5, RC_OK, 0},
    {{.remaining = 5, .version = 3}, {.version = 0}, 1, RC_OK, 0},
    {{.remaining = 5, .version = 3}, {.remaining = 2, .version = 1}, 6, RC_NOT_ENOUGH_POINTS, 0},
    {{.version = 0}, {.remaining = 2, .version = 1}, 1, RC_NOT_FOUND, 0},
    {{.remaining = 5, .version = 3},
     {.remaining = REMAINING_MAX - 4, .version = 1},
     5,
     RC_INVALID_FIELD,
     1},
    {{.remaining = 5, .version = 3}, {.remaining = REMAINING_MAX - 5, .version = 1}, 5, RC_OK, 0},
};

START_TEST(a_transfer_posts_both_legs_or_none)
{
    struct counter before[] = {transfers[_i].from, transfers[_i].to}, after[2];
    struct leg second = {
        .counter = "points/to", .amount = transfers[_i].points, .may_create = true};
    struct operation operation = {.kind = OPERATION_TRANSFER,
                                  .leg = {.counter = "points/from", .amount = second.amount},
                                  .more = &second,
                                  .n_more = 1};
    struct posting postings[2 + POSTINGS_MORE];
    memcpy(after, before, sizeof before);
    struct view view = {.counters = after, .legs = (const size_t[]){0, 1}, .postings = postings};
    ck_assert_int_eq(operation_decide(&view, &operation), transfers[_i].rc);
    bool accepted = transfers[_i].rc == RC_OK;
    ck_assert_uint_eq(view.n_postings, accepted ? 2 : 0);
    ck_assert_uint_eq(view.refusing_leg, transfers[_i].refusing_leg);
    for (size_t leg = 0; leg < 2; leg++) {
        int64_t delta = accepted ? (leg == 0 ? -second.amount : second.amount) : 0;
        ck_assert_int_eq(after[leg].remaining, before[leg].remaining + delta);
        ck_assert_int_eq(after[leg].version, before[leg].version + accepted);
        ck_assert_int_eq(operation_leg(&operation, leg)->version, after[leg].version);
        if (accepted)
            ck_assert_int_eq(postings[leg].delta, delta);
    }
    ck_assert_int_eq(operation.outcome.version, after[view.refusing_leg].version);
}
END_TEST

static struct operation for_user(enum operation_kind kind)
{
    struct operation operation = {.kind = kind, .leg.amount = 1, .user_id = "u"};
    random_bytes(operation.entropy, sizeof operation.entropy);
    return operation;
}

START_TEST(a_user_gets_no_more_coupons_than_the_limit)
{
    struct counter campaign = {.name = "coupon/C", .remaining = 5, .version = 1};
    int64_t used = 0;
    struct view view = {.counters = &campaign, .limit = 2, .used = &used};
    for (int i = 1; i <= 2; i++) {
        struct operation operation = for_user(OPERATION_ISSUE);
        ck_assert_int_eq(decide(&view, &operation), RC_OK);
        ck_assert_int_eq(used, i);
    }
    struct operation third = for_user(OPERATION_ISSUE);
    ck_assert_int_eq(decide(&view, &third), RC_LIMIT_REACHED);
    ck_assert_int_eq(campaign.remaining, 3);
    campaign.remaining = 0;
    int64_t none = 0;
    view.used = &none;
    ck_assert_int_eq(decide(&view, &third), RC_COUPON_EXHAUSTED);
    ck_assert_int_eq(none, 0);
}
END_TEST

static int compare_codes(const void *a, const void *b)
{
    return strcmp(a, b);
}

START_TEST(coupon_codes_differ_and_check)
{
    enum { N = 2000 };
    static char codes[N][COUPON_CODE_MAX + 1];
    for (int i = 0; i < N; i++) {
        struct operation operation = for_user(OPERATION_ISSUE);
        coupon_code(operation.entropy, codes[i]);
        ck_assert(coupon_code_is_valid(codes[i]));
    }
    qsort(codes, N, sizeof codes[0], compare_codes);
    for (int i = 1; i < N; i++)
        ck_assert_str_ne(codes[i - 1], codes[i]);
}
END_TEST

START_TEST(coupon_codes_show_a_wrong_character_and_a_swap)
{
    struct operation operation = for_user(OPERATION_ISSUE);
    char code[COUPON_CODE_MAX + 1], broken[COUPON_CODE_MAX + 1];
    coupon_code(operation.entropy, code);
    for (size_t at = 0; code[at] != '\0'; at++) {
        for (const char *other = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U-il"; *other; other++) {
            if (*other == code[at])
                continue;
            text_copy(broken, sizeof broken, code);
            broken[at] = *other;
            ck_assert_msg(!coupon_code_is_valid(broken), "%s for %s", broken, code);
        }
    }
    for (size_t at = 0; code[at + 2] != '\0'; at++) {
        if (code[at] == code[at + 1] || code[at] == '-' || code[at + 1] == '-')
            continue;
        text_copy(broken, sizeof broken, code);
        broken[at] = code[at + 1];
        broken[at + 1] = code[at];
        ck_assert_msg(!coupon_code_is_valid(broken), "%s for %s", broken, code);
    }
    ck_assert(!coupon_code_is_valid(""));
    ck_assert(!coupon_code_is_valid("0000-0000-0000-0000"));
    ck_assert(coupon_code_is_valid("0000-0000-0000-0000-0"));
}
END_TEST

enum { WHEEL, GOLD, SILVER, N_COUNTERS };

struct wheel {
    struct lottery lottery;
    struct counter counters[N_COUNTERS];
};

static struct wheel *wheel_of(int64_t blank, int64_t gold_weight, int64_t gold,
                              int64_t silver_weight, int64_t silver)
{
    static struct wheel wheel;
    wheel = (struct wheel){.lottery = {.blank_weight = blank, .n_prizes = 2}};
    wheel.lottery.prizes[0] = (struct prize){.prize = "gold", .weight = gold_weight};
    wheel.lottery.prizes[1] = (struct prize){.prize = "silver", .weight = silver_weight};
    wheel.counters[WHEEL] = (struct counter){.remaining = gold + silver, .version = 1};
    wheel.counters[GOLD] = (struct counter){.remaining = gold, .version = 1};
    wheel.counters[SILVER] = (struct counter){.remaining = silver, .version = 1};
    return &wheel;
}

// Draws once for a user with *used draws.
static enum rc draw(struct wheel *wheel, int64_t limit, int64_t *used, struct operation *operation,
                    struct view *ret_view)
{
    *ret_view = (struct view){.counters = wheel->counters,
                              .limit = limit,
                              .used = used,
                              .lottery = &wheel->lottery,
                              .first_prize = GOLD};
    return decide(ret_view, operation);
}

// The prize that is won: 0 is the blank. Checks the postings.
static int turn(struct wheel *wheel, const uint64_t *entropy)
{
    int64_t used = 0;
    struct operation operation = for_user(OPERATION_DRAW);
    if (entropy != NULL)
        memcpy(operation.entropy, entropy, sizeof operation.entropy);
    struct view view;
    ck_assert_int_eq(draw(wheel, 1, &used, &operation, &view), RC_OK);
    const char *prize = operation.outcome.prize;
    int won = prize[0] == '\0' ? 0 : prize[0] == 'g' ? GOLD : SILVER;
    ck_assert_uint_eq(view.n_postings, won == 0 ? 1 : 2);
    ck_assert_uint_eq(view.postings[0].counter, WHEEL);
    ck_assert_int_eq(view.postings[0].delta, won == 0 ? 0 : -1);
    if (won != 0) {
        ck_assert_int_eq((int)view.postings[1].counter, won);
        ck_assert_int_eq(view.postings[1].delta, -1);
        ck_assert_int_eq(view.postings[1].remaining, wheel->counters[won].remaining);
        ck_assert_int_eq(view.postings[1].version, wheel->counters[won].version);
    }
    return won;
}

// Draws every place of the wheel once: the shares equal the weights exactly.
START_TEST(the_wheel_gives_each_weight_its_share)
{
    struct wheel *wheel = wheel_of(5, 2, 500, 3, 500);
    int counts[3] = {0};
    for (uint64_t place = 0; place < 10; place++) {
        uint64_t entropy[ENTROPY_WORDS] = {1000 + place};
        counts[turn(wheel, entropy)]++;
    }
    ck_assert_int_eq(counts[0], 5);
    ck_assert_int_eq(counts[1], 2);
    ck_assert_int_eq(counts[2], 3);
}
END_TEST

// 2^64 mod 10 = 6: the words 0 to 5 would favour six places, so the next word is used.
START_TEST(the_wheel_passes_over_unfair_words)
{
    struct wheel *wheel = wheel_of(5, 2, 500, 3, 500);
    uint64_t unfair[ENTROPY_WORDS] = {0, 5, 1009, 0}; // 1009 mod 10 = 9: silver
    ck_assert_int_eq(turn(wheel, unfair), 2);
    uint64_t fair[ENTROPY_WORDS] = {6, 9, 9, 9}; // 6 mod 10 = 6: gold
    ck_assert_int_eq(turn(wheel, fair), 1);
}
END_TEST

// Chi-squared over 100,000 real draws, 2 degrees of freedom: 20 is exceeded once in 22,000 runs.
START_TEST(many_draws_are_as_the_weights_say)
{
    enum { DRAWS = 100000 };
    struct wheel *wheel = wheel_of(700, 100, DRAWS, 200, DRAWS);
    const double shares[3] = {0.7, 0.1, 0.2};
    int counts[3] = {0};
    for (int i = 0; i < DRAWS; i++)
        counts[turn(wheel, NULL)]++;
    double chi_squared = 0;
    for (int i = 0; i < 3; i++) {
        double expected = shares[i] * (double)DRAWS, off = counts[i] - expected;
        chi_squared += off * off / expected;
    }
    ck_assert_msg(chi_squared < 20, "chi squared is %f", chi_squared);
}
END_TEST

START_TEST(an_exhausted_prize_gives_its_weight_to_the_blank)
{
    struct wheel *wheel = wheel_of(5, 2, 0, 3, 500);
    int counts[3] = {0};
    for (uint64_t place = 0; place < 10; place++) {
        uint64_t entropy[ENTROPY_WORDS] = {1000 + place};
        counts[turn(wheel, entropy)]++;
    }
    ck_assert_int_eq(counts[0], 7);
    ck_assert_int_eq(counts[1], 0);
    ck_assert_int_eq(counts[2], 3);
    ck_assert_int_eq(turn(wheel_of(0, 0, 5, 0, 5), NULL), 0);
}
END_TEST

START_TEST(random_draws_keep_every_prize)
{
    for (int round = 0; round < 50; round++) {
        int64_t gold = (int64_t)random_below(20), silver = (int64_t)random_below(20);
        struct wheel *wheel = wheel_of((int64_t)random_below(3), 1, gold, 2, silver);
        for (int i = 0; i < 200; i++) {
            turn(wheel, NULL);
            const struct counter *counters = wheel->counters;
            ck_assert_int_ge(counters[GOLD].remaining, 0);
            ck_assert_int_ge(counters[SILVER].remaining, 0);
            ck_assert_int_eq(counters[WHEEL].remaining,
                             counters[GOLD].remaining + counters[SILVER].remaining);
        }
        ck_assert_int_eq(wheel->counters[WHEEL].version, 201);
    }
}
END_TEST

START_TEST(nobody_draws_more_often_than_allowed)
{
    struct wheel *wheel = wheel_of(1, 1, 5, 1, 5);
    struct view view;
    int64_t used = 0;
    struct operation first = for_user(OPERATION_DRAW), second = for_user(OPERATION_DRAW);
    ck_assert_int_eq(draw(wheel, 1, &used, &first, &view), RC_OK);
    ck_assert_int_eq(draw(wheel, 1, &used, &second, &view), RC_ALREADY_DRAWN);
    ck_assert_int_eq(wheel->counters[WHEEL].version, 2);
}
END_TEST

START_TEST(identifiers)
{
    char long_id[ID_MAX + 2];
    memset(long_id, 'a', sizeof long_id);
    ck_assert(id_is_valid("SKU-1.a_b:c", 11));
    ck_assert(id_is_valid(long_id, ID_MAX));
    ck_assert(!id_is_valid(long_id, ID_MAX + 1));
    ck_assert(!id_is_valid("", 0));
    ck_assert(counter_name_is_valid("stock/SKU-1"));
    ck_assert(counter_name_is_valid("prize/WHEEL/gold"));
    ck_assert(!counter_name_is_valid(""));
    ck_assert(!counter_name_is_valid("stock"));
    ck_assert(!counter_name_is_valid("stock/"));
    ck_assert(!counter_name_is_valid("/SKU-1"));
    ck_assert(!counter_name_is_valid("stock//SKU-1"));
    ck_assert(!counter_name_is_valid("stock/SKU 1"));
    static const char *const bad[] = {"a b",  "a/b",      "a\r\n", "a'b",
                                      "a\"b", "\xc3\xa4", "a%b",   "a\\b"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        ck_assert(!id_is_valid(bad[i], strlen(bad[i])));
    ck_assert(!id_is_valid("a\0b", 3));
    ck_assert(id_is_visible("!~", 2, 2));
    ck_assert(!id_is_visible("!~", 2, 1));
    ck_assert(!id_is_visible("a b", 3, 64));
    ck_assert(!id_is_visible("a\x7f", 2, 64));
    ck_assert(!id_is_visible("\xc3\xa4", 2, 64));
    ck_assert(!id_is_visible("", 0, 64));
}
END_TEST

START_TEST(fingerprints_tell_requests_apart)
{
    struct operation one = deduct(1), two = deduct(2), user = deduct(1), order = deduct(1);
    text_copy(user.user_id, sizeof user.user_id, "x");
    text_copy(order.order_id, sizeof order.order_id, "x");
    ck_assert_int_eq(operation_fingerprint(&one), operation_fingerprint(&one));
    ck_assert_int_ne(operation_fingerprint(&one), operation_fingerprint(&two));
    ck_assert_int_ne(operation_fingerprint(&one), operation_fingerprint(&user));
    ck_assert_int_ne(operation_fingerprint(&user), operation_fingerprint(&order));
    ck_assert_int_ge(operation_fingerprint(&one), 0);
}
END_TEST

// They stand in ledgers, so they are the same in each version and on each machine.
START_TEST(fingerprints_stay_as_they_are)
{
    struct operation one = deduct(1);
    struct operation order = {.kind = OPERATION_ORDER, .intent = UINT64_C(0x0102030405060708)};
    ck_assert_int_eq(operation_fingerprint(&one), INT64_C(5173150367805827398));
    ck_assert_int_eq(operation_fingerprint(&order), INT64_C(8278714327471573938));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("domain");
    TCase *rules = tcase_create("rules");
    tcase_set_timeout(rules, 60);
    tcase_add_test(rules, stock_is_deducted_to_zero_and_no_further);
    tcase_add_test(rules, stock_that_was_not_loaded_is_not_found);
    tcase_add_test(rules, a_restock_does_not_pass_the_limit);
    tcase_add_test(rules, random_stock_sequences_add_up);
    tcase_add_loop_test(rules, a_transfer_posts_both_legs_or_none, 0, (int)ARRAY_LENGTH(transfers));
    tcase_add_test(rules, a_user_gets_no_more_coupons_than_the_limit);
    tcase_add_test(rules, coupon_codes_differ_and_check);
    tcase_add_test(rules, coupon_codes_show_a_wrong_character_and_a_swap);
    tcase_add_test(rules, the_wheel_gives_each_weight_its_share);
    tcase_add_test(rules, the_wheel_passes_over_unfair_words);
    tcase_add_test(rules, many_draws_are_as_the_weights_say);
    tcase_add_test(rules, an_exhausted_prize_gives_its_weight_to_the_blank);
    tcase_add_test(rules, random_draws_keep_every_prize);
    tcase_add_test(rules, nobody_draws_more_often_than_allowed);
    tcase_add_test(rules, identifiers);
    tcase_add_test(rules, fingerprints_tell_requests_apart);
    tcase_add_test(rules, fingerprints_stay_as_they_are);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
