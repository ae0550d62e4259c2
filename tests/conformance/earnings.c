// Conformance of an account that earns points for an order once: for every strategy on every
// database engine, combined and direct.
#include "fixture.h"

#include "base/text.h"

#include "suite.h"

#include <check.h>

enum { ORDERS = 6, REQUESTS = 8, N = 2 * ORDERS * REQUESTS };

// Every other request earns for an order; each order is asked for by many requests with their own
// keys.
static void fill(struct volley *volley, int j)
{
    struct operation *operation = volley_operation(volley, (size_t)j);
    operation->kind = j % 2 == 0 ? OPERATION_EARN_FOR_ORDER : OPERATION_EARN;
    operation->leg.amount = 1;
    operation->leg.may_create = true;
    text_copy(operation->leg.counter, sizeof operation->leg.counter, "points/anna");
    text_copy(operation->user_id, sizeof operation->user_id, "anna");
    if (operation->kind == OPERATION_EARN_FOR_ORDER)
        text_format(operation->order_id, sizeof operation->order_id, "order-%d", j / 2 % ORDERS);
}

// A refusal names a version at which the order had already earned its points.
static void check_refusals(struct volley *volley, int order)
{
    int64_t earned_at = 0, refused_at = INT64_MAX;
    for (int j = 2 * order; j < N; j += 2 * ORDERS) {
        const struct outcome *outcome = &volley_operation(volley, (size_t)j)->outcome;
        if (outcome->rc == RC_OK)
            earned_at = outcome->version;
        else if (outcome->version < refused_at)
            refused_at = outcome->version;
    }
    ck_assert_int_gt(earned_at, 0);
    ck_assert_int_ge(refused_at, earned_at);
}

static void earn_at_once(int i, enum guard_scope least, size_t instances)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    struct volley volley;
    volley_init(&volley, N);
    for (int j = 0; j < N; j++) {
        fill(&volley, j);
        volley_submit(&volley, fixture.instances[(size_t)j % instances].engine, (size_t)j);
    }
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), N / 2 + ORDERS);
    ck_assert_uint_eq(volley_count(&volley, RC_ALREADY_EARNED), N / 2 - ORDERS);
    for (int order = 0; order < ORDERS; order++)
        check_refusals(&volley, order);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(one_instance_gives_an_order_its_points_once)
{
    earn_at_once(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_give_an_order_its_points_once)
{
    earn_at_once(_i, SCOPE_CLUSTER, 2);
}
END_TEST

// A retry is a replay, and not a second request for the order.
START_TEST(a_repeated_earning_gets_its_result_again)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    struct volley volley;
    volley_init(&volley, 1);
    fill(&volley, 0);
    struct operation first = *volley_operation(&volley, 0), again = first;
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &first), RC_OK);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &again), RC_OK);
    ck_assert(again.outcome.replayed);
    ck_assert_int_eq(again.outcome.version, first.outcome.version);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("earnings");
    TCase *every = suite_case(suite, "every strategy", 120);
    tcase_add_loop_test(every, one_instance_gives_an_order_its_points_once, 0, scenarios());
    tcase_add_loop_test(every, two_instances_give_an_order_its_points_once, 0, scenarios());
    tcase_add_loop_test(every, a_repeated_earning_gets_its_result_again, 0, scenarios());
    return suite_run(suite);
}
