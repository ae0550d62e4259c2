// Tests of etcd-lock with lost answers, late requests and broken watches, and with an etcd that
// stops, is killed, loses its data or requires a password.
#include "base/clock.h"
#include "etcd_rig.h"
#include "guard/trouble.h"
#include "proxy.h"

#include "suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

// The test server as host:port, without a scheme, for the proxy.
static const char *host(void)
{
    const char *slashes = strstr(etcd_test_server(), "://");
    return slashes != NULL ? slashes + 3 : etcd_test_server();
}

// ---- the network --------------------------------------------------------------------------------

// etcd makes the key, but the answer is lost. Unless the waiter looks for its own key, it waits
// behind itself.
START_TEST(etcd_answer_lost)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    struct rig rig;
    ck_assert(rig_open(&rig, &etcd,
                       &(struct rig_options){.etcd = proxy_address(proxy), .wait_ms = 20000}));
    check_works(&rig, rig.guard);
    struct guard *other = rig_second_guard(&rig);
    struct entrance entrance;
    struct guard_hold hold;
    proxy_swallow_answers(proxy, true);
    entrance_begin(&entrance, &rig);
    ck_assert(queued_soon(&rig, 1)); // fault took effect
    clock_sleep_ns(20 * NS_PER_MS);
    proxy_swallow_answers(proxy, false);
    proxy_cut(proxy);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    ck_assert_uint_eq(queued(&rig), 1);
    ck_assert_int_eq(try_enter(&rig, other, NULL, 0, 1, &hold), RC_LOCK_BUSY);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    check_works(&rig, other);
    ck_assert(queued_soon(&rig, 0));
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// A slow network delivers requests late, oldest or newest first. After that, no key of the claim
// that gave up may be in the queue.
START_TEST(etcd_acts_later)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    struct rig rig;
    ck_assert(rig_open(
        &rig, &etcd,
        &(struct rig_options){.etcd = proxy_address(proxy), .wait_ms = 400, .ttl_ms = 20000}));
    check_works(&rig, rig.guard);
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    proxy_hold_requests(proxy);
    clock_sleep_ns(20 * NS_PER_MS);
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 700 * NS_PER_MS);
    check_works(&rig, other);
    clock_sleep_ns(500 * NS_PER_MS); // the session's thread has tried to withdraw, and failed
    proxy_release_requests(proxy, _i == 1);
    clock_sleep_ns(1500 * NS_PER_MS);
    ck_assert(queued_soon(&rig, 0));
    check_works(&rig, other);
    check_works(&rig, rig.guard);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

static int slot_of(const struct guard_hold *hold)
{
    return ((const struct etcd_claim *)hold->state)->slot;
}

