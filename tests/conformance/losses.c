// What a strategy is worth when its lock is lost at the worst moment, when a row of the database is
// locked by somebody who does nothing, and when sets of keys are wanted in opposite orders. The
// moments are forced: sections are held at a pause point until the loss has happened.
#include "fixture.h"
#include "gate.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/tables/product.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENGINES 2
#define TTL_MS 1000
#define CUT_WAIT_MS 500 // for a lock server that is out of reach

static const struct strategy *strategy_at(int i)
{
    return part_strategy(i / ENGINES);
}

static enum db_engine engine_at(int i)
{
    return i % ENGINES == 0 ? DB_SQLITE : DB_MYSQL;
}

static void fill(struct volley *volley, size_t i, const char *sku)
{
    struct operation *operation = volley_operation(volley, i);
    operation->kind = OPERATION_DEDUCT;
    text_format(operation->counter, sizeof operation->counter, "stock/%s", sku);
}

static void assert_stands(struct fixture *fixture, const char *sku, int64_t remaining,
                          int64_t version)
{
    struct product stands;
    ck_assert_int_eq(product_get(fixture->scratch.db, sku, &stands), RC_OK);
    ck_assert_int_eq(stands.remaining, remaining);
    ck_assert_int_eq(stands.version, version);
}

// ---- after the last look ------------------------------------------------------------------------

struct damage {
    size_t sold, findings;
};

// One unit is left. The first instance has looked at its lock for the last time and is about to
// send COMMIT when it loses the lock; the second gets the lock and reads the row as it was. Then
// both go on. False if this cannot be had here.
static bool lose_in_commit(int i, bool unfenced, bool belts_off, struct damage *ret_damage)
{
    const struct strategy *strategy = strategy_at(i);
    // The lock table of SQLite has the same one writer as the counters: while one transaction is
    // open nobody else gets a lock.
    if (strategy->rule != RULE_FENCED ||
        (strcmp(strategy->name, "lock-table") == 0 && engine_at(i) == DB_SQLITE))
        return false;
    struct gate first, second;
    gate_init(&first, PAUSE_IN_COMMIT, SIZE_MAX);
    gate_init(&second, PAUSE_BEFORE_SAVE, 1);
    struct fixture fixture;
    struct fixture_options options = {.strategy = strategy,
                                      .engine = engine_at(i),
                                      .instances = 2,
                                      .max_batch = 256,
                                      .lock_ttl_ms = TTL_MS,
                                      .unrenewed = strategy->renew != NULL,
                                      .belts_off = belts_off,
                                      .unfenced = unfenced,
                                      .lock_proxied = true,
                                      .hooks = {{gate_pause, &first}, {gate_pause, &second}}};
    if (!fixture_open(&fixture, &options))
        return false;
    fixture_put_product(&fixture, "LAST", 1);
    struct volley volley;
    volley_init(&volley, 2);
    fill(&volley, 0, "LAST");
    fill(&volley, 1, "LAST");
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&first);
    fixture_cut_lock(&fixture);
    volley_submit(&volley, fixture.instances[1].engine, 1);
    gate_wait_for_arrival(&second);
    gate_open(&first);
    volley_wait(&volley);
    *ret_damage = (struct damage){.sold = volley_count(&volley, RC_OK),
                                  .findings = fixture_findings(&fixture)};
    ck_assert_uint_eq(ret_damage->sold + volley_count(&volley, RC_OUT_OF_STOCK), 2);
    ck_assert_int_eq(fixture_counted(&fixture, 0, "holdfast_guard_acquired_total"), 1);
    volley_release(&volley);
    fixture_close(&fixture);
    return true;
}

START_TEST(the_fence_stops_who_lost_the_lock_in_commit)
{
    struct damage damage;
    if (!lose_in_commit(_i, false, true, &damage))
        return;
    ck_assert_uint_eq(damage.sold, 1);
    ck_assert_uint_eq(damage.findings, 0);
}
END_TEST

START_TEST(without_the_fence_it_is_sold_twice)
{
    struct damage damage;
    if (!lose_in_commit(_i, true, true, &damage))
        return;
    ck_assert_uint_eq(damage.sold, 2);
    ck_assert_uint_gt(damage.findings, 0);
}
END_TEST

START_TEST(without_the_fence_the_ledgers_key_stops_it_still)
{
    struct damage damage;
    if (!lose_in_commit(_i, true, false, &damage))
        return;
    ck_assert_uint_eq(damage.sold, 1);
    ck_assert_uint_eq(damage.findings, 0);
}
END_TEST

// ---- before the save ----------------------------------------------------------------------------

struct run {
    struct gate first;
    struct fixture fixture;
    struct volley volley;
};

