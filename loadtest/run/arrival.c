// Computes the schedules of open loops and ramps.
//
// Problem: operations must start at a given rate, evenly spaced or as a Poisson process. The rate
// may grow, and several threads share it without communicating.
//
// Approach: let L(t) be how many operations the plan wants to have begun by time t, which is the
// integral of its rate. Even spacing begins the n-th operation at L(t) = n, so thread k of T takes
// k, k + T, k + 2T, ... A Poisson process with a changing rate is one with rate 1 when time is
// measured by L; a thread with a share of 1/T has exponential gaps of mean T there. Both are steps
// along L, and the start is the inverse of L: t = u / rate, or for a ramp the root of a quadratic.
//
// What breaks it: positions beyond 2^53, where a double can no longer count by one.
#include "run/arrival.h"

#include "base/clock.h"
#include "run/seeded.h"

#include <math.h>

const char *arrival_name(enum arrival_kind kind)
{
    static const char *const names[] = {[ARRIVAL_LATCH] = "latch",
                                        [ARRIVAL_CLOSED] = "closed",
                                        [ARRIVAL_OPEN] = "open",
                                        [ARRIVAL_RAMP] = "ramp"};
    return names[kind];
}

static double next_gap(struct arrival *arrival)
{
    if (!arrival->plan->poisson)
        return arrival->step;
    arrival->random += UINT64_C(0x9e3779b97f4a7c15); // splitmix64
    return -log(seeded_unit(seeded_mix(arrival->random))) * arrival->step;
}

void arrival_init(struct arrival *arrival, const struct plan *plan, int64_t thread)
{
    *arrival = (struct arrival){
        .plan = plan,
        .step = (double)plan->threads,
        .random = seeded(plan->seed, SEEDED_ARRIVAL, (uint64_t)thread),
    };
    arrival->position = plan->poisson ? next_gap(arrival) : (double)thread;
}

// The t with L(t) = position, in seconds.
static double ramp_time(const struct plan *plan, double position)
{
    double duration_s = (double)plan->duration_ns / (double)NS_PER_S;
    double total = (plan->rate + plan->rate_to) / 2 * duration_s;
    if (position <= 0)
        return 0;
    if (position >= total)
        return duration_s + (position - total) / plan->rate_to; // infinite at rate 0
    // L(t) = rate t + slope t^2 / 2. This form of the root subtracts no two close numbers.
    double slope = (plan->rate_to - plan->rate) / duration_s;
    double square = plan->rate * plan->rate + 2 * slope * position;
    return 2 * position / (plan->rate + sqrt(square > 0 ? square : 0));
}

int64_t arrival_next(struct arrival *arrival)
{
    const struct plan *plan = arrival->plan;
    double start_s = plan->arrival == ARRIVAL_RAMP ? ramp_time(plan, arrival->position)
                                                   : arrival->position / plan->rate;
    arrival->position += next_gap(arrival);
    double start_ns = start_s * (double)NS_PER_S;
    return start_ns < 9e18 ? (int64_t)start_ns : ARRIVAL_NEVER;
}
