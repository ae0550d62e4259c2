// Tests of zookeeper-lock with lost answers, lost requests and stuck holders.
#include "base/clock.h"
#include "base/text.h"
#include "guard/trouble.h"
#include "guard/zookeeper/api.h"
#include "guard/zookeeper/batch.h"
#include "guards.h"
#include "proxy.h"

#include "suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct subject zookeeper = {.strategy = "zookeeper-lock",
                                         .server = "HOLDFAST_TEST_ZOOKEEPER"};

// The process lives and keeps its session alive, but the holder is stuck.
START_TEST(zookeeper_holder_is_stuck)
{
    struct rig rig;
    size_t n = _i == 0 ? 1 : TEST_KEYS - 1;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){.ttl_ms = 1000, .max_hold_ms = 1500}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold stuck, next, beside;
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &stuck), RC_OK);
    ck_assert_int_eq(rig_enter(&rig, other, NULL, 0, n, 5000, &next), RC_OK);
    ck_assert_int_ge(clock_now_ns() - begin_ns, 1500 * NS_PER_MS);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 4000 * NS_PER_MS);
    ck_assert(!guard_held(rig.guard, &stuck));
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &stuck, 0), RC_LOCK_LOST);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, TEST_KEYS - 1, 1, 1000, &beside), RC_OK);
    ck_assert(guard_held(rig.guard, &beside)); // the session itself is still valid
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &beside), RC_OK);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &stuck), RC_LOCK_LOST);
    ck_assert(guard_held(other, &next));
    ck_assert_int_eq(try_enter(&rig, rig.guard, NULL, 0, 1, &beside), RC_LOCK_BUSY);
    ck_assert_int_eq(guard_leave(other, NULL, &next), RC_OK);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// ZooKeeper creates the nodes, but the answer is lost. Unless the waiter looks for its own nodes,
