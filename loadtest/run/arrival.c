// Problem: starts with a given rate, evenly spaced or as a Poisson process, at a rate that may
// grow, for several threads that do not talk to each other.
//
// Approach: all of them are one thing in another time. Let L(t) be how many operations the plan
// wants to have begun by t: the integral of its rate. Even spacing begins the n-th at L(t) = n, so
// thread k of T takes k, k + T, k + 2T, ... A Poisson process of a changing rate is one of rate 1
// seen through L, and a thread with a share of 1/T has exponential gaps of mean T there. So both
// are steps along L, and the start is L turned around: t = u / rate, or for a ramp the root of a
// quadratic.
//
// What breaks it: positions beyond 2^53, where a double no longer counts by one.
#include "run/arrival.h"

#include "base/clock.h"
#include "run/seeded.h"

#include <math.h>

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
    double whole = (plan->rate + plan->rate_to) / 2 * duration_s;
    if (position <= 0)
        return 0;
    if (position >= whole)
        return duration_s + (position - whole) / plan->rate_to; // infinite at rate 0
    // L(t) = rate t + slope t^2 / 2. In this form of the root no two close numbers are subtracted.
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
