// Conformance of reservations: for every strategy on every database engine, combined and direct.
#include "holding.h"

#include "base/clock.h"
#include "base/text.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(units_move_from_the_stock_to_the_hold_and_back)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 10);
    struct held sold = reserve(&fixture, "S", 4, LONG_MS),
                freed = reserve(&fixture, "S", 5, LONG_MS);
    fixture_assert_stock(&fixture, "S", 1, 3);
    ck_assert_int_eq(read_counter(&fixture, sold.hold).remaining, 4);
    ck_assert_int_eq(deduct(&fixture, "S", 2), RC_OUT_OF_STOCK);
    ck_assert_int_eq(held_submit(&fixture, OPERATION_CONFIRM, &sold, 3, 0).outcome.rc, RC_OK);
    fixture_assert_stock(&fixture, "S", 2, 4); // one of the four was not bought
    ck_assert_int_eq(read_counter(&fixture, sold.hold).remaining, 0);
    ck_assert_int_eq(held_submit(&fixture, OPERATION_RELEASE, &freed, 0, 0).outcome.rc, RC_OK);
    fixture_assert_stock(&fixture, "S", 7, 5);
    ck_assert_str_eq(state_of(&fixture, &sold), "confirmed");
    ck_assert_str_eq(state_of(&fixture, &freed), "released");
    ck_assert_int_eq(open_holds(&fixture), 0);
    static const enum operation_kind kinds[] = {OPERATION_CONFIRM, OPERATION_RELEASE,
                                                OPERATION_EXTEND};
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        struct operation refused = held_submit(&fixture, kinds[i], &sold, 0, 0);
        ck_assert_int_eq(refused.outcome.rc, RC_RESERVATION_RESOLVED);
        ck_assert_str_eq(refused.outcome.state, "confirmed");
    }
    fixture_assert_stock(&fixture, "S", 7, 5);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_repeated_request_gets_its_result_again)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 10);
    struct held first, other;
    held_open(&first, "S", 4);
    held_open(&other, "S", 4); // the retry of a client comes with another id
    struct operation one = {.ttl_ms = LONG_MS, .request_key = "reserve-1"}, two = one;
    held_fill(&one, OPERATION_RESERVE, &first, 4);
    held_fill(&two, OPERATION_RESERVE, &other, 4);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &one), RC_OK);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &two), RC_OK);
    ck_assert(two.outcome.replayed);
    ck_assert_str_eq(two.outcome.reservation, first.id);
    ck_assert_int_eq(two.outcome.expires_at_ms, one.outcome.expires_at_ms);
    struct operation confirm = {.request_key = "confirm-1"}, again = confirm;
    held_fill(&confirm, OPERATION_CONFIRM, &first, 4);
    held_fill(&again, OPERATION_CONFIRM, &first, 4);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &confirm), RC_OK);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &again), RC_OK);
    ck_assert(again.outcome.replayed);
    fixture_assert_stock(&fixture, "S", 6, 3);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_request_that_would_be_refused_expires_what_is_due)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 3);
    struct held kept = reserve(&fixture, "S", 1, LONG_MS), due = reserve(&fixture, "S", 1, 50);
    struct operation last = {.ttl_ms = 50};
    struct held more;
    held_open(&more, "S", 1);
    held_fill(&last, OPERATION_RESERVE, &more, 1);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &last), RC_OK);
    await_time(&fixture, last.outcome.expires_at_ms);
    fixture_assert_stock(&fixture, "S", 0, 4); // nothing has swept
    struct operation three = {.kind = OPERATION_DEDUCT, .leg = {.counter = "stock/S", .amount = 3}};
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &three), RC_OUT_OF_STOCK);
    ck_assert_int_eq(three.leg.next_release_ms, expires_at(&fixture, &kept));
    fixture_assert_stock(&fixture, "S", 2, 6); // what was due is back although it was not enough
    ck_assert_int_eq(deduct(&fixture, "S", 2), RC_OK);
    ck_assert_str_eq(state_of(&fixture, &kept), "held");
    ck_assert_str_eq(state_of(&fixture, &due), "expired");
    ck_assert_int_eq(open_holds(&fixture), 1);
    ck_assert_int_eq(held_submit(&fixture, OPERATION_CONFIRM, &due, 1, 0).outcome.rc,
                     RC_RESERVATION_EXPIRED);
    ck_assert_int_eq(held_submit(&fixture, OPERATION_CONFIRM, &kept, 1, 0).outcome.rc, RC_OK);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_change_that_comes_too_late_expires_the_holds)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 3);
    static const enum operation_kind kinds[] = {OPERATION_CONFIRM, OPERATION_RELEASE,
                                                OPERATION_EXTEND};
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        struct held held = reserve(&fixture, "S", 3, 1);
        clock_sleep_ns(2 * NS_PER_MS);
        ck_assert_int_eq(held_submit(&fixture, kinds[i], &held, 0, LONG_MS).outcome.rc,
                         RC_RESERVATION_EXPIRED);
        ck_assert_int_eq(read_counter(&fixture, "stock/S").remaining, 3);
        ck_assert_str_eq(state_of(&fixture, &held), "expired");
        // Nor is it taken back when the clock is put back.
        move_all_to(&fixture, database_now_ms(&fixture) + LONG_MS);
        struct operation again = held_submit(&fixture, kinds[i], &held, 0, LONG_MS);
        ck_assert_int_eq(again.outcome.rc, RC_RESERVATION_EXPIRED);
        ck_assert_str_eq(again.outcome.state, "expired");
    }
    move_all_to(&fixture, 1); // otherwise they have expired early
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

