// redis = a,b,c: a majority of independent masters decides, and a minority may be dead or silent. A
// master that loses its data breaks the lock and the tokens, but not the fence.
#include "base/clock.h"
#include "guards.h"
#include "proxy.h"
#include "redis_servers.h"
#include "visitors.h"

#include "guard/strategy/registry.h"
#include "guard/trouble.h"
#include "suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 1000

// Masters, and two processes that use them.
struct quorum {
    struct redis_servers servers;
    struct rig rig;
    struct guard *other;
};

static void quorum_open(struct quorum *quorum, size_t n, struct rig_options options)
{
    static const struct subject subject = {.strategy = "redis-lock"}; // no server of the stack
    char why[GUARD_ERROR_MAX] = "";
    redis_servers_start(&quorum->servers, n);
    options.redis = quorum->servers.addresses;
    ck_assert(rig_open(&quorum->rig, &subject, &options));
    ck_assert_int_eq(
        guard_open(quorum->rig.guard->strategy, &quorum->rig.settings, &quorum->other, why), RC_OK);
}

static void quorum_close(struct quorum *quorum)
{
    guard_close(quorum->other);
    rig_close(&quorum->rig);
    redis_servers_stop(&quorum->servers);
}

static void check_both_work(struct quorum *quorum)
{
    check_works(&quorum->rig, quorum->rig.guard);
    check_works(&quorum->rig, quorum->other);
}

static long long counter_of(struct quorum *quorum, size_t i)
{
    return redis_tell(quorum->servers.ports[i], "GET holdfast:token:{%s}", quorum->rig.keys[0]);
}

static bool locked_at(struct quorum *quorum, size_t i)
{
    return redis_tell(quorum->servers.ports[i], "EXISTS holdfast:lock:{%s}", quorum->rig.keys[0]) ==
           1;
}

static const size_t sizes[] = {3, 5};
static const char *const waits[] = {"spin", "notify"};

// ---- the setting --------------------------------------------------------------------------------

START_TEST(what_makes_no_majority_is_refused)
{
    static const struct {
        const char *redis, *why;
    } bad[] = {
        {"127.0.0.1:1,127.0.0.1:2", "even number"},
        {"127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4", "even number"},
        {"127.0.0.1:1,127.0.0.1:2,127.0.0.1:1", "named twice"},
        {"127.0.0.1:1,,127.0.0.1:2", "expected"},
        {"127.0.0.1:1,127.0.0.1:2,", "expected"},
        {"a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11", "more than 9"},
    };
    struct guard_settings settings = {.lock_ttl_ms = 1000, .lock_wait = "spin", .instance = "t"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct guard *guard = NULL;
        char why[GUARD_ERROR_MAX] = "";
        settings.redis = bad[i].redis;
        ck_assert_int_eq(guard_open(strategy_find("redis-lock"), &settings, &guard, why), RC_USAGE);
        ck_assert_msg(strstr(why, bad[i].why) != NULL, "%s: %s", bad[i].redis, why);
    }
}
END_TEST

// ---- a majority ---------------------------------------------------------------------------------

struct crowd {
    struct quorum *quorum;
    atomic_int next, inside, collisions, failures;
    uint64_t last; // no atomics: the guard is all that protects it
};

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;
    struct quorum *quorum = crowd->quorum;
    struct guard *guard =
        atomic_fetch_add(&crowd->next, 1) % 2 == 0 ? quorum->rig.guard : quorum->other;
    for (int round = 0; round < 15; round++) {
        struct guard_hold hold;
        if (enter_one(&quorum->rig, guard, &hold) != RC_OK) {
            crowd->failures++;
            continue;
        }
        crowd->collisions += atomic_fetch_add(&crowd->inside, 1) != 0;
        crowd->collisions += hold.token <= crowd->last;
        crowd->last = hold.token;
        atomic_fetch_sub(&crowd->inside, 1);
        crowd->failures += guard_leave(guard, NULL, &hold) != RC_OK;
    }
    return NULL;
}

