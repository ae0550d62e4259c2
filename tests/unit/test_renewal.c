// Tests of the renewal of leases. A lease is renewed while its hold is inside, up to the hard
// deadline. A lost lease is noticed, and counted once. A silent server does not cost the leases on
// other servers. Most tests use a strategy made for them, whose server answers as the test sets it;
// the last ones use real servers.
#include "guard/renewal.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/traced.h"
#include "guards.h"
#include "metrics/metrics.h"

#include "guard/strategy/registry.h"
#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TTL_MS 600
#define NOISE_MS 300

// ---- a server in memory -------------------------------------------------------------------------

enum mood {
    ANSWERS,
    SILENT,  // no answer until the deadline
    REFUSES, // fails at once, as if the port were closed
    FORGOT,  // another holder has the lock
    WAITS,   // no answer until the test changes the mood
};

struct server {
    struct guard guard;
    struct metrics *metrics;
    const struct guard_settings *settings;
    _Atomic enum mood mood;
    atomic_int asked, answered, inside;
};

static struct server *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct server, guard);
}

static enum rc memory_enter(struct guard *guard, struct db *db, const char *const *keys,
                            size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)db, (void)keys, (void)n_keys, (void)deadline_ns;
    ret_hold->expires_ns = clock_now_ns() + of(guard)->settings->lock_ttl_ms * NS_PER_MS;
    return RC_OK;
}

static enum rc memory_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    (void)guard, (void)db;
    return clock_now_ns() < hold->expires_ns ? RC_OK : RC_LOCK_LOST;
}

static enum rc memory_renew(struct guard *guard, struct db *db, const struct guard_hold *hold,
                            int64_t deadline_ns, int64_t *ret_expires_ns)
{
    (void)db, (void)hold;
    struct server *server = of(guard);
    ck_assert_int_eq(atomic_fetch_add(&server->inside, 1), 0); // one thread renews
    int64_t asked_ns = clock_now_ns();
    server->asked++;
    while (server->mood == WAITS)
        clock_sleep_ns(NS_PER_MS);
    enum mood mood = server->mood;
    if (mood == SILENT)
        clock_sleep_ns(deadline_ns - asked_ns);
    atomic_fetch_sub(&server->inside, 1);
    if (mood == FORGOT)
        return RC_LOCK_LOST;
    if (mood != ANSWERS)
        return RC_BACKEND_UNAVAILABLE;
    server->answered++;
    *ret_expires_ns = asked_ns + server->settings->lock_ttl_ms * NS_PER_MS;
    return RC_OK;
}

static const struct strategy in_memory = {
    .name = "in-memory",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .enter = memory_enter,
    .leave = memory_leave,
    .renew = memory_renew,
};

// ---- a process ----------------------------------------------------------------------------------

#define SERVERS 3

struct process {
    struct guard_settings settings;
    struct store *store; // never connected
    struct metrics *metrics;
    struct renewal *renewal;
    struct server servers[SERVERS];
};

static struct store *open_store(const char *url)
{
    struct store *store;
    char error[DB_ERROR_MAX];
    ck_assert_msg(store_open(url, &store, error) == RC_OK, "%s", error);
    return store;
}

static void process_open(struct process *process, int64_t max_hold_ms)
{
    *process = (struct process){
        .settings = {.lock_ttl_ms = TTL_MS, .lock_max_hold_ms = max_hold_ms, .lock_wait = "spin"}};
    ck_assert_int_eq(metrics_new(&process->metrics), RC_OK);
    process->store = open_store("sqlite:/nowhere/at/all");
    ck_assert_int_eq(
        renewal_new(&process->settings, process->store, traced_renewal_event, &process->renewal),
        RC_OK);
    for (size_t i = 0; i < SERVERS; i++) {
        process->servers[i].settings = &process->settings;
        process->servers[i].metrics = process->metrics;
        process->servers[i].guard =
            (struct guard){.strategy = &in_memory, .renewal = process->renewal};
    }
}

static void process_close(struct process *process)
{
    renewal_free(process->renewal);
    metrics_free(process->metrics);
    store_close(process->store);
}

static const char *const key[] = {"coupon/SPRING"};

static void enter(struct server *server, struct traced_hold *hold)
{
    struct metrics *metrics = server->metrics;
    ck_assert_int_eq(
        traced_enter(metrics, ENDPOINT_COUPON, &server->guard, NULL, key, 1, INT64_MAX, hold),
        RC_OK);
}

