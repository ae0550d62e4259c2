// What the conformance tests stand on: a database, one or more instances of the engine on it, and a
// way to submit operations and wait for all of them.
#pragma once

#include "engine/engine.h"
#include "scratch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define INSTANCES_MAX 3

// The strategies that this run asks: all that are registered, or with HOLDFAST_TEST_PART=K/N the
// K-th of N parts, which together are all of them. Parts run side by side: no two ask the same lock
// server, where the locks have the same names in every test.
int part_size(void);
const struct strategy *part_strategy(int i);

struct instance {
    struct store *store;
    struct metrics *metrics;
    struct engine *engine;
};

struct fixture {
    struct scratch scratch;
    struct proxy *proxy;      // NULL if none was asked for
    struct proxy *lock_proxy; // the same
    char lock_address[128];   // its address, as the setting has it
    size_t n;
    struct instance instances[INSTANCES_MAX];
};

struct fixture_options {
    const struct strategy *strategy; // of all endpoints
    const struct strategy *second;   // of the second instance; NULL: the same
    enum db_engine engine;
    size_t instances, max_batch;
    int64_t lock_ttl_ms;   // 0: a generous one
    bool unrenewed;        // leases run out although their holders live
    int64_t lock_wait_ms;  // 0: a generous one
    int64_t first_wait_ms; // the first instance's own; 0: the same
    bool belts_off;        // the database's unique keys and checks
    bool undemanding;      // saves demand nothing of the row, as with lab.demand=off
    bool unfenced;         // as with lock.fence=off
    bool lock_proxied;     // the first instance reaches its lock server through fixture->lock_proxy
    bool through_proxy;    // MySQL: the first instance reaches its database through fixture->proxy
    struct engine_hooks hooks[INSTANCES_MAX];
};

// False if a server that the strategy or engine needs is not there (see scratch.h).
bool fixture_open(struct fixture *fixture, const struct fixture_options *options);
void fixture_close(struct fixture *fixture);

// The first instance is cut off from its lock server, for good. Only with lock_proxied, and where
// the lock has a server of its own.
void fixture_cut_lock(struct fixture *fixture);

// The sum of an event over all strategies and endpoints in an instance's /metrics.
int64_t fixture_counted(struct fixture *fixture, size_t instance, const char *name);

// A new product with this many units, at version 1.
void fixture_put_product(struct fixture *fixture, const char *sku, int64_t quantity);

// No finding, or the test fails and prints them.
void fixture_assert_reconciled(struct fixture *fixture);
// How many findings there are.
size_t fixture_findings(struct fixture *fixture);

// Many operations in flight at once. Submitted from one thread, finished by workers.
struct volley {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    size_t n, n_submitted, n_finished;
    int64_t deadline_ns; // of each, from its submission; generous unless changed
    struct shot *shots;
};

struct shot {
    struct job job;
    struct operation operation;
    struct volley *volley;
};

void volley_init(struct volley *volley, size_t n);
void volley_release(struct volley *volley);
// The i-th operation, zeroed but for a fresh request key and quantity 1, to be filled in.
struct operation *volley_operation(struct volley *volley, size_t i);
void volley_submit(struct volley *volley, struct engine *engine, size_t i);
void volley_wait(struct volley *volley); // for all that were submitted
bool volley_wait_for(struct volley *volley, size_t n, int64_t timeout_ms); // until n are finished
size_t volley_count(const struct volley *volley, enum rc rc);

// One operation, submitted and waited for.
enum rc submit_and_wait(struct engine *engine, struct operation *operation);
