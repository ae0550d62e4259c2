// What the administrators' changes share: a transaction of their own, and counters that are set to
// a value with a ledger row to say so.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/counter.h"

#include <stdint.h>

struct db;

// One attempt, inside a write transaction. It must start from nothing each time.
typedef enum rc (*admin_fn)(struct db *db, void *arg);

// Runs the attempt and commits, a bounded number of times as long as the answer is RC_CONFLICT or
// RC_DUPLICATE (somebody else was quicker); then RC_CONTENTION.
MUST_CHECK enum rc admin_transaction(struct db *db, admin_fn attempt, void *arg);

// Loads and locks the counter of this name, which need not exist (version 0), and reads the
// database's time.
MUST_CHECK enum rc admin_lock_counter(struct db *db, struct counter *counter, int64_t *ret_now_ms);

// Creates the counter (version 0: there is none) with its opening row, or moves it to `remaining`
// with an adjust row, also where it stays at the same number. The counter was locked; it is brought
// up to date. Its fence is left alone.
MUST_CHECK enum rc admin_set_counter(struct db *db, struct counter *counter, int64_t remaining,
                                     int64_t now_ms);
