// Builds the parts of a running service in order and tears them down in reverse, also after a start
// that failed half way. app_open and app_start fill the struct from top to bottom. app_free frees
// it from bottom to top, and every part's free accepts NULL.
//
// Draining has four steps. The server reports 503 on /readyz, and load balancers get time to
// notice. The server stops accepting requests. The engine finishes the requests it has. The server
// sends the remaining answers.
//
// What breaks it: a part that keeps a pointer to one below it in the struct, or a worker stuck in a
// call without a timeout; `holdfast serve` sets a time limit for the drain.
#include "app.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "engine/engine.h"
#include "engine/health.h"
#include "engine/pause_points.h"
#include "engine/sweeper.h"
#include "http/lab/lab.h"
#include "http/server/server.h"
#include "metrics/metrics.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/tables/access.h"

#include <stdlib.h>
#include <unistd.h>

#define MIGRATE_WAIT_MS 30000

struct app {
    const struct config *config;
    char instance[96];
    struct store *store;
    struct metrics *metrics;
    struct pause_points *pauses;
    struct engine *engine;
    struct sweeper *sweeper;
    struct health *health;
    struct server *server;
};

_Static_assert(APP_ERROR_MAX >= DB_ERROR_MAX && APP_ERROR_MAX >= MIGRATE_ERROR_MAX &&
                   APP_ERROR_MAX >= SERVER_ERROR_MAX && APP_ERROR_MAX >= GUARD_ERROR_MAX,
               "every part writes its error into ret_error");

static void name_instance(char *target, size_t size)
{
    char host[64] = "localhost";
    (void)gethostname(host, sizeof(host) - 1);
    (void)text_format(target, size, "%s:%d", host, (int)getpid());
}

static enum rc check_schema(struct app *app, struct db *db, char *ret_error);

// Only a database that takes no writes now is waited for: /readyz says so, and reads are served.
static enum rc check_access(struct db *db, char *ret_error)
{
    enum rc rc = access_check(db);
    (void)text_copy(ret_error, APP_ERROR_MAX, db_error(db));
    if (!rc || (db_fault(db) != DB_FAULT_READ_ONLY && db_fault(db) != DB_FAULT_FULL))
        return rc;
    LOG_WARNING("store: the database takes no writes: %s; %s", db_error(db), access_remedy(db));
    return RC_OK;
}

// An error names the setting, its value and what to do.
static enum rc prepare_schema(struct app *app, struct db *db, char *ret_error)
{
    char why[APP_ERROR_MAX];
    enum rc rc = check_schema(app, db, ret_error);
    if (!rc)
        rc = check_access(db, ret_error);
    (void)text_copy(why, sizeof(why), ret_error);
    if (rc == RC_BACKEND_UNAVAILABLE || rc == RC_SCHEMA)
        (void)text_format(ret_error, APP_ERROR_MAX, "store %.200s: %s%s%s", store_label(app->store),
                          why, rc == RC_SCHEMA ? "" : "; ",
                          rc == RC_SCHEMA ? "" : access_remedy(db));
    return rc;
}

static enum rc check_schema(struct app *app, struct db *db, char *ret_error)
{
    int applied = 0;
    enum rc rc = migrate_check(db, ret_error);
    if (rc == RC_SCHEMA && db_is_sqlite(db)) {
        rc = migrate_up(db, MIGRATE_WAIT_MS, &applied, ret_error);
        if (!rc && applied > 0)
            LOG_INFO("schema migrated store=%s applied=%d", store_label(app->store), applied);
    }
    if (!rc && app->config->lab && !app->config->lab_constraints)
        rc = migrate_allow_lab(db, ret_error);
    if (!rc && app->config->lab)
        return migrate_lab(db, !app->config->lab_constraints, ret_error);
    bool constraints_off = false;
    if (!rc)
        rc = migrate_constraints_are_off(db, &constraints_off, ret_error);
    if (!rc && constraints_off) {
        rc = RC_SCHEMA;
        (void)text_copy(
            ret_error, APP_ERROR_MAX,
            "the database's unique keys and checks are off (laboratory mode): restore them"
            " with `holdfast migrate belts-on`, or serve with --lab --lab.belts=off");
    }
    return rc;
}

// At most half of the connections may wait for changes, so that the others are served.
static size_t feed_limit(const struct config *config)
{
    int64_t half = config->http_connections / 2;
    return (size_t)(config->feed_limit < half ? config->feed_limit : half);
}

static struct guard_settings guard_settings(const struct app *app)
{
    const struct config *config = app->config;
    return (struct guard_settings){.redis = config->redis,
                                   .zookeeper = config->zookeeper,
                                   .etcd = config->etcd,
                                   .lock_ttl_ms = config->lock_ttl_ms,
                                   .lock_wait_ms = config->lock_wait_ms,
                                   .lock_max_hold_ms = config->lock_max_hold_ms,
                                   .lock_wait = config->lock_wait,
                                   .instance = app->instance};
}

