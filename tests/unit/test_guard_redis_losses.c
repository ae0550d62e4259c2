// lock.wait = notify: no waiter is forgotten, whether the message, the connection, the server or
// the waiter that was granted the lock is lost.
#include "base/clock.h"
#include "guards.h"
#include "proxy.h"
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

// ---- leases -------------------------------------------------------------------------------------

// A dead holder releases nothing, so no message wakes the waiter.
START_TEST(a_dead_holder_is_outwaited)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){0}))
        return;
    redis_tell(redis_port(), "SET holdfast:lock:{%s} ghost PX 400", rig.keys[0]);
    struct visitor visitor;
    visit(&visitor, &rig, rig.guard, NULL);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    ck_assert_int_ge(visitor.waited_ns, 300 * NS_PER_MS);
    ck_assert_int_lt(visitor.waited_ns, 800 * NS_PER_MS);
    ck_assert_int_eq(visitor.left, RC_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(a_stuck_holder_of_the_same_process_is_outwaited)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){.ttl_ms = 600}))
        return;
    struct guard_hold stuck, next, third;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &stuck), RC_OK);
    ck_assert_int_eq(enter_one(&rig, rig.guard, &next), RC_OK);
    ck_assert(!guard_held(rig.guard, &stuck));
    ck_assert(guard_held(rig.guard, &next));
    ck_assert_uint_gt(next.token, stuck.token);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &stuck), RC_LOCK_LOST);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, 1, 100, &third), RC_LOCK_BUSY);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &next), RC_OK);
    check_works(&rig, rig.guard);
    rig_close(&rig);
}
END_TEST

// The waiter at the head is dead: first with its record expired, then with the record still there.
START_TEST(dead_waiters_are_passed_over)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){0}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    struct visitor visitor;
    int port = redis_port();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    redis_tell(port, "RPUSH holdfast:line:{%s} expired", rig.keys[0]);
    if (_i == 1) {
        redis_tell(port, "RPUSH holdfast:line:{%s} ghost%s", rig.keys[0], rig.keys[0]);
        redis_tell(port,
                   "HSET holdfast:waiter:ghost%s tags {%s} channel nobody ask 1 ttl 9000 tokens 1",
                   rig.keys[0], rig.keys[0]);
        redis_tell(port, "PEXPIRE holdfast:waiter:ghost%s 9000", rig.keys[0]);
    }
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, port, 2 + _i);
    clock_sleep_ns(20 * NS_PER_MS);
    int64_t left_ns = clock_now_ns();
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    ck_assert_int_lt(clock_now_ns() - left_ns, 400 * NS_PER_MS);
    ck_assert_int_eq(in_line(&rig, port), 0);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// The waiter was granted the lock, received the message and does nothing: its lease ends the lock.
START_TEST(who_dies_with_the_grant_is_outwaited)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){0}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    struct visitor visitor;
    int port = redis_port();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    // Any channel with a subscriber will do; this is a waiter's own.
    redis_tell(port, "RPUSH holdfast:line:{%s} ghost%s", rig.keys[0], rig.keys[0]);
    redis_tell(port, "SET holdfast:waiter:ghost%s another-type PX 9000", rig.keys[0]);
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, port, 2);
    char owner[128], channel[64];
    redis_read(port, owner, sizeof owner, "LINDEX holdfast:line:{%s} 1", rig.keys[0]);
    redis_read(port, channel, sizeof channel, "HGET holdfast:waiter:%s channel", owner);
    redis_tell(port, "DEL holdfast:waiter:ghost%s", rig.keys[0]);
    redis_tell(port, "HSET holdfast:waiter:ghost%s tags {%s} channel %s ask 1 ttl 500 tokens 1",
               rig.keys[0], rig.keys[0], channel);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    int64_t left_ns = clock_now_ns();
    redis_read(port, owner, sizeof owner, "GET holdfast:lock:{%s}", rig.keys[0]);
    ck_assert_int_eq(strncmp(owner, "ghost", 5), 0);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    ck_assert_int_ge(clock_now_ns() - left_ns, 400 * NS_PER_MS);
    ck_assert_int_lt(clock_now_ns() - left_ns, 1900 * NS_PER_MS);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// A message that is so late that it belongs to an earlier attempt is ignored.
