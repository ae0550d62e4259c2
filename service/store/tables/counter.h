// The counter table: what every race is about.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/counter.h"
#include "domain/update_rule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

// Reads these counters (names already in counters[i].name, distinct and in byte order, so that two
// sets lock in the same order) and the database's time, which stays 0 if no row is there.
// counters[i].version is 0 where there is no such row (a row's first version is 1). With `lock` the
// rows stay locked until the transaction ends (SELECT ... FOR UPDATE; SQLite's write transaction
// does the same).
MUST_CHECK enum rc counter_load(struct db *db, struct counter *counters, size_t n, bool lock,
                                int64_t *ret_now_ms);

// What save wants to write over what load has read.
struct counter_change {
    struct counter before; // as loaded
    int64_t remaining;     // new value
    int64_t version;       // new value: before.version + the number of changes
};

// Writes all changes, distinct and sorted by name, under the demand of the rule. RC_CONFLICT if a
// demand was not met, RC_STALE_TOKEN cannot be told apart here: the caller compares before.fence
// with the token when it loads. Roll back after both. Inside a transaction.
MUST_CHECK enum rc counter_save(struct db *db, enum update_rule rule, uint64_t token,
                                const struct counter_change *changes, size_t n);

// A new row with version 1. RC_DUPLICATE if it is there.
MUST_CHECK enum rc counter_insert(struct db *db, const char *name, int64_t remaining);