START_TEST(an_extended_hold_lives_on)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 1);
    struct held held = reserve(&fixture, "S", 1, 300);
    struct operation extended = held_submit(&fixture, OPERATION_EXTEND, &held, 1, LONG_MS);
    ck_assert_int_eq(extended.outcome.rc, RC_OK);
    await_time(&fixture, extended.outcome.expires_at_ms - LONG_MS + 301);
    ck_assert_int_eq(deduct(&fixture, "S", 1), RC_OUT_OF_STOCK);
    ck_assert_int_eq(read_counter(&fixture, held.hold).version, 2);
    ck_assert_int_eq(held_submit(&fixture, OPERATION_CONFIRM, &held, 1, 0).outcome.rc, RC_OK);
    fixture_assert_stock(&fixture, "S", 0, 4);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// Buyers reserve, and confirm, release or walk away; others come at the moment of expiry. Every
// unit is sold once.
static void sell_all(int i, enum guard_scope least, size_t instances)
{
    enum { UNITS = 12, BUYERS = 36, LATE = 12 };
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    fixture_put_product(&fixture, "S", UNITS);
    struct held held[BUYERS];
    struct volley reserves, ends, deducts;
    volley_init(&reserves, BUYERS);
    volley_init(&ends, BUYERS);
    volley_init(&deducts, LATE);
    for (size_t j = 0; j < BUYERS; j++) {
        held_open(&held[j], "S", 1);
        held_fill(volley_operation(&reserves, j), OPERATION_RESERVE, &held[j], 1);
        volley_operation(&reserves, j)->ttl_ms = LONG_MS;
        volley_submit(&reserves, fixture.instances[j % instances].engine, j);
    }
    volley_settle(&reserves, &fixture);
    ck_assert_uint_eq(volley_count(&reserves, RC_OK), UNITS);
    ck_assert_uint_eq(volley_count(&reserves, RC_OUT_OF_STOCK), BUYERS - UNITS);
    for (size_t j = 0; j < BUYERS; j++) {
        const struct operation *reserved = volley_operation(&reserves, j);
        ck_assert((reserved->outcome.rc == RC_OUT_OF_STOCK) == (reserved->leg.next_release_ms > 0));
    }
    size_t n = 0, confirmed = 0;
    for (size_t j = 0; j < BUYERS; j++) {
        const struct operation *reserved = volley_operation(&reserves, j);
        if (reserved->outcome.rc != RC_OK)
            continue;
        if (n++ % 3 == 2)
            continue; // walks away
        bool buys = n % 3 == 1;
        held_fill(volley_operation(&ends, j), buys ? OPERATION_CONFIRM : OPERATION_RELEASE,
                  &held[j], buys);
        volley_submit(&ends, fixture.instances[(j + 1) % instances].engine, j);
    }
    volley_settle(&ends, &fixture);
    for (size_t j = 0; j < BUYERS; j++) {
        const struct operation *end = volley_operation(&ends, j);
        confirmed += end->kind == OPERATION_CONFIRM && end->outcome.rc == RC_OK;
    }
    int64_t at_ms = database_now_ms(&fixture) + 20;
    move_all_to(&fixture, at_ms);
    await_time(&fixture, at_ms);
    for (size_t j = 0; j < LATE; j++) {
        volley_deduct(&deducts, j, "S");
        volley_submit(&deducts, fixture.instances[j % instances].engine, j);
    }
    volley_settle(&deducts, &fixture);
    ck_assert_uint_eq(volley_count(&deducts, RC_OK) + confirmed, UNITS);
    ck_assert_int_eq(read_counter(&fixture, "stock/S").remaining, 0);
    ck_assert_int_eq(open_holds(&fixture), 0);
    fixture_assert_reconciled(&fixture);
    volley_release(&reserves);
    volley_release(&ends);
    volley_release(&deducts);
    fixture_close(&fixture);
}

