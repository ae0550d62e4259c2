// Tests of etcd-lock with revoked leases, deleted keys, stuck holders, long queues and large sets.
#include "base/clock.h"
#include "etcd_rig.h"
#include "guard/etcd/client.h"

#include "suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void revoke_lease(const struct guard_hold *hold)
{
    char body[64];
    snprintf(body, sizeof body, "{\"ID\":\"%s\"}", ((const struct etcd_claim *)hold->state)->lease);
    json_decref(etcd_tell(etcd_test_server(), "/v3/lease/revoke", body));
}

// Waits until the watch is in place, because the first claim does not wait for it. Until then only
// the next keep-alive notices a deletion.
static void await_watch(struct rig *rig)
{
    struct guard_hold hold;
    char prefix[ETCD_NAME_MAX];
    snprintf(prefix, sizeof prefix, ETCD_LOCKS "%s/", rig->keys[0]);
    bool noticed = false;
    for (int tries = 0; tries < 20 && !noticed; tries++) {
        ck_assert_int_eq(rig_enter(rig, rig->guard, NULL, 0, 1, 3000, &hold), RC_OK);
        etcd_remove(etcd_test_server(), prefix);
        noticed = within(500, not_held, rig->guard, &hold);
        (void)guard_leave(rig->guard, NULL, &hold);
    }
    ck_assert(noticed);
}

// ---- leases -------------------------------------------------------------------------------------

START_TEST(etcd_lease_is_revoked)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.wait = "notify"}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold stale, next;
    await_watch(&rig);
    ck_assert_int_eq(enter_one(&rig, rig.guard, &stale), RC_OK);
    ck_assert(guard_held(rig.guard, &stale));
    revoke_lease(&stale);
    ck_assert(within(1500, not_held, rig.guard, &stale)); // long before the next keep-alive
    ck_assert_int_eq(enter_one(&rig, other, &next), RC_OK);
    ck_assert_uint_gt(next.token, stale.token);
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &stale, 0), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &stale), RC_LOCK_LOST);
    ck_assert(guard_held(other, &next)); // its key still exists
    ck_assert_uint_eq(queued(&rig), 1);
    ck_assert_int_eq(try_enter(&rig, rig.guard, NULL, 0, 1, &stale), RC_LOCK_BUSY);
    ck_assert_int_eq(guard_leave(other, NULL, &next), RC_OK);
    check_works(&rig, rig.guard);
    ck_assert(queued_soon(&rig, 0));
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// A waiter whose own lease is revoked joins the queue again with a new lease, and gets the lock.
START_TEST(etcd_lease_is_revoked_while_waiting)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd,
                  &(struct rig_options){.wait_ms = 20000, .wait = _i == 0 ? "notify" : "spin"}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold first, hold;
    await_watch(&rig);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 1, 1, 3000, &first), RC_OK);
    ck_assert_int_eq(enter_one(&rig, other, &hold), RC_OK);
    struct entrance entrance;
    entrance_begin(&entrance, &rig);
    ck_assert(queued_soon(&rig, 2));
    revoke_lease(&first);
    ck_assert(within(1500, not_held, rig.guard, &first));
    ck_assert(queued_soon(&rig, 2)); // with a new lease
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    ck_assert(guard_held(rig.guard, &entrance.hold));
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &first), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

static void remove_line(const struct rig *rig, size_t i)
{
    char prefix[ETCD_NAME_MAX];
    snprintf(prefix, sizeof prefix, ETCD_LOCKS "%s/", rig->keys[i]);
    etcd_remove(etcd_test_server(), prefix);
}

// An operator deletes one of the holder's keys by hand, and nothing else. The other keys of the set
// must be deleted with it.
START_TEST(etcd_key_is_deleted)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){0}))
        return;
    struct guard_hold hold, next;
    await_watch(&rig);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, 3, 3000, &hold), RC_OK);
    remove_line(&rig, (size_t)_i);
    ck_assert(within(1500, not_held, rig.guard, &hold));
    (void)guard_leave(rig.guard, NULL, &hold);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, 3, 3000, &next), RC_OK);
    ck_assert_uint_gt(next.token, hold.token);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &next), RC_OK);
    ck_assert(all_queued_soon(&rig, 0));
    rig_close(&rig);
}
END_TEST