// A claim that gives up without knowing its revision deletes its names at any revision. That
// request, too, may be executed late, when the names belong to the next holder.
START_TEST(etcd_deletes_later)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    struct rig rig;
    ck_assert(rig_open(
        &rig, &etcd,
        &(struct rig_options){.etcd = proxy_address(proxy), .wait_ms = 400, .ttl_ms = 20000}));
    struct guard_hold hold, kept;
    char mark64[ETCD_NAME64_MAX];
    etcd_name(mark64, "holdfast/gon"); // 12 bytes: base64 encodes them apart from what follows
    size_t n = _i == 0 ? 1 : TEST_KEYS;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &hold), RC_OK);
    int slot = slot_of(&hold);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    proxy_swallow_answers(proxy, true);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &hold), RC_BACKEND_UNAVAILABLE);
    ck_assert_uint_eq(queued(&rig), 1);
    proxy_freeze_at(proxy, mark64);
    proxy_swallow_answers(proxy, false);
    proxy_cut(proxy);
    ck_assert(all_queued_soon(&rig, 0)); // by a retry on another connection
    ck_assert(proxy_has_frozen(proxy));
    for (int tries = 0;; tries++) { // the slot is soon free again
        ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &kept), RC_OK);
        if (slot_of(&kept) == slot)
            break;
        ck_assert_int_eq(guard_leave(rig.guard, NULL, &kept), RC_OK);
        ck_assert_int_lt(tries, 100);
        clock_sleep_ns(10 * NS_PER_MS);
    }
    proxy_thaw(proxy);
    clock_sleep_ns(500 * NS_PER_MS);
    ck_assert_uint_eq(queued(&rig), 1);
    ck_assert(guard_held(rig.guard, &kept));
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &kept), RC_OK);
    ck_assert(all_queued_soon(&rig, 0));
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// The delete is lost on its way to etcd.
START_TEST(etcd_delete_lost)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    struct rig rig;
    ck_assert(rig_open(&rig, &etcd, &(struct rig_options){.etcd = proxy_address(proxy)}));
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    size_t n = _i == 0 ? 1 : TEST_KEYS;
    check_works(&rig, other); // it has its lease now, so its next attempt is quick
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &hold), RC_OK);
    proxy_swallow_requests(proxy, true);
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 1500 * NS_PER_MS);
    ck_assert_int_eq(try_enter(&rig, other, NULL, 0, n, &hold), RC_LOCK_BUSY); // fault took effect
    proxy_swallow_requests(proxy, false);
    proxy_cut(proxy);
    ck_assert_int_eq(rig_enter(&rig, other, NULL, 0, n, 2000, &hold), RC_OK);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    ck_assert(queued_soon(&rig, 0));
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// The answer to the delete is lost, and the delete is repeated. That must not be reported as a lost
// lock.
START_TEST(etcd_answer_to_delete_lost)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    char both[160];
    snprintf(both, sizeof both, "%s,%s", proxy_address(proxy), host());
    struct rig rig;
    ck_assert(rig_open(&rig, &etcd, &(struct rig_options){.etcd = both}));
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    proxy_swallow_answers(proxy, true);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK); // through the other address
    ck_assert_uint_eq(queued(&rig), 0);
    check_works(&rig, rig.guard);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// etcd receives our requests, but its answers are lost. Repeated keep-alives must not keep the lock
// for a process that cannot use it any more.
START_TEST(etcd_is_not_heard)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    struct rig rig;
    ck_assert(rig_open(
        &rig, &etcd,
        &(struct rig_options){
            .etcd = proxy_address(proxy), .ttl_ms = 2000, .wait_ms = 20000, .max_hold_ms = 60000}));
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

START_TEST(etcd_watch_breaks)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    struct rig rig;
    ck_assert(rig_open(
        &rig, &etcd,
        &(struct rig_options){.etcd = proxy_address(proxy), .wait = "notify", .wait_ms = 20000}));
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    check_works(&rig, rig.guard);
    ck_assert_int_eq(enter_one(&rig, other, &hold), RC_OK);
    struct entrance entrance;
    entrance_begin(&entrance, &rig);
    ck_assert(queued_soon(&rig, 2));
    clock_sleep_ns(50 * NS_PER_MS);
    if (_i == 0) // the watch breaks, or goes silent
        proxy_cut(proxy);
    else
        proxy_swallow_answers(proxy, true);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    clock_sleep_ns(50 * NS_PER_MS);
    proxy_swallow_answers(proxy, false);
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 3 * NS_PER_S);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// How long a hand-off from one process to another takes.
static int64_t hand_over_ns(struct rig *rig, struct guard *other)
{
    struct guard_hold hold;
    struct entrance entrance;
    ck_assert_int_eq(enter_one(rig, other, &hold), RC_OK);
    entrance_begin(&entrance, rig);
    ck_assert(queued_soon(rig, 2));
    clock_sleep_ns(50 * NS_PER_MS);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    int64_t took_ns = clock_now_ns() - begin_ns;
    ck_assert_int_eq(guard_leave(rig->guard, NULL, &entrance.hold), RC_OK);
    return took_ns;
}

