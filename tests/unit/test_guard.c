// Tests of the contract of guard.h, for every strategy that locks.
#include "guard/strategy/registry.h"

#include "base/clock.h"
#include "engine/guards.h"
#include "guards.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static bool expires(const struct subject *subject)
{
    return subject->needs_db || strcmp(subject->strategy, "redis-lock") == 0;
}

static bool fenced(const struct subject *subject)
{
    return strategy_find(subject->strategy)->rule == RULE_FENCED;
}

// ---- threads ------------------------------------------------------------------------------------

#define THREADS 4
#define ROUNDS 25

struct crowd {
    struct rig *rig;
    atomic_int inside[TEST_KEYS], collisions, failures;
    atomic_int next;
    int plain[TEST_KEYS]; // not atomic: only the guard protects it
};

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;
    struct db *db = rig_db(crowd->rig);
    size_t first = (size_t)atomic_fetch_add(&crowd->next, 1) % (TEST_KEYS - 1);
    for (int round = 0; round < ROUNDS; round++, first = (first + 1) % (TEST_KEYS - 1)) {
        struct guard_hold hold;
        if (rig_enter(crowd->rig, crowd->rig->guard, db, first, 2, 20000, &hold) != RC_OK) {
            crowd->failures++;
            continue;
        }
        for (size_t key = first; key < first + 2; key++) {
            if (atomic_fetch_add(&crowd->inside[key], 1) != 0)
                crowd->collisions++;
            crowd->plain[key]++;
        }
        if (round % 8 == 0)
            clock_sleep_ns(NS_PER_MS);
        for (size_t key = first; key < first + 2; key++)
            atomic_fetch_sub(&crowd->inside[key], 1);
        if (guard_leave(crowd->rig->guard, db, &hold) != RC_OK)
            crowd->failures++;
    }
    db_free(db);
    return NULL;
}

// Each thread takes overlapping pairs of keys, and starts at a different key. A guard that took the
// keys one by one in the requested order would deadlock, as checkouts in opposite orders do.
START_TEST(excludes_and_does_not_deadlock)
{
    struct rig rig;
    if (!rig_open(&rig, &subjects[_i], &(struct rig_options){.wait_ms = 20000}))
        return;
    struct crowd crowd = {.rig = &rig};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int sum = 0;
    for (size_t i = 0; i < TEST_KEYS; i++)
        sum += crowd.plain[i];
    ck_assert_int_eq(crowd.failures, 0);
    ck_assert_int_eq(crowd.collisions, 0);
    ck_assert_int_eq(sum, 2 * THREADS * ROUNDS);
    rig_close(&rig);
}
END_TEST

// Two buyers fill their carts with the same things in opposite orders, again and again. Each enters
// with its set sorted, as the contract requires, so neither buyer waits for ever.
struct buyer {
    struct rig *rig;
    pthread_barrier_t *start;
    bool backwards;
    int failures;
};

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void *buyer_main(void *arg)
{
    enum { CART = 3 };
    struct buyer *buyer = arg;
    struct rig *rig = buyer->rig;
    struct db *db = rig_db(rig);
    for (size_t round = 0; round < ROUNDS; round++) {
        const char *cart[CART];
        for (size_t i = 0; i < CART; i++) {
            size_t key = (round + i) % TEST_KEYS;
            cart[i] = rig->keys[buyer->backwards ? TEST_KEYS - 1 - key : key];
        }
        qsort(cart, CART, sizeof *cart, compare_keys);
        struct guard_hold hold;
        pthread_barrier_wait(buyer->start);
        if (guard_enter(rig->guard, db, cart, CART, clock_now_ns() + 20 * NS_PER_S, &hold) !=
            RC_OK) {
            buyer->failures++;
            continue;
        }
        sched_yield();
        if (guard_leave(rig->guard, db, &hold) != RC_OK)
            buyer->failures++;
    }
    db_free(db);
    return NULL;
}

START_TEST(opposite_orders_end_in_time)
{
    struct rig rig;
    if (!rig_open(&rig, &subjects[_i], &(struct rig_options){.wait_ms = 20000}))
        return;
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    struct buyer buyers[2] = {{.rig = &rig, .start = &start},
                              {.rig = &rig, .start = &start, .backwards = true}};
    pthread_t threads[2];
    int64_t begin_ns = clock_now_ns();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, buyer_main, &buyers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(buyers[0].failures + buyers[1].failures, 0);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 10 * NS_PER_S);
    pthread_barrier_destroy(&start);
    rig_close(&rig);
}
END_TEST

