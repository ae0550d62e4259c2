// Transactions for administrators' changes: each runs in a transaction of its own, with retries,
// and sets counters to a value with a ledger row for each change.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/counter.h"
#include "domain/precondition.h"

#include <stdint.h>

struct db;

// One attempt, inside a write transaction. It must not keep state from an earlier attempt.
typedef enum rc (*admin_fn)(struct db *db, void *arg);

// Runs the attempt and commits. Retries a bounded number of times on RC_CONFLICT and RC_DUPLICATE
// (a competing writer was first); then RC_CONTENTION.
MUST_CHECK enum rc admin_transaction(struct db *db, admin_fn attempt, void *arg);

// Loads and locks the counter of this name and reads the database's time. A missing counter has
// version 0. RC_VERSION_MISMATCH if the condition does not hold for the version; the caller then
// writes nothing. A locked row keeps its version until the commit. A missing row is not locked:
// another writer may create it meanwhile, and the caller's next read may show that writer's noun.
// So if the version is 0, the caller must call admin_set_counter, whatever it has read: the insert
// is then refused, and the retry finds the row.
MUST_CHECK enum rc admin_lock_counter(struct db *db, const struct precondition *condition,
                                      struct counter *counter, int64_t *ret_now_ms);

// Sets a locked counter to `remaining`. A missing one (version 0) is created with an `opening` row
// in the ledger; an existing one gets an `adjust` row, even if the number stays the same. The fence
// is not changed. Updates `counter`.
MUST_CHECK enum rc admin_set_counter(struct db *db, struct counter *counter, int64_t remaining,
                                     int64_t now_ms);