// The member that serves the watch stops, or is cut off: the connection stays open and silent for
// ever. The waiters of the next seconds detect that. Later waiters are woken by the watch again.
START_TEST(etcd_watch_is_silent)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    char members[200];
    snprintf(members, sizeof members, "%s,%s", proxy_address(proxy), host());
    struct rig rig;
    ck_assert(rig_open(&rig, &etcd,
                       &(struct rig_options){.etcd = members,
                                             .wait = "notify",
                                             .wait_ms = _i == 0 ? 20000 : 1000,
                                             .ttl_ms = 20000}));
    struct guard *other = rig_second_guard(&rig);
    ck_assert_int_lt(hand_over_ns(&rig, other), 3 * NS_PER_S);
    proxy_freeze(proxy);
    ck_assert_int_eq(guard_ping(rig.guard, &(struct guard_trouble){0}),
                     RC_OK); // requests go to the other address now
    int slow = 0, quick = 0;
    while (quick < 5 && slow < 5) {
        if (hand_over_ns(&rig, other) < 250 * NS_PER_MS) {
            quick++;
        } else {
            slow++;
            quick = 0;
        }
    }
    ck_assert_int_eq(quick, 5);
    ck_assert_int_gt(slow, 0); // fault took effect
    guard_close(other);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

START_TEST(members_are_asked_in_turn)
{
    if (etcd_test_server() == NULL)
        return;
    struct proxy *proxy = proxy_start(host());
    proxy_swallow_answers(proxy, true);
    char members[200];
    snprintf(members, sizeof members, "127.0.0.1:1,http://%s,%s/", proxy_address(proxy),
             etcd_test_server());
    struct rig rig;
    ck_assert(rig_open(&rig, &etcd, &(struct rig_options){.etcd = members}));
    check_works(&rig, rig.guard);
    int64_t begin_ns = clock_now_ns();
    check_works(&rig, rig.guard); // the member that answered last is tried first
    ck_assert_int_lt(clock_now_ns() - begin_ns, 500 * NS_PER_MS);
    ck_assert_int_eq(guard_ping(rig.guard, &(struct guard_trouble){0}), RC_OK);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

START_TEST(nobody_listens)
{
    check_nobody_listens(&etcd, &(struct rig_options){.etcd = "127.0.0.1:1", .wait_ms = 300});
}
END_TEST

// ---- the server ---------------------------------------------------------------------------------

// Starts an etcd for this test alone, and opens a guard on it.
static bool open_own(struct etcd_server *own, struct rig *rig, struct rig_options options)
{
    if (etcd_test_server() == NULL || !etcd_server_start(own))
        return false;
    options.etcd = own->address;
    return rig_open(rig, &etcd, &options);
}

static void close_own(struct etcd_server *own, struct rig *rig)
{
    rig_close(rig);
    etcd_server_stop(own);
}

// Whether both a connection for requests and the watch have reconnected.
static bool reconnected(struct guard *guard, const struct guard_hold *hold)
{
    (void)hold;
    return guard->strategy->reconnects(guard) >= 2;
}

START_TEST(etcd_is_killed)
{
    struct etcd_server own;
    struct rig rig;
    if (!open_own(&own, &rig,
                  (struct rig_options){.wait = "notify", .wait_ms = 1000, .max_hold_ms = 60000}))
        return;
    struct guard_hold hold, next;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    ck_assert(etcd_server_watched(&own)); // so that the watch has a connection to lose
    etcd_server_kill(&own);
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 1, 1, 5000, &next), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 1500 * NS_PER_MS);
    ck_assert_int_eq(guard_ping(rig.guard, &(struct guard_trouble){0}), RC_BACKEND_UNAVAILABLE);
    ck_assert(guard_held(rig.guard, &hold)); // its lease cannot have expired yet
    etcd_server_restart(&own, false);
    begin_ns = clock_now_ns();
    struct entrance entrance;
    entrance_begin(&entrance, &rig); // behind our own hold: its key still exists
    clock_sleep_ns(300 * NS_PER_MS);
    ck_assert(guard_held(rig.guard, &hold));
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    ck_assert_uint_gt(entrance.hold.token, hold.token);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 2 * NS_PER_S);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    ck_assert(within(5000, reconnected, rig.guard, NULL));
    close_own(&own, &rig);
}
END_TEST

// Leases and locks are gone, and revisions start again, as after a restore from an old backup.
START_TEST(etcd_loses_its_data)
{
    struct etcd_server own;
    struct rig rig;
    if (!open_own(&own, &rig, (struct rig_options){.max_hold_ms = 60000}))
        return;
    struct guard_hold before, after;
    for (int i = 0; i < 5; i++)
        check_works(&rig, rig.guard);
    ck_assert_int_eq(enter_one(&rig, rig.guard, &before), RC_OK);
    etcd_server_kill(&own);
    etcd_server_restart(&own, true);
    ck_assert(within(4000, not_held, rig.guard, &before)); // noticed at the next keep-alive
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &after), RC_OK);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 2 * NS_PER_S);
    ck_assert_uint_lt(after.token, before.token);
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &after, before.token), RC_OK);
    ck_assert_uint_gt(after.token, before.token);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &before), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &after), RC_OK);
    close_own(&own, &rig);
}
END_TEST