// it waits behind itself, and all other claims wait behind both.
START_TEST(zookeeper_answer_to_create_lost)
{
    if (scratch_server(zookeeper.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(zookeeper.server));
    struct rig rig;
    ck_assert(rig_open(&rig, &zookeeper,
                       &(struct rig_options){.zookeeper = proxy_address(proxy), .wait_ms = 20000}));
    check_works(&rig, rig.guard);
    struct guard *other = rig_second_guard(&rig);
    struct entrance entrance;
    struct guard_hold hold;
    check_works(&rig, other);
    proxy_swallow_answers(proxy, true);
    entrance_begin(&entrance, &rig);
    clock_sleep_ns(300 * NS_PER_MS);
    ck_assert_int_eq(try_enter(&rig, other, NULL, 0, 1, &hold), RC_LOCK_BUSY); // fault took effect
    proxy_swallow_answers(proxy, false);
    proxy_cut(proxy);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    ck_assert_int_eq(rig_enter(&rig, other, NULL, 0, 1, 3000, &hold), RC_OK);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// ZooKeeper receives our requests, but its answers are lost. Repeated requests must not keep the
// lock for a process that cannot use it any more.
START_TEST(zookeeper_is_not_heard)
{
    if (scratch_server(zookeeper.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(zookeeper.server));
    struct rig rig;
    ck_assert(rig_open(&rig, &zookeeper,
                       &(struct rig_options){.zookeeper = proxy_address(proxy),
                                             .ttl_ms = 2000,
                                             .wait_ms = 20000,
                                             .max_hold_ms = 60000}));
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold deaf, next;
    check_works(&rig, other);
    ck_assert_int_eq(enter_one(&rig, rig.guard, &deaf), RC_OK);
    proxy_swallow_answers(proxy, true);
    ck_assert_int_eq(rig_enter(&rig, other, NULL, 0, 1, 12000, &next), RC_OK);
    ck_assert(!guard_held(rig.guard, &deaf));
    proxy_swallow_answers(proxy, false);
    proxy_cut(proxy);
    ck_assert_int_ne(guard_leave(rig.guard, NULL, &deaf), RC_OK);
    ck_assert(guard_held(other, &next));
    ck_assert_int_eq(guard_leave(other, NULL, &next), RC_OK);
    check_works(&rig, rig.guard);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// The delete is lost on its way to ZooKeeper, and guard_leave has not waited for its answer.
START_TEST(zookeeper_delete_lost)
{
    if (scratch_server(zookeeper.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(zookeeper.server));
    struct rig rig;
    ck_assert(rig_open(&rig, &zookeeper, &(struct rig_options){.zookeeper = proxy_address(proxy)}));
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    size_t n = _i == 0 ? 1 : TEST_KEYS;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &hold), RC_OK);
    proxy_swallow_requests(proxy, true);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    clock_sleep_ns(50 * NS_PER_MS);
    ck_assert_int_eq(try_enter(&rig, other, NULL, 0, n, &hold), RC_LOCK_BUSY); // fault took effect
    proxy_swallow_requests(proxy, false);
    proxy_cut(proxy);
    ck_assert_int_eq(rig_enter(&rig, other, NULL, 0, n, 2000, &hold), RC_OK);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

START_TEST(places_are_found_also_past_the_wrap)
{
    char tag[ZOOKEEPER_TAG_LENGTH + 1], names[6][ZOOKEEPER_NODE_MAX];
    char own[ZOOKEEPER_NODE_MAX], ahead[ZOOKEEPER_NODE_MAX];
    char *data[6];
    static const char *const numbers[] = {"2147483646", "2147483647", "-2147483648", "-2147483647"};
    struct String_vector children = {6, data};
    for (int i = 0; i < 4; i++) {
        memset(tag, 'a' + i, ZOOKEEPER_TAG_LENGTH);
        tag[ZOOKEEPER_TAG_LENGTH] = '\0';
        snprintf(names[i], sizeof names[i], "%s-%s", tag, numbers[i]);
    }
    snprintf(names[4], sizeof names[4], "somebody-else");
    names[5][0] = '\0';
    for (int i = 0; i < 6; i++)
        data[i] = names[(i * 5) % 6];
    for (int i = 0; i < 4; i++) {
        memset(tag, 'a' + i, ZOOKEEPER_TAG_LENGTH);
        zookeeper_find_place(&children, tag, own, ahead);
        ck_assert_str_eq(own, names[i]);
        ck_assert_str_eq(ahead, i > 0 ? names[i - 1] : "");
    }
    memset(tag, 'z', ZOOKEEPER_TAG_LENGTH);
    zookeeper_find_place(&children, tag, own, ahead);
    ck_assert_str_eq(own, "");
    ck_assert_str_eq(ahead, "");
}
END_TEST

START_TEST(nobody_listens)
{
    check_nobody_listens(&zookeeper,
                         &(struct rig_options){.zookeeper = "127.0.0.1:1", .wait_ms = 300});
}
END_TEST

// The server answers, but the account may only read.
START_TEST(zookeeper_denies_writes)
{
    struct rig rig;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){.wait_ms = 300}))
        return;
    char path[64], address[128];
    text_format(path, sizeof path, "/denied-%s", rig.names[0] + strlen(rig.names[0]) - 8);
    text_format(address, sizeof address, "%s%s", scratch_server(zookeeper.server), path);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *handle =
        zookeeper_init(scratch_server(zookeeper.server), NULL, 10000, NULL, NULL, 0);
    ck_assert_int_eq(zoo_create(handle, path, "", 0, &ZOO_READ_ACL_UNSAFE, 0, NULL, 0), ZOK);
    struct guard_settings settings = rig.settings;
    settings.zookeeper = address;
    struct guard *denied;
    struct guard_trouble trouble = {0};
    char why[GUARD_ERROR_MAX];
    ck_assert_int_eq(guard_open(rig.guard->strategy, &settings, &denied, why), RC_OK);
    ck_assert_int_eq(guard_ping(denied, &trouble), RC_BACKEND_UNAVAILABLE);
    ck_assert_str_eq(trouble.reason, TROUBLE_DENIED);
    ck_assert_int_eq(guard_ping(rig.guard, &trouble), RC_OK);
    guard_close(denied);
    ck_assert_int_eq(zoo_delete(handle, path, -1), ZOK);
    zookeeper_close(handle);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("zookeeper-lock");
    TCase *cases = tcase_create("recovery");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, zookeeper_holder_is_stuck, 0, 2);
    tcase_add_test(cases, zookeeper_answer_to_create_lost);
    tcase_add_test(cases, zookeeper_is_not_heard);
    tcase_add_loop_test(cases, zookeeper_delete_lost, 0, 2);
    tcase_add_test(cases, places_are_found_also_past_the_wrap);
    tcase_add_test(cases, nobody_listens);
    tcase_add_test(cases, zookeeper_denies_writes);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