// The same with a stuck holder: lock.max_hold_ms releases the whole set.
START_TEST(etcd_key_of_a_stuck_holder_is_deleted)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.ttl_ms = 1000, .max_hold_ms = 1500}))
        return;
    struct guard_hold stuck;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, 3, 3000, &stuck), RC_OK);
    remove_line(&rig, (size_t)_i);
    ck_assert(all_queued_soon(&rig, 0));
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &stuck), RC_LOCK_LOST);
    check_works(&rig, rig.guard);
    rig_close(&rig);
}
END_TEST

struct set_waiter {
    struct rig *rig;
    pthread_t thread;
    struct guard_hold hold;
    enum rc rc;
};

static void *wait_for_set(void *arg)
{
    struct set_waiter *waiter = arg;
    waiter->rc =
        rig_enter(waiter->rig, waiter->rig->guard, NULL, 0, TEST_KEYS, 10000, &waiter->hold);
    return NULL;
}

// The same with a waiter: it must not wait behind a key that it left in a queue itself.
START_TEST(etcd_key_of_a_waiter_is_deleted)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd,
                  &(struct rig_options){.wait_ms = 20000, .wait = _i == 0 ? "notify" : "spin"}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct set_waiter waiter = {.rig = &rig};
    struct guard_hold hold;
    await_watch(&rig);
    ck_assert_int_eq(rig_enter(&rig, other, NULL, TEST_KEYS - 1, 1, 3000, &hold), RC_OK);
    ck_assert_int_eq(pthread_create(&waiter.thread, NULL, wait_for_set, &waiter), 0);
    ck_assert(queued_soon(&rig, 1));
    remove_line(&rig, 0);
    ck_assert(queued_soon(&rig, 1)); // it has joined the queue again
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    pthread_join(waiter.thread, NULL);
    ck_assert_int_eq(waiter.rc, RC_OK);
    ck_assert_uint_gt(waiter.hold.token, hold.token);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &waiter.hold), RC_OK);
    ck_assert(all_queued_soon(&rig, 0));
    guard_close(other);
    rig_close(&rig);
}
END_TEST

START_TEST(etcd_lease_is_kept_alive)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.ttl_ms = 2000, .max_hold_ms = 60000}))
        return;
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    while (clock_now_ns() < until_ns) {
        ck_assert(guard_held(rig.guard, &hold));
        clock_sleep_ns(20 * NS_PER_MS);
    }
    ck_assert_uint_eq(queued(&rig), 1);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    rig_close(&rig);
}
END_TEST

// The process lives and keeps its lease alive, but the holder is stuck.
START_TEST(etcd_holder_is_stuck)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.ttl_ms = 1000, .max_hold_ms = 1500}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold stuck, other_hold, next;
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &stuck), RC_OK);
    ck_assert_int_eq(enter_one(&rig, other, &next), RC_OK);
    ck_assert_int_ge(clock_now_ns() - begin_ns, 1500 * NS_PER_MS);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 2500 * NS_PER_MS);
    ck_assert(!guard_held(rig.guard, &stuck));
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 1, 1, 1000, &other_hold), RC_OK);
    ck_assert(guard_held(rig.guard, &other_hold)); // the lease itself is still valid
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &other_hold), RC_OK);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &stuck), RC_LOCK_LOST);
    ck_assert_uint_eq(queued(&rig), 1);
    ck_assert_int_eq(guard_leave(other, NULL, &next), RC_OK);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// ---- queues -------------------------------------------------------------------------------------

START_TEST(who_gives_up_leaves_nothing)
{
    static const char *const waits[] = {"fail", "spin", "notify"};
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.wait = waits[_i]}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold, busy;
    ck_assert_int_eq(enter_one(&rig, other, &hold), RC_OK);
    ck_assert_int_eq(try_enter(&rig, rig.guard, NULL, 0, 2, &busy), RC_LOCK_BUSY);
    if (_i == 0)
        ck_assert_uint_eq(queued(&rig), 1); // it never joined, so it blocked no other claim
    ck_assert(queued_soon(&rig, 1));
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    ck_assert_uint_eq(queued(&rig), 0);
    check_works(&rig, rig.guard);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

#define QUEUE 20 // with lock.wait=notify, one read of the queue does not list as many