START_TEST(an_old_grant_is_not_believed)
{
    struct rig rig;
    if (!open_notify(&rig, (struct rig_options){0}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    struct visitor visitor;
    char owner[128], channel[64];
    int port = redis_port();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, port, 1);
    first_in_line(&rig, port, owner, sizeof owner);
    redis_read(port, channel, sizeof channel, "HGET holdfast:waiter:%s channel", owner);
    long long ask = redis_tell(port, "HGET holdfast:waiter:%s ask", owner);
    redis_tell(port, "PUBLISH %s x", channel); // not even a grant
    char message[256];
    snprintf(message, sizeof message, "%s %lld 77", owner, ask - 1);
    ck_assert_int_eq(redis_tell(port, "PUBLISH %s %s", channel, message), 1);
    clock_sleep_ns(100 * NS_PER_MS);
    await_line(&rig, port, 1);
    ck_assert(guard_held(rig.guard, &hold));
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    ck_assert_int_eq(visitor.left, RC_OK);
    ck_assert_uint_ne(visitor.token, 77);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// ---- messages and connections are lost ----------------------------------------------------------

enum loss { SWALLOWED, CUT, CUT_BEFORE };
enum { LOSSES = 3 };

// The message is lost, or its connection breaks, before the release or after it.
START_TEST(a_lost_message_is_made_up_for)
{
    if (scratch_server(redis_subject.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(redis_subject.server));
    struct rig rig;
    ck_assert(open_notify(&rig, (struct rig_options){.redis = proxy_address(proxy)}));
    struct guard *other = rig_second_guard(&rig); // not through the proxy
    struct guard_hold hold;
    struct visitor visitor;
    ck_assert_int_eq(enter_one(&rig, other, &hold), RC_OK);
    visit(&visitor, &rig, rig.guard, NULL);
    await_line(&rig, redis_port(), 1);
    await_sleep(&visitor); // it has the reply that it is queued
    if (_i == CUT_BEFORE) {
        proxy_cut(proxy);
        clock_sleep_ns(20 * NS_PER_MS);
    } else {
        proxy_swallow_answers(proxy, true);
    }
    int64_t left_ns = clock_now_ns();
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    clock_sleep_ns(30 * NS_PER_MS);
    if (_i == CUT)
        proxy_cut(proxy);
    proxy_swallow_answers(proxy, false);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    ck_assert_int_lt(clock_now_ns() - left_ns, (_i == SWALLOWED ? 1500 : 600) * NS_PER_MS);
    ck_assert_int_eq(visitor.left, RC_OK);
    if (_i != SWALLOWED) { // the listener is back
        struct guard_hold again;
        ck_assert_int_eq(enter_one(&rig, other, &again), RC_OK);
        visit(&visitor, &rig, rig.guard, NULL);
        await_line(&rig, redis_port(), 1);
        ck_assert_int_eq(guard_leave(other, NULL, &again), RC_OK);
        ck_assert_int_eq(visited(&visitor), RC_OK);
        ck_assert_uint_ge(rig.guard->strategy->reconnects(rig.guard), 1);
    }
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// The acquiring waiter gets no reply: all waiters behind it fail with it and stop waiting.
START_TEST(all_waiters_of_a_silent_server_are_told)
{
    enum { WAITERS = 4 };
    if (scratch_server(redis_subject.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(redis_subject.server));
    struct rig rig;
    ck_assert(
        open_notify(&rig, (struct rig_options){.redis = proxy_address(proxy), .wait_ms = 600}));
    check_works(&rig, rig.guard);
    proxy_swallow_requests(proxy, true);
    struct visitor visitors[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        visit(&visitors[i], &rig, rig.guard, NULL);
    for (int i = 0; i < WAITERS; i++) {
        ck_assert_int_eq(visited(&visitors[i]), RC_BACKEND_UNAVAILABLE);
        ck_assert_int_lt(visitors[i].waited_ns, 900 * NS_PER_MS);
    }
    proxy_swallow_requests(proxy, false);
    check_works(&rig, rig.guard);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// Redis is killed while a waiter waits, and restarts empty.
START_TEST(redis_restarts)
{
    struct redis_servers servers;
    redis_servers_start(&servers, 1);
    struct rig rig;
    ck_assert(open_notify(&rig, (struct rig_options){.redis = servers.addresses}));
    struct guard *other;
    char why[GUARD_ERROR_MAX];
    ck_assert_int_eq(guard_open(rig.guard->strategy, &rig.settings, &other, why), RC_OK);
    struct guard_hold hold, elsewhere;
    struct visitor visitor;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, servers.ports[0], 1);
    int64_t killed_ns = clock_now_ns();
    redis_server_kill(&servers, 0);
    ck_assert_int_eq(visited(&visitor), RC_BACKEND_UNAVAILABLE); // fails at once
    ck_assert_int_lt(clock_now_ns() - killed_ns, 500 * NS_PER_MS);
    redis_server_restart(&servers, 0);
    check_works(&rig, other);
    // A retried release is ambiguous; on a new connection it needs no retry, and its reply counts.
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 1, 1, 3000, &elsewhere), RC_OK);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &elsewhere), RC_OK);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_LOCK_LOST);
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    visit(&visitor, &rig, other, NULL);
    await_line(&rig, servers.ports[0], 1); // the listener is back too
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(visited(&visitor), RC_OK);
    guard_close(other);
    rig_close(&rig);
    redis_servers_stop(&servers);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("redis-lock, losses");
    TCase *losses = tcase_create("losses");
    tcase_set_timeout(losses, 60);
    tcase_add_test(losses, a_dead_holder_is_outwaited);
    tcase_add_test(losses, a_stuck_holder_of_the_same_process_is_outwaited);
    tcase_add_loop_test(losses, dead_waiters_are_passed_over, 0, 2);
    tcase_add_test(losses, who_dies_with_the_grant_is_outwaited);
    tcase_add_test(losses, an_old_grant_is_not_believed);
    tcase_add_loop_test(losses, a_lost_message_is_made_up_for, 0, LOSSES);
    tcase_add_test(losses, all_waiters_of_a_silent_server_are_told);
    tcase_add_test(losses, redis_restarts);
    suite_add_tcase(suite, losses);
    return suite_run(suite);
}
