// A kind of operation that is added as CONTRIBUTING.md says (see CMakeLists.txt here). Lanes,
// batches, replays, the ledger and the strategies must serve it as they are. It takes from counters
// of two nouns, which no kind of the service does.
#include "buy.h"
#include "fixture.h"

#include "base/random.h"
#include "base/text.h"
#include "domain/kinds.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include "suite.h"

#include <check.h>
#include <string.h>

#define PRICE 3

// As a handler of the service would fill it in.
static void fill(struct operation *operation, struct leg *points, const char *sku, const char *user,
                 int64_t units)
{
    operation->kind = OPERATION_BUY;
    operation->leg.amount = units;
    operation->more = points;
    operation->n_more = 1;
    points->amount = units * PRICE;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "stock/%s", sku);
    text_format(points->counter, sizeof points->counter, "points/%s", user);
}

// ---- decided ------------------------------------------------------------------------------------

START_TEST(it_is_decided_as_a_whole)
{
    static const struct {
        int64_t units, points;
        enum rc rc;
        size_t refusing;
    } cases[] = {
        {2, 6, RC_OK, 0},
        {1, 6, RC_OUT_OF_STOCK, 0},
        {2, 5, RC_NOT_ENOUGH_POINTS, 1},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct counter counters[] = {{.remaining = cases[i].points, .version = 4},
                                     {.remaining = cases[i].units, .version = 9}};
        static const size_t legs[] = {1, 0}; // counters are sorted by name, legs are not
        struct posting postings[2 + POSTINGS_MORE];
        struct view view = {.counters = counters, .legs = legs, .postings = postings};
        struct operation operation = {0};
        struct leg points = {0};
        fill(&operation, &points, "A", "anna", 2);
        ck_assert_int_eq(operation_decide(&view, &operation), cases[i].rc);
        ck_assert_uint_eq(view.n_postings, cases[i].rc == RC_OK ? 2 : 0);
        ck_assert_uint_eq(view.refusing_leg, cases[i].refusing);
        ck_assert_int_eq(counters[0].version, cases[i].rc == RC_OK ? 5 : 4);
        ck_assert_int_eq(counters[1].version, cases[i].rc == RC_OK ? 10 : 9);
    }
}
END_TEST

// ---- run ----------------------------------------------------------------------------------------

// The strategies that need no server, combined and direct.
static const char *const local[] = {"mutex", "optimistic", "conditional", "row-lock", "lock-table"};
#define CASES (2 * (int)ARRAY_LENGTH(local))

static void open_case(struct fixture *fixture, int i)
{
    struct fixture_options options = {.strategy = strategy_find(local[i / 2]),
                                      .engine = DB_SQLITE,
                                      .instances = 1,
                                      .max_batch = i % 2 == 0 ? 256 : 1};
    ck_assert(fixture_open(fixture, &options));
}

static void earn(struct fixture *fixture, const char *user, int64_t points)
{
    struct operation operation = {.kind = OPERATION_EARN,
                                  .leg = {.amount = points, .may_create = true}};
    text_format(operation.leg.counter, sizeof operation.leg.counter, "points/%s", user);
    ck_assert_int_eq(submit_and_wait(fixture->instances[0].engine, &operation), RC_OK);
}

static struct counter read_counter(struct fixture *fixture, const char *name)
{
    struct counter counter;
    int64_t now_ms;
    text_copy(counter.name, sizeof counter.name, name);
    ck_assert_int_eq(counter_load(fixture->scratch.db, &counter, 1, false, &now_ms), RC_OK);
    return counter;
}

