// Races of reservations that are forced, not hoped for: a decision that is saved after its time,
// the limit of a user at two instances, and sweepers that sweep the same holds.
#include "gate.h"
#include "holding.h"

#include "base/clock.h"
#include "base/text.h"
#include "engine/sweeper.h"
#include "store/db/db.h"
#include "store/tables/counter.h"

#include "suite.h"

#include <check.h>
#include <string.h>

#define WINDOW_MS 700 // for an operation to be decided before its hold is due
#define WAIT_MS 200   // for an operation that may have to wait for the one that is stopped

static bool open_combined(struct fixture *fixture, int i, size_t instances, struct gate *gate)
{
    struct scenario scenario = scenario_at(i);
    if (scenario.strategy->scope < SCOPE_CLUSTER || scenario.max_batch == 1)
        return false;
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = instances,
                                      .max_batch = scenario.max_batch};
    if (gate != NULL)
        options.hooks[0] = (struct engine_hooks){gate_pause, gate};
    return fixture_open(fixture, &options);
}

// ---- decided in time, saved later ---------------------------------------------------------------

// The first instance decides an operation on a hold, and stops before it saves until the hold's
// time has passed.
struct pause {
    struct gate gate;
    struct fixture fixture;
    struct volley volley; // 0: the operation that stops
    struct held held, other;
    int64_t expires_at_ms;
};

// Turns the i-th operation into one of a user who may have one reservation open.
static void limit(struct volley *volley, size_t i, enum operation_kind kind,
                  const struct held *held)
{
    struct operation *operation = volley_operation(volley, i);
    struct leg *other = &volley->shots[i].other;
    held_fill(operation, kind, held, 1);
    operation->ttl_ms = LONG_MS;
    operation->open_max = 1;
    text_copy(operation->user_id, sizeof operation->user_id, "user@example.com");
    operation->more = other;
    operation->n_more = 1;
    *other = operation->leg;
    struct leg *buyer = kind == OPERATION_EXTEND ? other : &operation->leg; // reserve has it first
    *buyer = (struct leg){.may_create = true};
    buyer_name(buyer->counter, operation->user_id);
}

// Operations stop at this point from now on. False if the case does not apply.
static bool open_pause(struct pause *pause, int i, enum pause_point point)
{
    gate_init(&pause->gate, point, SIZE_MAX);
    gate_open(&pause->gate);
    if (!open_combined(&pause->fixture, i, 2, &pause->gate))
        return false;
    fixture_put_product(&pause->fixture, "S", 1);
    fixture_put_product(&pause->fixture, "T", 1);
    volley_init(&pause->volley, 3);
    held_open(&pause->held, "S", 1);
    held_open(&pause->other, "T", 1);
    limit(&pause->volley, 2, OPERATION_RESERVE_LIMITED, &pause->held);
    volley_operation(&pause->volley, 2)->ttl_ms = WINDOW_MS;
    volley_submit(&pause->volley, pause->fixture.instances[0].engine, 2);
    volley_wait(&pause->volley);
    const struct outcome *outcome = &volley_operation(&pause->volley, 2)->outcome;
    ck_assert_int_eq(outcome->rc, RC_OK);
    pause->expires_at_ms = outcome->expires_at_ms;
    gate_close(&pause->gate);
    return true;
}

static void close_pause(struct pause *pause)
{
    fixture_assert_reconciled(&pause->fixture);
    volley_release(&pause->volley);
    fixture_close(&pause->fixture);
}

// Submits operation 0, which stops; after its hold's time operation 1 at the other instance, unless
// that has no kind; then lets the first one go on.
static void pass_expiry(struct pause *pause, bool other)
{
    volley_submit(&pause->volley, pause->fixture.instances[0].engine, 0);
    // An operation that is refused does not reach the gate.
    for (bool arrived = false; !arrived; clock_sleep_ns(NS_PER_MS)) {
        arrived = gate_has_arrival(&pause->gate);
        ck_assert_int_lt(database_now_ms(&pause->fixture), pause->expires_at_ms);
    }
    await_time(&pause->fixture, pause->expires_at_ms);
    if (other)
        volley_submit(&pause->volley, pause->fixture.instances[1].engine, 1);
    (void)volley_wait_for(&pause->volley, 2, other ? WAIT_MS : 0);
    gate_open(&pause->gate);
    volley_wait(&pause->volley);
    for (size_t i = 0; i < 2; i++) {
        struct operation *operation = volley_operation(&pause->volley, i);
        while (rc_is_transient(operation->outcome.rc))
            submit_and_wait(pause->fixture.instances[i].engine, operation);
    }
}