START_TEST(one_instance_sells_every_unit_once)
{
    sell_all(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_sell_every_unit_once)
{
    sell_all(_i, SCOPE_CLUSTER, 2);
}
END_TEST

// More holds are due than expire in one transaction. One strategy is enough, because the section
// makes another attempt whatever the strategy.
START_TEST(a_deduct_gets_the_units_of_many_holds)
{
    enum { HOLDS = 300 };
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", HOLDS);
    struct held held[HOLDS];
    struct volley reserves;
    volley_init(&reserves, HOLDS);
    for (size_t j = 0; j < HOLDS; j++) {
        held_open(&held[j], "S", 1);
        held_fill(volley_operation(&reserves, j), OPERATION_RESERVE, &held[j], 1);
        volley_operation(&reserves, j)->ttl_ms = LONG_MS;
        volley_submit(&reserves, fixture.instances[0].engine, j);
    }
    volley_settle(&reserves, &fixture);
    ck_assert_uint_eq(volley_count(&reserves, RC_OK), HOLDS);
    move_all_to(&fixture, database_now_ms(&fixture));
    ck_assert_int_eq(deduct(&fixture, "S", HOLDS), RC_OK);
    ck_assert_int_eq(open_holds(&fixture), 0);
    fixture_assert_reconciled(&fixture);
    volley_release(&reserves);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reservations");
    TCase *every = suite_case(suite, "every strategy", 60);
    tcase_add_loop_test(every, units_move_from_the_stock_to_the_hold_and_back, 0, scenarios());
    tcase_add_loop_test(every, a_repeated_request_gets_its_result_again, 0, scenarios());
    tcase_add_loop_test(every, a_request_that_would_be_refused_expires_what_is_due, 0, scenarios());
    tcase_add_loop_test(every, a_change_that_comes_too_late_expires_the_holds, 0, scenarios());
    tcase_add_loop_test(every, an_extended_hold_lives_on, 0, scenarios());
    tcase_add_loop_test(every, one_instance_sells_every_unit_once, 0, scenarios());
    tcase_add_loop_test(every, two_instances_sell_every_unit_once, 0, scenarios());
    TCase *first = suite_case(suite, "the part's first strategy", 60);
    tcase_add_loop_test(first, a_deduct_gets_the_units_of_many_holds, 0, scenarios() / part_size());
    return suite_run(suite);
}