// Both legs are in the ledger as they were answered, or neither is.
static void assert_whole(struct fixture *fixture, struct operation *operation)
{
    for (size_t i = 0; i < 2; i++) {
        const struct leg *leg = operation_leg(operation, i);
        struct ledger_row row;
        enum rc rc = ledger_find_leg(fixture->scratch.db, operation->request_key, (int64_t)i, &row);
        ck_assert_int_eq(rc, operation->outcome.rc == RC_OK ? RC_OK : RC_NOT_FOUND);
        if (rc != RC_OK)
            continue;
        ck_assert_str_eq(row.reason, "buy");
        ck_assert_str_eq(row.counter, leg->counter);
        ck_assert_int_eq(row.delta, -leg->amount);
        ck_assert_int_eq(row.version, leg->version);
        ck_assert_int_eq(row.remaining, leg->remaining);
    }
}

// Purchases among deducts of the same products: every unit has been paid for, or deducted.
START_TEST(it_shares_batches_with_other_kinds)
{
    enum { SKUS = 3, USERS = 4, N = 120, STOCK = 30, POINTS = 60 };
    struct fixture fixture;
    open_case(&fixture, _i);
    char skus[SKUS][8], users[USERS][8];
    for (size_t i = 0; i < SKUS; i++) {
        text_format(skus[i], sizeof skus[i], "S%zu", i);
        fixture_put_product(&fixture, skus[i], STOCK);
    }
    for (size_t i = 0; i < USERS; i++) {
        text_format(users[i], sizeof users[i], "u%zu", i);
        earn(&fixture, users[i], POINTS);
    }
    struct volley volley;
    volley_init(&volley, N);
    for (size_t i = 0; i < N; i++) {
        const char *sku = skus[random_below(SKUS)];
        if (i % 3 == 0)
            volley_deduct(&volley, i, sku);
        else
            fill(volley_operation(&volley, i), &volley.shots[i].other, sku,
                 users[random_below(USERS)], 1 + (int64_t)random_below(3));
        volley_submit(&volley, fixture.instances[0].engine, i);
    }
    volley_settle(&volley, &fixture);
    int64_t bought = 0, deducted = 0, units = 0, points = 0;
    for (size_t i = 0; i < N; i++) {
        struct operation *operation = volley_operation(&volley, i);
        if (operation->kind == OPERATION_BUY)
            assert_whole(&fixture, operation);
        if (operation->outcome.rc == RC_OK)
            *(operation->kind == OPERATION_BUY ? &bought : &deducted) += operation->leg.amount;
    }
    char name[COUNTER_NAME_MAX + 1];
    for (size_t i = 0; i < SKUS; i++) {
        text_format(name, sizeof name, "stock/%s", skus[i]);
        units += read_counter(&fixture, name).remaining;
    }
    for (size_t i = 0; i < USERS; i++) {
        text_format(name, sizeof name, "points/%s", users[i]);
        points += read_counter(&fixture, name).remaining;
    }
    ck_assert_int_gt(bought, 0);
    ck_assert_int_eq(units, SKUS * STOCK - bought - deducted);
    ck_assert_int_eq(points, USERS * POINTS - bought * PRICE);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_repeated_one_gets_the_first_result)
{
    struct fixture fixture;
    open_case(&fixture, _i);
    struct engine *engine = fixture.instances[0].engine;
    fixture_put_product(&fixture, "A", 5);
    earn(&fixture, "anna", 10);
    struct volley volley;
    volley_init(&volley, 2);
    for (size_t i = 0; i < 2; i++)
        fill(volley_operation(&volley, i), &volley.shots[i].other, "A", "anna", 2);
    for (size_t i = 0; i < 2; i++)
        volley_submit(&volley, engine, i);
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), 1); // 10 points pay for 2 units, not for 4
    ck_assert_uint_eq(volley_count(&volley, RC_NOT_ENOUGH_POINTS), 1);
    size_t bought = volley_operation(&volley, 0)->outcome.rc == RC_OK ? 0 : 1;
    struct operation *operation = volley_operation(&volley, bought);
    operation->more->version = operation->leg.version = 0;
    ck_assert_int_eq(submit_and_wait(engine, operation), RC_OK);
    ck_assert(operation->outcome.replayed);
    ck_assert_int_eq(operation->leg.remaining, 3);
    ck_assert_int_eq(operation->leg.version, 2);
    ck_assert_int_eq(operation->more->remaining, 4);
    ck_assert_int_eq(operation->more->version, 2);
    assert_whole(&fixture, operation);
    operation->more->amount++; // the same key for another price
    ck_assert_int_eq(submit_and_wait(engine, operation), RC_IDEMPOTENCY_MISMATCH);
    fixture_assert_stock(&fixture, "A", 3, 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- strategies ---------------------------------------------------------------------------------

// Its endpoint changes the counters of stock too, so the two may not mix `mutex` with another
// strategy: neither at start nor later.
START_TEST(its_endpoint_does_not_mix_mutex_with_another_strategy)
{
    struct scratch scratch;
    struct metrics *metrics;
    struct engine *engine;
    char why[GUARD_ERROR_MAX] = "";
    scratch_open(&scratch, DB_SQLITE);
    ck_assert_int_eq(metrics_new(&metrics), RC_OK);
    struct engine_settings settings = {
        .workers = 1,
        .max_batch = 16,
        .queue_limit = 16,
        .guard = {.redis = "", .zookeeper = "", .etcd = "", .lock_wait = "notify"},
        .strategy = {[ENDPOINT_STOCK] = "mutex",
                     [ENDPOINT_COUPON] = "mutex",
                     [ENDPOINT_LOTTERY] = "conditional",
                     [ENDPOINT_POINTS] = "conditional",
                     [ENDPOINT_RESERVATION] = "mutex",
                     [ENDPOINT_ORDER] = "mutex"},
    };
    ck_assert_int_eq(engine_new(&settings, scratch.store, metrics, &engine, why), RC_USAGE);
    ck_assert_str_eq(why, "stock.strategy = mutex, points.strategy = conditional: both change the"
                          " same counters. mutex stops only its own requests, and could overwrite a"
                          " change by conditional. At start, set all of these to mutex, or none:"
                          " stock.strategy, coupon.strategy, points.strategy, reservation.strategy,"
                          " order.strategy");
    settings.lab = true;
    ck_assert_int_eq(engine_new(&settings, scratch.store, metrics, &engine, why), RC_OK);
    engine_free(engine);
    metrics_free(metrics);

    ck_assert_int_eq(metrics_new(&metrics), RC_OK);
    settings.lab = false;
    settings.strategy[ENDPOINT_POINTS] = "mutex";
    ck_assert_int_eq(engine_new(&settings, scratch.store, metrics, &engine, why), RC_OK);
    const struct strategy *mutex = strategy_find("mutex"), *row_lock = strategy_find("row-lock");
    ck_assert_int_eq(engine_set_strategy(engine, ENDPOINT_POINTS, row_lock, why), RC_USAGE);
    ck_assert_ptr_nonnull(strstr(why, "points.strategy = row-lock"));
    ck_assert_ptr_eq(engine_strategy(engine, ENDPOINT_POINTS), mutex);
    ck_assert_int_eq(engine_set_strategy(engine, ENDPOINT_LOTTERY, row_lock, why), RC_OK);
    ck_assert_ptr_eq(engine_strategy(engine, ENDPOINT_LOTTERY), row_lock);
    engine_free(engine);
    metrics_free(metrics);
    scratch_close(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("new kind");
    TCase *once = suite_case(suite, "once", 60);
    tcase_add_test(once, it_is_decided_as_a_whole);
    tcase_add_test(once, its_endpoint_does_not_mix_mutex_with_another_strategy);
    TCase *every = suite_case(suite, "every local strategy", 120);
    tcase_add_loop_test(every, it_shares_batches_with_other_kinds, 0, CASES);
    tcase_add_loop_test(every, a_repeated_one_gets_the_first_result, 0, CASES);
    return suite_run(suite);
}
