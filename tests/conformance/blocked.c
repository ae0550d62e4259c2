// One counter's lock, of the guard or of its row, is kept by somebody for long. The requests for
// other counters, picked together with it, must not suffer for that.
#include "fixture.h"
#include "gate.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/db/db.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define FREE 6           // counters that nobody keeps
#define SOON_MS 3000     // for them; the kept one is waited for until DEADLINE_MS
#define DEADLINE_MS 4500 // of each request; less than MariaDB leaves to an idle transaction

static const char *const warm[] = {"W1", "W2"};

static void fill(struct volley *volley, size_t i, const char *sku)
{
    struct operation *operation = volley_operation(volley, i);
    operation->kind = OPERATION_DEDUCT;
    text_format(operation->counter, sizeof operation->counter, "stock/%s", sku);
}

// As many sections as run at once are held where nothing is locked yet, so that what is submitted
// meanwhile is picked together.
static void hold_back(struct fixture *fixture, struct volley *volley, struct gate *gate)
{
    volley_init(volley, ARRAY_LENGTH(warm));
    for (size_t i = 0; i < ARRAY_LENGTH(warm); i++) {
        fill(volley, i, warm[i]);
        volley_submit(volley, fixture->instances[0].engine, i);
        for (size_t arrived = 0; arrived <= i; clock_sleep_ns(NS_PER_MS / 4)) {
            pthread_mutex_lock(&gate->mutex);
            arrived = gate->arrived;
            pthread_mutex_unlock(&gate->mutex);
        }
    }
}

// The kept one among the others in the order of names, and in the middle of those that arrive.
static void submit_mixed(struct fixture *fixture, struct volley *volley)
{
    volley_init(volley, 2 * (FREE + 1));
    volley->deadline_ns = DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < volley->n; i++) {
        char sku[8];
        text_format(sku, sizeof sku, "K%zu", (i + 4) % (FREE + 1));
        fill(volley, i, sku);
        volley_submit(volley, fixture->instances[0].engine, i);
    }
}

static bool is_kept(const struct operation *operation)
{
    return strcmp(operation->counter, "stock/K3") == 0;
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

static void assert_only_the_kept_one_fails(struct volley *volley, enum rc fault)
{
    ck_assert(volley_wait_for(volley, 2 * FREE, SOON_MS));
    for (size_t i = 0; i < volley->n; i++)
        if (!is_kept(volley_operation(volley, i)))
            ck_assert_int_eq(volley_operation(volley, i)->outcome.rc, RC_OK);
    volley_wait(volley);
    for (size_t i = 0; i < volley->n; i++)
        if (is_kept(volley_operation(volley, i)))
            ck_assert_int_eq(volley_operation(volley, i)->outcome.rc, fault);
}

START_TEST(a_row_that_is_kept_does_not_hold_up_the_others)
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
    assert_only_the_kept_one_fails(&mixed, RC_CONTENTION);
    db_rollback(db);
    fixture_assert_reconciled(&fixture);
    volley_release(&mixed);
    volley_release(&first);
    fixture_close(&fixture);
}
END_TEST

// The second instance stays inside, and its lease is renewed.
START_TEST(a_lock_that_is_kept_does_not_hold_up_the_others)
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
    fill(&kept, 0, "K3");
    volley_submit(&kept, fixture.instances[1].engine, 0);
    gate_wait_for_arrival(&keeper);
    hold_back(&fixture, &first, &gate);
    submit_mixed(&fixture, &mixed);
    gate_open(&gate);
    volley_wait(&first);
    assert_only_the_kept_one_fails(&mixed, RC_LOCK_BUSY);
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
    TCase *cases = tcase_create("counters");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, a_row_that_is_kept_does_not_hold_up_the_others, 0, part_size());
    tcase_add_loop_test(cases, a_lock_that_is_kept_does_not_hold_up_the_others, 0, part_size());
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
