// Tests of the pure rules of movements and orders, by example and by property.
#include "base/random.h"
#include "base/text.h"
#include "domain/kinds.h"
#include "domain/movement.h"
#include "domain/order.h"

#include "suite.h"

#include <check.h>
#include <string.h>

// ---- movements ----------------------------------------------------------------------------------

#define REFUSED RC_NOT_ENOUGH_POINTS
#define HAS(n)                                                                                     \
    {                                                                                              \
        .remaining = (n), .version = 3                                                             \
    }
#define NEW                                                                                        \
    {                                                                                              \
        .version = 0                                                                               \
    }

static const struct {
    const char *what;
    struct counter counter;
    struct leg leg;
    enum rc rc;
    int64_t delta, remaining; // of an accepted leg: what it moved, and what its counter has then
} movements[] = {
    {"takes", HAS(5), {.amount = -3}, RC_OK, -3, 2},
    {"takes the last", HAS(5), {.amount = -5}, RC_OK, -5, 0},
    {"takes too much", HAS(5), {.amount = -6}, REFUSED, 0, 0},
    {"gives", HAS(5), {.amount = 4}, RC_OK, 4, 9},
    {"gives too much", HAS(REMAINING_MAX - 3), {.amount = 4}, RC_INVALID_FIELD, 0, 0},
    {"gives and takes", HAS(5), {.amount = 0, .at_least = 5}, RC_OK, 0, 5},
    {"gives more than it may take", HAS(5), {.amount = 1, .at_least = 6}, REFUSED, 0, 0},
    {"begins", NEW, {.amount = 4, .may_create = true, .fresh = true}, RC_OK, 4, 4},
    {"has begun", HAS(0), {.amount = 4, .may_create = true, .fresh = true}, REFUSED, 0, 0},
    {"is unknown", NEW, {.amount = 4}, RC_NOT_FOUND, 0, 0},
    {"has nothing", NEW, {.amount = -1, .may_create = true}, REFUSED, 0, 0},
    {"opens", NEW, {.amount = -1, .may_create = true, .opening = 3}, RC_OK, -1, 2},
    {"opens with too little", NEW, {.amount = -4, .may_create = true, .opening = 3}, REFUSED, 0, 0},
    {"is open", HAS(1), {.amount = -1, .may_create = true, .opening = 3}, RC_OK, -1, 0},
    {"takes a part", HAS(5), {.amount = -7, .partial = true}, RC_OK, -5, 0},
    {"takes all", HAS(5), {.amount = -5, .partial = true}, RC_OK, -5, 0},
    {"takes a part of nothing",
     NEW,
     {.amount = -7, .partial = true, .may_create = true},
     RC_OK,
     0,
     0},
    {"has the version", HAS(5), {.amount = -5, .demanded_version = 3}, RC_OK, -5, 0},
    {"has moved", HAS(5), {.amount = -5, .demanded_version = 2}, RC_MOVED, 0, 0},
    {"has the version and too little",
     HAS(5),
     {.amount = -6, .demanded_version = 3},
     REFUSED,
     0,
     0},
};

static enum rc decide(struct view *view, struct counter *counters, struct operation *operation)
{
    static struct posting postings[8 + POSTINGS_MORE];
    static const size_t legs[] = {0, 1}, children[] = {2, 3};
    view->counters = counters;
    view->legs = legs;
    view->children = children;
    view->postings = postings;
    return operation_decide(view, operation);
}

// The leg stands behind or before another one: none of the two moves without the other.
START_TEST(a_movement_posts_all_legs_or_none)
{
    for (size_t at = 0; at < 2; at++) {
        struct counter counters[] = {HAS(9), HAS(9)};
        struct leg legs[] = {{.amount = -1}, {.amount = -1}};
        legs[at] = movements[_i].leg;
        legs[at].refusal = REFUSED;
        counters[at] = movements[_i].counter;
        struct counter before[] = {counters[0], counters[1]};
        struct operation operation = {
            .kind = OPERATION_ORDER, .leg = legs[0], .more = &legs[1], .n_more = 1};
        struct view view = {.now_ms = 1};
        enum rc rc = decide(&view, counters, &operation);
        ck_assert_msg(rc == movements[_i].rc, "%s: %s", movements[_i].what, rc_slug(rc));
        const struct leg *leg = operation_leg(&operation, at);
        ck_assert_int_eq(leg->refused, rc != RC_OK);
        if (rc != RC_OK) {
            for (size_t i = 0; i < ARRAY_LENGTH(before); i++) {
                ck_assert_int_eq(counters[i].remaining, before[i].remaining);
                ck_assert_int_eq(counters[i].version, before[i].version);
            }
            ck_assert_uint_eq(view.n_postings, 0);
            ck_assert_uint_eq(view.refusing_leg, at);
            continue;
        }
        ck_assert_uint_eq(view.n_postings, 2);
        ck_assert_int_eq(counters[1 - at].remaining, 8);
        ck_assert_int_eq(leg->delta, movements[_i].delta);
        ck_assert_int_eq(leg->remaining, movements[_i].remaining);
        ck_assert_int_eq(counters[at].remaining, movements[_i].remaining);
        ck_assert_int_eq(counters[at].version, before[at].version + 1);
        // A ledger adds up from zero, also where a counter begins with something in it.
        ck_assert_int_eq(view.postings[at].delta, counters[at].remaining - before[at].remaining);
    }
}
END_TEST