static enum rc leave(struct server *server, struct traced_hold *hold)
{
    return traced_leave(&server->guard, NULL, hold);
}

// One event's count for the coupon endpoint, as /metrics shows it.
static int64_t counted_of(struct metrics *metrics, const char *name, const char *strategy)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    char line[160];
    metrics_render(metrics, &out);
    text_format(line, sizeof line, "%s{endpoint=\"coupon\",strategy=\"%s\"} ", name, strategy);
    const char *found = strstr(out.data, line);
    return found != NULL ? strtoll(found + strlen(line), NULL, 10) : 0;
}

static int64_t counted(const struct process *process, const char *name)
{
    return counted_of(process->metrics, name, "other"); // in_memory is not in the registry
}

// Checks the hold every few milliseconds for this long. Returns when it was first found lost; 0:
// never.
static int64_t watch(struct guard *guard, const struct guard_hold *hold, int64_t for_ms)
{
    int64_t begin_ns = clock_now_ns();
    while (clock_now_ns() < begin_ns + for_ms * NS_PER_MS) {
        if (!guard_held(guard, hold))
            return clock_now_ns();
        clock_sleep_ns(2 * NS_PER_MS);
    }
    return 0;
}

// ---- one lease ----------------------------------------------------------------------------------

START_TEST(a_lease_is_extended_while_the_hold_is_inside)
{
    struct process process;
    struct traced_hold hold;
    process_open(&process, 60000);
    struct server *server = &process.servers[0];
    for (int round = 1; round <= 2; round++) { // the thread must wake up again after it was idle
        server->answered = 0;
        enter(server, &hold);
        ck_assert_int_eq(watch(&server->guard, &hold.hold, 4 * TTL_MS), 0);
        ck_assert_int_eq(leave(server, &hold), RC_OK);
        int answered = server->answered;
        ck_assert_int_ge(answered, 8); // every third of the lease, a little early
        ck_assert_int_le(answered, 16);
        clock_sleep_ns(TTL_MS * NS_PER_MS);
        ck_assert_int_eq(server->answered, answered);
        ck_assert_int_ge(counted(&process, "holdfast_lease_renewals_total"), answered);
    }
    ck_assert_int_eq(counted(&process, "holdfast_guard_lost_total"), 0);
    process_close(&process);
}
END_TEST

START_TEST(a_short_hold_is_not_asked_about)
{
    struct process process;
    struct traced_hold hold;
    process_open(&process, 60000);
    for (int i = 0; i < 200; i++) {
        enter(&process.servers[0], &hold);
        clock_sleep_ns(5 * NS_PER_MS);
        ck_assert_int_eq(leave(&process.servers[0], &hold), RC_OK);
    }
    ck_assert_int_eq(process.servers[0].asked, 0);
    process_close(&process);
}
END_TEST

START_TEST(a_stuck_worker_loses_its_lock_in_the_end)
{
    enum { MAX_HOLD_MS = 3 * TTL_MS };
    struct process process;
    struct traced_hold hold;
    process_open(&process, MAX_HOLD_MS);
    struct server *server = &process.servers[0];
    enter(server, &hold);
    int64_t lost_ns = watch(&server->guard, &hold.hold, 10 * TTL_MS);
    ck_assert_int_ge(lost_ns - hold.hold.entered_ns, MAX_HOLD_MS * NS_PER_MS);
    ck_assert_int_le(lost_ns - hold.hold.entered_ns, (MAX_HOLD_MS + TTL_MS + NOISE_MS) * NS_PER_MS);
    ck_assert_int_eq(counted(&process, "holdfast_lease_renewals_ended_total"), 1);
    int asked = server->asked;
    clock_sleep_ns(TTL_MS * NS_PER_MS);
    ck_assert_int_eq(server->asked, asked);
    ck_assert_int_eq(leave(server, &hold), RC_LOCK_LOST);
    ck_assert_int_eq(counted(&process, "holdfast_guard_lost_total"), 1);
    process_close(&process);
}
END_TEST

