// The conformance suite: the same tests for every strategy on every database engine, combined and
// direct. A case is strategy x engine x mode, and each test loops over all cases. A strategy's
// declared scope decides which tests apply to it.
#include "fixture.h"
#include "gate.h"
#include "lost_answer.h"

#include "base/clock.h"
#include "base/text.h"
#include "domain/coupon.h"
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"
#include "store/tables/product.h"

#include "guard/strategy/registry.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_campaign(struct fixture *fixture, const char *name, int64_t total, int64_t limit)
{
    struct campaign put = {.total = total, .per_user_limit = limit}, stands;
    bool created;
    text_copy(put.campaign, sizeof put.campaign, name);
    ck_assert_int_eq(campaign_put(fixture->scratch.db, &put, NULL, &created, &stands), RC_OK);
}

static void put_lottery(struct fixture *fixture, const char *name, int64_t draws, int64_t gold)
{
    static struct lottery put, stands;
    bool created;
    put = (struct lottery){.draws_per_user = draws, .blank_weight = 1, .n_prizes = 1};
    text_copy(put.lottery, sizeof put.lottery, name);
    text_copy(put.prizes[0].prize, sizeof put.prizes[0].prize, "gold");
    put.prizes[0].quantity = gold;
    put.prizes[0].weight = 9;
    ck_assert_int_eq(lottery_put(fixture->scratch.db, &put, NULL, &created, &stands), RC_OK);
}

static struct operation deduct_of(const char *sku, int64_t quantity)
{
    struct operation operation = {.kind = OPERATION_DEDUCT, .leg.amount = quantity};
    text_format(operation.leg.counter, sizeof operation.leg.counter, "stock/%s", sku);
    return operation;
}

static void fill(struct operation *operation, enum operation_kind kind, const char *counter,
                 int user)
{
    operation->kind = kind;
    text_copy(operation->leg.counter, sizeof operation->leg.counter, counter);
    if (user >= 0)
        text_format(operation->user_id, sizeof operation->user_id, "user-%d", user);
}

static int compare_versions(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, two = *(const int64_t *)b;
    return (one > two) - (one < two);
}

// The versions of the successes are first, first + 1, ... without gaps or duplicates.
static void assert_versions(const struct volley *volley, int64_t first)
{
    int64_t *versions = calloc(volley->n, sizeof *versions);
    size_t n = 0;
    for (size_t i = 0; i < volley->n; i++) {
        if (volley->shots[i].operation.outcome.rc == RC_OK)
            versions[n++] = volley->shots[i].operation.outcome.version;
    }
    qsort(versions, n, sizeof *versions, compare_versions);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(versions[i], first + (int64_t)i);
    free(versions);
}

// ---- no overselling -----------------------------------------------------------------------------

static void sell_out(int i, enum guard_scope least, size_t instances, size_t buyers, int64_t units)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    fixture_put_product(&fixture, "HOT", units);
    struct volley volley;
    volley_init(&volley, buyers);
    for (size_t j = 0; j < buyers; j++) {
        fill(volley_operation(&volley, j), OPERATION_DEDUCT, "stock/HOT", (int)j);
        volley_submit(&volley, fixture.instances[j % instances].engine, j);
    }
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), (size_t)units);
    ck_assert_uint_eq(volley_count(&volley, RC_OUT_OF_STOCK), buyers - (size_t)units);
    assert_versions(&volley, 2);
    for (size_t j = 0; j < buyers; j++) {
        const struct outcome *outcome = &volley.shots[j].operation.outcome;
        if (outcome->rc == RC_OUT_OF_STOCK)
            ck_assert_int_eq(outcome->remaining, 0);
        else
            ck_assert_int_eq(outcome->remaining, units + 1 - outcome->version);
    }
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(one_instance_never_oversells)
{
    sell_out(_i, SCOPE_PROCESS, 1, 300, 100);
}
END_TEST

START_TEST(two_instances_never_oversell)
{
    sell_out(_i, SCOPE_CLUSTER, 2, 120, 40);
}
END_TEST

// ---- idempotency --------------------------------------------------------------------------------

