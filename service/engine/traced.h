// Entering and leaving a guard, measured. The same contracts as guard_enter and guard_leave.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "guard/guard.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct metrics;

// Counts METRIC_ACQUIRED or METRIC_ENTER_FAILED and observes METRIC_GUARD_WAIT.
MUST_CHECK enum rc traced_enter(struct metrics *metrics, enum endpoint endpoint,
                                struct guard *guard, struct db *db, const char *const *keys,
                                size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold);

// Observes METRIC_GUARD_HOLD, and counts METRIC_LOST if it was lost and nobody has noticed yet.
enum rc traced_leave(struct metrics *metrics, enum endpoint endpoint, struct guard *guard,
                     struct db *db, struct guard_hold *hold);

// The hold was found lost: counts METRIC_LOST, once a hold however many notice. Any thread.
void traced_lost(struct metrics *metrics, enum endpoint endpoint, const struct strategy *strategy,
                 struct guard_hold *hold);
