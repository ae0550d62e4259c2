// Fixtures of the conformance suite. libcheck runs each test in a child process, which a failed
// assertion, a signal or a timeout may end at any line. So the name of the open case stands in
// memory that all those processes share. A case that was never closed has failed: the next test
// to open a case, or the end of the program, prints its name.
#include "fixture.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"
#include "proxy.h"
#include "store/migrate/migrate.h"
#include "store/reconcile/reconcile.h"
#include "store/tables/product.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SWEEP_MS 60000 // no sweeper runs

#define DEADLINE_NS (20 * NS_PER_S)

// Called before any test runs, where libcheck has no test to fail: an error ends the program.
static void our_part(int *ret_part, int *ret_parts)
{
    const char *text = getenv("HOLDFAST_TEST_PART");
    *ret_part = *ret_parts = 1;
    if (text != NULL && (sscanf(text, "%d/%d", ret_part, ret_parts) != 2 || *ret_part < 1 ||
                         *ret_part > *ret_parts)) {
        fprintf(stderr, "HOLDFAST_TEST_PART=%s: not a part such as 2/4\n", text);
        exit(EXIT_FAILURE);
    }
}

int part_size(void)
{
    int part, parts, n = 0;
    our_part(&part, &parts);
    while (strategies[n] != NULL)
        n++;
    return (n - part + parts) / parts;
}

const struct strategy *part_strategy(int i)
{
    int part, parts;
    our_part(&part, &parts);
    return strategies[part - 1 + i * parts];
}

