// What the guard tests stand on: an open guard of a strategy with what it needs behind it, and keys
// that no other test uses.
#pragma once

#include "guard/guard.h"
#include "scratch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

// A lock strategy and what it stands on.
struct subject {
    const char *strategy;
    enum db_engine engine; // lock-table only
    const char *server;    // the variable that names its server, or NULL
    bool needs_db;
};

// All strategies that lock, each on all that it can stand on.
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
    const char *redis, *zookeeper, *etcd; // instead of the test servers: a proxy
};

// False, and says so, if the server is not there (see scratch.h).
bool rig_open(struct rig *rig, const struct subject *subject, const struct rig_options *options);
void rig_close(struct rig *rig);

// Another instance's guard, with the same database and the test servers. The caller closes it.
struct guard *rig_second_guard(struct rig *rig);

// A connection for another thread, or NULL where the strategy needs none. The caller frees.
struct db *rig_db(struct rig *rig);

// guard_enter on some of the rig's keys, with a deadline from now.
enum rc rig_enter(struct rig *rig, struct guard *guard, struct db *db, size_t first, size_t n,
                  int64_t deadline_ms, struct guard_hold *ret_hold);

// In, or busy, soon. On a busy machine a server may not even answer so soon: then it has more time.
enum rc try_enter(struct rig *rig, struct guard *guard, struct db *db, size_t first, size_t n,
                  struct guard_hold *ret_hold);

// rig_enter for the first key alone, with a long deadline and no connection.
enum rc enter_one(struct rig *rig, struct guard *guard, struct guard_hold *ret_hold);

// Whether it becomes true of this hold in time.
bool within(int64_t limit_ms, bool (*true_now)(struct guard *, const struct guard_hold *),
            struct guard *guard, const struct guard_hold *hold);
bool not_held(struct guard *guard, const struct guard_hold *hold);

// Fails the test unless one gets in, is trusted, gets out, and in again.
void check_works(struct rig *rig, struct guard *guard);

// enter_one with the rig's own guard, on a thread of its own.
struct entrance {
    struct rig *rig;
    pthread_t thread;
    struct guard_hold hold;
    enum rc rc;
};
void entrance_begin(struct entrance *entrance, struct rig *rig);
enum rc entrance_end(struct entrance *entrance);

// With options that lead to a port where nobody listens: enter and ping say so, soon.
void check_nobody_listens(const struct subject *subject, const struct rig_options *options);