static enum rc start_engine(struct app *app, char *ret_error)
{
    const struct config *config = app->config;
    enum rc rc = pause_points_new(getenv("HOLDFAST_PAUSE"), &app->pauses, ret_error);
    if (rc)
        return rc;
    struct engine_settings settings = {
        .workers = (size_t)config->workers,
        .max_batch = (size_t)config->combine_max_batch,
        .queue_limit = (size_t)config->queue_limit,
        .lab = config->lab,
        .undemanding = !config->lab_demand,
        .unfenced = !config->lock_fence,
        .tenure_ms = config->lock_tenure_ms,
        .partitions = (size_t)config->lock_partitions,
        .guard = guard_settings(app),
        .strategy = {[ENDPOINT_STOCK] = config->stock_strategy,
                     [ENDPOINT_COUPON] = config->coupon_strategy,
                     [ENDPOINT_LOTTERY] = config->lottery_strategy,
                     [ENDPOINT_POINTS] = config->points_strategy,
                     [ENDPOINT_RESERVATION] = config->reservation_strategy,
                     [ENDPOINT_ORDER] = config->order_strategy},
        .hooks = pause_points_hooks(app->pauses),
        .feed = {.limit = feed_limit(config), .poll_ms = config->feed_poll_ms},
    };
    return engine_new(&settings, app->store, app->metrics, &app->engine, ret_error);
}

static enum rc bind_server(struct app *app, char *ret_error)
{
    const struct config *config = app->config;
    struct lab_options laboratory = {.store = config->lab_store, .guard = guard_settings(app)};
    struct server_settings settings = {
        .listen = config->listen,
        .threads = (size_t)config->http_threads,
        .admin_token = config->auth_admin_token,
        .client_token = config->auth_client_token,
        .lab = config->lab,
        .laboratory = &laboratory,
        .request_timeout_ms = config->request_timeout_ms,
        .connection_limit = (size_t)config->http_connections,
        .reservations_per_user = config->reservation_per_user,
        .sweep_ms = config->reservation_sweep_ms,
    };
    return server_new(&settings, app->engine, app->store, app->metrics, &app->server, ret_error);
}

enum rc app_open(const struct config *config, struct app **ret_app, char *ret_error)
{
    struct app *app = calloc(1, sizeof(*app));
    (void)text_copy(ret_error, APP_ERROR_MAX, "out of memory");
    if (!app)
        return RC_NO_MEMORY;
    app->config = config;
    name_instance(app->instance, sizeof(app->instance));
    enum rc rc = store_open(config->store, &app->store, ret_error);
    if (!rc)
        rc = metrics_new(&app->metrics);
    if (!rc)
        rc = start_engine(app, ret_error);
    if (!rc)
        rc = bind_server(app, ret_error);
    if (rc) {
        app_free(app);
        return rc;
    }
    *ret_app = app;
    return RC_OK;
}

enum rc app_prepare(struct app *app, char *ret_error)
{
    struct db *db = NULL;
    enum rc rc = store_claim(app->store, DB_CLAIM_SERVE, ret_error);
    if (rc)
        return rc;
    (void)text_format(ret_error, APP_ERROR_MAX, "cannot reach %s", store_label(app->store));
    rc = db_new(app->store, &db);
    if (!rc)
        rc = prepare_schema(app, db, ret_error);
    db_free(db);
    return rc;
}

static void warn_of_lab_settings(const struct config *config)
{
    if (!config->lab_constraints)
        LOG_WARNING("laboratory mode: the database's unique keys and checks are off (lab.belts)");
    if (!config->lab_demand)
        LOG_WARNING("laboratory mode: saves demand nothing of the row (lab.demand)");
    if (!config->lock_fence)
        LOG_WARNING("laboratory mode: saves behind a lock demand nothing of the row (lock.fence)");
}

enum rc app_start(struct app *app, char *ret_error)
{
    warn_of_lab_settings(app->config);
    (void)text_copy(ret_error, APP_ERROR_MAX, "out of memory");
    enum rc rc =
        sweeper_new(app->engine, app->metrics, app->config->reservation_sweep_ms, &app->sweeper);
    if (!rc)
        rc = health_new(app->engine, app->store, app->metrics, &app->health);
    return rc ? rc : server_start(app->server, app->health, ret_error);
}

uint16_t app_port(const struct app *app)
{
    return server_port(app->server);
}

bool app_drain(struct app *app, int64_t timeout_ms)
{
    server_announce(app->server);
    clock_sleep_ns(app->config->drain_delay_ms * NS_PER_MS);
    server_quiesce(app->server);
    engine_drain(app->engine);
    return server_wait_idle(app->server, timeout_ms);
}

void app_free(struct app *app)
{
    if (!app)
        return;
    server_free(app->server);
    health_free(app->health);
    sweeper_free(app->sweeper);
    engine_free(app->engine);
    pause_points_free(app->pauses);
    metrics_free(app->metrics);
    if (app->store)
        store_close(app->store);
    free(app);
}