// ---- one after the other ------------------------------------------------------------------------

// Whether another claim gets the locks at once.
static bool is_free(struct rig *rig, struct db *db, size_t first, size_t n)
{
    struct guard_hold hold;
    enum rc rc = try_enter(rig, rig->guard, db, first, n, &hold);
    if (rc == RC_OK)
        ck_assert_int_eq(guard_leave(rig->guard, db, &hold), RC_OK);
    else
        ck_assert_int_eq(rc, RC_LOCK_BUSY);
    return rc == RC_OK;
}

START_TEST(all_or_nothing)
{
    struct rig rig;
    if (!rig_open(&rig, &subjects[_i], &(struct rig_options){0}))
        return;
    struct db *db = rig_db(&rig);
    struct guard_hold one, all;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 1, 1, 3000, &one), RC_OK);
    ck_assert_int_eq(try_enter(&rig, rig.guard, db, 0, 3, &all), RC_LOCK_BUSY);
    ck_assert(is_free(&rig, db, 0, 1));
    ck_assert(!is_free(&rig, db, 1, 1));
    ck_assert(is_free(&rig, db, 2, 1));
    ck_assert_int_eq(guard_leave(rig.guard, db, &one), RC_OK);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 3, 3000, &all), RC_OK);
    for (size_t i = 0; i < 3; i++)
        ck_assert(!is_free(&rig, db, i, 1));
    ck_assert_int_eq(guard_leave(rig.guard, db, &all), RC_OK);
    ck_assert(is_free(&rig, db, 0, 3));
    db_free(db);
    rig_close(&rig);
}
END_TEST

static int64_t busy_ms(struct rig *rig, struct db *db, int64_t deadline_ms)
{
    struct guard_hold hold;
    enum rc rc = RC_BACKEND_UNAVAILABLE;
    int64_t begin_ns = 0;
    for (int i = 0; rc == RC_BACKEND_UNAVAILABLE && i < 10; i++) { // see try_enter
        begin_ns = clock_now_ns();
        rc = rig_enter(rig, rig->guard, db, 0, 1, deadline_ms, &hold);
    }
    ck_assert_int_eq(rc, RC_LOCK_BUSY);
    return (clock_now_ns() - begin_ns) / NS_PER_MS;
}

START_TEST(waits_as_long_as_allowed)
{
    struct rig rig;
    if (!rig_open(&rig, &subjects[_i], &(struct rig_options){.wait_ms = 600}))
        return;
    struct db *db = rig_db(&rig);
    struct guard_hold hold;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 1, 3000, &hold), RC_OK);
    int64_t by_setting = busy_ms(&rig, db, 5000), by_deadline = busy_ms(&rig, db, 200);
    ck_assert_int_ge(by_setting, 590);
    ck_assert_int_lt(by_setting, 1200);
    ck_assert_int_ge(by_deadline, 190);
    ck_assert_int_lt(by_deadline, 590); // shorter than the setting
    ck_assert_int_eq(guard_leave(rig.guard, db, &hold), RC_OK);
    ck_assert(is_free(&rig, db, 0, 1)); // the attempts that gave up left nothing behind
    db_free(db);
    rig_close(&rig);
}
END_TEST

START_TEST(fails_at_once_if_told_to)
{
    struct rig rig;
    if (!rig_open(&rig, &subjects[_i], &(struct rig_options){.wait = "fail", .wait_ms = 3000}))
        return;
    struct db *db = rig_db(&rig);
    struct guard_hold hold;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 1, 5000, &hold), RC_OK);
    ck_assert_int_lt(busy_ms(&rig, db, 5000), 500);
    ck_assert_int_eq(guard_leave(rig.guard, db, &hold), RC_OK);
    ck_assert(is_free(&rig, db, 0, 1));
    db_free(db);
    rig_close(&rig);
}
END_TEST

// ---- leases and tokens --------------------------------------------------------------------------

