// Fixtures of the conformance suite: a database, one or more instances of the engine on it, and a
// volley of operations to submit and wait for.
//
// The open case (strategies, database engine, mode) is printed if its test is skipped or fails: see
// fixture.c. One fixture is open at a time.
#pragma once

#include "engine/engine.h"
#include "scratch.h"
#include "store/tables/counter.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define INSTANCES_MAX 3

// The strategies that this run tests: all registered ones or, with HOLDFAST_TEST_PART=K/N, the K-th
// of N disjoint parts. Parts run in parallel. Lock names are the same in every test, so no two
// parts may use the same lock server.
int part_size(void);
const struct strategy *part_strategy(int i);

// A case: strategy x engine x mode. There are scenarios() of them.
struct scenario {
    const struct strategy *strategy;
    enum db_engine engine;
    size_t max_batch;
};

int scenarios(void);
struct scenario scenario_at(int i);

struct instance {
    struct store *store;
    struct metrics *metrics;
    struct engine *engine;
};

struct fixture {
    struct scratch scratch;
    struct proxy *proxy;      // NULL if none was asked for
    struct proxy *lock_proxy; // NULL if none was asked for
    char lock_address[128];   // lock_proxy's address in the form of the setting
    size_t n;
    struct instance instances[INSTANCES_MAX];
};

struct fixture_options {
    const struct strategy *strategy; // for all endpoints
    const struct strategy *second;   // for the second instance; NULL: the same
    enum db_engine engine;
    size_t instances, max_batch;
    int64_t lock_ttl_ms;   // 0: 10 s
    int64_t tenure_ms;     // 0: locks are not kept
    bool unrenewed;        // leases expire although their owners are alive
    int64_t lock_wait_ms;  // 0: 10 s
    int64_t first_wait_ms; // for the first instance; 0: lock_wait_ms
    bool belts_off;        // drops the database's unique keys and checks
    bool undemanding;      // saves demand nothing of the row, as with lab.demand=off
    bool unfenced;         // saves ignore the fence, as with lock.fence=off
    bool lock_proxied;     // the first instance reaches its lock server through fixture->lock_proxy
    bool through_proxy;    // MySQL: the first instance reaches its database through fixture->proxy
    struct engine_hooks hooks[INSTANCES_MAX];
    size_t partitions[INSTANCES_MAX]; // 0: a lock a counter
};

// False, after printing SKIPPED and the case, if a test server that the case needs is not set; with
// HOLDFAST_TEST_REQUIRE=1 that fails the test. Any other obstacle fails the test.
bool fixture_open(struct fixture *fixture, const struct fixture_options *options);
void fixture_close(struct fixture *fixture);

// Opens instances for the i-th case. False if the strategy's scope is narrower than the test needs
// (`none` protects nothing and has its own tests in races.c) or the case was skipped.
bool open_scenario(struct fixture *fixture, int i, enum guard_scope least, size_t instances);

// Cuts the first instance off from its lock server for good. Does nothing without lock_proxied or
// where the strategy has no lock server.
void fixture_cut_lock(struct fixture *fixture);

// The sum of an event over all strategies and endpoints in an instance's /metrics.
int64_t fixture_counted(struct fixture *fixture, size_t instance, const char *name);

// A new product with this many units, at version 1.
void fixture_put_product(struct fixture *fixture, const char *sku, int64_t quantity);

// Fails the test unless the product has this many units at this version.
void fixture_assert_stock(struct fixture *fixture, const char *sku, int64_t remaining,
                          int64_t version);

// The counter as the database has it; at version 0 if it does not exist.
struct counter fixture_counter(struct fixture *fixture, const char *name);

// Reconciles the database and prints each finding. Returns how many there are.
size_t fixture_findings(struct fixture *fixture);
// Fails the test if there are findings.
void fixture_assert_reconciled(struct fixture *fixture);

// Many operations in flight at once. Submitted from one thread, finished by workers.
struct volley {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    size_t n, n_submitted, n_finished;
    int64_t deadline_ns; // of each operation, counted from its submission; 20 s unless changed
    struct shot *shots;
};

struct shot {
    struct job job;
    struct operation operation;
    struct leg other; // of an operation on two counters
    struct job_link link;
    struct volley *volley;
};

void volley_init(struct volley *volley, size_t n);
void volley_release(struct volley *volley);
// The i-th operation, for the caller to fill in: zeroed except for a fresh request key and quantity
// 1.
struct operation *volley_operation(struct volley *volley, size_t i);
// Makes the i-th operation a deduction of one unit of a product.
void volley_deduct(struct volley *volley, size_t i, const char *sku);
// Makes the i-th operation a transfer of points between two users, whose second leg may create an
// account.
void volley_transfer(struct volley *volley, size_t i, const char *from, const char *to,
                     int64_t points);
void volley_submit(struct volley *volley, struct engine *engine, size_t i);
void volley_wait(struct volley *volley); // for all submitted operations
// volley_wait. Then retries, with its own key, each operation that was answered 503, until it gets
// another answer; the i-th at instance i modulo the number of instances.
void volley_settle(struct volley *volley, struct fixture *fixture);
bool volley_wait_for(struct volley *volley, size_t n, int64_t timeout_ms); // until n are finished
size_t volley_count(const struct volley *volley, enum rc rc);

// Submits one operation and waits for it. Gives it a request key if it has none.
enum rc submit_and_wait(struct engine *engine, struct operation *operation);