START_TEST(one_key_one_effect)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    struct engine *engine = fixture.instances[0].engine;
    fixture_put_product(&fixture, "A", 10);
    fixture_put_product(&fixture, "B", 10);
    enum { DUPLICATES = 24 };
    struct volley volley;
    volley_init(&volley, DUPLICATES);
    for (size_t j = 0; j < DUPLICATES; j++) {
        struct operation *operation = volley_operation(&volley, j);
        *operation = deduct_of("A", 3);
        text_copy(operation->request_key, sizeof operation->request_key, "the-same-key");
        volley_submit(&volley, engine, j);
    }
    volley_settle(&volley, &fixture);
    size_t first_results = 0;
    for (size_t j = 0; j < DUPLICATES; j++) {
        struct operation *operation = volley_operation(&volley, j);
        ck_assert_int_eq(operation->outcome.rc, RC_OK);
        ck_assert_int_eq(operation->outcome.version, 2);
        ck_assert_int_eq(operation->outcome.remaining, 7);
        ck_assert_str_eq(operation->outcome.strategy, scenario_at(_i).strategy->name);
        first_results += !operation->outcome.replayed;
    }
    ck_assert_uint_eq(first_results, 1);

    struct operation other = deduct_of("A", 4);
    text_copy(other.request_key, sizeof other.request_key, "the-same-key");
    ck_assert_int_eq(submit_and_wait(engine, &other), RC_IDEMPOTENCY_MISMATCH);
    struct operation elsewhere = deduct_of("B", 3);
    text_copy(elsewhere.request_key, sizeof elsewhere.request_key, "the-same-key");
    ck_assert_int_eq(submit_and_wait(engine, &elsewhere), RC_IDEMPOTENCY_MISMATCH);

    // A replay is answered even when the product is sold out.
    struct operation rest = deduct_of("A", 7);
    ck_assert_int_eq(submit_and_wait(engine, &rest), RC_OK);
    struct operation again = deduct_of("A", 3);
    text_copy(again.request_key, sizeof again.request_key, "the-same-key");
    ck_assert_int_eq(submit_and_wait(engine, &again), RC_OK);
    ck_assert(again.outcome.replayed);
    ck_assert_int_eq(again.outcome.remaining, 7);

    // A refusal is not recorded: its key may succeed later.
    struct operation refused = deduct_of("B", 11);
    ck_assert_int_eq(submit_and_wait(engine, &refused), RC_OUT_OF_STOCK);
    ck_assert_int_eq(refused.outcome.remaining, 10);
    struct operation restock = {.kind = OPERATION_RESTOCK,
                                .leg = {.counter = "stock/B", .amount = 5}};
    ck_assert_int_eq(submit_and_wait(engine, &restock), RC_OK);
    ck_assert_int_eq(submit_and_wait(engine, &refused), RC_OK);
    ck_assert(!refused.outcome.replayed);
    ck_assert_int_eq(refused.outcome.remaining, 4);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- coupons and lotteries ----------------------------------------------------------------------

static size_t instances_for(int i)
{
    return scenario_at(i).strategy->scope == SCOPE_CLUSTER ? 2 : 1;
}

static void run_users(struct fixture *fixture, struct volley *volley, enum operation_kind kind,
                      const char *counter, size_t users)
{
    for (size_t j = 0; j < volley->n; j++) {
        fill(volley_operation(volley, j), kind, counter, (int)(j % users));
        volley_submit(volley, fixture->instances[j % fixture->n].engine, j);
    }
    volley_settle(volley, fixture);
}

START_TEST(coupons_keep_total_and_limit)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, instances_for(_i)))
        return;
    enum { USERS = 20, TRIES = 100, LIMIT = 2, TOTAL = 31 };
    put_campaign(&fixture, "SPRING", TOTAL, LIMIT);
    struct volley volley;
    volley_init(&volley, TRIES);
    run_users(&fixture, &volley, OPERATION_ISSUE, "coupon/SPRING", USERS);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), TOTAL);
    int per_user[USERS] = {0};
    for (size_t j = 0; j < TRIES; j++) {
        const struct outcome *outcome = &volley.shots[j].operation.outcome;
        if (outcome->rc == RC_OK) {
            ck_assert_int_le(++per_user[j % USERS], LIMIT);
            ck_assert(coupon_code_is_valid(outcome->code));
        } else {
            ck_assert(outcome->rc == RC_COUPON_EXHAUSTED || outcome->rc == RC_LIMIT_REACHED);
        }
    }
    assert_versions(&volley, 2);
    // The same key gets the same coupon again, even when the campaign is exhausted.
    for (size_t j = 0; j < TRIES; j++) {
        struct operation *operation = volley_operation(&volley, j);
        if (operation->outcome.rc != RC_OK)
            continue;
        struct outcome first = operation->outcome;
        ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, operation), RC_OK);
        ck_assert(operation->outcome.replayed);
        ck_assert_str_eq(operation->outcome.code, first.code);
        ck_assert_int_eq(operation->outcome.version, first.version);
        break;
    }
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

