// Conformance of reservations: for every strategy on every database engine, combined and direct.
#include "fixture.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "domain/reservation.h"
#include "store/db/db.h"
#include "store/tables/counter.h"
#include "store/tables/reservation.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define LONG_MS 60000

// One line of a reservation and its names, which must outlive the operations.
struct held {
    char id[RESERVATION_ID_MAX + 1], hold[COUNTER_NAME_MAX + 1];
    int64_t quantity;
};

static void open_line(struct held *held, const char *sku, int64_t quantity)
{
    uint64_t entropy[ENTROPY_WORDS];
    random_bytes(entropy, sizeof entropy);
    reservation_id(entropy, held->id);
    hold_name(held->hold, sku, held->id, 0);
    held->quantity = quantity;
}

static void fill(struct operation *operation, enum operation_kind kind, const struct held *held,
                 const char *sku, int64_t amount)
{
    operation->kind = kind;
    operation->reservation = held->id;
    operation->leg.child = held->hold;
    operation->leg.amount = amount;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "stock/%s", sku);
}

static struct operation submit(struct fixture *fixture, enum operation_kind kind,
                               const struct held *held, int64_t amount, int64_t ttl_ms)
{
    struct operation operation = {.ttl_ms = ttl_ms};
    fill(&operation, kind, held, "S", amount);
    (void)submit_and_wait(fixture->instances[0].engine, &operation);
    return operation;
}

static struct held reserve(struct fixture *fixture, int64_t quantity, int64_t ttl_ms)
{
    struct held held;
    open_line(&held, "S", quantity);
    struct operation done = submit(fixture, OPERATION_RESERVE, &held, quantity, ttl_ms);
    ck_assert_int_eq(done.outcome.rc, RC_OK);
    return held;
}

static enum rc deduct(struct fixture *fixture, int64_t quantity)
{
    struct operation operation = {.kind = OPERATION_DEDUCT, .leg = {.amount = quantity}};
    text_copy(operation.leg.counter, sizeof operation.leg.counter, "stock/S");
    return submit_and_wait(fixture->instances[0].engine, &operation);
}

static struct counter count(struct fixture *fixture, const char *name)
{
    struct counter counter;
    int64_t now_ms;
    text_copy(counter.name, sizeof counter.name, name);
    ck_assert_int_eq(counter_load(fixture->scratch.db, &counter, 1, false, &now_ms), RC_OK);
    return counter;
}

static enum reservation_state state_of(struct fixture *fixture, const struct held *held)
{
    static struct reservation reservation;
    int64_t now_ms;
    ck_assert_int_eq(reservation_get(fixture->scratch.db, held->id, &reservation, &now_ms), RC_OK);
    return reservation.state;
}

static int64_t open_holds(struct fixture *fixture)
{
    int64_t n = -1;
    ck_assert_int_eq(db_query_int(fixture->scratch.db, "SELECT COUNT(*) FROM hold", NULL, 0, &n),
                     RC_OK);
    return n;
}

static void await_expiry(int64_t expires_at_ms, struct fixture *fixture)
{
    struct counter counter = {.name = "stock/S"};
    int64_t now_ms = 0;
    while (now_ms < expires_at_ms) {
        clock_sleep_ns(NS_PER_MS);
        ck_assert_int_eq(counter_load(fixture->scratch.db, &counter, 1, false, &now_ms), RC_OK);
    }
}