START_TEST(every_leg_that_refuses_is_named_and_the_first_is_the_reason)
{
    struct counter counters[] = {HAS(1), HAS(1)};
    struct leg second = {.amount = -2, .refusal = RC_NOT_ENOUGH_POINTS};
    struct operation operation = {.kind = OPERATION_ORDER,
                                  .leg = {.amount = -2, .refusal = RC_OUT_OF_STOCK},
                                  .more = &second,
                                  .n_more = 1};
    struct view view = {.now_ms = 1};
    ck_assert_int_eq(decide(&view, counters, &operation), RC_OUT_OF_STOCK);
    ck_assert(operation.leg.refused && second.refused && view.expire_first);
    ck_assert_uint_eq(view.refusing_leg, 0);
    operation.leg.amount = -1;
    ck_assert_int_eq(decide(&view, counters, &operation), RC_NOT_ENOUGH_POINTS);
    ck_assert(!operation.leg.refused && second.refused && !view.expire_first);
    ck_assert_uint_eq(view.refusing_leg, 1);
    // A refusal that the submitter knows is one among the others.
    operation.leg.barred = true;
    operation.leg.refusal = RC_ORDER_CLOSED;
    ck_assert_int_eq(decide(&view, counters, &operation), RC_ORDER_CLOSED);
    ck_assert(operation.leg.refused && second.refused);
    ck_assert_int_eq(counters[0].version, 3);
}
END_TEST

// An order of a reservation: two lines, each with a hold. now: 100.
static const struct {
    const char *what;
    int64_t stock, held, was_held, amount, expires_at;
    enum rc rc;
    int64_t stock_after;
    bool expire_first;
} reserved[] = {
    {"all that is held", 2, 4, 4, 4, 101, RC_OK, 2, false},
    {"a part of it", 2, 4, 4, 3, 101, RC_OK, 3, false},
    {"nothing of it", 2, 4, 4, 0, 101, RC_OK, 6, false},
    {"more, which is in stock", 2, 4, 4, 6, 101, RC_OK, 0, false},
    {"more, which is not", 2, 4, 4, 7, 101, RC_OUT_OF_STOCK, 2, true},
    {"at the moment of expiry", 2, 4, 4, 4, 100, RC_RESERVATION_EXPIRED, 2, true},
    {"after it, swept", 6, 0, 0, 4, 99, RC_RESERVATION_EXPIRED, 6, false},
    {"swept, and then the clock was put back", 6, 0, 0, 4, 101, RC_RESERVATION_EXPIRED, 6, false},
    {"resolved a moment ago", 2, 0, 4, 4, 101, RC_RESERVATION_RESOLVED, 2, false},
    {"expired a moment ago", 6, 0, 4, 4, 100, RC_RESERVATION_EXPIRED, 6, false},
    {"resolved", 2, 0, 0, 4, 0, RC_RESERVATION_RESOLVED, 2, false},
};

START_TEST(an_order_takes_what_is_held)
{
    struct counter counters[] = {HAS(9), HAS(reserved[_i].stock), HAS(0), HAS(reserved[_i].held)};
    struct counter loaded[] = {HAS(9), HAS(0), HAS(0), HAS(reserved[_i].was_held)};
    struct leg line = {
        .amount = reserved[_i].amount, .refusal = RC_OUT_OF_STOCK, .child = "hold/A/R/0"};
    struct operation operation = {.kind = OPERATION_ORDER_RESERVED,
                                  .leg = {.amount = 4},
                                  .more = &line,
                                  .n_more = 1,
                                  .reservation = "R"};
    struct view view = {.loaded = loaded, .now_ms = 100, .expires_at_ms = reserved[_i].expires_at};
    enum rc rc = decide(&view, counters, &operation);
    ck_assert_msg(rc == reserved[_i].rc, "%s: %s", reserved[_i].what, rc_slug(rc));
    ck_assert_int_eq(view.expire_first, reserved[_i].expire_first);
    ck_assert_int_eq(counters[1].remaining, reserved[_i].stock_after);
    ck_assert_uint_eq(view.n_postings, rc == RC_OK ? 3 : 0);
    ck_assert_int_eq(counters[3].remaining, rc == RC_OK ? 0 : reserved[_i].held);
}
END_TEST

// ---- arithmetic ---------------------------------------------------------------------------------