START_TEST(a_lost_lock_is_known_and_counted_once)
{
    struct process process;
    struct traced_hold hold;
    process_open(&process, 60000);
    struct server *server = &process.servers[0];
    server->mood = FORGOT;
    enter(server, &hold);
    int64_t lost_ns = watch(&server->guard, &hold.hold, 2 * TTL_MS);
    // At the first renewal, long before the lease would have ended.
    ck_assert_int_ge(lost_ns - hold.hold.entered_ns, TTL_MS * NS_PER_MS / 5);
    ck_assert_int_lt(lost_ns - hold.hold.entered_ns, TTL_MS * NS_PER_MS * 5 / 6);
    ck_assert_int_eq(hold.hold.expires_ns, 0);
    ck_assert_int_eq(counted(&process, "holdfast_guard_lost_total"), 1);
    traced_lost(&server->guard, &hold); // the engine reports it as well
    ck_assert_int_eq(leave(server, &hold), RC_LOCK_LOST);
    ck_assert_int_eq(counted(&process, "holdfast_guard_lost_total"), 1);
    ck_assert_int_eq(server->asked, 1);
    process_close(&process);
}
END_TEST

START_TEST(an_unanswered_renewal_is_tried_again_while_the_lease_runs)
{
    struct process process;
    struct traced_hold hold;
    process_open(&process, 60000);
    struct server *server = &process.servers[0];
    server->mood = _i == 0 ? REFUSES : SILENT;
    enter(server, &hold);
    while (counted(&process, "holdfast_lease_renewals_failed_total") < 1)
        clock_sleep_ns(2 * NS_PER_MS);
    ck_assert(guard_held(&server->guard, &hold.hold));
    server->mood = ANSWERS;
    ck_assert_int_eq(watch(&server->guard, &hold.hold, 3 * TTL_MS), 0);
    ck_assert_int_eq(leave(server, &hold), RC_OK);
    process_close(&process);
}
END_TEST

// ---- one thread for many ------------------------------------------------------------------------

// Two servers are silent, each with many holds whose renewals are due as well; the third answers.
START_TEST(silent_servers_do_not_cost_the_others_their_leases)
{
    enum { HOLDS = 8 };
    static struct traced_hold holds[SERVERS][HOLDS];
    struct process process;
    process_open(&process, 60000);
    struct server *good = &process.servers[SERVERS - 1];
    process.servers[0].mood = process.servers[1].mood = SILENT;
    for (size_t i = 0; i < HOLDS; i++) {
        for (size_t j = 0; j < SERVERS; j++)
            enter(&process.servers[j], &holds[j][i]);
    }
    // The leases on the silent servers expire. New holds replace them, so that renewals on these
    // servers stay due.
    for (int round = 0; round < 4; round++) {
        int64_t until_ns = clock_now_ns() + (TTL_MS + 50) * NS_PER_MS;
        while (clock_now_ns() < until_ns) {
            for (size_t i = 0; i < HOLDS; i++)
                ck_assert(guard_held(&good->guard, &holds[SERVERS - 1][i].hold));
            clock_sleep_ns(2 * NS_PER_MS);
        }
        for (size_t j = 0; j + 1 < SERVERS; j++) {
            for (size_t i = 0; i < HOLDS; i++) {
                ck_assert(!guard_held(&process.servers[j].guard, &holds[j][i].hold));
                (void)leave(&process.servers[j], &holds[j][i]);
                enter(&process.servers[j], &holds[j][i]);
            }
        }
    }
    // The silent servers were asked, but not for each hold.
    ck_assert_int_gt(process.servers[0].asked, 4);
    ck_assert_int_lt(process.servers[0].asked, 4 * HOLDS);
    for (size_t j = 0; j < SERVERS; j++) {
        for (size_t i = 0; i < HOLDS; i++)
            (void)leave(&process.servers[j], &holds[j][i]);
    }
    process_close(&process);
}
END_TEST

struct leaver {
    struct server *server;
    struct traced_hold hold;
    atomic_bool left;
};

static void *leave_main(void *arg)
{
    struct leaver *leaver = arg;
    (void)leave(leaver->server, &leaver->hold);
    // From here on no other thread may touch it; the sanitizers check that.
    memset(&leaver->hold, 0x5a, sizeof leaver->hold);
    leaver->left = true;
    return NULL;
}

