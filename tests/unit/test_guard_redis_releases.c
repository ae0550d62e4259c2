// A release without a reply, and an abandoned acquire without a reply: both are retried in the
// background, so that no other owner waits for the lease to end. With spin and with notify.
#include "base/clock.h"
#include "base/text.h"
#include "guards.h"
#include "proxy.h"
#include "redis_servers.h"
#include "visitors.h"

#include "suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

// Longer than any test waits: an owner that enters did not wait for the lease to end.
#define LONG_TTL_MS 30000

static const char *const waits[] = {"spin", "notify"};

// The first instance reaches Redis through the proxy, the other one directly.
static bool open_behind(struct proxy **ret_proxy, struct rig *rig, struct guard **ret_other, int i)
{
    if (scratch_server(redis_subject.server) == NULL)
        return false;
    *ret_proxy = proxy_start(scratch_server(redis_subject.server));
    ck_assert(rig_open(rig, &redis_subject,
                       &(struct rig_options){.wait = waits[i],
                                             .redis = proxy_address(*ret_proxy),
                                             .ttl_ms = LONG_TTL_MS,
                                             .wait_ms = 800}));
    *ret_other = rig_second_guard(rig);
    return true;
}

static void close_behind(struct proxy *proxy, struct rig *rig, struct guard *other)
{
    guard_close(other);
    rig_close(rig);
    proxy_stop(proxy);
}

static void assert_locked(struct rig *rig, bool locked)
{
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    while ((redis_tell(redis_port(), "EXISTS holdfast:lock:{%s}", rig->keys[0]) == 1) != locked) {
        ck_assert_msg(clock_now_ns() < until_ns, locked ? "it is free" : "it is locked");
        clock_sleep_ns(10 * NS_PER_MS);
    }
}

// The lease is long, so only a retried release can free the lock.
START_TEST(an_unanswered_release_is_asked_again)
{
    struct proxy *proxy;
    struct rig rig;
    struct guard *other;
    struct guard_hold hold, next;
    if (!open_behind(&proxy, &rig, &other, _i))
        return;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    proxy_swallow_requests(proxy, true);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_eq(try_enter(&rig, other, NULL, 0, 1, &next), RC_LOCK_BUSY);
    assert_locked(&rig, true);
    proxy_swallow_requests(proxy, false);
    assert_locked(&rig, false);
    // The retries free only the lock of their own owner.
    ck_assert_int_eq(enter_one(&rig, other, &next), RC_OK);
    clock_sleep_ns(600 * NS_PER_MS);
    ck_assert_int_eq(guard_leave(other, NULL, &next), RC_OK);
    check_works(&rig, rig.guard);
    close_behind(proxy, &rig, other);
}
END_TEST

// Redis ran the acquire, but its reply was lost; then the abandon did not reach Redis.
START_TEST(an_unanswered_withdrawal_is_asked_again)
{
    struct proxy *proxy;
    struct rig rig;
    struct guard *other;
    if (!open_behind(&proxy, &rig, &other, _i))
        return;
    check_works(&rig, rig.guard);
    proxy_swallow_answers(proxy, true);
    struct entrance entrance;
    entrance_begin(&entrance, &rig);
    assert_locked(&rig, true);
    proxy_swallow_requests(proxy, true);
    ck_assert_int_eq(entrance_end(&entrance), RC_BACKEND_UNAVAILABLE);
    assert_locked(&rig, true);
    proxy_swallow_answers(proxy, false);
    proxy_swallow_requests(proxy, false);
    assert_locked(&rig, false);
    check_works(&rig, other);
    close_behind(proxy, &rig, other);
}
END_TEST

// The process ends: it retries once more if Redis is reachable, and does not wait if it is not.
START_TEST(a_guard_is_closed_with_a_release_unanswered)
{
    struct proxy *proxy;
    struct rig rig;
    struct guard *other;
    struct guard_hold hold;
    bool answers = _i == 0;
    if (!open_behind(&proxy, &rig, &other, 1))
        return;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    proxy_swallow_requests(proxy, true);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_BACKEND_UNAVAILABLE);
    if (answers)
        proxy_swallow_requests(proxy, false);
    int64_t from_ns = clock_now_ns();
    rig_close(&rig);
    ck_assert_int_lt(clock_now_ns() - from_ns, 1500 * NS_PER_MS);
    ck_assert_int_eq(redis_tell(redis_port(), "EXISTS holdfast:lock:{%s}", rig.keys[0]), !answers);
    redis_tell(redis_port(), "DEL holdfast:lock:{%s}", rig.keys[0]);
    guard_close(other);
    proxy_stop(proxy);
}
END_TEST

// Two of three masters free the lock, which is enough. The third must not keep it for a lease.
START_TEST(a_silent_minority_is_told_later)
{
    struct redis_servers servers;
    redis_servers_start(&servers, 3);
    struct rig rig;
    struct guard_hold hold;
    ck_assert(rig_open(
        &rig, &redis_subject,
        &(struct rig_options){.redis = servers.addresses, .ttl_ms = LONG_TTL_MS, .wait_ms = 800}));
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    redis_tell(servers.ports[2], "CLIENT PAUSE 60000 WRITE");
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(redis_tell(servers.ports[2], "EXISTS holdfast:lock:{%s}", rig.keys[0]), 1);
    redis_tell(servers.ports[2], "CLIENT UNPAUSE");
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    while (redis_tell(servers.ports[2], "EXISTS holdfast:lock:{%s}", rig.keys[0]) == 1) {
        ck_assert_int_lt(clock_now_ns(), until_ns);
        clock_sleep_ns(10 * NS_PER_MS);
    }
    rig_close(&rig);
    redis_servers_stop(&servers);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("redis-lock, releases");
    TCase *releases = tcase_create("releases");
    tcase_set_timeout(releases, 60);
    int n_waits = (int)ARRAY_LENGTH(waits);
    tcase_add_loop_test(releases, an_unanswered_release_is_asked_again, 0, n_waits);
    tcase_add_loop_test(releases, an_unanswered_withdrawal_is_asked_again, 0, n_waits);
    tcase_add_loop_test(releases, a_guard_is_closed_with_a_release_unanswered, 0, 2);
    tcase_add_test(releases, a_silent_minority_is_told_later);
    suite_add_tcase(suite, releases);
    return suite_run(suite);
}
