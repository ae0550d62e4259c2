// Guards under test. Their keys are random, so that tests can run in parallel on one server.
#include "guards.h"

#include "base/clock.h"
#include "base/random.h"
#include "guard/strategy/registry.h"
#include "guard/trouble.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

const struct subject subjects[] = {
    {.strategy = "mutex"},
    {.strategy = "lock-table", .engine = DB_SQLITE, .needs_db = true},
    {.strategy = "lock-table",
     .engine = DB_MYSQL,
     .server = "HOLDFAST_TEST_MYSQL",
     .needs_db = true},
    {.strategy = "redis-lock", .server = "HOLDFAST_TEST_REDIS"},
    {.strategy = "zookeeper-lock", .server = "HOLDFAST_TEST_ZOOKEEPER"},
    {.strategy = "etcd-lock", .server = "HOLDFAST_TEST_ETCD"},
};
const int n_subjects = (int)ARRAY_LENGTH(subjects);

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

bool rig_open(struct rig *rig, const struct subject *subject, const struct rig_options *options)
{
    *rig = (struct rig){0};
    if (subject->server != NULL && scratch_server(subject->server) == NULL) {
        fprintf(stderr, "SKIPPED %s: %s is not set\n", subject->strategy, subject->server);
        return false;
    }
    const char *redis = options->redis, *zookeeper = options->zookeeper, *etcd = options->etcd;
    if (redis == NULL && strcmp(subject->strategy, "redis-lock") == 0)
        redis = scratch_server("HOLDFAST_TEST_REDIS");
    if (zookeeper == NULL && strcmp(subject->strategy, "zookeeper-lock") == 0)
        zookeeper = scratch_server("HOLDFAST_TEST_ZOOKEEPER");
    if (etcd == NULL && strcmp(subject->strategy, "etcd-lock") == 0)
        etcd = scratch_server("HOLDFAST_TEST_ETCD");
    rig->settings =
        (struct guard_settings){.redis = or_empty(redis),
                                .zookeeper = or_empty(zookeeper),
                                .etcd = or_empty(etcd),
                                .lock_ttl_ms = options->ttl_ms > 0 ? options->ttl_ms : 8000,
                                .lock_max_hold_ms = options->max_hold_ms,
                                .lock_wait_ms = options->wait_ms > 0 ? options->wait_ms : 5000,
                                .lock_wait = options->wait != NULL ? options->wait : "spin",
                                .instance = "test"};
    if (subject->needs_db) {
        scratch_open(&rig->scratch, subject->engine);
        rig->has_scratch = true;
    }
    uint64_t number;
    random_bytes(&number, sizeof number);
    for (size_t i = 0; i < TEST_KEYS; i++) {
        snprintf(rig->names[i], sizeof rig->names[i], "stock/T%016lx.%zu", (unsigned long)number,
                 i);
        rig->keys[i] = rig->names[i];
    }
    char why[GUARD_ERROR_MAX] = "";
    enum rc rc = guard_open(strategy_find(subject->strategy), &rig->settings, &rig->guard, why);
    ck_assert_msg(rc == RC_OK, "%s: %s", subject->strategy, why);
    return true;
}

void rig_close(struct rig *rig)
{
    guard_close(rig->guard);
    if (rig->has_scratch)
        scratch_close(&rig->scratch);
}

struct guard *rig_second_guard(struct rig *rig)
{
    static struct guard_settings settings; // outlives the call; the same in every test of a process
    const char *redis = scratch_server("HOLDFAST_TEST_REDIS");
    const char *zookeeper = scratch_server("HOLDFAST_TEST_ZOOKEEPER");
    const char *etcd = scratch_server("HOLDFAST_TEST_ETCD");
    settings = rig->settings;
    settings.redis = or_empty(redis);
    settings.zookeeper = or_empty(zookeeper);
    settings.etcd = or_empty(etcd);
    struct guard *guard;
    char why[GUARD_ERROR_MAX] = "";
    enum rc rc = guard_open(rig->guard->strategy, &settings, &guard, why);
    ck_assert_msg(rc == RC_OK, "%s", why);
    return guard;
}

struct db *rig_db(struct rig *rig)
{
    struct db *db = NULL;
    if (rig->has_scratch)
        ck_assert_int_eq(db_new(rig->scratch.store, &db), RC_OK);
    return db;
}

enum rc rig_enter(struct rig *rig, struct guard *guard, struct db *db, size_t first, size_t n,
                  int64_t deadline_ms, struct guard_hold *ret_hold)
{
    return guard_enter(guard, db, rig->keys + first, n, clock_now_ns() + deadline_ms * NS_PER_MS,
                       ret_hold);
}

enum rc try_enter(struct rig *rig, struct guard *guard, struct db *db, size_t first, size_t n,
                  struct guard_hold *ret_hold)
{
    enum rc rc = RC_BACKEND_UNAVAILABLE;
    for (int64_t limit_ms = 100; rc == RC_BACKEND_UNAVAILABLE && limit_ms < 4000; limit_ms *= 2)
        rc = rig_enter(rig, guard, db, first, n, limit_ms, ret_hold);
    return rc;
}

enum rc enter_one(struct rig *rig, struct guard *guard, struct guard_hold *ret_hold)
{
    return rig_enter(rig, guard, NULL, 0, 1, 20000, ret_hold);
}

bool within(int64_t limit_ms, bool (*true_now)(struct guard *, const struct guard_hold *),
            struct guard *guard, const struct guard_hold *hold)
{
    int64_t limit_ns = clock_now_ns() + limit_ms * NS_PER_MS;
    while (!true_now(guard, hold)) {
        if (clock_now_ns() >= limit_ns)
            return false;
        clock_sleep_ns(NS_PER_MS);
    }
    return true;
}

bool not_held(struct guard *guard, const struct guard_hold *hold)
{
    return !guard_held(guard, hold);
}

void check_works(struct rig *rig, struct guard *guard)
{
    for (int i = 0; i < 2; i++) {
        struct guard_hold hold;
        ck_assert_int_eq(enter_one(rig, guard, &hold), RC_OK);
        ck_assert(guard_held(guard, &hold));
        ck_assert_int_eq(guard_leave(guard, NULL, &hold), RC_OK);
    }
}

static void *entrance_main(void *arg)
{
    struct entrance *entrance = arg;
    entrance->rc = enter_one(entrance->rig, entrance->rig->guard, &entrance->hold);
    return NULL;
}

void entrance_begin(struct entrance *entrance, struct rig *rig)
{
    entrance->rig = rig;
    ck_assert_int_eq(pthread_create(&entrance->thread, NULL, entrance_main, entrance), 0);
}

enum rc entrance_end(struct entrance *entrance)
{
    pthread_join(entrance->thread, NULL);
    return entrance->rc;
}

void check_nobody_listens(const struct subject *subject, const struct rig_options *options)
{
    struct rig rig;
    if (!rig_open(&rig, subject, options))
        return;
    struct guard_hold hold;
    int64_t begin_ns = clock_now_ns();
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_eq(guard_ping(rig.guard, &(struct guard_trouble){0}), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - begin_ns, 2 * NS_PER_S);
    rig_close(&rig);
}
