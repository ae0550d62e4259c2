// Conformance of operations on several counters: transfers of points, for every strategy on every
// database engine, combined and direct.
#include "fixture.h"
#include "gate.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "proxy.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define OPENING 100

static const char *const users[] = {"anna", "bob", "cleo", "dora", "emil"};
#define USERS ARRAY_LENGTH(users)

static struct ledger_row leg_of(struct fixture *fixture, const struct operation *operation,
                                int64_t leg)
{
    struct ledger_row row;
    ck_assert_int_eq(ledger_find_leg(fixture->scratch.db, operation->request_key, leg, &row),
                     RC_OK);
    return row;
}

static void earn(struct fixture *fixture, const char *user, int64_t points)
{
    struct operation operation = {.kind = OPERATION_EARN,
                                  .leg = {.amount = points, .may_create = true}};
    text_format(operation.leg.counter, sizeof operation.leg.counter, "points/%s", user);
    ck_assert_int_eq(submit_and_wait(fixture->instances[0].engine, &operation), RC_OK);
    ck_assert_int_gt(leg_of(fixture, &operation, 0).created_at_ms, 0); // also of a new account
}

static struct counter account(struct fixture *fixture, const char *user)
{
    struct counter counter;
    int64_t now_ms;
    text_format(counter.name, sizeof counter.name, "points/%s", user);
    ck_assert_int_eq(counter_load(fixture->scratch.db, &counter, 1, false, &now_ms), RC_OK);
    return counter;
}

// Both legs are in the ledger as the operation was answered, or neither is.
static void assert_whole(struct fixture *fixture, struct operation *operation)
{
    struct ledger_row row;
    if (operation->outcome.rc != RC_OK) {
        for (int64_t leg = 0; leg < 2; leg++)
            ck_assert_int_eq(
                ledger_find_leg(fixture->scratch.db, operation->request_key, leg, &row),
                RC_NOT_FOUND);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        const struct leg *leg = operation_leg(operation, i);
        row = leg_of(fixture, operation, (int64_t)i);
        ck_assert_str_eq(row.counter, leg->counter);
        ck_assert_int_eq(row.delta, i == 0 ? -leg->amount : leg->amount);
        ck_assert_int_eq(row.version, leg->version);
        ck_assert_int_eq(row.remaining, leg->remaining);
    }
}

