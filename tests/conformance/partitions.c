// Partitions (lock.partitions): one lock for many counters. That it excludes other instances, that
// operations on several counters take each of their locks once, and that instances which disagree
// about the number of partitions never oversell.
#include "accounts.h"
#include "fixture.h"
#include "gate.h"

#include "base/text.h"

#include "suite.h"

#include <check.h>

#define ENGINES 2
#define MODES 2
#define PRODUCTS 6
#define EACH 8 // requests for each product

// False if the strategy has no lock, or the case was skipped.
static bool open_case(int i, const size_t *partitions, struct engine_hooks first,
                      struct fixture *fixture)
{
    struct fixture_options options = {.strategy = part_strategy(i / (ENGINES * MODES)),
                                      .engine = i % ENGINES == 0 ? DB_SQLITE : DB_MYSQL,
                                      .instances = 2,
                                      .max_batch = (i / ENGINES) % MODES == 0 ? 256 : 1,
                                      .tenure_ms = 20,
                                      .partitions = {partitions[0], partitions[1]},
                                      .hooks = {first}};
    return strategy_is_lock(options.strategy) && fixture_open(fixture, &options);
}

static const char *product(size_t i)
{
    static const char *const names[PRODUCTS] = {"A", "B", "C", "D", "E", "F"};
    return names[i % PRODUCTS];
}

// Twice as many requests as units, at both instances in turns.
static void sell_out(int i, const size_t *partitions)
{
    struct fixture fixture;
    if (!open_case(i, partitions, (struct engine_hooks){0}, &fixture))
        return;
    for (size_t p = 0; p < PRODUCTS; p++)
        fixture_put_product(&fixture, product(p), EACH / 2);
    struct volley volley;
    volley_init(&volley, PRODUCTS * EACH);
    for (size_t j = 0; j < volley.n; j++) {
        volley_deduct(&volley, j, product(j));
        volley_submit(&volley, fixture.instances[j / PRODUCTS % 2].engine, j);
    }
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), PRODUCTS * EACH / 2);
    ck_assert_uint_eq(volley_count(&volley, RC_OUT_OF_STOCK), PRODUCTS * EACH / 2);
    for (size_t p = 0; p < PRODUCTS; p++)
        fixture_assert_stock(&fixture, product(p), 0, 1 + EACH / 2);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
    volley_release(&volley);
}

START_TEST(instances_that_agree_never_oversell)
{
    sell_out(_i, (const size_t[]){3, 3});
}
END_TEST

START_TEST(instances_that_disagree_never_oversell)
{
    sell_out(_i, (const size_t[]){2, 3});
}
END_TEST

START_TEST(an_instance_without_partitions_beside_one_with_them_never_oversells)
{
    sell_out(_i, (const size_t[]){0, 1});
}
END_TEST

// The first instance is held before its save. The second one waits for the partition's lock, so
// neither finds a row that has moved.
START_TEST(a_partition_is_locked_by_one_instance)
{
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_SAVE, SIZE_MAX);
    struct fixture fixture;
    if (!open_case(_i, (const size_t[]){1000, 1000}, (struct engine_hooks){gate_pause, &gate},
                   &fixture))
        return;
    fixture_put_product(&fixture, "A", 2);
    struct volley volley;
    volley_init(&volley, 2);
    volley_deduct(&volley, 0, "A");
    volley_deduct(&volley, 1, "A");
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&gate);
    volley_submit(&volley, fixture.instances[1].engine, 1);
    ck_assert(!volley_wait_for(&volley, 1, 200));
    gate_open(&gate);
    volley_wait(&volley);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), 2);
    ck_assert_int_eq(fixture_counted(&fixture, 0, "holdfast_conflicts_total"), 0);
    ck_assert_int_eq(fixture_counted(&fixture, 1, "holdfast_conflicts_total"), 0);
    fixture_close(&fixture);
    volley_release(&volley);
}
END_TEST

// The rows have seen the tokens of the counters' own locks; the partition's begin again at 1. Then
// the other way round.
START_TEST(a_change_of_the_number_lifts_the_tokens)
{
    struct fixture fixture;
    if (!open_case(_i, (const size_t[]){0, 1}, (struct engine_hooks){0}, &fixture))
        return;
    fixture_put_product(&fixture, "A", 20);
    for (size_t j = 0; j < 12; j++) {
        struct operation operation = {.kind = OPERATION_DEDUCT, .leg.amount = 1};
        text_copy(operation.leg.counter, sizeof operation.leg.counter, "stock/A");
        ck_assert_int_eq(submit_and_wait(fixture.instances[j / 4 % 2].engine, &operation), RC_OK);
    }
    fixture_assert_stock(&fixture, "A", 8, 13);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// Five users in two partitions: most pairs share one.
START_TEST(transfers_take_each_lock_once)
{
    enum { USERS = 5, N = 60 };
    static const char *const users[USERS] = {"u0", "u1", "u2", "u3", "u4"};
    struct fixture fixture;
    if (!open_case(_i, (const size_t[]){2, 2}, (struct engine_hooks){0}, &fixture))
        return;
    for (size_t u = 0; u < USERS; u++)
        account_earn(&fixture, users[u], 100);
    struct volley volley;
    volley_init(&volley, N);
    for (size_t j = 0; j < N; j++) {
        size_t to = j + 1 + j / USERS % (USERS - 1);
        volley_transfer(&volley, j, users[j % USERS], users[to % USERS], 1);
        volley_submit(&volley, fixture.instances[j % 2].engine, j);
    }
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), N);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
    volley_release(&volley);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partitions");
    int n = part_size() * ENGINES * MODES;
    TCase *sell = suite_case(suite, "sold out", 60);
    tcase_add_loop_test(sell, instances_that_agree_never_oversell, 0, n);
    tcase_add_loop_test(sell, instances_that_disagree_never_oversell, 0, n);
    tcase_add_loop_test(sell, an_instance_without_partitions_beside_one_with_them_never_oversells,
                        0, n);
    TCase *locks = suite_case(suite, "locks", 60);
    tcase_add_loop_test(locks, a_partition_is_locked_by_one_instance, 0, n);
    tcase_add_loop_test(locks, a_change_of_the_number_lifts_the_tokens, 0, n);
    tcase_add_loop_test(locks, transfers_take_each_lock_once, 0, n);
    return suite_run(suite);
}
