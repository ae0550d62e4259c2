// When operations are meant to begin. Closed loops and the latch have no schedule of their own:
// there the next operation begins when a user is free. Open loop and ramp: a schedule that does not
// care whether the server keeps up.
#pragma once

#include "run/plan.h"

#define ARRIVAL_NEVER INT64_MAX // of a ramp that has come down to a rate of 0

struct arrival {
    const struct plan *plan;
    double position; // operations that the whole plan has begun by the next one's start
    double step;     // even spacing: what the position grows by; Poisson: its mean
    uint64_t random; // state
};

// Thread `thread` of the plan's `threads` has its own schedule with its share of the rate; together
// they make the plan's (a sum of Poisson processes is one; evenly spaced ones are offset). Borrows
// the plan.
void arrival_init(struct arrival *arrival, const struct plan *plan, int64_t thread);

// The intended start of the next operation, in nanoseconds since the run began; never falls. Open
// loop and ramp only. A ramp stays at its last rate when its duration is over.
int64_t arrival_next(struct arrival *arrival);
