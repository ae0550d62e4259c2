// The counter table: the row that concurrent requests compete for.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/counter.h"
#include "domain/update_rule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct db;

// Reads these counters and the database's time. The caller fills in counters[i].name, distinct and
// in byte order, so that two sets lock in the same order. A missing row has version 0; a row's
// first version is 1. With `lock` the rows stay locked until the transaction ends (SELECT ... FOR
// UPDATE; SQLite's write transaction has the same effect).
MUST_CHECK enum rc counter_load(struct db *db, struct counter *counters, size_t n, bool lock,
                                int64_t *ret_now_ms);

// What a save writes, and the row as the load read it.
struct counter_change {
    struct counter before; // as loaded; version 0: there is no row yet, and the save makes it
    int64_t remaining;     // new value
    int64_t version;       // new value: before.version + the number of operations
};

// Writes all changes, distinct and sorted by name, under the demand of the rule. RC_CONFLICT if a
// demand was not met, or a new row exists already; roll back then. A stale token is RC_CONFLICT
// too: to tell RC_STALE_TOKEN apart, the caller compares before.fence with the token when it loads.
// Inside a transaction.
MUST_CHECK enum rc counter_save(struct db *db, enum update_rule rule, uint64_t token,
                                const struct counter_change *changes, size_t n);

// The same, where a counter_load of some of these rows is the next call with this connection, or
// else a rollback. Costs no round trip of its own on MySQL: there counter_load may return what
// counter_save would have returned.
MUST_CHECK enum rc counter_save_before_load(struct db *db, enum update_rule rule, uint64_t token,
                                            const struct counter_change *changes, size_t n);

// Appends the UPDATE that a save of one row sends under the rule, with names instead of its `?`, for
// people.
void counter_describe_save(enum update_rule rule, struct buffer *out);

// Inserts a new row with version 1. RC_DUPLICATE if the row exists.
MUST_CHECK enum rc counter_insert(struct db *db, const char *name, int64_t remaining);
