// Transfers that meet another operation between two steps of their section. The moments are forced:
// a worker is stopped at a pause point until the test resumes it.
#include "accounts.h"
#include "gate.h"

#include "base/clock.h"
#include "base/text.h"

#include "suite.h"

#include <check.h>

#define OPENING 1000

// ---- two sections stopped at the same step ------------------------------------------------------

// Stops the first two workers that reach the point, each until it is resumed.
struct stops {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum pause_point point;
    size_t n_stopped;
    bool resumed[2];
};

static void stop(void *arg, const struct paused *paused)
{
    struct stops *stops = arg;
    pthread_mutex_lock(&stops->mutex);
    if (paused->point == stops->point) {
        size_t turn = stops->n_stopped++;
        pthread_cond_broadcast(&stops->changed);
        while (turn < ARRAY_LENGTH(stops->resumed) && !stops->resumed[turn])
            pthread_cond_wait(&stops->changed, &stops->mutex);
    }
    pthread_mutex_unlock(&stops->mutex);
}

static void resume(struct stops *stops, size_t turn)
{
    pthread_mutex_lock(&stops->mutex);
    stops->resumed[turn] = true;
    pthread_cond_broadcast(&stops->changed);
    pthread_mutex_unlock(&stops->mutex);
}

static bool await_stopped(struct stops *stops, size_t n, int64_t limit_ms)
{
    int64_t until_ns = clock_now_ns() + limit_ms * NS_PER_MS;
    pthread_mutex_lock(&stops->mutex);
    while (stops->n_stopped < n && clock_wait(&stops->changed, &stops->mutex, until_ns))
        continue;
    bool reached = stops->n_stopped >= n;
    pthread_mutex_unlock(&stops->mutex);
    return reached;
}

// A request can be answered before its worker has left its section.
static void await_idle(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->n; i++) {
        while (engine_depth(fixture->instances[i].engine) > 0)
            clock_sleep_ns(NS_PER_MS / 4);
    }
}

// Long enough for the second worker to reach the point, where nothing keeps it out. Where the guard
// or a row keeps it out, it comes after the first.
#define SECOND_COMES_MS 40

static void cross(struct fixture *fixture, struct stops *stops, enum pause_point point,
                  bool second_first)
{
    await_idle(fixture);
    pthread_mutex_lock(&stops->mutex);
    stops->point = point;
    stops->n_stopped = 0;
    stops->resumed[0] = stops->resumed[1] = false;
    pthread_mutex_unlock(&stops->mutex);
    struct volley volley;
    volley_init(&volley, 2);
    volley_transfer(&volley, 0, "anna", "bob", 3);
    volley_transfer(&volley, 1, "bob", "anna", 5);
    volley_submit(&volley, fixture->instances[0].engine, 0);
    ck_assert(await_stopped(stops, 1, 20000));
    volley_submit(&volley, fixture->instances[fixture->n - 1].engine, 1);
    bool both = await_stopped(stops, 2, SECOND_COMES_MS);
    if (both && second_first) {
        resume(stops, 1);
        // The first may hold what the second needs: then it is resumed before the second ends.
        volley_wait_for(&volley, 1, SECOND_COMES_MS);
        resume(stops, 0);
    } else {
        resume(stops, 0);
        resume(stops, 1);
    }
    volley_settle(&volley, fixture);
    for (size_t i = 0; i < 2; i++) {
        struct operation *operation = volley_operation(&volley, i);
        ck_assert_int_eq(operation->outcome.rc, RC_OK);
        transfer_assert_whole(fixture, operation);
        // Each moves both accounts, so it is the same step of both if their orders agree.
        ck_assert_int_eq(operation->leg.version, operation->more->version);
    }
    volley_release(&volley);
}

START_TEST(opposite_transfers_stopped_at_each_step_keep_the_sum)
{
    struct scenario scenario = scenario_at(_i);
    if (scenario.strategy->scope < SCOPE_PROCESS)
        return;
    struct stops stops = {.point = PAUSE_POINT_COUNT,
                          .mutex = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER};
    struct fixture fixture;
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances =
                                          scenario.strategy->scope == SCOPE_CLUSTER ? 2 : 1,
                                      .max_batch = scenario.max_batch,
                                      .hooks = {{stop, &stops}, {stop, &stops}}};
    if (!fixture_open(&fixture, &options))
        return;
    account_earn(&fixture, "anna", OPENING);
    account_earn(&fixture, "bob", OPENING);
    for (int point = 0; point < PAUSE_POINT_COUNT; point++) {
        cross(&fixture, &stops, (enum pause_point)point, false);
        cross(&fixture, &stops, (enum pause_point)point, true);
    }
    await_idle(&fixture);
    enum { TIMES = 2 * PAUSE_POINT_COUNT };
    struct counter anna = account_read(&fixture, "anna"), bob = account_read(&fixture, "bob");
    ck_assert_int_eq(anna.remaining, OPENING + 2 * TIMES);
    ck_assert_int_eq(bob.remaining, OPENING - 2 * TIMES);
    ck_assert_int_eq(anna.version, 1 + 2 * TIMES);
    ck_assert_int_eq(bob.version, 1 + 2 * TIMES);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// ---- one of two counters moves before the save --------------------------------------------------