static enum rc result(struct pause *pause, size_t i)
{
    return volley_operation(&pause->volley, i)->outcome.rc;
}

START_TEST(what_was_decided_in_time_is_saved_after_it)
{
    struct pause pause;
    if (!open_pause(&pause, _i, PAUSE_BEFORE_SAVE))
        return;
    struct operation *confirm = volley_operation(&pause.volley, 0);
    held_fill(confirm, OPERATION_CONFIRM, &pause.held, 1);
    pass_expiry(&pause, false);
    ck_assert_int_eq(confirm->outcome.rc, RC_OK);
    ck_assert_str_eq(state_of(&pause.fixture, &pause.held), "confirmed");
    // The ledger names the time of the decision.
    ck_assert_int_lt(
        database_int(&pause.fixture, "SELECT MAX(created_at) FROM ledger WHERE reason = 'confirm'"),
        pause.expires_at_ms);
    close_pause(&pause);
}
END_TEST

// Without a lock the deduct comes first, and the confirmation is decided again. With a lock it
// waits, and is refused.
START_TEST(a_confirmation_and_a_deduct_after_expiry_do_not_both_succeed)
{
    struct pause pause;
    if (!open_pause(&pause, _i, PAUSE_BEFORE_SAVE))
        return;
    held_fill(volley_operation(&pause.volley, 0), OPERATION_CONFIRM, &pause.held, 1);
    volley_deduct(&pause.volley, 1, "S");
    pass_expiry(&pause, true);
    bool confirmed = result(&pause, 0) == RC_OK;
    ck_assert_int_eq(result(&pause, 0), confirmed ? RC_OK : RC_RESERVATION_EXPIRED);
    ck_assert_int_eq(result(&pause, 1), confirmed ? RC_OUT_OF_STOCK : RC_OK);
    ck_assert_str_eq(state_of(&pause.fixture, &pause.held), confirmed ? "confirmed" : "expired");
    const char *name = scenario_at(_i).strategy->name;
    if (strcmp(name, "optimistic") == 0 || strcmp(name, "conditional") == 0)
        ck_assert(!confirmed);
    close_pause(&pause);
}
END_TEST

START_TEST(an_extension_and_a_new_reservation_after_expiry_do_not_both_succeed)
{
    struct pause pause;
    if (!open_pause(&pause, _i, PAUSE_BEFORE_SAVE))
        return;
    limit(&pause.volley, 0, OPERATION_EXTEND, &pause.held);
    limit(&pause.volley, 1, OPERATION_RESERVE_LIMITED, &pause.other);
    pass_expiry(&pause, true);
    bool extended = result(&pause, 0) == RC_OK;
    ck_assert_int_eq(result(&pause, 0), extended ? RC_OK : RC_RESERVATION_EXPIRED);
    ck_assert_int_eq(result(&pause, 1), extended ? RC_RESERVATION_LIMIT : RC_OK);
    ck_assert_int_eq(open_holds(&pause.fixture), 1);
    close_pause(&pause);
}
END_TEST

// A strategy that locks the row when it reads has the time at which it got the lock.
START_TEST(what_waits_for_its_row_past_expiry_is_too_late)
{
    struct pause pause;
    if (scenario_at(_i).strategy->rule != RULE_LOCKED || !open_pause(&pause, _i, PAUSE_BEFORE_LOAD))
        return;
    struct db *db = pause.fixture.scratch.db;
    struct counter row = {.name = "stock/S"};
    int64_t now_ms;
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_load(db, &row, 1, true, &now_ms), RC_OK);
    held_fill(volley_operation(&pause.volley, 0), OPERATION_CONFIRM, &pause.held, 1);
    volley_submit(&pause.volley, pause.fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&pause.gate);
    gate_open(&pause.gate);
    while (now_ms < pause.expires_at_ms)
        ck_assert_int_eq(counter_load(db, &row, 1, true, &now_ms), RC_OK);
    db_rollback(db);
    volley_wait(&pause.volley);
    ck_assert_int_eq(result(&pause, 0), RC_RESERVATION_EXPIRED);
    close_pause(&pause);
}
END_TEST