// Three and five masters, spin and notify. A minority is dead from the second round on.
START_TEST(a_majority_keeps_a_crowd_apart)
{
    enum { THREADS = 4 };
    struct quorum quorum;
    size_t n = sizes[_i / 2];
    quorum_open(&quorum, n, (struct rig_options){.wait = waits[_i % 2], .wait_ms = 20000});
    struct crowd crowd = {.quorum = &quorum};
    for (int minority = 0; minority < 2; minority++) {
        for (size_t i = 0; minority == 1 && i < n / 2; i++)
            redis_server_kill(&quorum.servers, i);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        ck_assert_int_eq(crowd.failures, 0);
        ck_assert_int_eq(crowd.collisions, 0);
    }
    for (size_t i = n / 2; i < n; i++)
        ck_assert(!locked_at(&quorum, i));
    quorum_close(&quorum);
}
END_TEST

// The silent master keeps its connections. It costs one timeout, not one at every step.
START_TEST(a_silent_minority_is_not_waited_for)
{
    enum { CYCLES = 20 };
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){0});
    check_both_work(&quorum);
    redis_server_pause(&quorum.servers, (size_t)_i);
    int64_t begin_ns = clock_now_ns();
    for (int i = 0; i < CYCLES; i++)
        check_works(&quorum.rig, quorum.rig.guard);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 3 * NS_PER_S);
    ck_assert_int_eq(guard_ping(quorum.rig.guard, &(struct guard_trouble){0}), RC_OK);
    redis_server_resume(&quorum.servers, (size_t)_i);
    check_both_work(&quorum);
    quorum_close(&quorum);
}
END_TEST

// An address that answers no SYN, as behind a firewall that drops packets: a listener whose backlog
// is full and stays full.
struct hole {
    struct sockaddr_in address;
    int listener, guests[4];
};

static int begin_connect(const struct hole *hole)
{
    int guest = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(guest, 0);
    (void)connect(guest, (const struct sockaddr *)&hole->address, sizeof hole->address);
    return guest;
}

static void hole_open(struct hole *hole)
{
    socklen_t size = sizeof hole->address;
    hole->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    hole->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(hole->listener, (struct sockaddr *)&hole->address, size), 0);
    ck_assert_int_eq(getsockname(hole->listener, (struct sockaddr *)&hole->address, &size), 0);
    ck_assert_int_eq(listen(hole->listener, 0), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(hole->guests); i++)
        hole->guests[i] = begin_connect(hole);
    struct pollfd last = {.fd = hole->guests[ARRAY_LENGTH(hole->guests) - 1], .events = POLLOUT};
    ck_assert_int_eq(poll(&last, 1, 50), 0); // neither accepted nor refused
}

static void hole_close(struct hole *hole)
{
    for (size_t i = 0; i < ARRAY_LENGTH(hole->guests); i++)
        close(hole->guests[i]);
    close(hole->listener);
}