// Names as long as names may be, which differ in the last character only.
START_TEST(long_names_are_two_locks)
{
    struct rig rig;
    if (!rig_open(&rig, &subjects[_i], &(struct rig_options){0}))
        return;
    struct db *db = rig_db(&rig);
    char names[2][COUNTER_NAME_MAX + 1];
    const char *const keys[] = {names[0], names[1]};
    struct guard_hold holds[2];
    for (size_t i = 0; i < 2; i++) {
        memset(names[i], 'x', COUNTER_NAME_MAX);
        memcpy(names[i], rig.names[0], strlen(rig.names[0]));
        names[i][COUNTER_NAME_MAX - 1] = (char)('a' + i);
        names[i][COUNTER_NAME_MAX] = '\0';
        ck_assert_int_eq(
            guard_enter(rig.guard, db, &keys[i], 1, clock_now_ns() + 2 * NS_PER_S, &holds[i]),
            RC_OK);
    }
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(guard_leave(rig.guard, db, &holds[i]), RC_OK);
    db_free(db);
    rig_close(&rig);
}
END_TEST

START_TEST(an_expired_lease_lets_the_next_one_in)
{
    struct rig rig;
    if (!expires(&subjects[_i]) ||
        !rig_open(&rig, &subjects[_i], &(struct rig_options){.ttl_ms = 1500}))
        return;
    struct db *db = rig_db(&rig);
    struct guard_hold stale, next;
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 2, 3000, &stale), RC_OK);
    ck_assert(guard_held(rig.guard, &stale));
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 1, 2, 3000, &next), RC_OK);
    ck_assert_int_ge(clock_now_ns() - begin_ns, 1500 * NS_PER_MS);
    ck_assert(!guard_held(rig.guard, &stale));
    ck_assert(guard_held(rig.guard, &next));
    ck_assert_uint_gt(next.token, stale.token);
    ck_assert_int_eq(guard_lift(rig.guard, db, &stale, 1000000), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(rig.guard, db, &stale), RC_LOCK_LOST);
    ck_assert(!is_free(&rig, db, 1, 1)); // the stale release did not free the next holder's keys
    ck_assert(!is_free(&rig, db, 2, 1));
    ck_assert_int_eq(guard_leave(rig.guard, db, &next), RC_OK);
    db_free(db);
    rig_close(&rig);
}
END_TEST

START_TEST(tokens_rise_and_can_be_lifted)
{
    struct rig rig;
    if (!fenced(&subjects[_i]) || !rig_open(&rig, &subjects[_i], &(struct rig_options){0}))
        return;
    struct db *db = rig_db(&rig);
    uint64_t last = 0;
    for (size_t round = 0; round < 12; round++) {
        // {0}, {0,1}, {1,2}, {1}, ...: each shares a key with the one before.
        static const size_t first[] = {0, 0, 1, 1}, n[] = {1, 2, 2, 1};
        struct guard_hold hold;
        ck_assert_int_eq(
            rig_enter(&rig, rig.guard, db, first[round % 4], n[round % 4], 3000, &hold), RC_OK);
        if (round % 4 != 0) // {0} shares none with {1}
            ck_assert_uint_gt(hold.token, last);
        if (round % 3 == 0) {
            uint64_t floor = hold.token + 1000;
            ck_assert_int_eq(guard_lift(rig.guard, db, &hold, floor), RC_OK);
            ck_assert_uint_gt(hold.token, floor);
            uint64_t lifted = hold.token;
            ck_assert_int_eq(guard_lift(rig.guard, db, &hold, floor), RC_OK);
            ck_assert_uint_ge(hold.token, lifted);
        }
        last = hold.token;
        ck_assert_int_gt(hold.expires_ns, clock_now_ns());
        ck_assert_int_lt(hold.expires_ns, clock_now_ns() + 60 * NS_PER_S);
        ck_assert_int_eq(guard_leave(rig.guard, db, &hold), RC_OK);
    }
    db_free(db);
    rig_close(&rig);
}
END_TEST