START_TEST(units_move_from_the_stock_to_the_hold_and_back)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 10);
    struct held sold = reserve(&fixture, 4, LONG_MS), freed = reserve(&fixture, 5, LONG_MS);
    fixture_assert_stock(&fixture, "S", 1, 3);
    ck_assert_int_eq(count(&fixture, sold.hold).remaining, 4);
    ck_assert_int_eq(deduct(&fixture, 2), RC_OUT_OF_STOCK);
    ck_assert_int_eq(submit(&fixture, OPERATION_CONFIRM, &sold, 3, 0).outcome.rc, RC_OK);
    fixture_assert_stock(&fixture, "S", 2, 4); // one of the four was not bought
    ck_assert_int_eq(count(&fixture, sold.hold).remaining, 0);
    ck_assert_int_eq(submit(&fixture, OPERATION_RELEASE, &freed, 0, 0).outcome.rc, RC_OK);
    fixture_assert_stock(&fixture, "S", 7, 5);
    ck_assert_int_eq(state_of(&fixture, &sold), RESERVATION_CONFIRMED);
    ck_assert_int_eq(state_of(&fixture, &freed), RESERVATION_RELEASED);
    ck_assert_int_eq(open_holds(&fixture), 0);
    static const enum operation_kind kinds[] = {OPERATION_CONFIRM, OPERATION_RELEASE,
                                                OPERATION_EXTEND};
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        ck_assert_int_eq(submit(&fixture, kinds[i], &sold, 0, 0).outcome.rc,
                         RC_RESERVATION_RESOLVED);
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
    open_line(&first, "S", 4);
    open_line(&other, "S", 4); // the retry of a client comes with another id
    struct operation one = {.ttl_ms = LONG_MS, .request_key = "reserve-1"}, two = one;
    fill(&one, OPERATION_RESERVE, &first, "S", 4);
    fill(&two, OPERATION_RESERVE, &other, "S", 4);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &one), RC_OK);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &two), RC_OK);
    ck_assert(two.outcome.replayed);
    ck_assert_str_eq(two.outcome.reservation, first.id);
    ck_assert_int_eq(two.outcome.expires_at_ms, one.outcome.expires_at_ms);
    struct operation confirm = {.request_key = "confirm-1"}, again = confirm;
    fill(&confirm, OPERATION_CONFIRM, &first, "S", 4);
    fill(&again, OPERATION_CONFIRM, &first, "S", 4);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &confirm), RC_OK);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &again), RC_OK);
    ck_assert(again.outcome.replayed);
    fixture_assert_stock(&fixture, "S", 6, 3);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

START_TEST(whoever_would_be_refused_expires_what_is_due)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 3);
    struct held kept = reserve(&fixture, 1, LONG_MS), due = reserve(&fixture, 1, 50);
    struct operation last = {.ttl_ms = 50};
    struct held more;
    open_line(&more, "S", 1);
    fill(&last, OPERATION_RESERVE, &more, "S", 1);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &last), RC_OK);
    await_expiry(last.outcome.expires_at_ms, &fixture);
    fixture_assert_stock(&fixture, "S", 0, 4); // nothing has swept
    ck_assert_int_eq(deduct(&fixture, 3), RC_OUT_OF_STOCK);
    fixture_assert_stock(&fixture, "S", 2, 6); // what was due is back although it was not enough
    ck_assert_int_eq(deduct(&fixture, 2), RC_OK);
    ck_assert_int_eq(state_of(&fixture, &kept), RESERVATION_HELD);
    ck_assert_int_eq(state_of(&fixture, &due), RESERVATION_EXPIRED);
    ck_assert_int_eq(open_holds(&fixture), 1);
    ck_assert_int_eq(submit(&fixture, OPERATION_CONFIRM, &due, 1, 0).outcome.rc,
                     RC_RESERVATION_EXPIRED);
    ck_assert_int_eq(submit(&fixture, OPERATION_CONFIRM, &kept, 1, 0).outcome.rc, RC_OK);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

START_TEST(whoever_comes_too_late_expires_the_holds)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", 3);
    static const enum operation_kind kinds[] = {OPERATION_CONFIRM, OPERATION_RELEASE,
                                                OPERATION_EXTEND};
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        struct held held = reserve(&fixture, 3, 1);
        clock_sleep_ns(2 * NS_PER_MS);
        ck_assert_int_eq(submit(&fixture, kinds[i], &held, 0, LONG_MS).outcome.rc,
                         RC_RESERVATION_EXPIRED);
        ck_assert_int_eq(count(&fixture, "stock/S").remaining, 3);
        ck_assert_int_eq(state_of(&fixture, &held), RESERVATION_EXPIRED);
    }
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
    struct held held = reserve(&fixture, 1, 300);
    struct operation extended = submit(&fixture, OPERATION_EXTEND, &held, 1, LONG_MS);
    ck_assert_int_eq(extended.outcome.rc, RC_OK);
    await_expiry(extended.outcome.expires_at_ms - LONG_MS + 301, &fixture);
    ck_assert_int_eq(deduct(&fixture, 1), RC_OUT_OF_STOCK);
    ck_assert_int_eq(count(&fixture, held.hold).version, 2);
    ck_assert_int_eq(submit(&fixture, OPERATION_CONFIRM, &held, 1, 0).outcome.rc, RC_OK);
    fixture_assert_stock(&fixture, "S", 0, 4);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// Buyers reserve, and confirm, release or walk away; others come at the moment of expiry. Every unit is