// Connecting to the unreachable master, whichever it is, uses up its whole timeout. The others have
// a slow network, and still get a fair share of the time.
START_TEST(an_unreachable_minority_leaves_the_others_their_time)
{
    struct redis_servers servers;
    struct proxy *proxies[2];
    struct hole hole;
    char server[32], at[3][32], masters[128];
    size_t out = (size_t)_i % 3;
    redis_servers_start(&servers, 2);
    hole_open(&hole);
    snprintf(at[out], sizeof at[out], "127.0.0.1:%d", ntohs(hole.address.sin_port));
    for (size_t i = 0; i < 2; i++) {
        size_t place = i < out ? i : i + 1;
        snprintf(server, sizeof server, "127.0.0.1:%d", servers.ports[i]);
        proxies[i] = proxy_start(server);
        proxy_delay_answers(proxies[i], 5);
        snprintf(at[place], sizeof at[place], "%s", proxy_address(proxies[i]));
    }
    snprintf(masters, sizeof masters, "%s,%s,%s", at[0], at[1], at[2]);
    struct rig_options options = {.redis = masters, .ttl_ms = 8000};
    if (_i >= 3) { // the timeout of one master is longer than the whole deadline
        options.ttl_ms = 20000;
        options.wait_ms = 200;
    }
    static const struct subject subject = {.strategy = "redis-lock"};
    struct rig rig;
    ck_assert(rig_open(&rig, &subject, &options));
    for (int i = 0; i < 5; i++) {
        check_works(&rig, rig.guard);
        ck_assert_int_eq(guard_ping(rig.guard, &(struct guard_trouble){0}), RC_OK);
        clock_sleep_ns(600 * NS_PER_MS); // until the unreachable master is tried again
    }
    rig_close(&rig);
    for (size_t i = 0; i < 2; i++)
        proxy_stop(proxies[i]);
    hole_close(&hole);
    redis_servers_stop(&servers);
}
END_TEST

// The majority is dead or silent: fails within the deadline, works two seconds after their return.
START_TEST(without_a_majority_nobody_gets_in)
{
    struct quorum quorum;
    bool silent = _i % 2 == 1;
    size_t n = sizes[_i / 2];
    quorum_open(&quorum, n, (struct rig_options){0});
    check_both_work(&quorum);
    for (size_t i = 0; i < n / 2 + 1; i++) {
        if (silent)
            redis_server_pause(&quorum.servers, i);
        else
            redis_server_kill(&quorum.servers, i);
    }
    for (int i = 0; i < 3; i++) {
        struct guard_hold hold;
        int64_t begin_ns = clock_now_ns();
        ck_assert_int_eq(rig_enter(&quorum.rig, quorum.rig.guard, NULL, 0, 1, DEADLINE_MS, &hold),
                         RC_BACKEND_UNAVAILABLE);
        ck_assert_int_lt(clock_now_ns() - begin_ns, (DEADLINE_MS + 200) * NS_PER_MS);
    }
    ck_assert_int_eq(guard_ping(quorum.rig.guard, &(struct guard_trouble){0}),
                     RC_BACKEND_UNAVAILABLE);
    ck_assert(!locked_at(&quorum, n - 1)); // what the minority granted was released
    for (size_t i = 0; i < n / 2 + 1; i++) {
        if (silent)
            redis_server_resume(&quorum.servers, i);
        else
            redis_server_restart(&quorum.servers, i);
    }
    int64_t back_ns = clock_now_ns();
    check_both_work(&quorum);
    ck_assert_int_lt(clock_now_ns() - back_ns, 2 * NS_PER_S);
    quorum_close(&quorum);
}
END_TEST

// A foreign owner holds the lock on a minority: no obstacle. On a majority: no acquire succeeds,
// and what the rest granted is released.
START_TEST(a_minority_of_locks_is_no_obstacle_and_no_lock)
{
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){.wait_ms = 200});
    for (size_t i = 0; i < 2; i++) {
        struct guard_hold hold;
        redis_tell(quorum.servers.ports[i], "SET holdfast:lock:{%s} ghost", quorum.rig.keys[0]);
        enum rc rc = enter_one(&quorum.rig, quorum.rig.guard, &hold);
        ck_assert_int_eq(rc, i == 0 ? RC_OK : RC_LOCK_BUSY);
        if (rc == RC_OK)
            ck_assert_int_eq(guard_leave(quorum.rig.guard, NULL, &hold), RC_OK);
        ck_assert(!locked_at(&quorum, 2));
    }
    quorum_close(&quorum);
}
END_TEST