// ---- one batch ----------------------------------------------------------------------------------

// Gives the operation a first leg, so that it reads the reservation under another root.
static void put_buyer_first(struct volley *volley, size_t i)
{
    struct operation *operation = volley_operation(volley, i);
    volley->shots[i].other = operation->leg;
    operation->more = &volley->shots[i].other;
    operation->n_more = 1;
    operation->leg = (struct leg){.may_create = true};
    buyer_name(operation->leg.counter, "user@example.com");
}

// Runs an extension of the hold and then this operation on it in one batch: both wait while a
// deduct of the product is stopped.
static void extend_and(int i, enum operation_kind kind, bool same_root, size_t holds,
                       const char *state)
{
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_SAVE, SIZE_MAX);
    gate_open(&gate);
    struct fixture fixture;
    if (!open_combined(&fixture, i, 1, &gate))
        return;
    fixture_put_product(&fixture, "S", 2);
    struct held held = reserve(&fixture, "S", 1, LONG_MS);
    struct volley volley;
    volley_init(&volley, 3);
    volley_deduct(&volley, 0, "S");
    for (size_t j = 1; j < volley.n; j++) {
        held_fill(volley_operation(&volley, j), j == 1 ? OPERATION_EXTEND : kind, &held,
                  kind == OPERATION_RELEASE ? 0 : 1);
        volley_operation(&volley, j)->ttl_ms = (int64_t)(j + 1) * LONG_MS;
    }
    if (!same_root)
        put_buyer_first(&volley, 1);
    gate_close(&gate);
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&gate);
    volley_submit(&volley, fixture.instances[0].engine, 1);
    volley_submit(&volley, fixture.instances[0].engine, 2);
    gate_open(&gate);
    volley_wait(&volley);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), volley.n);
    ck_assert_int_eq(open_holds(&fixture), (int64_t)holds);
    ck_assert_str_eq(state_of(&fixture, &held), state);
    if (kind == OPERATION_EXTEND)
        ck_assert_int_eq(expires_at(&fixture, &held),
                         volley_operation(&volley, 2)->outcome.expires_at_ms);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}

START_TEST(two_extensions_in_one_batch_leave_one_hold)
{
    extend_and(_i, OPERATION_EXTEND, true, 1, "held");
}
END_TEST

START_TEST(an_extension_and_a_confirmation_in_one_batch_leave_no_hold)
{
    extend_and(_i, OPERATION_CONFIRM, true, 0, "confirmed");
}
END_TEST

START_TEST(an_extension_and_a_release_in_one_batch_leave_no_hold)
{
    extend_and(_i, OPERATION_RELEASE, true, 0, "released");
}
END_TEST

START_TEST(an_extension_under_another_root_leaves_no_hold)
{
    extend_and(_i, OPERATION_CONFIRM, false, 0, "confirmed");
}
END_TEST

// ---- the limit of a user ------------------------------------------------------------------------