START_TEST(every_strategy_is_found_and_opens_or_says_why)
{
    static const char *const order[] = {"none",        "mutex",          "optimistic",
                                        "conditional", "row-lock",       "lock-table",
                                        "redis-lock",  "zookeeper-lock", "etcd-lock"};
    struct guard_settings bare = {.redis = "",
                                  .zookeeper = "",
                                  .etcd = "",
                                  .lock_ttl_ms = 1000,
                                  .lock_wait_ms = 100,
                                  .lock_wait = "spin",
                                  .instance = "test"};
    for (size_t i = 0; i < ARRAY_LENGTH(order); i++) {
        ck_assert_ptr_nonnull(strategies[i]);
        ck_assert_str_eq(strategies[i]->name, order[i]);
        ck_assert_ptr_eq(strategy_find(order[i]), strategies[i]);
        struct guard *guard = NULL;
        char why[GUARD_ERROR_MAX] = "";
        enum rc rc = guard_open(strategies[i], &bare, &guard, why);
        ck_assert(rc == RC_OK || (rc == RC_USAGE && why[0] != '\0' && guard == NULL));
        guard_close(guard);
    }
    ck_assert_ptr_null(strategies[ARRAY_LENGTH(order)]);
    ck_assert_ptr_null(strategy_find("etcd"));
}
END_TEST

START_TEST(a_strategy_without_a_guard_passes_through)
{
    struct guard_settings settings = {.lock_wait = "spin"};
    struct guard *guard;
    char why[GUARD_ERROR_MAX] = "";
    const char *keys[] = {"stock/a"};
    struct guard_hold hold;
    ck_assert_int_eq(guard_open(strategy_find("conditional"), &settings, &guard, why), RC_OK);
    ck_assert_int_eq(guard_enter(guard, NULL, keys, 1, clock_now_ns(), &hold), RC_OK);
    ck_assert(guard_held(guard, &hold));
    ck_assert_uint_eq(hold.token, 0);
    ck_assert_int_eq(guard_lift(guard, NULL, &hold, 7), RC_STALE_TOKEN);
    ck_assert_int_eq(guard_leave(guard, NULL, &hold), RC_OK);
    guard_close(guard);
}
END_TEST

// Two endpoints of this table share counters, and the third has its own.
START_TEST(a_mutex_is_not_mixed_on_shared_counters)
{
    static const struct endpoint_traits toys[] = {{"stock", 1}, {"coupon", 2}, {"order", 1 | 4}};
    const struct strategy *mutex = strategy_find("mutex"), *lock = strategy_find("zookeeper-lock"),
                          *row = strategy_find("row-lock");
    const struct {
        const struct strategy *chosen[ARRAY_LENGTH(toys)];
        enum rc rc;
    } cases[] = {
        {{mutex, mutex, mutex}, RC_OK},  {{mutex, row, mutex}, RC_OK},
        {{row, mutex, lock}, RC_OK},     {{mutex, row, row}, RC_USAGE},
        {{row, mutex, mutex}, RC_USAGE}, {{mutex, mutex, lock}, RC_USAGE},
    };
    char why[GUARD_ERROR_MAX] = "";
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        ck_assert_int_eq(guards_can_mix(toys, cases[i].chosen, ARRAY_LENGTH(toys), why),
                         cases[i].rc);
    ck_assert_str_eq(why, "stock.strategy = mutex, order.strategy = zookeeper-lock: both change the"
                          " same counters. mutex stops only its own requests, and could overwrite a"
                          " change by zookeeper-lock. At start, set all of these to mutex, or none:"
                          " stock.strategy, order.strategy");
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("guard");
    TCase *plain = tcase_create("registry");
    tcase_add_test(plain, every_strategy_is_found_and_opens_or_says_why);
    tcase_add_test(plain, a_strategy_without_a_guard_passes_through);
    tcase_add_test(plain, a_mutex_is_not_mixed_on_shared_counters);
    suite_add_tcase(suite, plain);
    TCase *contract = tcase_create("contract");
    tcase_set_timeout(contract, 60);
    tcase_add_loop_test(contract, excludes_and_does_not_deadlock, 0, n_subjects);
    tcase_add_loop_test(contract, opposite_orders_end_in_time, 0, n_subjects);
    tcase_add_loop_test(contract, all_or_nothing, 0, n_subjects);
    tcase_add_loop_test(contract, waits_as_long_as_allowed, 0, n_subjects);
    tcase_add_loop_test(contract, fails_at_once_if_told_to, 0, n_subjects);
    tcase_add_loop_test(contract, long_names_are_two_locks, 0, n_subjects);
    tcase_add_loop_test(contract, an_expired_lease_lets_the_next_one_in, 0, n_subjects);
    tcase_add_loop_test(contract, tokens_rise_and_can_be_lifted, 0, n_subjects);
    suite_add_tcase(suite, contract);
    return suite_run(suite);
}
