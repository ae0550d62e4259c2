// One race, forced: two instances load the same row before either saves, and one unit is left. The
// tests remove one protection at a time: the demand of the update rule, the database's keys, and a
// lock that a writer ignores. With every protection removed, the unit must be sold twice. Then: a
// lock that begins with the read and ends with the commit, a request that is decided after another
// one in its section lost the lock, and a retry whose row changed between load and save.
#include "fixture.h"
#include "gate.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/strategy/registry.h"
#include "store/tables/product.h"
#include "suite.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct race {
    const char *strategy, *second; // as in fixture_options
    bool belts_off, undemanding;
};

struct result {
    size_t sold, findings;
    int64_t remaining;
};

// False if the case was skipped.
static bool run_race(const struct race *race, enum db_engine engine, struct result *ret_result)
{
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_SAVE, 2);
    struct fixture fixture;
    struct fixture_options options = {.strategy = strategy_find(race->strategy),
                                      .second =
                                          race->second != NULL ? strategy_find(race->second) : NULL,
                                      .engine = engine,
                                      .instances = 2,
                                      .max_batch = 256,
                                      .belts_off = race->belts_off,
                                      .undemanding = race->undemanding,
                                      .hooks = {{gate_pause, &gate}, {gate_pause, &gate}}};
    if (!fixture_open(&fixture, &options))
        return false;
    fixture_put_product(&fixture, "LAST", 1);
    struct volley volley;
    volley_init(&volley, 2);
    for (size_t i = 0; i < 2; i++) {
        volley_deduct(&volley, i, "LAST");
        volley_submit(&volley, fixture.instances[i].engine, i);
    }
    volley_wait(&volley);
    struct product stands;
    ck_assert_int_eq(product_get(fixture.scratch.db, "LAST", &stands), RC_OK);
    *ret_result = (struct result){.sold = volley_count(&volley, RC_OK),
                                  .findings = fixture_findings(&fixture),
                                  .remaining = stands.remaining};
    volley_release(&volley);
    fixture_close(&fixture);
    return true;
}

// Runs race i / 2, on SQLite for an even i and on MySQL for an odd one.
static void assert_sold(const struct race *races, int i, size_t sold)
{
    const struct race *race = &races[i / 2];
    struct result result;
    if (!run_race(race, i % 2 == 0 ? DB_SQLITE : DB_MYSQL, &result))
        return;
    ck_assert_msg(result.sold == sold, "%s sold %zu", race->strategy, result.sold);
    // When one unit is sold twice the row still looks right: only reconciliation sees it.
    ck_assert_int_eq(result.remaining, 0);
    ck_assert_msg(sold == 1 ? result.findings == 0 : result.findings > 0, "%s: %zu findings",
                  race->strategy, result.findings);
}

static const struct race stopped_by_the_demand[] = {
    {.strategy = "optimistic", .belts_off = true},
    {.strategy = "conditional", .belts_off = true},
};

START_TEST(the_demand_stops_it)
{
    assert_sold(stopped_by_the_demand, _i, 1);
}
END_TEST

// Without its demand every rule is as weak as `none`.
static const struct race stopped_by_nothing[] = {
    {.strategy = "none", .belts_off = true},
    {.strategy = "optimistic", .belts_off = true, .undemanding = true},
    {.strategy = "conditional", .belts_off = true, .undemanding = true},
    {.strategy = "row-lock", .belts_off = true, .undemanding = true},
};

START_TEST(without_a_demand_the_last_unit_is_sold_twice)
{
    assert_sold(stopped_by_nothing, _i, 2);
}
END_TEST

static const struct race stopped_by_the_keys[] = {
    {.strategy = "none"},
    {.strategy = "optimistic", .undemanding = true},
    {.strategy = "conditional", .undemanding = true},
    {.strategy = "row-lock", .undemanding = true},
};

START_TEST(the_ledger_key_still_stops_it)
{
    assert_sold(stopped_by_the_keys, _i, 1);
}
END_TEST

// A valid lock, and a writer that ignores it: the lock alone does not help. The demand does: see
// a_writer_that_ignores_the_lock_does_no_harm.
static const struct race ignored[] = {
    {.strategy = "lock-table", .second = "none", .belts_off = true, .undemanding = true},
    {.strategy = "redis-lock", .second = "none", .belts_off = true, .undemanding = true},
    {.strategy = "zookeeper-lock", .second = "none", .belts_off = true, .undemanding = true},
};

START_TEST(a_lock_alone_does_not_stop_a_writer_that_ignores_it)
{
    assert_sold(ignored, _i, 2);
}
END_TEST

// ---- where the lock begins and ends -------------------------------------------------------------