START_TEST(a_user_has_no_more_open_than_the_limit)
{
    enum { TRIES = 10, LIMIT = 3 };
    struct fixture fixture;
    if (!open_scenario(&fixture, _i, SCOPE_CLUSTER, 2))
        return;
    struct held held[TRIES + 2];
    struct volley volley;
    volley_init(&volley, TRIES + 2);
    for (size_t i = 0; i < TRIES + 2; i++) {
        char sku[ID_MAX + 1];
        text_format(sku, sizeof sku, "S%zu", i);
        fixture_put_product(&fixture, sku, 1);
        held_open(&held[i], sku, 1);
        limit(&volley, i, OPERATION_RESERVE_LIMITED, &held[i]);
        volley_operation(&volley, i)->open_max = LIMIT;
    }
    for (size_t i = 0; i < TRIES; i++)
        volley_submit(&volley, fixture.instances[i % 2].engine, i);
    volley_settle(&volley, &fixture);
    ck_assert_uint_eq(volley_count(&volley, RC_OK), LIMIT);
    ck_assert_uint_eq(volley_count(&volley, RC_RESERVATION_LIMIT), TRIES - LIMIT);
    ck_assert_int_eq(open_holds(&fixture), LIMIT);
    size_t open = 0;
    while (volley_operation(&volley, open)->outcome.rc != RC_OK)
        open++;
    ck_assert_int_eq(held_submit(&fixture, OPERATION_RELEASE, &held[open], 0, 0).outcome.rc, RC_OK);
    struct operation *next = volley_operation(&volley, TRIES),
                     *last = volley_operation(&volley, TRIES + 1);
    ck_assert_int_eq(submit_and_wait(fixture.instances[0].engine, next), RC_OK);
    ck_assert_int_eq(submit_and_wait(fixture.instances[1].engine, last), RC_RESERVATION_LIMIT);
    move_all_to(&fixture, database_now_ms(&fixture)); // nothing sweeps
    ck_assert_int_eq(submit_and_wait(fixture.instances[1].engine, last), RC_OK);
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

// ---- sweepers -----------------------------------------------------------------------------------

START_TEST(sweepers_of_three_instances_expire_each_hold_once)
{
    enum { HOLDS = 30, PRODUCTS = 3, SWEEPERS = 3 };
    static const char *const skus[PRODUCTS] = {"A", "B", "C"};
    struct fixture fixture;
    if (!open_combined(&fixture, _i, SWEEPERS, NULL))
        return;
    for (size_t i = 0; i < PRODUCTS; i++)
        fixture_put_product(&fixture, skus[i], HOLDS);
    struct held held[HOLDS];
    struct volley reserves;
    volley_init(&reserves, HOLDS);
    for (size_t i = 0; i < HOLDS; i++) {
        held_open(&held[i], skus[i % PRODUCTS], 1);
        held_fill(volley_operation(&reserves, i), OPERATION_RESERVE, &held[i], 1);
        volley_operation(&reserves, i)->ttl_ms = LONG_MS;
        volley_submit(&reserves, fixture.instances[i % SWEEPERS].engine, i);
    }
    volley_settle(&reserves, &fixture);
    move_all_to(&fixture, database_now_ms(&fixture));
    struct sweeper *sweepers[SWEEPERS];
    for (size_t i = 0; i < SWEEPERS; i++)
        ck_assert_int_eq(
            sweeper_new(fixture.instances[i].engine, fixture.instances[i].metrics, 1, &sweepers[i]),
            RC_OK);
    while (open_holds(&fixture) > 0)
        clock_sleep_ns(5 * NS_PER_MS);
    for (size_t i = 0; i < SWEEPERS; i++)
        sweeper_free(sweepers[i]);
    for (size_t i = 0; i < PRODUCTS; i++)
        ck_assert_int_eq(
            database_int(&fixture, "SELECT MIN(remaining) FROM counter WHERE name LIKE 'stock/%'"),
            HOLDS);
    ck_assert_int_eq(database_int(&fixture, "SELECT COUNT(*) FROM ledger WHERE reason = 'expire'"),
                     2 * HOLDS);
    fixture_assert_reconciled(&fixture);
    volley_release(&reserves);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reservation races");
    TCase *every = suite_case(suite, "every strategy", 60);
    tcase_add_loop_test(every, what_was_decided_in_time_is_saved_after_it, 0, scenarios());
    tcase_add_loop_test(every, a_confirmation_and_a_deduct_after_expiry_do_not_both_succeed, 0,
                        scenarios());
    tcase_add_loop_test(every, an_extension_and_a_new_reservation_after_expiry_do_not_both_succeed,
                        0, scenarios());
    tcase_add_loop_test(every, what_waits_for_its_row_past_expiry_is_too_late, 0, scenarios());
    tcase_add_loop_test(every, a_user_has_no_more_open_than_the_limit, 0, scenarios());
    tcase_add_loop_test(every, sweepers_of_three_instances_expire_each_hold_once, 0, scenarios());
    tcase_add_loop_test(every, two_extensions_in_one_batch_leave_one_hold, 0, scenarios());
    tcase_add_loop_test(every, an_extension_and_a_confirmation_in_one_batch_leave_no_hold, 0,
                        scenarios());
    tcase_add_loop_test(every, an_extension_and_a_release_in_one_batch_leave_no_hold, 0,
                        scenarios());
    tcase_add_loop_test(every, an_extension_under_another_root_leaves_no_hold, 0, scenarios());
    return suite_run(suite);
}
