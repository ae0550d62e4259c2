// Arrivals: when operations are meant to begin. A closed loop and a latch have no schedule: the
// next operation begins when a user is free. An open loop and a ramp follow a schedule that does
// not depend on whether the server keeps up.
#pragma once

#include "run/plan.h"

#define ARRIVAL_NEVER INT64_MAX // a ramp has come down to a rate of 0

struct arrival {
    const struct plan *plan;
    double position; // operations that the whole plan has begun by the start of the next one
    double step;     // even spacing: what the position grows by; Poisson: the mean of that
    uint64_t random; // state
};

const char *arrival_name(enum arrival_kind kind); // "latch"

// Whether the plan's operations follow a schedule: an open loop or a ramp.
static inline bool arrival_is_scheduled(const struct plan *plan)
{
    return plan->arrival == ARRIVAL_OPEN || plan->arrival == ARRIVAL_RAMP;
}

// Each of the plan's threads has a schedule of its own with an equal share of the rate. Together
// they are the plan's schedule: a sum of Poisson processes is one, and evenly spaced ones are
// offset. Borrows the plan.
void arrival_init(struct arrival *arrival, const struct plan *plan, int64_t thread);

// The intended start of the next operation, in nanoseconds since the run began; never decreases.
// Only for an open loop or a ramp. A ramp stays at its last rate once its duration is over.
int64_t arrival_next(struct arrival *arrival);