START_TEST(no_user_draws_twice)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, instances_for(_i)))
        return;
    enum { USERS = 30, TRIES = 90, GOLD = 10 };
    put_lottery(&fixture, "WHEEL", 1, GOLD);
    struct volley volley;
    volley_init(&volley, TRIES);
    run_users(&fixture, &volley, OPERATION_DRAW, "lottery/WHEEL", USERS);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), USERS);
    ck_assert_uint_eq(volley_count(&volley, RC_ALREADY_DRAWN), TRIES - USERS);
    int drawn[USERS] = {0};
    size_t won = 0;
    for (size_t j = 0; j < TRIES; j++) {
        struct operation *operation = volley_operation(&volley, j);
        if (operation->outcome.rc != RC_OK)
            continue;
        ck_assert_int_eq(++drawn[j % USERS], 1);
        won += operation->outcome.prize[0] != '\0';
        struct outcome first = operation->outcome;
        ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, operation), RC_OK);
        ck_assert(operation->outcome.replayed);
        ck_assert_str_eq(operation->outcome.prize, first.prize);
        ck_assert_int_eq(operation->outcome.version, first.version);
    }
    ck_assert_uint_eq(won, GOLD); // nine draws in ten win while gold remains
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- failures -----------------------------------------------------------------------------------

START_TEST(a_failing_request_does_not_fail_its_batch)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "A", 1000);
    struct volley volley;
    enum { N = 60 };
    volley_init(&volley, N);
    for (size_t j = 0; j < N; j++) {
        struct operation *operation = volley_operation(&volley, j);
        fill(operation, OPERATION_DEDUCT, j % 5 == 1 ? "stock/NONE" : "stock/A", -1);
        operation->leg.amount = j % 5 == 0 ? 5000 : 2;
        volley_submit(&volley, fixture.instances[0].engine, j);
    }
    volley_settle(&volley, &fixture);
    for (size_t j = 0; j < N; j++) {
        enum rc expected = j % 5 == 0 ? RC_OUT_OF_STOCK : j % 5 == 1 ? RC_NOT_FOUND : RC_OK;
        ck_assert_int_eq(volley_operation(&volley, j)->outcome.rc, expected);
    }
    // The guard was released on every path: the next request does not wait for a lease to expire.
    int64_t from_ns = clock_now_ns();
    struct operation next = deduct_of("A", 1);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &next), RC_OK);
    ck_assert_int_lt(clock_now_ns() - from_ns, 5 * NS_PER_S);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

START_TEST(an_expired_request_is_answered_without_running)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "A", 10);
    struct volley volley;
    volley_init(&volley, 1);
    *volley_operation(&volley, 0) = deduct_of("A", 1);
    struct shot *shot = &volley.shots[0];
    text_copy(shot->operation.request_key, sizeof shot->operation.request_key, "late");
    volley_submit(&volley, fixture.instances[0].engine, 0);
    volley_wait(&volley);
    ck_assert_int_eq(shot->operation.outcome.rc, RC_OK);
    volley.n_finished = 0;
    text_copy(shot->operation.request_key, sizeof shot->operation.request_key, "too-late");
    shot->job.deadline_ns = clock_now_ns() - 1;
    ck_assert_int_eq(engine_submit(fixture.instances[0].engine, &shot->job), RC_OK);
    volley_wait(&volley);
    ck_assert_int_eq(shot->operation.outcome.rc, RC_OVERLOADED);
    fixture_assert_stock(&fixture, "A", 9, 2);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- forced races -------------------------------------------------------------------------------