// The variable that names the strategy's lock server; NULL if it has no server of its own.
static const char *lock_server(const struct strategy *strategy)
{
    static const struct {
        const char *strategy, *variable;
    } servers[] = {
        {"redis-lock", "HOLDFAST_TEST_REDIS"},
        {"zookeeper-lock", "HOLDFAST_TEST_ZOOKEEPER"},
        {"etcd-lock", "HOLDFAST_TEST_ETCD"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(servers); i++) {
        if (strcmp(servers[i].strategy, strategy->name) == 0)
            return servers[i].variable;
    }
    return NULL;
}

#define CASE_MAX 128

static char *open_case; // shared by all processes; empty if no case is open

static void report_open_case(void)
{
    if (open_case[0] != '\0')
        fprintf(stderr, "FAILED %s\n", open_case);
    open_case[0] = '\0';
}

__attribute__((constructor)) static void share_open_case(void)
{
    open_case = mmap(NULL, CASE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (open_case == MAP_FAILED || atexit(report_open_case) != 0)
        abort();
}

static void name_case(const struct fixture_options *options)
{
    snprintf(open_case, CASE_MAX, "%s%s%s on %s, %s, %zu instance(s)", options->strategy->name,
             options->second != NULL ? " against " : "",
             options->second != NULL ? options->second->name : "",
             options->engine == DB_SQLITE ? "SQLite" : "MySQL",
             options->max_batch == 1 ? "direct" : "combined", options->instances);
}

static bool servers_available(const struct fixture_options *options)
{
    const char *variable = lock_server(options->strategy);
    return scratch_available(options->engine) &&
           (variable == NULL || scratch_server(variable) != NULL);
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

// The address of a lock server as an instance has it: for the first instance that of the proxy,
// if there is one.
static const char *lock_address(const struct fixture *fixture,
                                const struct fixture_options *options, size_t i,
                                const char *variable)
{
    const char *own = lock_server(options->strategy);
    bool proxied = i == 0 && fixture->lock_proxy != NULL && strcmp(own, variable) == 0;
    return proxied ? fixture->lock_address : or_empty(getenv(variable));
}

static void start_instance(struct fixture *fixture, const struct fixture_options *options, size_t i)
{
    struct instance *instance = &fixture->instances[i];
    const char *name =
        (i == 1 && options->second != NULL ? options->second : options->strategy)->name;
    int64_t ttl_ms = options->lock_ttl_ms > 0 ? options->lock_ttl_ms : 10000;
    int64_t wait_ms = options->lock_wait_ms > 0 ? options->lock_wait_ms : 10000;
    if (i == 0 && options->first_wait_ms > 0)
        wait_ms = options->first_wait_ms;
    struct engine_settings settings = {
        .workers = 6,
        .max_batch = options->max_batch,
        .queue_limit = 100000,
        .lab = true,
        .undemanding = options->undemanding,
        .unfenced = options->unfenced,
        .tenure_ms = options->tenure_ms,
        .partitions = options->partitions[i],
        .guard = {.redis = lock_address(fixture, options, i, "HOLDFAST_TEST_REDIS"),
                  .zookeeper = lock_address(fixture, options, i, "HOLDFAST_TEST_ZOOKEEPER"),
                  .etcd = lock_address(fixture, options, i, "HOLDFAST_TEST_ETCD"),
                  .lock_ttl_ms = ttl_ms,
                  .lock_max_hold_ms = options->unrenewed ? 1 : 60000,
                  .lock_wait_ms = wait_ms,
                  .lock_wait = "notify",
                  .instance = "conformance"},
        .hooks = options->hooks[i],
    };
    for (size_t j = 0; j < ENDPOINT_COUNT; j++)
        settings.strategy[j] = name;
    char error[GUARD_ERROR_MAX];
    instance->store = i == 0 && fixture->proxy != NULL
                          ? scratch_store_through(&fixture->scratch, proxy_address(fixture->proxy))
                          : scratch_second_store(&fixture->scratch);
    ck_assert_int_eq(metrics_new(&instance->metrics), RC_OK);
    ck_assert_msg(engine_new(&settings, instance->store, instance->metrics, &instance->engine,
                             error) == RC_OK,
                  "%s", error);
}

// The proxy's address gets the scheme that etcd's address begins with.
static void start_lock_proxy(struct fixture *fixture, const char *variable)
{
    const char *address = scratch_server(variable), *rest = strstr(address, "://");
    rest = rest != NULL ? rest + 3 : address;
    fixture->lock_proxy = proxy_start(rest);
    ck_assert(text_format(fixture->lock_address, sizeof fixture->lock_address, "%.*s%s",
                          (int)(rest - address), address, proxy_address(fixture->lock_proxy)));
}

#define ENGINES 2
#define MODES 2

int scenarios(void)
{
    return part_size() * ENGINES * MODES;
}

struct scenario scenario_at(int i)
{
    return (struct scenario){
        .strategy = part_strategy(i / (ENGINES * MODES)),
        .engine = i % ENGINES == 0 ? DB_SQLITE : DB_MYSQL,
        .max_batch = (i / ENGINES) % MODES == 0 ? 256 : 1,
    };
}

bool open_scenario(struct fixture *fixture, int i, enum guard_scope least, size_t instances)
{
    struct scenario scenario = scenario_at(i);
    if (scenario.strategy->scope < least)
        return false;
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = instances,
                                      .max_batch = scenario.max_batch,
                                      .tenure_ms = 20};
    // With lanes on SQLite: with partitions. The lanes of MySQL are without them.
    for (size_t j = 0; j < instances; j++)
        options.partitions[j] = scenario.engine == DB_SQLITE && scenario.max_batch > 1 ? 3 : 0;
    return fixture_open(fixture, &options);
}

bool fixture_open(struct fixture *fixture, const struct fixture_options *options)
{
    report_open_case();
    name_case(options);
    if (!servers_available(options)) {
        fprintf(stderr, "SKIPPED %s: no server\n", open_case);
        open_case[0] = '\0';
        return false;
    }
    *fixture = (struct fixture){.n = options->instances};
    scratch_open(&fixture->scratch, options->engine);
    if (options->through_proxy) {
        char address[128];
        scratch_address(&fixture->scratch, address, sizeof address);
        fixture->proxy = proxy_start(address);
    }
    if (options->lock_proxied && lock_server(options->strategy) != NULL)
        start_lock_proxy(fixture, lock_server(options->strategy));
    char error[MIGRATE_ERROR_MAX];
    if (options->belts_off)
        ck_assert_msg(migrate_lab(fixture->scratch.db, true, error) == RC_OK, "%s", error);
    for (size_t i = 0; i < options->instances; i++)
        start_instance(fixture, options, i);
    return true;
}

void fixture_close(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->n; i++) {
        engine_free(fixture->instances[i].engine);
        metrics_free(fixture->instances[i].metrics);
        store_close(fixture->instances[i].store);
    }
    if (fixture->proxy != NULL)
        proxy_stop(fixture->proxy);
    fixture_cut_lock(fixture);
    scratch_close(&fixture->scratch);
    open_case[0] = '\0';
}

void fixture_cut_lock(struct fixture *fixture)
{
    if (fixture->lock_proxy != NULL)
        proxy_stop(fixture->lock_proxy);
    fixture->lock_proxy = NULL;
}

int64_t fixture_counted(struct fixture *fixture, size_t instance, const char *name)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    metrics_render(fixture->instances[instance].metrics, &out);
    int64_t sum = 0;
    size_t length = strlen(name);
    for (char *line = out.data; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == '{')
            sum += strtoll(strchr(line, '}') + 1, NULL, 10);
    }
    return sum;
}

void fixture_put_product(struct fixture *fixture, const char *sku, int64_t quantity)
{
    struct product put = {.price_cents = PRICE_NONE, .remaining = quantity}, stands;
    bool created;
    text_copy(put.sku, sizeof put.sku, sku);
    ck_assert_int_eq(product_put(fixture->scratch.db, &put, NULL, &created, &stands), RC_OK);
    ck_assert_int_eq(stands.version, 1);
}

void fixture_assert_stock(struct fixture *fixture, const char *sku, int64_t remaining,
                          int64_t version)
{
    struct product row;
    ck_assert_int_eq(product_get(fixture->scratch.db, sku, &row), RC_OK);
    ck_assert_int_eq(row.remaining, remaining);
    ck_assert_int_eq(row.version, version);
}

struct counter fixture_counter(struct fixture *fixture, const char *name)
{
    struct counter counter;
    int64_t now_ms;
    text_copy(counter.name, sizeof counter.name, name);
    ck_assert_int_eq(counter_load(fixture->scratch.db, &counter, 1, false, &now_ms), RC_OK);
    return counter;
}

