// A stuck lock delays only what needs its counter. The lock of one counter, in the guard or in the
// database, is held for long, and requests for other counters are batched together with requests
// for it. The other requests must succeed soon.
#include "accounts.h"
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

// ---- the two workloads --------------------------------------------------------------------------

static void name_counter(size_t i, char *ret_name, size_t size)
{
    text_format(ret_name, size, "K%zu", i);
}

static void put_products(struct fixture *fixture)
{
    char sku[8];
    for (size_t i = 0; i <= FREE; i++) {
        name_counter(i, sku, sizeof sku);
        fixture_put_product(fixture, sku, 10);
    }
}

static void put_accounts(struct fixture *fixture)
{
    char user[8];
    for (size_t i = 0; i <= FREE; i++) {
        name_counter(i, user, sizeof user);
        account_earn(fixture, user, 10);
    }
}

static void deduct(struct volley *volley, size_t i)
{
    char sku[8];
    name_counter((i + 4) % (FREE + 1), sku, sizeof sku);
    volley_deduct(volley, i, sku);
}

static void transfer(struct volley *volley, size_t i)
{
    static const char *const pairs[][2] = {{"K0", "K1"}, {"K2", "K3"}, {"K1", "K4"},
                                           {"K4", "K0"}, {"K6", "K5"}, {"K5", "K6"}};
    volley_transfer(volley, i, pairs[i][0], pairs[i][1], 1);
}

// The stuck counter is in the middle, both by name and by arrival.
static const struct workload {
    const char *stuck;
    enum operation_kind kind; // of a request that needs the stuck counter alone
    size_t n, n_free;         // requests, and those that do not need the stuck counter
    void (*put)(struct fixture *fixture);
    void (*fill)(struct volley *volley, size_t i);
    const char *beside; // shares a request with the stuck counter; NULL if each has one counter
} workloads[] = {
    {"stock/K3", OPERATION_DEDUCT, 2 * (FREE + 1), 2 * FREE, put_products, deduct, NULL},
    {"points/K3", OPERATION_SPEND, 6, 5, put_accounts, transfer, "points/K2"},
};
#define WORKLOADS ((int)ARRAY_LENGTH(workloads))

static const char *const warm[] = {"W1", "W2"};

static void put_counters(struct fixture *fixture, const struct workload *workload)
{
    workload->put(fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(warm); i++)
        fixture_put_product(fixture, warm[i], 10);
}

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

static void submit_one(struct fixture *fixture, size_t instance, struct volley *volley,
                       enum operation_kind kind, const char *counter)
{
    volley_init(volley, 1);
    struct operation *operation = volley_operation(volley, 0);
    operation->kind = kind;
    text_copy(operation->leg.counter, sizeof operation->leg.counter, counter);
    volley_submit(volley, fixture->instances[instance].engine, 0);
}

static bool is_stuck(const struct workload *workload, struct operation *operation)
{
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        if (strcmp(operation_leg(operation, i)->counter, workload->stuck) == 0)
            return true;
    }
    return false;
}

// Runs the workload while its stuck counter is locked. `gate` holds the first instance's sections.
static void run_workload(struct fixture *fixture, const struct workload *workload,
                         struct gate *gate, enum rc fault)
{
    struct volley first, mixed, beside;
    hold_back(fixture, &first, gate);
    volley_init(&mixed, workload->n);
    mixed.deadline_ns = DEADLINE_MS * NS_PER_MS;
    for (size_t i = 0; i < workload->n; i++) {
        workload->fill(&mixed, i);
        volley_submit(&mixed, fixture->instances[0].engine, i);
    }
    if (workload->beside != NULL)
        submit_one(fixture, 0, &beside, workload->kind, workload->beside);
    gate_open(gate);
    volley_wait(&first);
    ck_assert(volley_wait_for(&mixed, workload->n_free, SOON_MS));
    for (size_t i = 0; i < workload->n; i++)
        if (!is_stuck(workload, volley_operation(&mixed, i)))
            ck_assert_int_eq(volley_operation(&mixed, i)->outcome.rc, RC_OK);
    volley_wait(&mixed);
    for (size_t i = 0; i < workload->n; i++)
        if (is_stuck(workload, volley_operation(&mixed, i)))
            ck_assert_int_eq(volley_operation(&mixed, i)->outcome.rc, fault);
    if (workload->beside != NULL) { // waited for the stuck request, and not for its counter
        volley_wait(&beside);
        ck_assert_int_eq(volley_operation(&beside, 0)->outcome.rc, RC_OK);
        volley_release(&beside);
    }
    volley_release(&mixed);
    volley_release(&first);
}

// ---- what is stuck ------------------------------------------------------------------------------

START_TEST(a_stuck_row_delays_only_what_needs_it)
{
    const struct workload *workload = &workloads[_i % WORKLOADS];
    struct gate gate;
    gate_init(&gate, PAUSE_BEFORE_LOAD, SIZE_MAX);
    struct fixture fixture;
    if (!fixture_open(&fixture, &(struct fixture_options){.strategy = part_strategy(_i / WORKLOADS),
                                                          .engine = DB_MYSQL,
                                                          .instances = 2,
                                                          .max_batch = 256,
                                                          .hooks = {{gate_pause, &gate}}}))
        return;
    put_counters(&fixture, workload);
    struct db *db = fixture.scratch.db;
    struct db_value stuck = db_text(workload->stuck);
    int64_t n_locked;
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(
        db_exec(db, "UPDATE counter SET version = version WHERE name = ?", &stuck, 1, &n_locked),
        RC_OK);
    ck_assert_int_eq(n_locked, 1);
    run_workload(&fixture, workload, &gate, RC_CONTENTION);
    db_rollback(db);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// The second instance holds the lock and keeps renewing its lease.
START_TEST(a_stuck_lock_delays_only_what_needs_it)
{
    const struct workload *workload = &workloads[_i % WORKLOADS];
    const struct strategy *strategy = part_strategy(_i / WORKLOADS);
    if (strategy->scope != SCOPE_CLUSTER || strategy->rule != RULE_FENCED)
        return;
    struct gate gate, keeper;
    gate_init(&gate, PAUSE_BEFORE_LOAD, SIZE_MAX);
    gate_init(&keeper, PAUSE_BEFORE_SAVE, SIZE_MAX);
    struct fixture fixture;
    if (!fixture_open(&fixture, &(struct fixture_options){
                                    .strategy = strategy,
                                    .engine = DB_MYSQL,
                                    .instances = 3,
                                    .max_batch = 256,
                                    .first_wait_ms = 2500,
                                    .hooks = {{gate_pause, &gate}, {gate_pause, &keeper}}}))
        return;
    put_counters(&fixture, workload);
    struct volley kept;
    submit_one(&fixture, 1, &kept, workload->kind, workload->stuck);
    gate_wait_for_arrival(&keeper);
    run_workload(&fixture, workload, &gate, RC_LOCK_BUSY);
    gate_open(&keeper);
    volley_wait(&kept);
    ck_assert_int_eq(volley_operation(&kept, 0)->outcome.rc, RC_OK);
    fixture_assert_reconciled(&fixture);
    volley_release(&kept);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocked");
    TCase *cases = suite_case(suite, "counters", 60);
    tcase_add_loop_test(cases, a_stuck_row_delays_only_what_needs_it, 0, part_size() * WORKLOADS);
    tcase_add_loop_test(cases, a_stuck_lock_delays_only_what_needs_it, 0, part_size() * WORKLOADS);
    return suite_run(suite);
}
