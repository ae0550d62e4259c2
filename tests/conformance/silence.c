// A hung database: the connection stays open, but no answer comes. Every request must be answered
// at its deadline, whether a worker runs it or it is queued, and the answer must be true: `unknown`
// only after COMMIT was sent. A proxy swallows the requests, so only what is in flight is lost.
#include "fixture.h"
#include "proxy.h"

#include "base/clock.h"

#include "guard/strategy/registry.h"
#include "suite.h"

#include <check.h>
#include <stdatomic.h>
#include <string.h>

#define CLIENTS 40
#define WORKERS 6 // of the fixture's engine
#define DEADLINE_MS 2000
#define SLACK_MS 1200

// Once armed, the database hangs when a section next reaches this point.
struct silence {
    struct fixture fixture;
    enum pause_point point;
    atomic_bool armed;
    atomic_bool queued; // only for hang_until_queued
};

static void fall_silent(void *arg, const struct paused *paused)
{
    struct silence *silence = arg;
    if (paused->point == silence->point && atomic_exchange(&silence->armed, false))
        proxy_swallow_requests(silence->fixture.proxy, true);
}

static const size_t batches[] = {1, 64}; // direct and combined

static bool open_hooked(struct silence *silence, enum pause_point point, const char *strategy,
                        size_t max_batch, void (*hook)(void *arg, const struct paused *paused))
{
    *silence = (struct silence){.point = point};
    struct fixture_options options = {.strategy = strategy_find(strategy),
                                      .engine = DB_MYSQL,
                                      .instances = 1,
                                      .max_batch = max_batch,
                                      .through_proxy = true,
                                      .hooks = {{hook, silence}}};
    if (!fixture_open(&silence->fixture, &options))
        return false;
    fixture_put_product(&silence->fixture, "A", 100);
    return true;
}

// Submits n requests to the hung database. All must be answered in time.
static void fire(struct silence *silence, struct volley *volley, size_t n)
{
    volley_init(volley, n);
    volley->deadline_ns = DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < n; i++) {
        volley_deduct(volley, i, "A");
        volley_submit(volley, silence->fixture.instances[0].engine, i);
    }
    ck_assert_msg(volley_wait_for(volley, n, DEADLINE_MS + SLACK_MS), "%zu of %zu were answered",
                  volley->n_finished, n);
}

static struct operation one_unit(void)
{
    return (struct operation){.kind = OPERATION_DEDUCT, .leg = {.counter = "stock/A", .amount = 1}};
}

static void end_silence(struct silence *silence)
{
    struct fixture *fixture = &silence->fixture;
    proxy_swallow_requests(fixture->proxy, false);
    proxy_cut(fixture->proxy);
    struct operation operation = one_unit();
    ck_assert_int_eq(submit_and_wait(fixture->instances[0].engine, &operation), RC_OK);
}

static void close_silence(struct silence *silence, size_t sold)
{
    fixture_assert_stock(&silence->fixture, "A", 100 - (int64_t)sold, 1 + (int64_t)sold);
    fixture_assert_reconciled(&silence->fixture);
    fixture_close(&silence->fixture);
}

static const char *const names[] = {"conditional", "optimistic", "row-lock"};

#define RUNS (int)(ARRAY_LENGTH(names) * ARRAY_LENGTH(batches))

static bool open_run(struct silence *silence, enum pause_point point, int i)
{
    const char *name = names[(size_t)i / ARRAY_LENGTH(batches)];
    return open_hooked(silence, point, name, batches[(size_t)i % ARRAY_LENGTH(batches)],
                       fall_silent);
}

START_TEST(before_commit_nothing_happened)
{
    struct silence silence;
    if (!open_run(&silence, PAUSE_BEFORE_LOAD, _i))
        return;
    struct operation first = one_unit();
    ck_assert_int_eq(submit_and_wait(silence.fixture.instances[0].engine, &first), RC_OK);
    atomic_store(&silence.armed, true);
    struct volley volley;
    fire(&silence, &volley, CLIENTS);
    size_t unavailable = volley_count(&volley, RC_BACKEND_UNAVAILABLE);
    ck_assert_uint_ge(unavailable, 1);
    ck_assert_uint_eq(unavailable + volley_count(&volley, RC_OVERLOADED), CLIENTS);
    end_silence(&silence);
    volley_release(&volley);
    close_silence(&silence, 2);
}
END_TEST