static void print_finding(void *arg, const struct finding *finding)
{
    (void)arg;
    fprintf(stderr, "finding: %s: %s: %s\n", finding->check, finding->where, finding->what);
}

size_t fixture_findings(struct fixture *fixture)
{
    struct reconciliation summary;
    ck_assert_int_eq(reconcile_run(fixture->scratch.db, SWEEP_MS, print_finding, NULL, &summary),
                     RC_OK);
    return (size_t)summary.findings;
}

void fixture_assert_reconciled(struct fixture *fixture)
{
    ck_assert_uint_eq(fixture_findings(fixture), 0);
}

static void finished(struct job *job, enum rc rc)
{
    struct shot *shot = CONTAINER_OF(job, struct shot, job);
    struct volley *volley = shot->volley;
    shot->operation.outcome.rc = rc;
    pthread_mutex_lock(&volley->mutex);
    volley->n_finished++;
    pthread_cond_broadcast(&volley->done);
    pthread_mutex_unlock(&volley->mutex);
}

static void fresh(struct operation *operation)
{
    uint64_t number;
    random_bytes(&number, sizeof number);
    random_bytes(operation->entropy, sizeof operation->entropy);
    snprintf(operation->request_key, sizeof operation->request_key, "key-%016lx",
             (unsigned long)number);
}

void volley_init(struct volley *volley, size_t n)
{
    *volley = (struct volley){
        .n = n, .deadline_ns = DEADLINE_NS, .shots = calloc(n, sizeof *volley->shots)};
    ck_assert_ptr_nonnull(volley->shots);
    pthread_mutex_init(&volley->mutex, NULL);
    pthread_cond_init(&volley->done, NULL);
    for (size_t i = 0; i < n; i++) {
        volley->shots[i].volley = volley;
        volley->shots[i].job.more_links = &volley->shots[i].link;
        volley->shots[i].operation.leg.amount = 1;
        fresh(&volley->shots[i].operation);
    }
}

void volley_release(struct volley *volley)
{
    pthread_cond_destroy(&volley->done);
    pthread_mutex_destroy(&volley->mutex);
    free(volley->shots);
}

struct operation *volley_operation(struct volley *volley, size_t i)
{
    return &volley->shots[i].operation;
}

void volley_deduct(struct volley *volley, size_t i, const char *sku)
{
    struct operation *operation = volley_operation(volley, i);
    operation->kind = OPERATION_DEDUCT;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "stock/%s", sku);
}

void volley_transfer(struct volley *volley, size_t i, const char *from, const char *to,
                     int64_t points)
{
    struct shot *shot = &volley->shots[i];
    struct operation *operation = &shot->operation;
    operation->kind = OPERATION_TRANSFER;
    operation->leg.amount = shot->other.amount = points;
    operation->more = &shot->other;
    operation->n_more = 1;
    shot->other.may_create = true;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "points/%s", from);
    text_format(shot->other.counter, sizeof shot->other.counter, "points/%s", to);
}

void volley_submit(struct volley *volley, struct engine *engine, size_t i)
{
    struct shot *shot = &volley->shots[i];
    shot->job.operation = &shot->operation;
    shot->job.finished = finished;
    shot->job.deadline_ns = clock_now_ns() + volley->deadline_ns;
    volley->n_submitted++;
    ck_assert_int_eq(engine_submit(engine, &shot->job), RC_OK);
}

bool volley_wait_for(struct volley *volley, size_t n, int64_t timeout_ms)
{
    int64_t until_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    pthread_mutex_lock(&volley->mutex);
    while (volley->n_finished < n && clock_wait(&volley->done, &volley->mutex, until_ns))
        continue;
    bool reached = volley->n_finished >= n;
    pthread_mutex_unlock(&volley->mutex);
    return reached;
}

void volley_wait(struct volley *volley)
{
    ck_assert(volley_wait_for(volley, volley->n_submitted, 60000));
}

void volley_settle(struct volley *volley, struct fixture *fixture)
{
    volley_wait(volley);
    for (size_t i = 0; i < volley->n_submitted; i++) {
        struct operation *operation = volley_operation(volley, i);
        while (rc_is_transient(operation->outcome.rc))
            submit_and_wait(fixture->instances[i % fixture->n].engine, operation);
    }
}

size_t volley_count(const struct volley *volley, enum rc rc)
{
    size_t count = 0;
    for (size_t i = 0; i < volley->n_submitted; i++)
        count += volley->shots[i].operation.outcome.rc == rc;
    return count;
}

enum rc submit_and_wait(struct engine *engine, struct operation *operation)
{
    struct volley volley;
    volley_init(&volley, 1);
    if (operation->request_key[0] == '\0')
        fresh(operation);
    *volley_operation(&volley, 0) = *operation;
    volley_submit(&volley, engine, 0);
    volley_wait(&volley);
    *operation = *volley_operation(&volley, 0);
    volley_release(&volley);
    return operation->outcome.rc;
}
