// lock.wait = notify: the order of waiters inside a process and among processes, and the clean-up
// after waiters that give up.
//
// Two guards stand for two processes: they share nothing but Redis.
#include "base/clock.h"
#include "guards.h"
#include "redis_servers.h"
#include "visitors.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- turns --------------------------------------------------------------------------------------

START_TEST(the_lock_is_handed_on_at_once)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){0}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    struct visitor visitor;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, redis_port(), 1);
    clock_sleep_ns(20 * NS_PER_MS); // its next attempt is most of a second away
    int64_t left_ns = clock_now_ns();
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    ck_assert_int_lt(clock_now_ns() - left_ns, 400 * NS_PER_MS);
    ck_assert_int_eq(visitor.left, RC_OK);
    ck_assert_uint_gt(visitor.token, hold.token);
    ck_assert_int_eq(in_line(&rig, redis_port()), 0);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// Processes are served in the order of arrival, and so are the waiters of one process.
START_TEST(first_come_first_served)
{
    enum { GUARDS = 3, EACH = 3 };
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){0}))
        return;
    struct guard *guards[GUARDS];
    struct visitor visitors[GUARDS * EACH];
    struct guard_hold hold;
    atomic_int order = 0;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    for (int i = 0; i < GUARDS; i++)
        guards[i] = rig_second_guard(&rig);
    for (int i = 0; i < GUARDS; i++) {
        for (int j = 0; j < EACH; j++) {
            visit(&visitors[i * EACH + j], &rig, guards[i], &order);
            await_line(&rig, redis_port(), i + 1);
            await_sleep(&visitors[i * EACH + j]);
        }
    }
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    uint64_t last = hold.token;
    for (int i = 0; i < GUARDS * EACH; i++) {
        ck_assert_int_eq(visited(&visitors[i]), RC_OK);
        ck_assert_int_eq(visitors[i].left, RC_OK);
        ck_assert_int_eq(visitors[i].came, i);
        ck_assert_uint_gt(visitors[i].token, last);
        last = visitors[i].token;
    }
    for (int i = 0; i < GUARDS; i++)
        guard_close(guards[i]);
    rig_close(&rig);
}
END_TEST

struct crowd {
    struct rig *rig;
    struct guard *guards[2];
    atomic_int next, inside[TEST_KEYS], collisions, failures;
    uint64_t last[TEST_KEYS]; // no atomics: the guard is all that protects it
};

static void *crowd_main(void *arg)
{
    enum { ROUNDS = 60 };
    struct crowd *crowd = arg;
    size_t number = (size_t)atomic_fetch_add(&crowd->next, 1);
    struct guard *guard = crowd->guards[number % 2];
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t first = (number / 2 + round) % 3, n = 1 + round % 2;
        struct guard_hold hold;
        if (rig_enter(crowd->rig, guard, NULL, first, n, 20000, &hold) != RC_OK) {
            crowd->failures++;
            continue;
        }
        for (size_t key = first; key < first + n; key++) {
            crowd->collisions += atomic_fetch_add(&crowd->inside[key], 1) != 0;
            crowd->collisions += hold.token <= crowd->last[key];
            crowd->last[key] = hold.token;
        }
        for (size_t key = first; key < first + n; key++)
            atomic_fetch_sub(&crowd->inside[key], 1);
        crowd->failures += guard_leave(guard, NULL, &hold) != RC_OK;
    }
    return NULL;
}

// Single keys and overlapping pairs, in opposite orders, by two processes of four threads.
START_TEST(a_crowd_keeps_apart_and_its_tokens_rise)
{
    enum { THREADS = 8 };
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){.wait_ms = 20000}))
        return;
    struct crowd crowd = {.rig = &rig, .guards = {rig.guard, rig_second_guard(&rig)}};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(crowd.failures, 0);
    ck_assert_int_eq(crowd.collisions, 0);
    for (size_t i = 0; i < TEST_KEYS; i++) {
        ck_assert_int_eq(redis_tell(redis_port(), "EXISTS holdfast:lock:{%s}", rig.keys[i]), 0);
        ck_assert_int_eq(redis_tell(redis_port(), "EXISTS holdfast:line:{%s}", rig.keys[i]), 0);
    }
    guard_close(crowd.guards[1]);
    rig_close(&rig);
}
END_TEST

// ---- giving up ----------------------------------------------------------------------------------

START_TEST(who_gives_up_leaves_nothing_behind)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){.wait_ms = 500}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    struct visitor visitor;
    char owner[128];
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, redis_port(), 1);
    first_in_line(&rig, redis_port(), owner, sizeof owner);
    ck_assert_int_eq(visited(&visitor), RC_LOCK_BUSY);
    ck_assert_int_ge(visitor.waited_ns, 490 * NS_PER_MS);
    ck_assert_int_lt(visitor.waited_ns, 900 * NS_PER_MS);
    ck_assert_int_eq(in_line(&rig, redis_port()), 0);
    ck_assert_int_eq(redis_tell(redis_port(), "EXISTS holdfast:waiter:%s", owner), 0);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    check_works(&rig, rig.guard);
    check_works(&rig, other);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// The place in the queue belongs to the process: the waiter behind the one that gives up keeps it.
START_TEST(the_next_one_keeps_the_place)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){.wait_ms = 600}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    struct visitor first, second;
    char before[128], after[128];
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    visit(&first, &rig, other, NULL);
    await_line(&rig, redis_port(), 1);
    first_in_line(&rig, redis_port(), before, sizeof before);
    clock_sleep_ns(200 * NS_PER_MS);
    visit(&second, &rig, other, NULL);
    ck_assert_int_eq(visited(&first), RC_LOCK_BUSY);
    first_in_line(&rig, redis_port(), after, sizeof after);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(visited(&second), RC_OK);
    ck_assert_int_eq(second.left, RC_OK);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("redis-lock, notify");
    TCase *turns = tcase_create("turns");
    tcase_set_timeout(turns, 60);
    tcase_add_test(turns, the_lock_is_handed_on_at_once);
    tcase_add_test(turns, first_come_first_served);
    tcase_add_test(turns, a_crowd_keeps_apart_and_its_tokens_rise);
    tcase_add_test(turns, who_gives_up_leaves_nothing_behind);
    tcase_add_test(turns, the_next_one_keeps_the_place);
    suite_add_tcase(suite, turns);
    return suite_run(suite);
}
