// Metrics around any strategy with a guard. A strategy without one is only an update rule: it has
// no wait and no hold to measure, and is passed through unmeasured.
//
// The renewal knows a hold only as a guard_hold. CONTAINER_OF leads from there to the endpoint that
// labels the metrics, so neither guard/ nor its strategies need to know them.
#include "engine/traced.h"

#include "base/clock.h"
#include "metrics/metrics.h"

#include <stdatomic.h>

enum rc traced_enter(struct metrics *metrics, enum endpoint endpoint, struct guard *guard,
                     struct db *db, const char *const *keys, size_t n_keys, int64_t deadline_ns,
                     struct traced_hold *ret_hold)
{
    const struct strategy *strategy = guard->strategy;
    // Before the enter, because the renewal may report as soon as the hold is inside.
    ret_hold->metrics = metrics;
    ret_hold->endpoint = endpoint;
    ret_hold->loss_counted = false;
    if (strategy->enter == NULL)
        return guard_enter(guard, db, keys, n_keys, deadline_ns, &ret_hold->hold);
    int64_t begin_ns = clock_now_ns();
    enum rc rc = guard_enter(guard, db, keys, n_keys, deadline_ns, &ret_hold->hold);
    int64_t end_ns = rc == RC_OK ? ret_hold->hold.entered_ns : clock_now_ns();
    metrics_observe(metrics, METRIC_GUARD_WAIT, endpoint, strategy, end_ns - begin_ns);
    metrics_count(metrics, rc == RC_OK ? METRIC_ACQUIRED : METRIC_ENTER_FAILED, endpoint, strategy,
                  1);
    return rc;
}

enum rc traced_leave(struct guard *guard, struct db *db, struct traced_hold *hold)
{
    const struct strategy *strategy = guard->strategy;
    int64_t entered_ns = hold->hold.entered_ns;
    enum rc rc = guard_leave(guard, db, &hold->hold);
    if (strategy->enter == NULL)
        return rc;
    metrics_observe(hold->metrics, METRIC_GUARD_HOLD, hold->endpoint, strategy,
                    clock_now_ns() - entered_ns);
    if (rc == RC_LOCK_LOST)
        traced_lost(guard, hold);
    return rc;
}

void traced_lost(struct guard *guard, struct traced_hold *hold)
{
    if (!atomic_exchange(&hold->loss_counted, true))
        metrics_count(hold->metrics, METRIC_LOST, hold->endpoint, guard->strategy, 1);
}

void traced_renewal_event(struct guard *guard, struct guard_hold *hold, enum renewal_event event)
{
    static const enum metric_event counted[] = {
        [RENEWAL_EXTENDED] = METRIC_RENEWED,
        [RENEWAL_FAILED] = METRIC_RENEW_FAILED,
        [RENEWAL_ENDED] = METRIC_RENEWAL_ENDED,
    };
    struct traced_hold *traced = CONTAINER_OF(hold, struct traced_hold, hold);
    if (event == RENEWAL_LOST)
        traced_lost(guard, traced);
    else
        metrics_count(traced->metrics, counted[event], traced->endpoint, guard->strategy, 1);
}