struct loss {
    bool unfenced;
    bool cut;              // the first instance does not reach its lock server any more
    struct gate *second;   // where the second instance stops; NULL: nowhere
    int64_t first_wait_ms; // of the first instance; 0: generous
    int64_t lock_wait_ms;  // 0: generous
    int64_t units;
};

// The first instance is held between its look at the lock and the save; it loses the lock, and the
// second sells a unit. Then the first goes on. Leaves the run open.
static bool lose_before_save(int i, const struct loss *loss, struct run *run)
{
    struct fixture *fixture = &run->fixture;
    struct volley *volley = &run->volley;
    const struct strategy *strategy = strategy_at(i);
    if (strategy->rule != RULE_FENCED)
        return false;
    gate_init(&run->first, PAUSE_BEFORE_SAVE, SIZE_MAX);
    struct fixture_options options = {.strategy = strategy,
                                      .engine = engine_at(i),
                                      .instances = 2,
                                      .max_batch = 256,
                                      .lock_ttl_ms = TTL_MS,
                                      .unrenewed = strategy->renew != NULL,
                                      .lock_wait_ms = loss->lock_wait_ms,
                                      .first_wait_ms = loss->first_wait_ms,
                                      .belts_off = true,
                                      .unfenced = loss->unfenced,
                                      .lock_proxied = loss->cut,
                                      .hooks = {{gate_pause, &run->first}}};
    if (loss->second != NULL)
        options.hooks[1] = (struct engine_hooks){gate_pause, loss->second};
    if (!fixture_open(fixture, &options))
        return false;
    fixture_put_product(fixture, "A", loss->units);
    volley_init(volley, 2);
    fill(volley, 0, "A");
    fill(volley, 1, "A");
    volley_submit(volley, fixture->instances[0].engine, 0);
    gate_wait_for_arrival(&run->first);
    fixture_cut_lock(fixture);
    if (loss->second == NULL) {
        volley_submit(volley, fixture->instances[1].engine, 1);
        ck_assert(volley_wait_for(volley, 1, 15000));
    } else {
        // The first's lease ends before the second's begins, and the second stays inside.
        clock_sleep_ns(TTL_MS * NS_PER_MS);
        volley_submit(volley, fixture->instances[1].engine, 1);
        gate_wait_for_arrival(loss->second);
    }
    gate_open(&run->first);
    ck_assert(volley_wait_for(volley, 1, 15000));
    if (loss->second != NULL) {
        ck_assert(volley_wait_for(volley, 2, 15000));
        gate_open(loss->second);
    }
    volley_wait(volley);
    return true;
}

static void close_loss(struct run *run)
{
    struct fixture *fixture = &run->fixture;
    ck_assert_int_eq(fixture_counted(fixture, 0, "holdfast_guard_lost_total"), 1);
    ck_assert_int_eq(fixture_counted(fixture, 1, "holdfast_guard_lost_total"), 0);
    fixture_assert_reconciled(fixture);
    fixture_close(fixture);
    volley_release(&run->volley);
}

START_TEST(a_lost_lock_is_answered_and_counted_once)
{
    struct run run;
    if (!lose_before_save(_i, &(struct loss){.cut = true, .first_wait_ms = CUT_WAIT_MS, .units = 5},
                          &run))
        return;
    // Where there is a lock server it cannot be reached any more; the lock table can.
    bool cut = strcmp(strategy_at(_i)->name, "lock-table") != 0;
    ck_assert_int_eq(volley_operation(&run.volley, 1)->outcome.rc, RC_OK);
    ck_assert_int_eq(volley_operation(&run.volley, 0)->outcome.rc, cut ? RC_LOCK_LOST : RC_OK);
    assert_stands(&run.fixture, "A", cut ? 4 : 3, cut ? 2 : 3);
    ck_assert_int_eq(fixture_counted(&run.fixture, 0, "holdfast_stale_tokens_refused_total"), 1);
    close_loss(&run);
}
END_TEST

// The last look before COMMIT is worth something too.
START_TEST(without_the_fence_the_last_look_stops_it_before_commit)
{
    struct run run;
    if (!lose_before_save(
            _i,
            &(struct loss){.unfenced = true, .cut = true, .first_wait_ms = CUT_WAIT_MS, .units = 1},
            &run))
        return;
    ck_assert_int_eq(volley_operation(&run.volley, 1)->outcome.rc, RC_OK);
    ck_assert_int_ne(volley_operation(&run.volley, 0)->outcome.rc, RC_OK);
    assert_stands(&run.fixture, "A", 0, 2);
    ck_assert_int_eq(fixture_counted(&run.fixture, 0, "holdfast_stale_tokens_refused_total"), 0);
    close_loss(&run);
}
END_TEST

