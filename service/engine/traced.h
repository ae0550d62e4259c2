// Enters and leaves a guard with metrics: a decorator around guard_enter and guard_leave with the
// same contracts. It also counts what the renewal reports of the hold.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "guard/guard.h"
#include "guard/renewal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct metrics;

// A hold and what its metrics are labelled with. The caller owns the memory; traced_enter fills it.
struct traced_hold {
    struct guard_hold hold;
    struct metrics *metrics;
    enum endpoint endpoint;
    _Atomic bool loss_counted;
};

// Counts METRIC_ACQUIRED or METRIC_ENTER_FAILED and observes METRIC_GUARD_WAIT.
MUST_CHECK enum rc traced_enter(struct metrics *metrics, enum endpoint endpoint,
                                struct guard *guard, struct db *db, const char *const *keys,
                                size_t n_keys, int64_t deadline_ns, struct traced_hold *ret_hold);

// Observes METRIC_GUARD_HOLD, and counts METRIC_LOST if the lock was lost and not counted yet.
enum rc traced_leave(struct guard *guard, struct db *db, struct traced_hold *hold);

// The lock was found lost: counts METRIC_LOST, once a hold however often it is called. Any thread.
void traced_lost(struct guard *guard, struct traced_hold *hold);

// For renewal_new: counts the event. The hold must be that of a traced_hold.
void traced_renewal_event(struct guard *guard, struct guard_hold *hold, enum renewal_event event);