struct place {
    struct rig *rig;
    pthread_t thread;
    int number, *turn;
    bool in_order;
};

static void *stand(void *arg)
{
    struct place *place = arg;
    struct guard_hold hold;
    if (enter_one(place->rig, place->rig->guard, &hold) != RC_OK)
        return NULL;
    place->in_order = (*place->turn)++ == place->number; // the lock protects it
    (void)guard_leave(place->rig->guard, NULL, &hold);
    return NULL;
}

START_TEST(first_come_first_served)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd,
                  &(struct rig_options){.wait_ms = 20000, .wait = _i == 0 ? "notify" : "spin"}))
        return;
    struct guard_hold hold;
    struct place places[QUEUE];
    int turn = 0;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    for (int i = 0; i < QUEUE; i++) {
        places[i] = (struct place){.rig = &rig, .number = i, .turn = &turn};
        ck_assert_int_eq(pthread_create(&places[i].thread, NULL, stand, &places[i]), 0);
        ck_assert(queued_soon(&rig, (size_t)i + 2));
    }
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    for (int i = 0; i < QUEUE; i++) {
        pthread_join(places[i].thread, NULL);
        ck_assert_msg(places[i].in_order, "%d", i);
    }
    ck_assert(queued_soon(&rig, 0));
    rig_close(&rig);
}
END_TEST

static void *give_up(void *arg)
{
    struct place *place = arg;
    struct guard_hold hold;
    place->in_order = rig_enter(place->rig, place->rig->guard, NULL, 0, 1, 1500, &hold) != RC_OK;
    return NULL;
}

// All waiters that the last one has read ahead of it give up. The holder, which is further ahead,
// stays.
START_TEST(the_nearest_ones_give_up)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.wait_ms = 20000, .wait = "notify"}))
        return;
    struct guard_hold hold;
    struct place places[QUEUE];
    int turn = 0;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    for (int i = 0; i < QUEUE; i++) {
        places[i] = (struct place){.rig = &rig, .number = 0, .turn = &turn};
        ck_assert_int_eq(
            pthread_create(&places[i].thread, NULL, i < QUEUE - 1 ? give_up : stand, &places[i]),
            0);
        ck_assert(queued_soon(&rig, (size_t)i + 2));
    }
    for (int i = 0; i < QUEUE - 1; i++) {
        pthread_join(places[i].thread, NULL);
        ck_assert(places[i].in_order);
    }
    ck_assert(queued_soon(&rig, 2));
    clock_sleep_ns(300 * NS_PER_MS);
    ck_assert_uint_eq(queued(&rig), 2); // still waiting
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    pthread_join(places[QUEUE - 1].thread, NULL);
    ck_assert(places[QUEUE - 1].in_order);
    rig_close(&rig);
}
END_TEST

#define ROUNDS 30

struct direction {
    struct rig *rig;
    struct guard *guard;
    pthread_t thread;
    const char *keys[TEST_KEYS];
    int entered;
};

static void *go_back_and_forth(void *arg)
{
    struct direction *direction = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct guard_hold hold;
        if (guard_enter(direction->guard, NULL, direction->keys, TEST_KEYS,
                        clock_now_ns() + 10 * NS_PER_S, &hold) != RC_OK)
            continue;
        direction->entered++;
        (void)guard_leave(direction->guard, NULL, &hold);
    }
    return NULL;
}