// Only where a lease ends although its server can be reached: by its hard deadline.
START_TEST(a_lost_lock_is_asked_for_again)
{
    struct run run;
    if (strategy_at(_i)->renew == NULL || !lose_before_save(_i, &(struct loss){.units = 5}, &run))
        return;
    ck_assert_uint_eq(volley_count(&run.volley, RC_OK), 2);
    assert_stands(&run.fixture, "A", 3, 3);
    ck_assert_int_eq(fixture_counted(&run.fixture, 0, "holdfast_guard_acquired_total"), 2);
    close_loss(&run);
}
END_TEST

START_TEST(a_lost_lock_that_is_taken_now_is_answered_as_lost)
{
    struct run run;
    struct gate second;
    gate_init(&second, PAUSE_BEFORE_LEAVE, SIZE_MAX);
    if (strategy_at(_i)->renew == NULL ||
        !lose_before_save(
            _i, &(struct loss){.second = &second, .lock_wait_ms = TTL_MS / 4, .units = 5}, &run))
        return;
    ck_assert_int_eq(volley_operation(&run.volley, 1)->outcome.rc, RC_OK);
    ck_assert_int_eq(volley_operation(&run.volley, 0)->outcome.rc, RC_LOCK_LOST);
    assert_stands(&run.fixture, "A", 4, 2);
    close_loss(&run);
}
END_TEST

// ---- the database says no -----------------------------------------------------------------------

static bool open_mysql(int i, struct engine_hooks hooks, struct fixture *fixture)
{
    struct fixture_options options = {.strategy = strategy_at(i),
                                      .engine = DB_MYSQL,
                                      .instances = 1,
                                      .max_batch = 256,
                                      .hooks = {hooks}};
    if (engine_at(i) != DB_MYSQL || options.strategy->scope < SCOPE_PROCESS ||
        !fixture_open(fixture, &options))
        return false;
    fixture_put_product(fixture, "A", 10);
    return true;
}

static void must(struct db *db, const char *sql)
{
    enum rc rc = db_exec(db, sql, NULL, 0, NULL);
    ck_assert_msg(rc == RC_OK, "%s: %s", sql, db_error(db));
}

static void lock_row(struct db *db)
{
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    must(db, "UPDATE counter SET version = version WHERE name = 'stock/A'");
}