// The first instance is held between load and save. Meanwhile the second sells the last unit, if it
// can. `second` is the second instance's strategy; NULL: the same.
static void sell_behind_a_paused_holder(struct scenario scenario, const struct strategy *second)
{
    if (scenario.strategy->scope != SCOPE_CLUSTER)
        return;
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_SAVE, 100);
    struct fixture fixture;
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .second = second,
                                      .engine = scenario.engine,
                                      .instances = 2,
                                      .max_batch = scenario.max_batch,
                                      .lock_ttl_ms = second == NULL ? 300 : 0,
                                      .unrenewed =
                                          second == NULL && scenario.strategy->renew != NULL,
                                      .belts_off = true, // the update rule alone must protect
                                      .hooks = {{gate_pause, &gate}}};
    if (!fixture_open(&fixture, &options))
        return;
    fixture_put_product(&fixture, "LAST", 1);
    struct volley volley;
    volley_init(&volley, 2);
    for (size_t j = 0; j < 2; j++)
        fill(volley_operation(&volley, j), OPERATION_DEDUCT, "stock/LAST", (int)j);
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&gate);
    volley_submit(&volley, fixture.instances[1].engine, 1);
    // A lease expires meanwhile and the second instance sells. A row lock or a live session makes
    // it wait.
    volley_wait_for(&volley, 1, 900);
    gate_open(&gate);
    volley_wait(&volley);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), 1);
    fixture_assert_stock(&fixture, "LAST", 0, 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(a_paused_holder_cannot_sell_twice)
{
    sell_behind_a_paused_holder(scenario_at(_i), NULL);
}
END_TEST

// The holder's lock is valid as far as the holder knows, and another instance writes without it.
// This is how a second holder looks after a lock server lost its data. The update rule must stop
// it.
START_TEST(a_writer_that_ignores_the_lock_does_no_harm)
{
    sell_behind_a_paused_holder(scenario_at(_i), strategy_find("conditional"));
}
END_TEST

// Cuts every connection to the database just before the first COMMIT is sent.
struct cut {
    struct fixture *fixture;
    pthread_mutex_t mutex;
    bool done;
};

static void cut_pause(void *arg, const struct paused *paused)
{
    struct cut *cut = arg;
    if (paused->point != PAUSE_BEFORE_COMMIT)
        return;
    pthread_mutex_lock(&cut->mutex);
    if (!cut->done) {
        scratch_cut_connections(&cut->fixture->scratch);
        cut->done = true;
    }
    pthread_mutex_unlock(&cut->mutex);
}

START_TEST(a_commit_without_an_answer_is_looked_up)
{
    struct scenario scenario = scenario_at(_i);
    if (scenario.engine != DB_MYSQL || scenario.strategy->scope < SCOPE_PROCESS)
        return;
    struct fixture fixture;
    struct cut cut = {.fixture = &fixture, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = 1,
                                      .max_batch = scenario.max_batch,
                                      .hooks = {{cut_pause, &cut}}};
    if (!fixture_open(&fixture, &options))
        return;
    fixture_put_product(&fixture, "A", 10);
    struct operation operation = deduct_of("A", 3);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &operation), RC_OK);
    ck_assert(cut.done);
    ck_assert(!operation.outcome.replayed);
    ck_assert_int_eq(operation.outcome.remaining, 7);
    ck_assert_int_eq(operation.outcome.version, 2);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// The other half of an unknown outcome: COMMIT was executed, and only its answer was lost.
START_TEST(a_commit_whose_answer_was_lost_counts_once)
{
    struct lost_answer lost;
    if (!lost_answer_open(&lost, _i))
        return;
    struct fixture *fixture = &lost.fixture;
    fixture_put_product(fixture, "A", 10);
    struct volley volley;
    volley_init(&volley, 1);
    volley_deduct(&volley, 0, "A");
    lost_answer_submit(&lost, &volley, "stock/A", 2);
    const struct outcome *outcome = &volley_operation(&volley, 0)->outcome;
    ck_assert_int_eq(outcome->rc, RC_OK);
    ck_assert(outcome->replayed); // because a duplicate may have written the row
    ck_assert_int_eq(outcome->version, 2);
    ck_assert_int_eq(outcome->remaining, 9);
    fixture_assert_stock(fixture, "A", 9, 2);
    fixture_assert_reconciled(fixture);
    volley_release(&volley);
    fixture_close(fixture);
}
END_TEST

// Changes the row between every load and save.
static void change_row(void *arg, const struct paused *paused)
{
    struct fixture *fixture = arg;
    if (paused->point == PAUSE_BEFORE_SAVE)
        ck_assert_int_eq(
            db_exec(fixture->scratch.db, "UPDATE counter SET version = version + 1", NULL, 0, NULL),
            RC_OK);
}