// One unit, one instance, and nothing but the mutex: a worker is held at the point, inside of it.
// Meanwhile a second one must not even read. In direct mode, because a lane would keep it away.
static void sell_behind_the_mutex(enum pause_point point, enum db_engine engine)
{
    struct gate gate;
    gate_init(&gate, point, 2);
    struct fixture fixture;
    struct fixture_options options = {.strategy = strategy_find("mutex"),
                                      .engine = engine,
                                      .instances = 1,
                                      .max_batch = 1,
                                      .belts_off = true,
                                      .hooks = {{gate_pause, &gate}}};
    if (!fixture_open(&fixture, &options))
        return;
    fixture_put_product(&fixture, "LAST", 1);
    struct volley volley;
    volley_init(&volley, 2);
    for (size_t i = 0; i < 2; i++) {
        volley_deduct(&volley, i, "LAST");
        volley_submit(&volley, fixture.instances[0].engine, i);
    }
    gate_wait_for_arrival(&gate);
    volley_wait_for(&volley, 1, 300); // time for the second, if nothing keeps it out
    gate_open(&gate);
    volley_wait(&volley);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), 1);
    ck_assert_uint_eq(volley_count(&volley, RC_OUT_OF_STOCK), 1);
    fixture_assert_stock(&fixture, "LAST", 0, 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(the_mutex_covers_the_read)
{
    sell_behind_the_mutex(PAUSE_BEFORE_SAVE, _i == 0 ? DB_SQLITE : DB_MYSQL);
}
END_TEST

START_TEST(the_mutex_is_held_until_the_commit)
{
    sell_behind_the_mutex(PAUSE_IN_COMMIT, _i == 0 ? DB_SQLITE : DB_MYSQL);
}
END_TEST

// ---- a duplicate of a request that lost the lock ------------------------------------------------

#define TTL_MS 1000

// The first instance. Its second section, with a request and its duplicate, is held after deciding.
struct loser {
    struct gate opener, holder;
    atomic_int n_saves;
};

static void pause_loser(void *arg, const struct paused *paused)
{
    struct loser *loser = arg;
    if (paused->point != PAUSE_BEFORE_SAVE)
        return;
    int n = atomic_fetch_add(&loser->n_saves, 1);
    if (n < 2)
        gate_pause(n == 0 ? &loser->opener : &loser->holder, paused);
}

enum { OPENER, REQUEST, DUPLICATE, OTHER, N };

// Duplicates are decided one after the other. The first loses the lock and cannot reacquire it. The
// second then has no lock either and must not be saved as if it had.
START_TEST(a_request_decided_after_a_lost_lock_has_no_lock)
{
    // The strategies whose leases can be lost one at a time.
    static const char *const names[] = {"lock-table", "redis-lock"};
    struct loser loser = {0};
    struct gate winner;
    gate_init(&loser.opener, PAUSE_BEFORE_SAVE, SIZE_MAX);
    gate_init(&loser.holder, PAUSE_BEFORE_SAVE, SIZE_MAX);
    gate_init(&winner, PAUSE_BEFORE_LEAVE, SIZE_MAX);
    struct fixture fixture;
    struct fixture_options options = {.strategy = strategy_find(names[_i]),
                                      .engine = DB_MYSQL,
                                      .instances = 2,
                                      .max_batch = 256,
                                      .lock_ttl_ms = TTL_MS,
                                      .lock_wait_ms = TTL_MS / 4,
                                      .unrenewed = true,
                                      .hooks = {{pause_loser, &loser}, {gate_pause, &winner}}};
    if (!fixture_open(&fixture, &options))
        return;
    fixture_put_product(&fixture, "A", 10);
    struct volley volley;
    volley_init(&volley, N);
    for (size_t i = 0; i < N; i++)
        volley_deduct(&volley, i, "A");
    struct engine *first = fixture.instances[0].engine;
    text_copy(volley_operation(&volley, DUPLICATE)->request_key, REQUEST_KEY_MAX + 1,
              volley_operation(&volley, REQUEST)->request_key);
    volley_submit(&volley, first, OPENER);
    gate_wait_for_arrival(&loser.opener);
    volley_submit(&volley, first, REQUEST);
    volley_submit(&volley, first, DUPLICATE);
    gate_open(&loser.opener);
    gate_wait_for_arrival(&loser.holder);
    clock_sleep_ns(TTL_MS * NS_PER_MS);
    volley_submit(&volley, fixture.instances[1].engine, OTHER);
    gate_wait_for_arrival(&winner);
    gate_open(&loser.holder);
    ck_assert(volley_wait_for(
        &volley, N, 15000)); // the winner's request is answered before the lock is released
    gate_open(&winner);
    ck_assert_int_eq(volley_operation(&volley, OTHER)->outcome.rc, RC_OK);
    ck_assert_int_eq(volley_operation(&volley, REQUEST)->outcome.rc, RC_LOCK_LOST);
    ck_assert_int_eq(volley_operation(&volley, DUPLICATE)->outcome.rc, RC_LOCK_BUSY);
    ck_assert_int_eq(fixture_counted(&fixture, 0, "holdfast_guard_acquired_total"), 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- a replay that the second decision refuses --------------------------------------------------

enum { KNOCKED_BACK, RESTOCK, RETRIED, N_SHIFTED };

// The first instance. Its first section, the opener's, is held until three requests are queued for
// the next. From 5 units they are decided in order: a deduction of 6 is refused, 1 is restocked,
// and a deduction of 6 succeeds. Then the second instance restocks 2, which makes it 7.
struct shift {
    struct gate opener;
    struct engine *other;
    struct operation *knocked_back; // read only by the worker that decides it
    bool shifted;
};

static void add_two(struct shift *shift)
{
    struct volley volley;
    volley_init(&volley, 1);
    struct operation *operation = volley_operation(&volley, 0);
    volley_deduct(&volley, 0, "A");
    operation->kind = OPERATION_RESTOCK;
    operation->leg.amount = 2;
    volley_submit(&volley, shift->other, 0);
    volley_wait(&volley);
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    volley_release(&volley);
}

static void pause_shift(void *arg, const struct paused *paused)
{
    struct shift *shift = arg;
    if (paused->point != PAUSE_BEFORE_SAVE)
        return;
    gate_pause(&shift->opener, paused);
    if (shift->shifted || shift->knocked_back->outcome.rc != RC_OUT_OF_STOCK)
        return;
    shift->shifted = true;
    add_two(shift);
}

static void submit_shifted(struct volley *volley, size_t i, struct engine *engine,
                           enum operation_kind kind, int64_t quantity)
{
    volley_deduct(volley, i, "A");
    struct operation *operation = volley_operation(volley, i);
    operation->kind = kind;
    operation->leg.amount = quantity;
    volley_submit(volley, engine, i);
}

// From 7 units the first deduction of 6 succeeds and the second is refused. The number of changes
// and their sum are the same, so the save could stand. But the second deduction is a retry, which
// must get the answer of its first try.
START_TEST(a_retry_is_not_refused_behind_the_save)
{
    struct shift shift = {0};
    gate_init(&shift.opener, PAUSE_BEFORE_SAVE, SIZE_MAX);
    struct fixture fixture;
    struct fixture_options options = {.strategy = strategy_find("conditional"),
                                      .engine = _i == 0 ? DB_SQLITE : DB_MYSQL,
                                      .instances = 2,
                                      .max_batch = 256,
                                      .hooks = {{pause_shift, &shift}}};
    if (!fixture_open(&fixture, &options))
        return;
    fixture_put_product(&fixture, "A", 12);
    struct engine *first = fixture.instances[0].engine;
    shift.other = fixture.instances[1].engine;
    struct volley before, volley;
    volley_init(&before, 2);
    volley_init(&volley, N_SHIFTED);
    shift.knocked_back = volley_operation(&volley, KNOCKED_BACK);
    submit_shifted(&before, 0, shift.other, OPERATION_DEDUCT, 6);
    volley_wait(&before);
    submit_shifted(&before, 1, first, OPERATION_DEDUCT, 1);
    gate_wait_for_arrival(&shift.opener);
    submit_shifted(&volley, KNOCKED_BACK, first, OPERATION_DEDUCT, 6);
    submit_shifted(&volley, RESTOCK, first, OPERATION_RESTOCK, 1);
    text_copy(volley_operation(&volley, RETRIED)->request_key, REQUEST_KEY_MAX + 1,
              volley_operation(&before, 0)->request_key);
    submit_shifted(&volley, RETRIED, first, OPERATION_DEDUCT, 6);
    gate_open(&shift.opener);
    volley_wait(&before);
    volley_wait(&volley);
    ck_assert(shift.shifted);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), N_SHIFTED);
    ck_assert(volley_operation(&volley, RETRIED)->outcome.replayed);
    struct product stands;
    ck_assert_int_eq(product_get(fixture.scratch.db, "A", &stands), RC_OK);
    ck_assert_int_eq(stands.remaining, 2);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    volley_release(&before);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("races");
    TCase *races = suite_case(suite, "load, load, save, save", 120);
    tcase_add_loop_test(races, the_demand_stops_it, 0,
                        2 * (int)ARRAY_LENGTH(stopped_by_the_demand));
    tcase_add_loop_test(races, without_a_demand_the_last_unit_is_sold_twice, 0,
                        2 * (int)ARRAY_LENGTH(stopped_by_nothing));
    tcase_add_loop_test(races, the_ledger_key_still_stops_it, 0,
                        2 * (int)ARRAY_LENGTH(stopped_by_the_keys));
    tcase_add_loop_test(races, a_lock_alone_does_not_stop_a_writer_that_ignores_it, 0,
                        2 * (int)ARRAY_LENGTH(ignored));
    TCase *places = suite_case(suite, "where the lock begins and ends", 60);
    tcase_add_loop_test(places, the_mutex_covers_the_read, 0, 2);
    tcase_add_loop_test(places, the_mutex_is_held_until_the_commit, 0, 2);
    TCase *duplicates = suite_case(suite, "a duplicate of a request that lost the lock", 60);
    tcase_add_loop_test(duplicates, a_request_decided_after_a_lost_lock_has_no_lock, 0, 2);
    TCase *shifts = suite_case(suite, "decided again", 60);
    tcase_add_loop_test(shifts, a_retry_is_not_refused_behind_the_save, 0, 2);
    return suite_run(suite);
}