// Random transfers in all directions, from all instances at once: none is lost or half done, and
// opposite directions do not stop each other.
static void transfer_at_random(int i, enum guard_scope least, size_t instances)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    for (size_t j = 0; j + 1 < USERS; j++) // the last account begins with a transfer
        earn(&fixture, users[j], OPENING);
    enum { N = 160 };
    struct volley volley;
    volley_init(&volley, N);
    for (size_t j = 0; j < N; j++) {
        size_t from = random_below(USERS - 1), to = (from + 1 + random_below(USERS - 1)) % USERS;
        volley_transfer(&volley, j, users[from], users[to], 1 + (int64_t)random_below(40));
        volley_submit(&volley, fixture.instances[j % instances].engine, j);
    }
    volley_settle(&volley, &fixture);
    ck_assert_uint_gt(volley_count(&volley, RC_OK), 0);
    ck_assert_uint_eq(volley_count(&volley, RC_OK) + volley_count(&volley, RC_NOT_ENOUGH_POINTS),
                      N);
    int64_t sum = 0;
    for (size_t j = 0; j < USERS; j++) {
        struct counter counter = account(&fixture, users[j]);
        ck_assert_int_ge(counter.remaining, 0);
        sum += counter.remaining;
    }
    ck_assert_int_eq(sum, (int64_t)(USERS - 1) * OPENING);
    for (size_t j = 0; j < N; j++)
        assert_whole(&fixture, volley_operation(&volley, j));
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(one_instance_keeps_the_sum)
{
    transfer_at_random(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_keep_the_sum)
{
    transfer_at_random(_i, SCOPE_CLUSTER, 2);
}
END_TEST

START_TEST(a_refused_leg_moves_no_other)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    earn(&fixture, "anna", 10);
    earn(&fixture, "bob", 10);
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
    ck_assert_int_eq(account(&fixture, "anna").remaining, 0);
    ck_assert_int_eq(account(&fixture, "bob").remaining, 20);
    ck_assert_int_eq(account(&fixture, "bob").version, 2);
    ck_assert_int_eq(account(&fixture, "unknown").version, 0);
    for (size_t j = 0; j < 3; j++)
        assert_whole(&fixture, volley_operation(&volley, j));
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
    earn(&fixture, "anna", 10);
    struct volley volley;
    volley_init(&volley, 1);
    volley_transfer(&volley, 0, "anna", "bob", 4);
    volley_submit(&volley, engine, 0);
    volley_settle(&volley, &fixture);
    struct operation *operation = volley_operation(&volley, 0);
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    earn(&fixture, "bob", 50);
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
    ck_assert_int_eq(account(&fixture, "cleo").version, 0);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// COMMIT is executed, and its answer is lost: all legs are found, and answered.
struct loss {
    struct fixture *fixture;
    struct gate gate; // never closed; signals that a COMMIT is about to be sent
    bool armed;
};

static void lose_answer(void *arg, enum pause_point point, enum endpoint endpoint)
{
    (void)endpoint;
    struct loss *loss = arg;
    if (point != PAUSE_BEFORE_COMMIT)
        return;
    pthread_mutex_lock(&loss->gate.mutex);
    if (loss->armed && loss->gate.arrived++ == 0)
        proxy_swallow_answers(loss->fixture->proxy, true);
    pthread_cond_broadcast(&loss->gate.changed);
    pthread_mutex_unlock(&loss->gate.mutex);
}

START_TEST(a_transfer_whose_answer_was_lost_counts_once)
{
    struct scenario scenario = scenario_at(_i);
    if (scenario.engine != DB_MYSQL || scenario.strategy->scope < SCOPE_PROCESS)
        return;
    struct fixture fixture;
    struct loss loss = {.fixture = &fixture};
    gate_init(&loss.gate, PAUSE_BEFORE_COMMIT, SIZE_MAX);
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = 1,
                                      .max_batch = scenario.max_batch,
                                      .through_proxy = true,
                                      .hooks = {{lose_answer, &loss}}};
    if (!fixture_open(&fixture, &options))
        return;
    earn(&fixture, "anna", 10);
    pthread_mutex_lock(&loss.gate.mutex);
    loss.armed = true;
    pthread_mutex_unlock(&loss.gate.mutex);
    struct volley volley;
    volley_init(&volley, 1);
    volley_transfer(&volley, 0, "anna", "bob", 4);
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&loss.gate);
    for (int i = 0; i < 500 && account(&fixture, "anna").version != 2; i++)
        clock_sleep_ns(10 * NS_PER_MS);
    ck_assert_int_eq(account(&fixture, "anna").version, 2); // committed, and not yet answered
    ck_assert(!volley_wait_for(&volley, 1, 0));
    proxy_freeze(fixture.proxy); // the rest of the answer is lost too
    proxy_swallow_answers(fixture.proxy, false);
    proxy_cut(fixture.proxy);
    volley_wait(&volley);
    struct operation *operation = volley_operation(&volley, 0);
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    ck_assert(operation->outcome.replayed);
    ck_assert_int_eq(operation->more->remaining, 4);
    ck_assert_int_eq(operation->more->version, 1);
    assert_whole(&fixture, operation);
    ck_assert_int_eq(account(&fixture, "anna").remaining, 6);
    ck_assert_int_eq(account(&fixture, "bob").remaining, 4);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfers");
    TCase *every = suite_case(suite, "every strategy", 120);
    tcase_add_loop_test(every, one_instance_keeps_the_sum, 0, scenarios());
    tcase_add_loop_test(every, two_instances_keep_the_sum, 0, scenarios());
    tcase_add_loop_test(every, a_refused_leg_moves_no_other, 0, scenarios());
    tcase_add_loop_test(every, a_repeated_transfer_gets_the_results_of_all_legs, 0, scenarios());
    tcase_add_loop_test(every, a_transfer_whose_answer_was_lost_counts_once, 0, scenarios());
    return suite_run(suite);
}
