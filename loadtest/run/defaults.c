// Fills in the defaults. They make a run without flags worth watching: a run of N requests has half
// as many units, so that the stock sells out on the way, and a run by the clock has more units than
// it can sell. An account begins with so little that some are refused their points.
#include "run/defaults.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "run/scenario.h"

#include <string.h>

#define RUN_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define RUN_LENGTH 6
#define CONNECTIONS 64
#define DURATION_NS (10 * NS_PER_S)
#define LATCH_REQUESTS 1000
#define LATCH_CONNECTIONS_MAX 1000
#define STOCK_MAX INT64_C(1000000) // the largest that the service accepts
#define BALANCE_OPERATIONS 10      // so many spends empty an account
#define BALANCE_MAX INT64_C(1000000)

void defaults_set(struct plan *plan)
{
    *plan = (struct plan){
        .scenario = scenario_kind_find("deduct"),
        .set_up = true,
        .skus = 1,
        .stock = PLAN_UNSET,
        .accounts = 20,
        .balance = PLAN_UNSET,
        .quantity = 1,
        .zipf_exponent = 0.99,
        .users = 1000,
        .tries = PLAN_UNSET,
        .total = PLAN_UNSET,
        .per_user_limit = 1,
        .prizes = {{"gold", 1, 1}, {"silver", 10, 19}},
        .n_prizes = 2,
        .blank_weight = 80,
        .ttl_ns = 2 * NS_PER_S,
        .lines = 1,
        .then = {4, 2, 1, 2, 1},
        .leave = PLAN_UNSET,
        .partial = 0.25,
        .cancel = 0.12,
        .refund = 0.28,
        .code = 0.1,
        .code_uses = 10,
        .arrival = ARRIVAL_CLOSED,
        .connections = PLAN_UNSET,
        .requests = PLAN_UNSET,
        .duration_ns = PLAN_UNSET,
        .poisson = true,
        .timeout_ns = 5 * NS_PER_S,
        .threads = 1,
        .seed = random_below(UINT64_C(1000000000)),
        .check = true,
    };
    for (size_t i = 0; i < RUN_LENGTH; i++)
        plan->run[i] = RUN_LETTERS[random_below(strlen(RUN_LETTERS))];
}

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

// The length of the run: --tries of all users if given, else --requests or --duration, else the
// scenario's tries, else 1,000 requests for a latch, else ten seconds.
static void complete_length(struct plan *plan)
{
    bool unset = plan->requests == PLAN_UNSET && plan->duration_ns == PLAN_UNSET;
    if (unset && plan->tries == PLAN_UNSET)
        plan->tries = scenario_kind_tries(plan->scenario);
    if (plan->requests == PLAN_UNSET && plan->tries > 0)
        plan->requests = plan->users * plan->tries;
    else if (unset && plan->arrival == ARRIVAL_LATCH)
        plan->requests = clamp(plan->connections, LATCH_REQUESTS, INT64_MAX);
    else if (unset)
        plan->duration_ns = DURATION_NS;
    plan->tries = plan->tries == PLAN_UNSET ? 0 : plan->tries;
    plan->requests = plan->requests == PLAN_UNSET ? 0 : plan->requests;
    plan->duration_ns = plan->duration_ns == PLAN_UNSET ? 0 : plan->duration_ns;
}

static void complete_connections(struct plan *plan)
{
    if (plan->connections != PLAN_UNSET)
        return;
    plan->connections = CONNECTIONS;
    if (plan->requests > 0 && plan->arrival == ARRIVAL_LATCH)
        plan->connections = clamp(plan->requests, 1, LATCH_CONNECTIONS_MAX);
    else if (plan->requests > 0)
        plan->connections = clamp(plan->requests, 1, CONNECTIONS);
}

// Half of the demand: of the units that the run's deductions and first lines ask for.
static void complete_stock(struct plan *plan)
{
    if (plan->stock != PLAN_UNSET)
        return;
    plan->stock = STOCK_MAX;
    if (plan->requests == 0)
        return;
    double demand = (double)plan->requests * (double)plan->quantity;
    if (scenario_kind_uses(plan->scenario) & USES_MIX) {
        int64_t sum = 0;
        for (size_t i = 0; i < KIND_COUNT; i++)
            sum += plan->mix[i];
        demand *=
            (double)(plan->mix[KIND_DEDUCT] + plan->mix[KIND_RESERVE] + plan->mix[KIND_ORDER]) /
            (double)sum;
    }
    double half = demand / 2 / (double)plan->skus;
    plan->stock = half < (double)STOCK_MAX ? clamp((int64_t)half, 1, STOCK_MAX) : STOCK_MAX;
}

bool defaults_complete(struct plan *plan, bool mix_given, char *ret_error)
{
    if (!mix_given)
        memcpy(plan->mix, scenario_kind_mix(plan->scenario), sizeof plan->mix);
    if (plan->balance == PLAN_UNSET)
        plan->balance = clamp(BALANCE_OPERATIONS * plan->quantity, 1, BALANCE_MAX);
    complete_length(plan);
    complete_connections(plan);
    complete_stock(plan);
    if (plan->total == PLAN_UNSET)
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