// The lease is shortened by the clock drift. Renewing it takes a majority.
START_TEST(the_lease_is_a_majoritys)
{
    enum { TTL_MS = 4000, DRIFT_MS = TTL_MS / 100 + 2 };
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){.ttl_ms = TTL_MS});
    struct guard *guard = quorum.rig.guard;
    struct guard_hold hold;
    int64_t expires_ns = 0, begin_ns = clock_now_ns();
    ck_assert_int_eq(enter_one(&quorum.rig, guard, &hold), RC_OK);
    int64_t lease_ns = (TTL_MS - DRIFT_MS) * NS_PER_MS;
    ck_assert_int_ge(hold.expires_ns, begin_ns + lease_ns);
    ck_assert_int_le(hold.expires_ns, clock_now_ns() + lease_ns);
    for (size_t lost = 0; lost < 3; lost++) {
        clock_sleep_ns(50 * NS_PER_MS);
        int64_t now_ns = clock_now_ns();
        enum rc rc = guard->strategy->renew(guard, NULL, &hold, now_ns + NS_PER_S, &expires_ns);
        ck_assert_int_eq(rc, lost < 2 ? RC_OK : RC_LOCK_LOST);
        if (rc == RC_OK)
            ck_assert_int_ge(expires_ns, now_ns + lease_ns);
        redis_tell(quorum.servers.ports[lost], "DEL holdfast:lock:{%s}", quorum.rig.keys[0]);
    }
    ck_assert_int_eq(guard_leave(guard, NULL, &hold), RC_LOCK_LOST);
    quorum_close(&quorum);
}
END_TEST

// ---- tokens -------------------------------------------------------------------------------------

START_TEST(the_highest_counter_counts_and_a_majority_is_raised_to_it)
{
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){0});
    for (size_t i = 0; i < 3; i++)
        redis_tell(quorum.servers.ports[i], "SET holdfast:token:{%s} %d", quorum.rig.keys[0],
                   100 * (int)(i + 1));
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&quorum.rig, quorum.rig.guard, &hold), RC_OK);
    ck_assert_uint_eq(hold.token, 301);
    size_t raised = 0;
    for (size_t i = 0; i < 3; i++)
        raised += counter_of(&quorum, i) >= 301;
    ck_assert_uint_ge(raised, 2);
    redis_tell(quorum.servers.ports[0], "SET holdfast:token:{%s} 5000", quorum.rig.keys[0]);
    ck_assert_int_eq(guard_lift(quorum.rig.guard, NULL, &hold, 900), RC_OK);
    ck_assert_uint_eq(hold.token, 5001);
    raised = 0;
    for (size_t i = 0; i < 3; i++)
        raised += counter_of(&quorum, i) >= 5001;
    ck_assert_uint_ge(raised, 2);
    ck_assert_int_eq(guard_leave(quorum.rig.guard, NULL, &hold), RC_OK);
    quorum_close(&quorum);
}
END_TEST

// Each holder has another majority: a master may have missed what another one counted.
START_TEST(tokens_rise_from_majority_to_majority)
{
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){.wait = waits[_i]});
    uint64_t last = 0;
    for (size_t round = 0; round < 9; round++) {
        struct guard_hold hold;
        // One master has counted far ahead of the others, as after failed attempts.
        redis_tell(quorum.servers.ports[round % 3], "INCRBY holdfast:token:{%s} 1000",
                   quorum.rig.keys[0]);
        redis_server_pause(&quorum.servers, (round + 1) % 3);
        struct guard *guard = round % 2 == 0 ? quorum.rig.guard : quorum.other;
        ck_assert_int_eq(enter_one(&quorum.rig, guard, &hold), RC_OK);
        ck_assert_uint_gt(hold.token, last);
        last = hold.token;
        ck_assert_int_eq(guard_leave(guard, NULL, &hold), RC_OK);
        redis_server_resume(&quorum.servers, (round + 1) % 3);
    }
    quorum_close(&quorum);
}
END_TEST

// ---- a master that loses its data ---------------------------------------------------------------

