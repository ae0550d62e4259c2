// A stuck lock delays only its own counter. The lock of one counter, in the guard or in the
// database, is held for long, and requests for other counters are batched together with requests
// for it. The other counters' requests must succeed soon.
#include "fixture.h"
#include "gate.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/db/db.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define FREE 6 // counters whose locks are free
#define SOON_MS                                                                                    \
    3000 // limit for the free counters; requests for the stuck one wait until DEADLINE_MS
#define DEADLINE_MS 4500 // of each request; shorter than MariaDB tolerates an idle transaction

static const char *const warm[] = {"W1", "W2"};

// Holds as many sections as run at once, before they lock anything, so that requests submitted
// meanwhile form one batch.
static void hold_back(struct fixture *fixture, struct volley *volley, struct gate *gate)
{
    volley_init(volley, ARRAY_LENGTH(warm));
    for (size_t i = 0; i < ARRAY_LENGTH(warm); i++) {
        volley_deduct(volley, i, warm[i]);
        volley_submit(volley, fixture->instances[0].engine, i);
        for (size_t arrived = 0; arrived <= i; clock_sleep_ns(NS_PER_MS / 4)) {
            pthread_mutex_lock(&gate->mutex);
            arrived = gate->arrived;
            pthread_mutex_unlock(&gate->mutex);
        }
    }
}

// The stuck counter is in the middle, both by name and by arrival.
static void submit_mixed(struct fixture *fixture, struct volley *volley)
{
    volley_init(volley, 2 * (FREE + 1));
    volley->deadline_ns = DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < volley->n; i++) {
        char sku[8];
        text_format(sku, sizeof sku, "K%zu", (i + 4) % (FREE + 1));
        volley_deduct(volley, i, sku);
        volley_submit(volley, fixture->instances[0].engine, i);
    }
}

static bool is_stuck(const struct operation *operation)
{
    return strcmp(operation->leg.counter, "stock/K3") == 0;
}

static void put_products(struct fixture *fixture)
{
    for (size_t i = 0; i <= FREE; i++) {
        char sku[8];
        text_format(sku, sizeof sku, "K%zu", i);
        fixture_put_product(fixture, sku, 10);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(warm); i++)
        fixture_put_product(fixture, warm[i], 10);
}

static void assert_only_the_stuck_one_fails(struct volley *volley, enum rc fault)
{
    ck_assert(volley_wait_for(volley, 2 * FREE, SOON_MS));
    for (size_t i = 0; i < volley->n; i++)
        if (!is_stuck(volley_operation(volley, i)))
            ck_assert_int_eq(volley_operation(volley, i)->outcome.rc, RC_OK);
    volley_wait(volley);
    for (size_t i = 0; i < volley->n; i++)
        if (is_stuck(volley_operation(volley, i)))
            ck_assert_int_eq(volley_operation(volley, i)->outcome.rc, fault);
}

START_TEST(a_stuck_row_delays_only_its_own_counter)
{
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_LOAD, SIZE_MAX);
    struct fixture fixture;
    if (!fixture_open(&fixture, &(struct fixture_options){.strategy = part_strategy(_i),
                                                          .engine = DB_MYSQL,
                                                          .instances = 1,
                                                          .max_batch = 256,
                                                          .hooks = {{gate_pause, &gate}}}))
        return;
    put_products(&fixture);
    struct db *db = fixture.scratch.db;
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(db_script(db, "UPDATE counter SET version = version WHERE name = 'stock/K3'"),
                     RC_OK);
    struct volley first, mixed;
    hold_back(&fixture, &first, &gate);
    submit_mixed(&fixture, &mixed);
    gate_open(&gate);
    volley_wait(&first);
    assert_only_the_stuck_one_fails(&mixed, RC_CONTENTION);
    db_rollback(db);
    fixture_assert_reconciled(&fixture);
    volley_release(&mixed);
    volley_release(&first);
    fixture_close(&fixture);
}
END_TEST

// The second instance holds the lock and keeps renewing its lease.
START_TEST(a_stuck_lock_delays_only_its_own_counter)
{
    const struct strategy *strategy = part_strategy(_i);
    if (strategy->scope != SCOPE_CLUSTER || strategy->rule != RULE_FENCED)
        return;
    struct gate gate, keeper;
    gate_init(&gate, PAUSE_BEFORE_LOAD, SIZE_MAX);
    gate_init(&keeper, PAUSE_BEFORE_SAVE, SIZE_MAX);
    struct fixture fixture;
    if (!fixture_open(&fixture, &(struct fixture_options){
                                    .strategy = strategy,
                                    .engine = DB_MYSQL,
                                    .instances = 2,
                                    .max_batch = 256,
                                    .first_wait_ms = 2500,
                                    .hooks = {{gate_pause, &gate}, {gate_pause, &keeper}}}))
        return;
    put_products(&fixture);
    struct volley kept, first, mixed;
    volley_init(&kept, 1);
    volley_deduct(&kept, 0, "K3");
    volley_submit(&kept, fixture.instances[1].engine, 0);
    gate_wait_for_arrival(&keeper);
    hold_back(&fixture, &first, &gate);
    submit_mixed(&fixture, &mixed);
    gate_open(&gate);
    volley_wait(&first);
    assert_only_the_stuck_one_fails(&mixed, RC_LOCK_BUSY);
    gate_open(&keeper);
    volley_wait(&kept);
    ck_assert_int_eq(volley_operation(&kept, 0)->outcome.rc, RC_OK);
    fixture_assert_reconciled(&fixture);
    volley_release(&mixed);
    volley_release(&first);
    volley_release(&kept);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocked");
    TCase *cases = suite_case(suite, "counters", 60);
    tcase_add_loop_test(cases, a_stuck_row_delays_only_its_own_counter, 0, part_size());
    tcase_add_loop_test(cases, a_stuck_lock_delays_only_its_own_counter, 0, part_size());
    return suite_run(suite);
}
