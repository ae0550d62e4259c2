// A database that stands and says nothing: everybody is answered at the deadline, those whom a
// worker has in hand and those who wait for one, and told the truth about what became of it. A
// proxy makes the silence, so nothing is lost but what is in flight.
#include "fixture.h"
#include "proxy.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/tables/product.h"

#include "guard/strategy/registry.h"
#include "suite.h"

#include <check.h>
#include <stdatomic.h>
#include <string.h>

#define CLIENTS 40
#define WORKERS 6 // of the fixture's engine
#define DEADLINE_MS 2000
#define SLACK_MS 1200

// Silent from the first time that a section comes to this point.
struct silence {
    struct fixture fixture;
    enum pause_point point;
    atomic_bool armed;
};

static void fall_silent(void *arg, enum pause_point point, enum endpoint endpoint)
{
    (void)endpoint;
    struct silence *silence = arg;
    if (point == silence->point && atomic_exchange(&silence->armed, false))
        proxy_swallow_requests(silence->fixture.proxy, true);
}

static const size_t batches[] = {1, 64}; // direct and combined

static bool open_silence(struct silence *silence, enum pause_point point, const char *strategy,
                         size_t max_batch)
{
    *silence = (struct silence){.point = point};
    struct fixture_options options = {.strategy = strategy_find(strategy),
                                      .engine = DB_MYSQL,
                                      .instances = 1,
                                      .max_batch = max_batch,
                                      .through_proxy = true,
                                      .hooks = {{fall_silent, silence}}};
    if (!fixture_open(&silence->fixture, &options))
        return false;
    fixture_put_product(&silence->fixture, "A", 100);
    return true;
}

static void fill(struct operation *operation)
{
    operation->kind = OPERATION_DEDUCT;
    text_copy(operation->counter, sizeof operation->counter, "stock/A");
}

// All of them at once, into the silence; all answered in time.
static void fire(struct silence *silence, struct volley *volley, size_t n)
{
    volley_init(volley, n);
    volley->deadline_ns = DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < n; i++) {
        fill(volley_operation(volley, i));
        volley_submit(volley, silence->fixture.instances[0].engine, i);
    }
    ck_assert_msg(volley_wait_for(volley, n, DEADLINE_MS + SLACK_MS), "%zu of %zu were answered",
                  volley->n_finished, n);
}

static void speak_again(struct silence *silence)
{
    struct fixture *fixture = &silence->fixture;
    proxy_swallow_requests(fixture->proxy, false);
    proxy_cut(fixture->proxy);
    struct operation operation = {.quantity = 1};
    fill(&operation);
    ck_assert_int_eq(submit_and_wait(fixture->instances[0].engine, &operation), RC_OK);
}

static void close_silence(struct silence *silence, size_t sold)
{
    struct product stands;
    ck_assert_int_eq(product_get(silence->fixture.scratch.db, "A", &stands), RC_OK);
    ck_assert_int_eq(stands.remaining, 100 - (int64_t)sold);
    fixture_assert_reconciled(&silence->fixture);
    fixture_close(&silence->fixture);
}

static const char *const names[] = {"conditional", "optimistic", "row-lock"};

#define RUNS (int)(ARRAY_LENGTH(names) * ARRAY_LENGTH(batches))

static bool open_run(struct silence *silence, enum pause_point point, int i)
{
    const char *name = names[(size_t)i / ARRAY_LENGTH(batches)];
    return open_silence(silence, point, name, batches[(size_t)i % ARRAY_LENGTH(batches)]);
}

START_TEST(before_commit_nothing_happened)
{
    struct silence silence;
    if (!open_run(&silence, PAUSE_BEFORE_LOAD, _i))
        return;
    struct operation first = {.quantity = 1};
    fill(&first);
    ck_assert_int_eq(submit_and_wait(silence.fixture.instances[0].engine, &first), RC_OK);
    atomic_store(&silence.armed, true);
    struct volley volley;
    fire(&silence, &volley, CLIENTS);
    size_t unavailable = volley_count(&volley, RC_BACKEND_UNAVAILABLE);
    ck_assert_uint_ge(unavailable, 1);
    ck_assert_uint_eq(unavailable + volley_count(&volley, RC_OVERLOADED), CLIENTS);
    speak_again(&silence);
    volley_release(&volley);
    close_silence(&silence, 2);
}
END_TEST

// Every worker is kept by somebody with time to spare: who waits behind them is answered all the
// same.
START_TEST(who_waits_for_a_stuck_worker_is_answered)
{
    struct silence silence;
    if (!open_run(&silence, PAUSE_BEFORE_LOAD, _i))
        return;
    atomic_store(&silence.armed, true);
    struct volley patient, hasty;
    volley_init(&patient, WORKERS);
    patient.deadline_ns = 3 * DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < WORKERS; i++) {
        fill(volley_operation(&patient, i));
        volley_submit(&patient, silence.fixture.instances[0].engine, i);
    }
    while (atomic_load(&silence.armed)) // until the first is in a worker's hands
        clock_sleep_ns(NS_PER_MS);
    fire(&silence, &hasty, CLIENTS);
    ck_assert_uint_eq(volley_count(&hasty, RC_OVERLOADED), CLIENTS);
    ck_assert(!volley_wait_for(&patient, 1, 0));
    volley_wait(&patient);
    ck_assert_uint_eq(volley_count(&patient, RC_OK), 0);
    speak_again(&silence);
    volley_release(&patient);
    volley_release(&hasty);
    close_silence(&silence, 1);
}
END_TEST

START_TEST(in_commit_nobody_knows)
{
    struct silence silence;
    if (!open_run(&silence, PAUSE_BEFORE_COMMIT, _i))
        return;
    atomic_store(&silence.armed, true);
    struct volley volley;
    fire(&silence, &volley, 1);
    ck_assert_int_eq(volley_operation(&volley, 0)->outcome.rc, RC_OUTCOME_UNKNOWN);
    speak_again(&silence); // COMMIT itself was swallowed
    volley_release(&volley);
    close_silence(&silence, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("a silent database");
    TCase *silent = tcase_create("silent");
    tcase_set_timeout(silent, 30);
    tcase_add_loop_test(silent, before_commit_nothing_happened, 0, RUNS);
    tcase_add_loop_test(silent, who_waits_for_a_stuck_worker_is_answered, 0,
                        (int)ARRAY_LENGTH(batches));
    tcase_add_loop_test(silent, in_commit_nobody_knows, 0, RUNS);
    suite_add_tcase(suite, silent);
    return suite_run(suite);
}