// Every worker is blocked by a request with a late deadline. Requests queued behind them must be
// answered at their own, earlier deadlines.
START_TEST(requests_queued_behind_stuck_workers_are_answered)
{
    struct silence silence;
    if (!open_run(&silence, PAUSE_BEFORE_LOAD, _i))
        return;
    atomic_store(&silence.armed, true);
    struct volley patient, hasty;
    volley_init(&patient, WORKERS);
    patient.deadline_ns = 3 * DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < WORKERS; i++) {
        volley_deduct(&patient, i, "A");
        volley_submit(&patient, silence.fixture.instances[0].engine, i);
    }
    while (atomic_load(&silence.armed)) // until a worker runs the first
        clock_sleep_ns(NS_PER_MS);
    fire(&silence, &hasty, CLIENTS);
    ck_assert_uint_eq(volley_count(&hasty, RC_OVERLOADED), CLIENTS);
    ck_assert(!volley_wait_for(&patient, 1, 0));
    volley_wait(&patient);
    ck_assert_uint_eq(volley_count(&patient, RC_OK), 0);
    end_silence(&silence);
    volley_release(&patient);
    volley_release(&hasty);
    close_silence(&silence, 1);
}
END_TEST

START_TEST(in_commit_the_outcome_is_unknown)
{
    struct silence silence;
    if (!open_run(&silence, PAUSE_BEFORE_COMMIT, _i))
        return;
    atomic_store(&silence.armed, true);
    struct volley volley;
    fire(&silence, &volley, 1);
    ck_assert_int_eq(volley_operation(&volley, 0)->outcome.rc, RC_OUTCOME_UNKNOWN);
    end_silence(&silence); // COMMIT itself was swallowed
    volley_release(&volley);
    close_silence(&silence, 1);
}
END_TEST

// A worker that has committed makes the database hang, and waits until the test has queued
// requests.
static void hang_until_queued(void *arg, const struct paused *paused)
{
    struct silence *silence = arg;
    bool armed = atomic_load(&silence->armed);
    fall_silent(arg, paused);
    while (armed && paused->point == silence->point && !atomic_load(&silence->queued))
        clock_sleep_ns(NS_PER_MS);
}

// Requests of one batch with deadlines of their own: the database answers again before the last
// one, so that request succeeds. Those before it are answered at their deadlines.
START_TEST(a_batch_does_not_fail_at_its_first_deadline)
{
    static const int64_t deadlines_ms[] = {300, 900, 8000};
    struct silence silence;
    struct volley opener, volley;
    if (!open_hooked(&silence, PAUSE_AFTER_COMMIT, names[2 * _i], 64, hang_until_queued))
        return;
    struct engine *engine = silence.fixture.instances[0].engine;
    atomic_store(&silence.armed, true);
    volley_init(&opener, 1);
    volley_deduct(&opener, 0, "A");
    volley_submit(&opener, engine, 0);
    while (atomic_load(&silence.armed))
        clock_sleep_ns(NS_PER_MS);
    volley_init(&volley, ARRAY_LENGTH(deadlines_ms));
    for (size_t i = 0; i < ARRAY_LENGTH(deadlines_ms); i++) {
        volley.deadline_ns = deadlines_ms[i] * NS_PER_MS;
        volley_deduct(&volley, i, "A");
        volley_submit(&volley, engine, i);
    }
    atomic_store(&silence.queued, true);
    ck_assert(volley_wait_for(&volley, 1, 300 + SLACK_MS));
    ck_assert(volley_wait_for(&volley, 2, 600 + SLACK_MS));
    ck_assert(!volley_wait_for(&volley, 3, 0));
    proxy_swallow_requests(silence.fixture.proxy, false);
    volley_wait(&volley);
    volley_wait(&opener);
    ck_assert_int_eq(volley_operation(&volley, 0)->outcome.rc, RC_BACKEND_UNAVAILABLE);
    ck_assert(rc_is_transient(volley_operation(&volley, 1)->outcome.rc));
    ck_assert_int_eq(volley_operation(&volley, 2)->outcome.rc, RC_OK);
    volley_release(&volley);
    volley_release(&opener);
    close_silence(&silence, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("a silent database");
    TCase *silent = suite_case(suite, "silent", 30);
    tcase_add_loop_test(silent, before_commit_nothing_happened, 0, RUNS);
    tcase_add_loop_test(silent, requests_queued_behind_stuck_workers_are_answered, 0,
                        (int)ARRAY_LENGTH(batches));
    tcase_add_loop_test(silent, in_commit_the_outcome_is_unknown, 0, RUNS);
    tcase_add_loop_test(silent, a_batch_does_not_fail_at_its_first_deadline, 0, 2);
    return suite_run(suite);
}