// etcd is silent for longer than the lease. No answer tells that the lease has ended, so the
// process ends it by its own clock.
START_TEST(etcd_stops)
{
    struct etcd_server own;
    struct rig rig;
    if (!open_own(&own, &rig, (struct rig_options){.ttl_ms = 2000, .max_hold_ms = 60000}))
        return;
    struct guard_hold hold, late;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    etcd_server_pause(&own);
    int64_t begin_ns = clock_now_ns();
    ck_assert(within(2500, not_held, rig.guard, &hold));
    ck_assert_int_ge(clock_now_ns() - begin_ns, 1000 * NS_PER_MS);
    begin_ns = clock_now_ns();
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 1, 1, 700, &late), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 1000 * NS_PER_MS);
    etcd_server_resume(&own);
    begin_ns = clock_now_ns();
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 1, 1, 5000, &late), RC_OK);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 2 * NS_PER_S);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &late), RC_OK);
    (void)guard_leave(rig.guard, NULL, &hold); // either result: etcd may have kept the lease
    check_works(&rig, rig.guard);
    close_own(&own, &rig);
}
END_TEST

static void add_root(const char *address)
{
    static const char *const steps[][2] = {
        {"/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"o:p@q\"}"},
        {"/v3/auth/role/add", "{\"name\":\"root\"}"},
        {"/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}"},
        {"/v3/auth/enable", "{}"}};
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++)
        json_decref(etcd_tell(address, steps[i][0], steps[i][1]));
}

START_TEST(etcd_wants_a_password)
{
    struct etcd_server own;
    struct rig rig;
    if (etcd_test_server() == NULL || !etcd_server_start(&own))
        return;
    add_root(own.address);
    static const char *const users[] = {"", "root:wrong@", "root:o:p@q@"};
    for (size_t i = 0; i < ARRAY_LENGTH(users); i++) {
        char address[128];
        snprintf(address, sizeof address, "http://%s%s", users[i], own.address);
        struct rig_options options = {
            .etcd = address, .wait_ms = i < 2 ? 500 : 5000, .wait = "notify"};
        ck_assert(rig_open(&rig, &etcd, &options));
        struct guard_hold hold;
        enum rc rc = enter_one(&rig, rig.guard, &hold);
        ck_assert_int_eq(rc, i < 2 ? RC_BACKEND_UNAVAILABLE : RC_OK);
        if (rc == RC_OK) {
            struct entrance entrance;
            entrance_begin(&entrance, &rig);
            clock_sleep_ns(100 * NS_PER_MS);
            ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
            ck_assert_int_eq(entrance_end(&entrance), RC_OK);
            ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
            check_works(&rig, rig.guard);
        }
        rig_close(&rig);
    }
    etcd_server_stop(&own);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("etcd-lock, faults");
    TCase *cases = tcase_create("recovery");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, etcd_answer_lost);
    tcase_add_loop_test(cases, etcd_acts_later, 0, 2);
    tcase_add_loop_test(cases, etcd_deletes_later, 0, 2);
    tcase_add_loop_test(cases, etcd_delete_lost, 0, 2);
    tcase_add_test(cases, etcd_answer_to_delete_lost);
    tcase_add_test(cases, etcd_is_not_heard);
    tcase_add_loop_test(cases, etcd_watch_breaks, 0, 2);
    tcase_add_loop_test(cases, etcd_watch_is_silent, 0, 2);
    tcase_add_test(cases, members_are_asked_in_turn);
    tcase_add_test(cases, nobody_listens);
    tcase_add_test(cases, etcd_is_killed);
    tcase_add_test(cases, etcd_loses_its_data);
    tcase_add_test(cases, etcd_stops);
    tcase_add_test(cases, etcd_wants_a_password);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