// sold once.
static void sell_all(int i, enum guard_scope least, size_t instances)
{
    enum { UNITS = 24, BUYERS = 72, LATE = 24 };
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
        open_line(&held[j], "S", 1);
        fill(volley_operation(&reserves, j), OPERATION_RESERVE, &held[j], "S", 1);
        volley_operation(&reserves, j)->ttl_ms = 700;
        volley_submit(&reserves, fixture.instances[j % instances].engine, j);
    }
    volley_settle(&reserves, &fixture);
    ck_assert_uint_eq(volley_count(&reserves, RC_OK), UNITS);
    ck_assert_uint_eq(volley_count(&reserves, RC_OUT_OF_STOCK), BUYERS - UNITS);
    int64_t last_ms = 0;
    size_t n = 0, confirmed = 0;
    for (size_t j = 0; j < BUYERS; j++) {
        const struct operation *reserved = volley_operation(&reserves, j);
        if (reserved->outcome.rc != RC_OK)
            continue;
        if (reserved->outcome.expires_at_ms > last_ms)
            last_ms = reserved->outcome.expires_at_ms;
        if (n++ % 3 == 2)
            continue; // walks away
        bool buys = n % 3 == 1;
        fill(volley_operation(&ends, j), buys ? OPERATION_CONFIRM : OPERATION_RELEASE, &held[j],
             "S", buys);
        volley_submit(&ends, fixture.instances[(j + 1) % instances].engine, j);
    }
    volley_settle(&ends, &fixture);
    for (size_t j = 0; j < BUYERS; j++) {
        const struct operation *end = volley_operation(&ends, j);
        confirmed += end->kind == OPERATION_CONFIRM && end->outcome.rc == RC_OK;
    }
    await_expiry(last_ms, &fixture);
    for (size_t j = 0; j < LATE; j++) {
        volley_deduct(&deducts, j, "S");
        volley_submit(&deducts, fixture.instances[j % instances].engine, j);
    }
    volley_settle(&deducts, &fixture);
    ck_assert_uint_eq(volley_count(&deducts, RC_OK) + confirmed, UNITS);
    ck_assert_int_eq(count(&fixture, "stock/S").remaining, 0);
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

// More holds are due than expire in one transaction.
START_TEST(a_deduct_gets_the_units_of_many_holds)
{
    enum { HOLDS = 600 };
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "S", HOLDS);
    struct held held[HOLDS];
    struct volley reserves;
    volley_init(&reserves, HOLDS);
    int64_t last_ms = 0;
    for (size_t j = 0; j < HOLDS; j++) {
        open_line(&held[j], "S", 1);
        fill(volley_operation(&reserves, j), OPERATION_RESERVE, &held[j], "S", 1);
        volley_operation(&reserves, j)->ttl_ms = 4000;
        volley_submit(&reserves, fixture.instances[0].engine, j);
    }
    volley_settle(&reserves, &fixture);
    for (size_t j = 0; j < HOLDS; j++) {
        const struct outcome *outcome = &volley_operation(&reserves, j)->outcome;
        ck_assert_int_eq(outcome->rc, RC_OK);
        last_ms = outcome->expires_at_ms > last_ms ? outcome->expires_at_ms : last_ms;
    }
    await_expiry(last_ms, &fixture);
    ck_assert_int_eq(deduct(&fixture, HOLDS), RC_OK);
    ck_assert_int_eq(open_holds(&fixture), 0);
    fixture_assert_reconciled(&fixture);
    volley_release(&reserves);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reservations");
    TCase *every = suite_case(suite, "every strategy", 240);
    tcase_add_loop_test(every, units_move_from_the_stock_to_the_hold_and_back, 0, scenarios());
    tcase_add_loop_test(every, a_repeated_request_gets_its_result_again, 0, scenarios());
    tcase_add_loop_test(every, whoever_would_be_refused_expires_what_is_due, 0, scenarios());
    tcase_add_loop_test(every, whoever_comes_too_late_expires_the_holds, 0, scenarios());
    tcase_add_loop_test(every, an_extended_hold_lives_on, 0, scenarios());
    tcase_add_loop_test(every, one_instance_sells_every_unit_once, 0, scenarios());
    tcase_add_loop_test(every, two_instances_sell_every_unit_once, 0, scenarios());
    tcase_add_loop_test(every, a_deduct_gets_the_units_of_many_holds, 0, scenarios());
    return suite_run(suite);
}