START_TEST(a_share_is_rounded_down)
{
    static const int64_t cases[][4] = {
        {10, 1, 3, 3},
        {10, 2, 3, 6},
        {10, 3, 3, 10},
        {10, 0, 3, 0},
        {0, 1, 3, 0},
        {7, 5, 0, 0}, // of nothing
        {1, 99, 100, 0},
        {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
        {REMAINING_MAX, REMAINING_MAX - 1, REMAINING_MAX, REMAINING_MAX - 1}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        ck_assert_int_eq(share_of(cases[i][0], cases[i][1], cases[i][2]), cases[i][3]);
}
END_TEST

// Refunds take the points of the units that are refunded so far, without those of earlier ones: in
// whatever steps, together they take all and never more.
START_TEST(shares_in_steps_add_up)
{
    for (int round = 0; round < 1000; round++) {
        int64_t sum = (int64_t)random_below(1000), units = 1 + (int64_t)random_below(50);
        int64_t taken = 0, refunded = 0;
        while (refunded < units) {
            int64_t before = share_of(sum, refunded, units);
            refunded += 1 + (int64_t)random_below((uint64_t)(units - refunded));
            taken += share_of(sum, refunded, units) - before;
            ck_assert_int_le(taken, sum);
        }
        ck_assert_int_eq(taken, sum);
    }
}
END_TEST

START_TEST(a_discount_is_at_most_the_subtotal)
{
    static const struct {
        struct terms terms;
        int64_t subtotal, discount;
    } cases[] = {
        {{.discount_percent = 10}, 2333, 233},
        {{.discount_percent = 100}, 2333, 2333},
        {{.discount_percent = 10}, 9, 0},
        {{.discount_cents = 500}, 2333, 500},
        {{.discount_cents = 500}, 499, 499},
        {{.discount_cents = 500}, 0, 0},
        {{.discount_cents = 0}, 2333, 0},
        {{.discount_percent = 50, .discount_cents = 9}, 8, 8},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        ck_assert_int_eq(terms_discount(&cases[i].terms, cases[i].subtotal), cases[i].discount);
}
END_TEST

START_TEST(a_code_has_a_minimum_and_a_window)
{
    static const struct terms open = {.discount_percent = 10};
    static const struct terms terms = {
        .min_cents = 500, .valid_from_ms = 1000, .valid_until_ms = 2000};
    ck_assert(terms_allow(&open, 0, 0));
    ck_assert(terms_allow(&terms, 500, 1000));
    ck_assert(!terms_allow(&terms, 499, 1000));
    ck_assert(!terms_allow(&terms, 500, 999));
    ck_assert(terms_allow(&terms, 500, 1999));
    ck_assert(!terms_allow(&terms, 500, 2000));
}
END_TEST

START_TEST(an_order_counts_its_units)
{
    struct order order = {.n_lines = 2, .lines = {{.quantity = 5, .refunded = 2}, {.quantity = 3}}};
    ck_assert_int_eq(order_units(&order), 8);
    ck_assert_int_eq(order_units_left(&order), 6);
}
END_TEST

START_TEST(a_line_without_a_price_bars_its_leg)
{
    struct order order = {
        .n_lines = 2,
        .lines = {{.quantity = 5, .price_cents = 0}, {.quantity = 3, .price_cents = 7}}};
    struct leg more[2] = {{.refusal = RC_OUT_OF_STOCK}, {.refusal = RC_OUT_OF_STOCK}};
    struct operation operation = {.record = &order, .more = more, .n_more = 2};
    ck_assert(order_price(&operation)); // 0 is a price
    ck_assert_int_eq(order.subtotal_cents, 21);
    ck_assert(!more[0].barred && !more[1].barred);
    order.lines[0].price_cents = PRICE_NONE;
    ck_assert(!order_price(&operation));
    ck_assert(more[0].barred && !more[1].barred);
    ck_assert_int_eq(more[0].refusal, RC_PRICE_MISSING);
    ck_assert_int_eq(more[1].refusal, RC_OUT_OF_STOCK);
}
END_TEST

// Orders change the counters of all these, so `mutex` may not be mixed among them.
START_TEST(orders_share_counters)
{
    static const enum endpoint shared[] = {ENDPOINT_STOCK, ENDPOINT_COUPON, ENDPOINT_POINTS,
                                           ENDPOINT_RESERVATION};
    for (size_t i = 0; i < ARRAY_LENGTH(shared); i++)
        ck_assert_uint_ne(
            endpoint_traits[ENDPOINT_ORDER].counters & endpoint_traits[shared[i]].counters, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("order");
    TCase *rules = suite_case(suite, "rules", 60);
    tcase_add_loop_test(rules, a_movement_posts_all_legs_or_none, 0, ARRAY_LENGTH(movements));
    tcase_add_test(rules, every_leg_that_refuses_is_named_and_the_first_is_the_reason);
    tcase_add_loop_test(rules, an_order_takes_what_is_held, 0, ARRAY_LENGTH(reserved));
    tcase_add_test(rules, a_share_is_rounded_down);
    tcase_add_test(rules, shares_in_steps_add_up);
    tcase_add_test(rules, a_discount_is_at_most_the_subtotal);
    tcase_add_test(rules, a_code_has_a_minimum_and_a_window);
    tcase_add_test(rules, an_order_counts_its_units);
    tcase_add_test(rules, a_line_without_a_price_bars_its_leg);
    tcase_add_test(rules, orders_share_counters);
    return suite_run(suite);
}
