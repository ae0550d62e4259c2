// Conformance of operations on several counters: transfers of points, for every strategy on every
// database engine, combined and direct. What random operations must keep is in random_points.c, and
// what happens between the steps of a section in steps.c.
#include "accounts.h"
#include "lost_answer.h"

#include "base/text.h"

#include "suite.h"

#include <check.h>
#include <string.h>

// Both directions of one pair, all in flight at once: none waits for the other for ever, and each
// account takes them in one order.
static void transfer_in_both_directions(int i, enum guard_scope least, size_t instances)
{
    enum { N = 60, OPENING = 100 };
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    account_earn(&fixture, "anna", OPENING);
    account_earn(&fixture, "bob", OPENING);
    struct volley volley;
    volley_init(&volley, N);
    for (size_t j = 0; j < N; j++) {
        bool back = j / 2 % 2 == 1; // from each instance in both directions
        volley_transfer(&volley, j, back ? "bob" : "anna", back ? "anna" : "bob", 1);
        volley_submit(&volley, fixture.instances[j % instances].engine, j);
    }
    volley_wait(&volley);
    // The mutexes of one process wait for no server: a lock that is not acquired in time is a
    // deadlock.
    if (scenario_at(i).strategy->scope == SCOPE_PROCESS)
        ck_assert_uint_eq(volley_count(&volley, RC_LOCK_BUSY), 0);
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), N);
    for (size_t j = 0; j < N; j++) {
        struct operation *operation = volley_operation(&volley, j);
        transfer_assert_whole(&fixture, operation);
        // Each moves both accounts, so it is the same step of both if their orders agree.
        ck_assert_int_eq(operation->leg.version, operation->more->version);
    }
    ck_assert_int_eq(account_read(&fixture, "anna").remaining, OPENING);
    ck_assert_int_eq(account_read(&fixture, "bob").remaining, OPENING);
    ck_assert_int_eq(account_read(&fixture, "bob").version, N + 1);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(opposite_directions_at_one_instance_do_not_deadlock)
{
    transfer_in_both_directions(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(opposite_directions_at_two_instances_do_not_deadlock)
{
    transfer_in_both_directions(_i, SCOPE_CLUSTER, 2);
}
END_TEST

START_TEST(a_refused_leg_moves_no_other)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    account_earn(&fixture, "anna", 10);
    account_earn(&fixture, "bob", 10);
    struct volley volley;
    volley_init(&volley, 3);
    volley_transfer(&volley, 0, "anna", "bob", 11);
    volley_transfer(&volley, 1, "anna", "bob", 10);
    volley_transfer(&volley, 2, "unknown", "bob", 1);
    for (size_t j = 0; j < 3; j++)
        volley_submit(&volley, fixture.instances[0].engine, j);
    volley_settle(&volley, &fixture);
    const struct outcome *refused = &volley_operation(&volley, 0)->outcome;
    ck_assert_int_eq(refused->rc, RC_NOT_ENOUGH_POINTS);
    ck_assert_int_eq(volley_operation(&volley, 1)->outcome.rc, RC_OK);
    ck_assert_int_eq(volley_operation(&volley, 2)->outcome.rc, RC_NOT_FOUND);
    ck_assert_int_eq(account_read(&fixture, "anna").remaining, 0);
    ck_assert_int_eq(account_read(&fixture, "bob").remaining, 20);
    ck_assert_int_eq(account_read(&fixture, "bob").version, 2);
    ck_assert_int_eq(account_read(&fixture, "unknown").version, 0);
    for (size_t j = 0; j < 3; j++)
        transfer_assert_whole(&fixture, volley_operation(&volley, j));
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_repeated_transfer_gets_the_results_of_all_legs)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    struct engine *engine = fixture.instances[0].engine;
    account_earn(&fixture, "anna", 10);
    struct volley volley;
    volley_init(&volley, 1);
    volley_transfer(&volley, 0, "anna", "bob", 4);
    volley_submit(&volley, engine, 0);
    volley_settle(&volley, &fixture);
    struct operation *operation = volley_operation(&volley, 0);
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    account_earn(&fixture, "bob", 50);
    operation->more->remaining = operation->more->version = 0;
    ck_assert_int_eq(submit_and_wait(engine, operation), RC_OK);
    ck_assert(operation->outcome.replayed);
    ck_assert_int_eq(operation->leg.remaining, 6);
    ck_assert_int_eq(operation->leg.version, 2);
    ck_assert_int_eq(operation->more->remaining, 4);
    ck_assert_int_eq(operation->more->version, 1);
    // The same key for another receiver, or another number of points.
    text_copy(operation->more->counter, sizeof operation->more->counter, "points/cleo");
    ck_assert_int_eq(submit_and_wait(engine, operation), RC_IDEMPOTENCY_MISMATCH);
    ck_assert_int_eq(account_read(&fixture, "cleo").version, 0);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// COMMIT is executed, and its answer is lost: all legs are found, and answered.
START_TEST(a_transfer_whose_answer_was_lost_counts_once)
{
    struct lost_answer lost;
    if (!lost_answer_open(&lost, _i))
        return;
    struct fixture *fixture = &lost.fixture;
    account_earn(fixture, "anna", 10);
    struct volley volley;
    volley_init(&volley, 1);
    volley_transfer(&volley, 0, "anna", "bob", 4);
    lost_answer_submit(&lost, &volley, "points/anna", 2);
    struct operation *operation = volley_operation(&volley, 0);
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    ck_assert(operation->outcome.replayed);
    ck_assert_int_eq(operation->more->remaining, 4);
    ck_assert_int_eq(operation->more->version, 1);
    transfer_assert_whole(fixture, operation);
    ck_assert_int_eq(account_read(fixture, "anna").remaining, 6);
    ck_assert_int_eq(account_read(fixture, "bob").remaining, 4);
    fixture_assert_reconciled(fixture);
    volley_release(&volley);
    fixture_close(fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfers");
    TCase *every = suite_case(suite, "every strategy", 120);
    int n = scenarios();
    tcase_add_loop_test(every, opposite_directions_at_one_instance_do_not_deadlock, 0, n);
    tcase_add_loop_test(every, opposite_directions_at_two_instances_do_not_deadlock, 0, n);
    tcase_add_loop_test(every, a_refused_leg_moves_no_other, 0, n);
    tcase_add_loop_test(every, a_repeated_transfer_gets_the_results_of_all_legs, 0, n);
    tcase_add_loop_test(every, a_transfer_whose_answer_was_lost_counts_once, 0, n);
    return suite_run(suite);
}