#define TTL_MS 300          // of a lease that expires because it is not renewed
#define SESSION_TTL_MS 1000 // of a session that ends because it is cut off
#define CUT_WAIT_MS 500     // for an unreachable lock server

static const struct meeting {
    const char *from, *to; // of the transfer, of all that the payer has
    enum operation_kind kind;
    const char *user; // whose account moves
} meetings[] = {
    // anna's row is written before bob's. So there is a first and a last leg for each demand.
    {"anna", "bob", OPERATION_SPEND, "anna"},
    {"bob", "anna", OPERATION_SPEND, "bob"},
    {"anna", "bob", OPERATION_EARN, "bob"},
    {"bob", "anna", OPERATION_EARN, "anna"},
};

// The first instance has decided a transfer, and checked its lock. It loses the lock, and the
// second instance changes one of the two accounts. Without the database's constraints, the demand
// of the update rule alone must refuse the whole save.
START_TEST(a_save_that_one_counter_refuses_leaves_the_other)
{
    struct scenario scenario = scenario_at(_i / (int)ARRAY_LENGTH(meetings));
    const struct meeting *meeting = &meetings[_i % (int)ARRAY_LENGTH(meetings)];
    // row-lock has locked both rows: nothing can change them.
    if (scenario.strategy->scope < SCOPE_CLUSTER || scenario.strategy->rule == RULE_LOCKED)
        return;
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_SAVE, SIZE_MAX);
    struct fixture fixture;
    bool renewed = scenario.strategy->renew != NULL;
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = 2,
                                      .max_batch = scenario.max_batch,
                                      .lock_ttl_ms = renewed ? TTL_MS : SESSION_TTL_MS,
                                      .unrenewed = renewed,
                                      .first_wait_ms = CUT_WAIT_MS,
                                      .lock_proxied = true,
                                      .belts_off = true,
                                      .hooks = {{gate_pause, &gate}}};
    if (!fixture_open(&fixture, &options))
        return;
    account_earn(&fixture, "anna", OPENING);
    account_earn(&fixture, "bob", OPENING);
    struct volley volley;
    volley_init(&volley, 1);
    volley_transfer(&volley, 0, meeting->from, meeting->to, OPENING);
    volley_submit(&volley, fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&gate);
    fixture_cut_lock(&fixture);
    struct operation change = {.kind = meeting->kind, .leg.amount = 1};
    text_format(change.leg.counter, sizeof change.leg.counter, "points/%s", meeting->user);
    ck_assert_int_eq(submit_and_wait(fixture.instances[1].engine, &change), RC_OK);
    gate_open(&gate);
    volley_wait(&volley);
    struct operation *transfer = volley_operation(&volley, 0);
    bool cut = fixture.lock_address[0] != 0; // the lock table is in the database
    enum rc otherwise = meeting->kind == OPERATION_SPEND ? RC_NOT_ENOUGH_POINTS : RC_OK;
    ck_assert_int_eq(transfer->outcome.rc, cut ? RC_LOCK_LOST : otherwise);
    transfer_assert_whole(&fixture, transfer);
    int64_t sum =
        account_read(&fixture, "anna").remaining + account_read(&fixture, "bob").remaining;
    ck_assert_int_eq(sum, 2 * OPENING + (meeting->kind == OPERATION_EARN ? 1 : -1));
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steps");
    TCase *every = suite_case(suite, "every step", 120);
    tcase_add_loop_test(every, opposite_transfers_stopped_at_each_step_keep_the_sum, 0,
                        scenarios());
    TCase *save = suite_case(suite, "one of two counters", 60);
    tcase_add_loop_test(save, a_save_that_one_counter_refuses_leaves_the_other, 0,
                        scenarios() * (int)ARRAY_LENGTH(meetings));
    return suite_run(suite);
}
