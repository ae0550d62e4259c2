// The fixture of the guard tests: an open guard of one strategy, the database or server that it
// needs, and keys that no other test uses.
#pragma once

#include "guard/guard.h"
#include "scratch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

// A lock strategy and the database or server that it runs on.
struct subject {
    const char *strategy;
    enum db_engine engine; // for lock-table
    const char *server;    // the environment variable that names its server, or NULL
    bool needs_db;
};

// All locking strategies, lock-table once for each database engine.
extern const struct subject subjects[];
extern const int n_subjects;

#define TEST_KEYS 5

struct rig {
    struct scratch scratch;
    bool has_scratch;
    struct guard_settings settings;
    struct guard *guard;
    char names[TEST_KEYS][40];
    const char *keys[TEST_KEYS]; // sorted
};

struct rig_options {
    const char *wait;                     // NULL: "spin"
    int64_t ttl_ms;                       // 0: 8000
    int64_t wait_ms;                      // 0: 5000
    int64_t max_hold_ms;                  // 0: none
    const char *redis, *zookeeper, *etcd; // NULL: the test server; else for example a proxy
};

// False, after printing SKIPPED, if the test server is not set (see scratch_server).
bool rig_open(struct rig *rig, const struct subject *subject, const struct rig_options *options);
void rig_close(struct rig *rig);

// A guard as another instance has it, on the same database and the test servers. The caller closes
// it.
struct guard *rig_second_guard(struct rig *rig);

// A database connection for another thread, or NULL if the strategy needs none. The caller frees
// it.
struct db *rig_db(struct rig *rig);

// guard_enter on n of the rig's keys from `first` on, with a deadline in ms from now.
enum rc rig_enter(struct rig *rig, struct guard *guard, struct db *db, size_t first, size_t n,
                  int64_t deadline_ms, struct guard_hold *ret_hold);

// Enters or is refused within 100 ms. Doubles that time, to at most 3.2 s, while a server on a busy
// machine does not answer.
enum rc try_enter(struct rig *rig, struct guard *guard, struct db *db, size_t first, size_t n,
                  struct guard_hold *ret_hold);

// rig_enter for the first key alone, with a long deadline and no connection.
enum rc enter_one(struct rig *rig, struct guard *guard, struct guard_hold *ret_hold);

// Waits until `true_now` is true of the hold; false if it is not within limit_ms.
bool within(int64_t limit_ms, bool (*true_now)(struct guard *, const struct guard_hold *),
            struct guard *guard, const struct guard_hold *hold);
bool not_held(struct guard *guard, const struct guard_hold *hold);

// Fails the test unless a client can enter, is seen as the holder, can leave, and can do so again.
void check_works(struct rig *rig, struct guard *guard);

// enter_one with the rig's guard on a separate thread.
struct entrance {
    struct rig *rig;
    pthread_t thread;
    struct guard_hold hold;
    enum rc rc;
};
void entrance_begin(struct entrance *entrance, struct rig *rig);
enum rc entrance_end(struct entrance *entrance);

// For options with the address of a closed port: enter and ping must both fail with
// RC_BACKEND_UNAVAILABLE, within 2 s together.
void check_nobody_listens(const struct subject *subject, const struct rig_options *options);