START_TEST(leaving_waits_for_a_renewal_under_way)
{
    struct process process;
    process_open(&process, 60000);
    struct leaver *leaver = calloc(1, sizeof *leaver);
    struct server *server = &process.servers[0];
    struct traced_hold other;
    leaver->server = server;
    server->mood = WAITS;
    enter(server, &leaver->hold);
    while (server->asked == 0)
        clock_sleep_ns(NS_PER_MS);
    // Meanwhile another hold enters and leaves without waiting; otherwise the test would hang.
    enter(server, &other);
    ck_assert_int_eq(leave(server, &other), RC_OK);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, leave_main, leaver), 0);
    clock_sleep_ns(50 * NS_PER_MS);
    ck_assert(!leaver->left);
    server->mood = ANSWERS;
    pthread_join(thread, NULL);
    ck_assert(leaver->left);
    free(leaver);
    process_close(&process);
}
END_TEST

#define CROWD 6

static void *crowd_main(void *arg)
{
    struct process *process = arg;
    for (int i = 0; i < 60; i++) {
        struct traced_hold *hold = malloc(sizeof *hold);
        struct server *server = &process->servers[random_below(SERVERS)];
        if (random_below(8) == 0)
            server->mood = (enum mood)random_below(WAITS);
        enter(server, hold);
        clock_sleep_ns((int64_t)random_below(40 * NS_PER_MS));
        (void)guard_held(&server->guard, &hold->hold);
        (void)leave(server, hold);
        free(hold);
    }
    return NULL;
}

// Everything at once, with leases so short that most are renewed; the sanitizers check it.
START_TEST(a_crowd_comes_and_goes)
{
    struct process process;
    process_open(&process, 100);
    process.settings.lock_ttl_ms = 30;
    pthread_t threads[CROWD];
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_main, &process), 0);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_gt(counted(&process, "holdfast_lease_renewals_total"), 0);
    process_close(&process);
}
END_TEST

// ---- real servers -------------------------------------------------------------------------------

struct renewed {
    struct store *store;
    struct renewal *renewal;
};

static bool open_renewed(struct rig *rig, const struct subject *subject, struct renewed *renewed)
{
    if (strategy_find(subject->strategy)->renew == NULL ||
        !rig_open(rig, subject, &(struct rig_options){.ttl_ms = 900, .wait_ms = 5000}))
        return false;
    rig->settings.lock_max_hold_ms = 2700;
    renewed->store = open_store("sqlite:/nowhere/at/all");
    ck_assert_int_eq(renewal_new(&rig->settings,
                                 rig->has_scratch ? rig->scratch.store : renewed->store, NULL,
                                 &renewed->renewal),
                     RC_OK);
    rig->guard->renewal = renewed->renewal;
    return true;
}

static void close_renewed(struct rig *rig, struct renewed *renewed)
{
    renewal_free(renewed->renewal);
    store_close(renewed->store);
    rig->guard->renewal = NULL;
    rig_close(rig);
}

START_TEST(a_renewed_lock_keeps_others_out_up_to_the_hard_deadline)
{
    struct rig rig;
    struct renewed renewed;
    if (!open_renewed(&rig, &subjects[_i], &renewed))
        return;
    struct db *db = rig_db(&rig), *other_db = rig_db(&rig);
    struct guard_hold hold, other;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 3, 3000, &hold), RC_OK);
    // After two lease lengths, other clients are still kept out.
    ck_assert_int_eq(rig_enter(&rig, rig.guard, other_db, 2, 2, 2000, &other), RC_LOCK_BUSY);
    ck_assert(guard_held(rig.guard, &hold));
    // After the hard deadline the next client gets in, although the holder has not left.
    ck_assert_int_eq(rig_enter(&rig, rig.guard, other_db, 2, 2, 5000, &other), RC_OK);
    ck_assert(!guard_held(rig.guard, &hold));
    ck_assert_int_ge(clock_now_ns() - hold.entered_ns, 2700 * NS_PER_MS);
    ck_assert_int_eq(guard_leave(rig.guard, db, &hold), RC_LOCK_LOST);
    ck_assert(guard_held(rig.guard, &other));
    ck_assert_int_eq(guard_leave(rig.guard, other_db, &other), RC_OK);
    db_free(db);
    db_free(other_db);
    close_renewed(&rig, &renewed);
}
END_TEST