// One transaction makes all keys of a set, so that even sets in opposite orders do not deadlock.
START_TEST(opposite_orders_do_not_deadlock)
{
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.wait_ms = 10000, .wait = "notify"}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct direction directions[2] = {{.rig = &rig, .guard = rig.guard},
                                      {.rig = &rig, .guard = other}};
    for (size_t i = 0; i < TEST_KEYS; i++) {
        directions[0].keys[i] = rig.keys[i];
        directions[1].keys[i] = rig.keys[TEST_KEYS - 1 - i];
    }
    int64_t begin_ns = clock_now_ns();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(
            pthread_create(&directions[i].thread, NULL, go_back_and_forth, &directions[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(directions[i].thread, NULL);
        ck_assert_int_eq(directions[i].entered, ROUNDS);
    }
    ck_assert_int_lt(clock_now_ns() - begin_ns, 8 * NS_PER_S); // no wait reached its deadline
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// Sets with more keys than etcd allows operations in one transaction.
START_TEST(large_sets_are_one_step)
{
    static char names[GUARD_KEYS_MAX][64];
    const char *keys[GUARD_KEYS_MAX];
    struct rig rig;
    if (!rig_open(&rig, &etcd, &(struct rig_options){.wait = _i == 0 ? "notify" : "fail"}))
        return;
    size_t n = _i == 2 ? 62 : GUARD_KEYS_MAX; // 62: EMPTY_KEYS_MAX of queue.c
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s.%03zu", rig.names[0], i);
        keys[i] = names[i];
    }
    struct guard_hold hold, busy;
    for (int i = 0; i < 2; i++) {
        int64_t limit_ns = clock_now_ns() + 3 * NS_PER_S;
        ck_assert_int_eq(guard_enter(rig.guard, NULL, keys, n, limit_ns, &hold), RC_OK);
        ck_assert_int_eq(
            guard_enter(rig.guard, NULL, &keys[n - 1], 1, clock_now_ns() + 200 * NS_PER_MS, &busy),
            RC_LOCK_BUSY);
        ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
        ck_assert_int_eq(
            guard_enter(rig.guard, NULL, &keys[n - 1], 1, clock_now_ns() + 2 * NS_PER_S, &hold),
            RC_OK);
        ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    }
    rig_close(&rig);
}
END_TEST

// ---- the setting --------------------------------------------------------------------------------

START_TEST(addresses_are_understood_or_refused)
{
    struct etcd_address address;
    char why[GUARD_ERROR_MAX];
    ck_assert_int_eq(etcd_address_parse("h", &address, why, sizeof why), RC_OK);
    ck_assert_str_eq(address.urls[0], "http://h:2379");
    ck_assert_int_eq(etcd_address_parse("https://ann:se:cr@et@h:1?ca=/c.pem, http://[::1]:2379/",
                                        &address, why, sizeof why),
                     RC_OK);
    ck_assert_uint_eq(address.n, 2);
    ck_assert_str_eq(address.urls[0], "https://h:1");
    ck_assert_str_eq(address.urls[1], "http://[::1]:2379");
    ck_assert_str_eq(address.user, "ann");
    ck_assert_str_eq(address.password, "se:cr@et");
    ck_assert_str_eq(address.tls.ca, "/c.pem");
    ck_assert_int_eq(address.tls.verify, ADDRESS_TLS_VERIFY_FULL);
    static const char *const wrong[] = {"",
                                        ",",
                                        "h:",
                                        ":1",
                                        "h:0",
                                        "h:65536",
                                        "h:1x",
                                        "h:1/v3",
                                        "ftp://h:1",
                                        "user@h:1",
                                        ":pw@h:1",
                                        "h:1,h:1/x",
                                        "h:1?ca=x",
                                        "http://h:1?x=y",
                                        "https://h?tls=maybe",
                                        "h:1,h:2,h:3,h:4,h:5,h:6,h:7,h:8,h:9"};
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        ck_assert_msg(etcd_address_parse(wrong[i], &address, why, sizeof why) == RC_USAGE, "%s",
                      wrong[i]);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("etcd-lock");
    TCase *cases = tcase_create("locks");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, etcd_lease_is_revoked);
    tcase_add_loop_test(cases, etcd_lease_is_revoked_while_waiting, 0, 2);
    tcase_add_loop_test(cases, etcd_key_is_deleted, 0, 3);
    tcase_add_loop_test(cases, etcd_key_of_a_stuck_holder_is_deleted, 0, 3);
    tcase_add_loop_test(cases, etcd_key_of_a_waiter_is_deleted, 0, 2);
    tcase_add_test(cases, etcd_lease_is_kept_alive);
    tcase_add_test(cases, etcd_holder_is_stuck);
    tcase_add_loop_test(cases, who_gives_up_leaves_nothing, 0, 3);
    tcase_add_loop_test(cases, first_come_first_served, 0, 2);
    tcase_add_test(cases, the_nearest_ones_give_up);
    tcase_add_test(cases, opposite_orders_do_not_deadlock);
    tcase_add_loop_test(cases, large_sets_are_one_step, 0, 3);
    tcase_add_test(cases, addresses_are_understood_or_refused);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
