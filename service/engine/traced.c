// Measures around any strategy with a guard. One without (its update rule is all) has no wait and
// no hold to speak of, and is passed through without a number.
#include "engine/traced.h"

#include "base/clock.h"
#include "metrics/metrics.h"

#include <stdatomic.h>

enum rc traced_enter(struct metrics *metrics, enum endpoint endpoint, struct guard *guard,
                     struct db *db, const char *const *keys, size_t n_keys, int64_t deadline_ns,
                     struct guard_hold *ret_hold)
{
    const struct strategy *strategy = guard->strategy;
    if (strategy->enter == NULL)
        return guard_enter(guard, db, keys, n_keys, deadline_ns, ret_hold);
    int64_t begin_ns = clock_now_ns();
    enum rc rc = guard_enter(guard, db, keys, n_keys, deadline_ns, ret_hold);
    int64_t end_ns = rc == RC_OK ? ret_hold->entered_ns : clock_now_ns();
    metrics_observe(metrics, METRIC_GUARD_WAIT, endpoint, strategy, end_ns - begin_ns);
    metrics_count(metrics, rc == RC_OK ? METRIC_ACQUIRED : METRIC_ENTER_FAILED, endpoint, strategy,
                  1);
    return rc;
}

enum rc traced_leave(struct metrics *metrics, enum endpoint endpoint, struct guard *guard,
                     struct db *db, struct guard_hold *hold)
{
    const struct strategy *strategy = guard->strategy;
    if (strategy->enter == NULL)
        return guard_leave(guard, db, hold);
    int64_t entered_ns = hold->entered_ns;
    enum rc rc = guard_leave(guard, db, hold);
    metrics_observe(metrics, METRIC_GUARD_HOLD, endpoint, strategy, clock_now_ns() - entered_ns);
    if (rc == RC_LOCK_LOST)
        traced_lost(metrics, endpoint, strategy, hold);
    return rc;
}

void traced_lost(struct metrics *metrics, enum endpoint endpoint, const struct strategy *strategy,
                 struct guard_hold *hold)
{
    if (!atomic_exchange(&hold->loss_counted, true))
        metrics_count(metrics, METRIC_LOST, endpoint, strategy, 1);
}
