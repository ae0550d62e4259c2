// The defaults that depend on one another, chosen so that a run without flags is worth watching: a
// number of requests is met by half as many units, so that the shop sells out on the way; a run by
// the clock has more units than it can sell.
#include "run/plan.h"

#include "base/clock.h"
#include "base/text.h"
#include "run/scenario.h"

#define LATCH_REQUESTS 1000
#define LATCH_CONNECTIONS_MAX 1000
#define CONNECTIONS 64
#define DURATION_NS (10 * NS_PER_S)
#define STOCK_MAX INT64_C(1000000) // that the service takes

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

// How long: tries of all users if they were asked for, else by the clock if that was asked for,
// else the scenario's tries, a latch's thousand, or ten seconds.
static void complete_length(struct plan *plan)
{
    bool open = plan->requests == PLAN_OPEN && plan->duration_ns == PLAN_OPEN;
    if (open && plan->tries == PLAN_OPEN)
        plan->tries = scenario_kind_tries(plan->scenario);
    if (plan->requests == PLAN_OPEN && plan->tries > 0)
        plan->requests = plan->users * plan->tries;
    else if (open && plan->arrival == ARRIVAL_LATCH)
        plan->requests = clamp(plan->connections, LATCH_REQUESTS, INT64_MAX);
    else if (open)
        plan->duration_ns = DURATION_NS;
    plan->tries = plan->tries == PLAN_OPEN ? 0 : plan->tries;
    plan->requests = plan->requests == PLAN_OPEN ? 0 : plan->requests;
    plan->duration_ns = plan->duration_ns == PLAN_OPEN ? 0 : plan->duration_ns;
}

static void complete_connections(struct plan *plan)
{
    if (plan->connections != PLAN_OPEN)
        return;
    plan->connections = CONNECTIONS;
    if (plan->requests > 0 && plan->arrival == ARRIVAL_LATCH)
        plan->connections = clamp(plan->requests, 1, LATCH_CONNECTIONS_MAX);
    else if (plan->requests > 0)
        plan->connections = clamp(plan->requests, 1, CONNECTIONS);
}

// Half of what is asked for, in the scenario's share of deductions.
static void complete_stock(struct plan *plan)
{
    if (plan->stock != PLAN_OPEN)
        return;
    plan->stock = STOCK_MAX;
    if (plan->requests == 0)
        return;
    double wanted = (double)plan->requests * (double)plan->quantity;
    if (scenario_kind_uses(plan->scenario) & USES_MIX) {
        int64_t sum = 0;
        for (size_t i = 0; i < KIND_COUNT; i++)
            sum += plan->mix[i];
        wanted *= (double)plan->mix[KIND_DEDUCT] / (double)sum;
    }
    double half = wanted / 2 / (double)plan->skus;
    plan->stock = half < (double)STOCK_MAX ? clamp((int64_t)half, 1, STOCK_MAX) : STOCK_MAX;
}

bool plan_complete(struct plan *plan, char *ret_error)
{
    complete_length(plan);
    complete_connections(plan);
    complete_stock(plan);
    if (plan->total == PLAN_OPEN)
        plan->total = clamp(plan->users / 2, 1, INT64_MAX);
    if (plan->arrival == ARRIVAL_LATCH && plan->requests > 0 &&
        plan->connections > plan->requests) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "--connections %lld is more than the %lld requests of this latch: give "
                          "fewer connections, or more with --requests",
                          (long long)plan->connections, (long long)plan->requests);
        return false;
    }
    if (plan->threads > plan->connections) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "--threads %lld is more than the %lld connections, and each thread needs "
                          "one: give fewer threads, or more with --connections",
                          (long long)plan->threads, (long long)plan->connections);
        return false;
    }
    return true;
}