START_TEST(only_what_is_ours_is_renewed)
{
    struct rig rig;
    if (strategy_find(subjects[_i].strategy)->renew == NULL ||
        !rig_open(&rig, &subjects[_i], &(struct rig_options){.ttl_ms = 700, .wait_ms = 5000}))
        return;
    const struct strategy *strategy = rig.guard->strategy;
    struct db *db = rig_db(&rig);
    struct guard_hold stale, next;
    int64_t expires_ns = 0, begin_ns = clock_now_ns();
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 3, 3000, &stale), RC_OK);
    ck_assert_int_eq(strategy->renew(rig.guard, db, &stale, clock_now_ns() + NS_PER_S, &expires_ns),
                     RC_OK);
    ck_assert_int_ge(expires_ns, begin_ns + 700 * NS_PER_MS);
    ck_assert_int_le(expires_ns, clock_now_ns() + 700 * NS_PER_MS);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 1, 1, 3000, &next), RC_OK);
    expires_ns = 7;
    ck_assert_int_eq(strategy->renew(rig.guard, db, &stale, clock_now_ns() + NS_PER_S, &expires_ns),
                     RC_LOCK_LOST);
    ck_assert_int_eq(expires_ns, 7);
    ck_assert_int_eq(guard_leave(rig.guard, db, &stale), RC_LOCK_LOST);
    // The next holder's lease was not touched, and can still be renewed.
    ck_assert_int_eq(strategy->renew(rig.guard, db, &next, clock_now_ns() + NS_PER_S, &expires_ns),
                     RC_OK);
    ck_assert_int_eq(guard_leave(rig.guard, db, &next), RC_OK);
    db_free(db);
    rig_close(&rig);
}
END_TEST

// Another thread of this process holds SQLite's only write lock. The renewal waits for it no longer
// than its part of the lease, and locks on other servers keep their leases.
START_TEST(a_stuck_writer_holds_up_only_the_lock_table)
{
    static const struct subject on_sqlite = {
        .strategy = "lock-table", .engine = DB_SQLITE, .needs_db = true};
    struct rig rig;
    struct renewed renewed;
    ck_assert(open_renewed(&rig, &on_sqlite, &renewed));
    struct db *db = rig_db(&rig);
    struct guard_hold hold;
    struct traced_hold memory_hold;
    struct server server = {.settings = &rig.settings,
                            .guard = {.strategy = &in_memory, .renewal = renewed.renewal}};
    ck_assert_int_eq(metrics_new(&server.metrics), RC_OK);
    ck_assert_int_eq(rig_enter(&rig, rig.guard, db, 0, 1, 3000, &hold), RC_OK);
    enter(&server, &memory_hold);
    ck_assert_int_eq(db_begin(rig.scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(watch(&server.guard, &memory_hold.hold, 2000), 0);
    ck_assert(!guard_held(rig.guard, &hold));
    db_rollback(rig.scratch.db);
    ck_assert_int_eq(leave(&server, &memory_hold), RC_OK);
    (void)guard_leave(rig.guard, db, &hold);
    db_free(db);
    close_renewed(&rig, &renewed);
    metrics_free(server.metrics);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("renewal");
    TCase *one = tcase_create("one lease");
    tcase_set_timeout(one, 60);
    tcase_add_test(one, a_lease_is_extended_while_the_hold_is_inside);
    tcase_add_test(one, a_short_hold_is_not_asked_about);
    tcase_add_test(one, a_stuck_worker_loses_its_lock_in_the_end);
    tcase_add_test(one, a_lost_lock_is_known_and_counted_once);
    tcase_add_loop_test(one, an_unanswered_renewal_is_tried_again_while_the_lease_runs, 0, 2);
    suite_add_tcase(suite, one);
    TCase *many = tcase_create("many leases");
    tcase_set_timeout(many, 60);
    tcase_add_test(many, silent_servers_do_not_cost_the_others_their_leases);
    tcase_add_test(many, leaving_waits_for_a_renewal_under_way);
    tcase_add_test(many, a_crowd_comes_and_goes);
    suite_add_tcase(suite, many);
    TCase *real = tcase_create("real servers");
    tcase_set_timeout(real, 60);
    tcase_add_loop_test(real, a_renewed_lock_keeps_others_out_up_to_the_hard_deadline, 0,
                        n_subjects);
    tcase_add_loop_test(real, only_what_is_ours_is_renewed, 0, n_subjects);
    tcase_add_test(real, a_stuck_writer_holds_up_only_the_lock_table);
    suite_add_tcase(suite, real);
    return suite_run(suite);
}