START_TEST(retries_on_a_version_mismatch_are_bounded)
{
    struct fixture fixture;
    struct fixture_options options = {.strategy = strategy_find("optimistic"),
                                      .engine = _i == 0 ? DB_SQLITE : DB_MYSQL,
                                      .instances = 1,
                                      .max_batch = 256,
                                      .hooks = {{change_row, &fixture}}};
    if (!fixture_open(&fixture, &options))
        return;
    fixture_put_product(&fixture, "A", 10);
    struct operation operation = deduct_of("A", 1);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, &operation), RC_CONTENTION);
    struct product stands;
    ck_assert_int_eq(product_get(fixture.scratch.db, "A", &stands), RC_OK);
    ck_assert_int_eq(stands.remaining, 10);
    fixture_close(&fixture);
}
END_TEST

// ---- lanes --------------------------------------------------------------------------------------

START_TEST(a_counters_requests_are_decided_in_order_of_arrival)
{
    struct scenario scenario = scenario_at(_i);
    if (scenario.max_batch == 1 || scenario.strategy->scope < SCOPE_PROCESS)
        return;
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    enum { COUNTERS = 4, N = 200 };
    for (int j = 0; j < COUNTERS; j++) {
        char sku[8];
        snprintf(sku, sizeof sku, "S%d", j);
        fixture_put_product(&fixture, sku, N);
    }
    struct volley volley;
    volley_init(&volley, N);
    for (size_t j = 0; j < N; j++) {
        char counter[16];
        snprintf(counter, sizeof counter, "stock/S%zu", j % COUNTERS);
        fill(volley_operation(&volley, j), OPERATION_DEDUCT, counter, -1);
        volley_submit(&volley, fixture.instances[0].engine, j);
    }
    volley_wait(&volley);
    for (size_t j = 0; j < N; j++)
        ck_assert_int_eq(volley.shots[j].operation.outcome.version, 2 + (int64_t)(j / COUNTERS));
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

START_TEST(drain_finishes_accepted_requests_and_accepts_no_more)
{
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    fixture_put_product(&fixture, "A", 1000);
    struct engine *engine = fixture.instances[0].engine;
    struct volley volley;
    enum { N = 100 };
    volley_init(&volley, N);
    for (size_t j = 0; j + 1 < N; j++) {
        fill(volley_operation(&volley, j), OPERATION_DEDUCT, "stock/A", -1);
        volley_submit(&volley, engine, j);
    }
    engine_drain(engine);
    ck_assert_uint_eq(volley.n_finished, N - 1);
    struct shot *last = &volley.shots[N - 1];
    *volley_operation(&volley, N - 1) = deduct_of("A", 1);
    last->job = volley.shots[0].job;
    last->job.operation = &last->operation;
    ck_assert_int_eq(engine_submit(engine, &last->job), RC_OVERLOADED);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conformance");
    TCase *every = suite_case(suite, "every strategy", 120);
    int n = scenarios();
    tcase_add_loop_test(every, one_instance_never_oversells, 0, n);
    tcase_add_loop_test(every, two_instances_never_oversell, 0, n);
    tcase_add_loop_test(every, one_key_one_effect, 0, n);
    tcase_add_loop_test(every, coupons_keep_total_and_limit, 0, n);
    tcase_add_loop_test(every, no_user_draws_twice, 0, n);
    tcase_add_loop_test(every, a_failing_request_does_not_fail_its_batch, 0, n);
    tcase_add_loop_test(every, an_expired_request_is_answered_without_running, 0, n);
    tcase_add_loop_test(every, a_paused_holder_cannot_sell_twice, 0, n);
    tcase_add_loop_test(every, a_writer_that_ignores_the_lock_does_no_harm, 0, n);
    tcase_add_loop_test(every, a_counters_requests_are_decided_in_order_of_arrival, 0, n);
    tcase_add_loop_test(every, drain_finishes_accepted_requests_and_accepts_no_more, 0, n);
    TCase *races = suite_case(suite, "forced races", 120);
    tcase_add_loop_test(races, a_commit_without_an_answer_is_looked_up, 0, n);
    tcase_add_loop_test(races, a_commit_whose_answer_was_lost_counts_once, 0, n);
    tcase_add_loop_test(races, retries_on_a_version_mismatch_are_bounded, 0, 2);
    return suite_run(suite);
}
