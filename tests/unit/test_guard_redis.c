// redis-lock against lost replies, late scripts, broken connections and a server that loses its
// data.
#include "base/clock.h"
#include "guards.h"
#include "proxy.h"

#include "suite.h"

#include <check.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct subject redis = {.strategy = "redis-lock", .server = "HOLDFAST_TEST_REDIS"};

static void tell_redis(const char *command)
{
    char host[64];
    strncpy(host, scratch_server("HOLDFAST_TEST_REDIS"), sizeof host - 1);
    host[sizeof host - 1] = '\0';
    char *colon = strrchr(host, ':');
    *colon = '\0';
    redisContext *context = redisConnect(host, atoi(colon + 1));
    ck_assert(context != NULL && context->err == 0);
    redisReply *reply = redisCommand(context, command);
    ck_assert_msg(reply != NULL && reply->type != REDIS_REPLY_ERROR, "%s", command);
    freeReplyObject(reply);
    redisFree(context);
}

START_TEST(redis_forgets_its_scripts)
{
    struct rig rig;
    if (!rig_open(&rig, &redis, &(struct rig_options){0}))
        return;
    check_works(&rig, rig.guard);
    tell_redis("SCRIPT FLUSH");
    check_works(&rig, rig.guard);
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    tell_redis("SCRIPT FLUSH");
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(redis_drops_its_connections)
{
    struct rig rig;
    if (!rig_open(&rig, &redis, &(struct rig_options){0}))
        return;
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    tell_redis("CLIENT KILL TYPE normal SKIPME yes");
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    tell_redis("CLIENT KILL TYPE normal SKIPME yes");
    check_works(&rig, rig.guard);
    rig_close(&rig);
}
END_TEST

// The reply to an acquire is lost with the connection. The retry must not wait for its own lock.
START_TEST(redis_answer_lost)
{
    if (scratch_server(redis.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(redis.server));
    struct rig rig;
    ck_assert(rig_open(&rig, &redis, &(struct rig_options){.redis = proxy_address(proxy)}));
    check_works(&rig, rig.guard);
    struct entrance entrance;
    proxy_swallow_answers(proxy, true);
    entrance_begin(&entrance, &rig);
    clock_sleep_ns(100 * NS_PER_MS);
    proxy_swallow_answers(proxy, false);
    proxy_cut(proxy);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    ck_assert_int_eq(try_enter(&rig, other, NULL, 0, 1, &hold), RC_LOCK_BUSY);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    check_works(&rig, other);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// A silent server or a slow network runs the scripts later. The caller that gave up must not own
// the lock then, in whichever order acquire and abandon arrive.
START_TEST(redis_acts_later)
{
    if (scratch_server(redis.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(redis.server));
    struct rig rig;
    ck_assert(rig_open(
        &rig, &redis,
        &(struct rig_options){.redis = proxy_address(proxy), .wait_ms = 400, .ttl_ms = 20000}));
    check_works(&rig, rig.guard);
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    proxy_hold_requests(proxy);
    clock_sleep_ns(20 * NS_PER_MS);
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 700 * NS_PER_MS);
    check_works(&rig, other);
    proxy_release_requests(proxy, _i == 1);
    clock_sleep_ns(200 * NS_PER_MS);
    check_works(&rig, other);
    check_works(&rig, rig.guard);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

START_TEST(redis_loses_its_data)
{
    struct rig rig;
    if (!rig_open(&rig, &redis, &(struct rig_options){0}))
        return;
    struct guard_hold before, after;
    for (int i = 0; i < 3; i++)
        check_works(&rig, rig.guard);
    ck_assert_int_eq(enter_one(&rig, rig.guard, &before), RC_OK);
    char command[160];
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command, "DEL holdfast:%s:{%s}", i == 0 ? "lock" : "token",
                 rig.keys[0]);
        tell_redis(command);
    }
    ck_assert_int_eq(enter_one(&rig, rig.guard, &after), RC_OK); // two holders
    ck_assert_uint_lt(after.token, before.token);
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &after, before.token), RC_OK);
    ck_assert_uint_gt(after.token, before.token);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &before), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &after), RC_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(nobody_listens)
{
    check_nobody_listens(&redis, &(struct rig_options){.redis = "127.0.0.1:1", .wait_ms = 300});
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("redis-lock");
    TCase *cases = tcase_create("recovery");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, redis_forgets_its_scripts);
    tcase_add_test(cases, redis_drops_its_connections);
    tcase_add_test(cases, redis_answer_lost);
    tcase_add_loop_test(cases, redis_acts_later, 0, 2);
    tcase_add_test(cases, redis_loses_its_data);
    tcase_add_test(cases, nobody_listens);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