START_TEST(a_row_lock_of_an_idle_transaction_is_answered_in_time)
{
    struct fixture fixture;
    if (!open_mysql(_i, (struct engine_hooks){0}, &fixture))
        return;
    struct db *db = fixture.scratch.db;
    struct engine *engine = fixture.instances[0].engine;
    lock_row(db);
    struct volley volley;
    volley_init(&volley, 1);
    volley.deadline_ns = 3 * NS_PER_S;
    fill(&volley, 0, "A");
    int64_t from_ns = clock_now_ns();
    volley_submit(&volley, engine, 0);
    volley_wait(&volley);
    struct operation *operation = volley_operation(&volley, 0);
    ck_assert_int_eq(operation->outcome.rc, RC_CONTENTION);
    ck_assert_int_le(clock_now_ns() - from_ns, volley.deadline_ns);
    ck_assert_int_ge(fixture_counted(&fixture, 0, "holdfast_conflicts_total"), 1);
    db_rollback(db);
    assert_stands(&fixture, "A", 10, 1);
    ck_assert_int_eq(submit_and_wait(engine, operation), RC_OK);
    ck_assert(!operation->outcome.replayed);
    assert_stands(&fixture, "A", 9, 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// 1205 rolls back its statement only: nothing of the rest may be committed.
START_TEST(a_row_lock_that_is_freed_is_waited_out)
{
    struct fixture fixture;
    if (!open_mysql(_i, (struct engine_hooks){0}, &fixture))
        return;
    fixture_put_product(&fixture, "B", 10);
    lock_row(fixture.scratch.db);
    struct volley volley;
    volley_init(&volley, 8);
    for (size_t i = 0; i < volley.n; i++) {
        fill(&volley, i, i % 2 == 0 ? "A" : "B");
        volley_submit(&volley, fixture.instances[0].engine, i);
    }
    while (fixture_counted(&fixture, 0, "holdfast_conflicts_total") == 0)
        clock_sleep_ns(5 * NS_PER_MS);
    db_rollback(fixture.scratch.db);
    volley_wait(&volley);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), 8);
    assert_stands(&fixture, "A", 6, 5);
    assert_stands(&fixture, "B", 6, 5);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// Our transaction has the counter's row and wants to write the ledger's; a stranger has that, with
// a lot of other work, and wants the counter's. The database ends the lighter one: ours.
START_TEST(a_deadlock_begins_again)
{
    enum { WEIGHT = 400 };
    struct fixture fixture;
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_COMMIT, SIZE_MAX);
    if (!open_mysql(_i, (struct engine_hooks){gate_pause, &gate}, &fixture))
        return;
    struct db *db = fixture.scratch.db;
    struct volley volley;
    volley_init(&volley, 1);
    fill(&volley, 0, "A");
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&gate);
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    for (int i = 0; i < WEIGHT; i++) {
        char sql[160];
        snprintf(sql, sizeof sql,
                 "INSERT INTO lock_row (name, expires_at, token) VALUES ('weight/%d', 0, 0)", i);
        must(db, sql);
    }
    must(db, "INSERT INTO ledger (counter, version, delta, remaining, leg, fingerprint, reason, "
             "strategy, token, created_at) VALUES ('stock/A', 2, 0, 10, 0, 0, 'x', 'x', 0, 0)");
    gate_open(&gate);
    clock_sleep_ns(100 * NS_PER_MS); // either may be first to wait: the lighter one ends
    must(db, "UPDATE counter SET version = version WHERE name = 'stock/A'");
    db_rollback(db);
    volley_wait(&volley);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), 1);
    // What was tried without reading first is read after all, and that is no conflict.
    if (strategy_at(_i)->rule != RULE_CONDITIONAL)
        ck_assert_int_ge(fixture_counted(&fixture, 0, "holdfast_conflicts_total"), 1);
    assert_stands(&fixture, "A", 9, 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- opposite orders ----------------------------------------------------------------------------

// Two instances take the same counters together, asked for in opposite orders.
START_TEST(opposite_orders_do_not_deadlock)
{
    enum { COUNTERS = 8, ROUNDS = 6, N = 2 * COUNTERS * ROUNDS };
    struct fixture fixture;
    struct fixture_options options = {
        .strategy = strategy_at(_i), .engine = engine_at(_i), .instances = 2, .max_batch = 256};
    if (options.strategy->scope < SCOPE_CLUSTER || !fixture_open(&fixture, &options))
        return;
    for (int c = 0; c < COUNTERS; c++)
        fixture_put_product(&fixture, (char[]){(char)('A' + c), '\0'}, N);
    struct volley volley;
    volley_init(&volley, N);
    int64_t from_ns = clock_now_ns();
    for (size_t i = 0; i < N; i++) {
        size_t c = i / 2 % COUNTERS;
        c = i % 2 == 0 ? c : COUNTERS - 1 - c;
        fill(&volley, i, (char[]){(char)('A' + c), '\0'});
        volley_submit(&volley, fixture.instances[i % 2].engine, i);
    }
    volley_wait(&volley);
    for (size_t i = 0; i < N; i++) {
        struct operation *operation = volley_operation(&volley, i);
        while (rc_is_transient(operation->outcome.rc))
            submit_and_wait(fixture.instances[i % 2].engine, operation);
        ck_assert_int_eq(operation->outcome.rc, RC_OK);
    }
    ck_assert_int_lt(clock_now_ns() - from_ns, 15 * NS_PER_S);
    for (int c = 0; c < COUNTERS; c++)
        assert_stands(&fixture, (char[]){(char)('A' + c), '\0'}, N - 2 * ROUNDS, 1 + 2 * ROUNDS);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("losses");
    int n = part_size() * ENGINES;
    TCase *commit = tcase_create("lost in commit");
    tcase_set_timeout(commit, 60);
    tcase_add_loop_test(commit, the_fence_stops_who_lost_the_lock_in_commit, 0, n);
    tcase_add_loop_test(commit, without_the_fence_it_is_sold_twice, 0, n);
    tcase_add_loop_test(commit, without_the_fence_the_ledgers_key_stops_it_still, 0, n);
    suite_add_tcase(suite, commit);
    TCase *save = tcase_create("lost before save");
    tcase_set_timeout(save, 60);
    tcase_add_loop_test(save, a_lost_lock_is_answered_and_counted_once, 0, n);
    tcase_add_loop_test(save, without_the_fence_the_last_look_stops_it_before_commit, 0, n);
    tcase_add_loop_test(save, a_lost_lock_is_asked_for_again, 0, n);
    tcase_add_loop_test(save, a_lost_lock_that_is_taken_now_is_answered_as_lost, 0, n);
    suite_add_tcase(suite, save);
    TCase *database = tcase_create("the database says no");
    tcase_set_timeout(database, 60);
    tcase_add_loop_test(database, a_row_lock_of_an_idle_transaction_is_answered_in_time, 0, n);
    tcase_add_loop_test(database, a_row_lock_that_is_freed_is_waited_out, 0, n);
    tcase_add_loop_test(database, a_deadlock_begins_again, 0, n);
    tcase_add_loop_test(database, opposite_orders_do_not_deadlock, 0, n);
    suite_add_tcase(suite, database);
    return suite_run(suite);
}