// The first holder has masters 0 and 1, because 2 is dead. Then 1 and 2 restart empty and make a
// majority for a second holder. Its token is NOT above the first holder's: its majority has no
// data. Now there are two holders, and the database stops the first. The second holder learns that
// the row has seen a higher token, and is lifted above it. From its save on the first holder's
// token is too low. (Before that the version in the same UPDATE decides.)
START_TEST(a_forgetful_master_makes_two_holders)
{
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){0});
    for (int i = 0; i < 5; i++)
        check_both_work(&quorum);
    redis_server_kill(&quorum.servers, 2);
    struct guard_hold first, second;
    ck_assert_int_eq(enter_one(&quorum.rig, quorum.rig.guard, &first), RC_OK);
    redis_server_restart(&quorum.servers, 1);
    redis_server_restart(&quorum.servers, 2);
    ck_assert_int_eq(enter_one(&quorum.rig, quorum.other, &second), RC_OK);
    ck_assert(guard_held(quorum.rig.guard, &first)); // as far as the first holder knows
    ck_assert(guard_held(quorum.other, &second));
    ck_assert_uint_lt(second.token, first.token);
    ck_assert_int_eq(guard_lift(quorum.other, NULL, &second, first.token), RC_OK);
    ck_assert_uint_gt(second.token, first.token);
    ck_assert_int_eq(guard_lift(quorum.rig.guard, NULL, &first, second.token), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(quorum.rig.guard, NULL, &first), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(quorum.other, NULL, &second), RC_OK);
    quorum_close(&quorum);
}
END_TEST

// The same, but the second majority has a master that knew the first holder's token and lost only
// the lock. Then the second holder's token is above it without a lift.
START_TEST(a_master_that_kept_its_counter_keeps_the_tokens_rising)
{
    struct quorum quorum;
    quorum_open(&quorum, 3, (struct rig_options){0});
    for (int i = 0; i < 5; i++)
        check_both_work(&quorum);
    struct guard_hold first, second;
    ck_assert_int_eq(enter_one(&quorum.rig, quorum.rig.guard, &first), RC_OK);
    redis_server_restart(&quorum.servers, 1);
    redis_tell(quorum.servers.ports[2], "DEL holdfast:lock:{%s}", quorum.rig.keys[0]);
    ck_assert_int_eq(enter_one(&quorum.rig, quorum.other, &second), RC_OK);
    ck_assert_uint_gt(second.token, first.token);
    ck_assert_int_eq(guard_lift(quorum.rig.guard, NULL, &first, second.token), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(quorum.rig.guard, NULL, &first), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(quorum.other, NULL, &second), RC_OK);
    quorum_close(&quorum);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("redis-lock, several masters");
    TCase *cases = tcase_create("majority");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, what_makes_no_majority_is_refused);
    tcase_add_loop_test(cases, a_majority_keeps_a_crowd_apart, 0, 4);
    tcase_add_loop_test(cases, a_silent_minority_is_not_waited_for, 0, 3);
    tcase_add_loop_test(cases, an_unreachable_minority_leaves_the_others_their_time, 0, 6);
    tcase_add_loop_test(cases, without_a_majority_nobody_gets_in, 0, 4);
    tcase_add_test(cases, a_minority_of_locks_is_no_obstacle_and_no_lock);
    tcase_add_test(cases, the_lease_is_a_majoritys);
    suite_add_tcase(suite, cases);
    TCase *tokens = tcase_create("tokens");
    tcase_set_timeout(tokens, 120);
    tcase_add_test(tokens, the_highest_counter_counts_and_a_majority_is_raised_to_it);
    tcase_add_loop_test(tokens, tokens_rise_from_majority_to_majority, 0, 2);
    tcase_add_test(tokens, a_forgetful_master_makes_two_holders);
    tcase_add_test(tokens, a_master_that_kept_its_counter_keeps_the_tokens_rising);
    suite_add_tcase(suite, tokens);
    return suite_run(suite);
}
