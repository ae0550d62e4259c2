// Problem: many threads must ask for different things without agreeing on each, a run must be
// repeatable, and hot keys must be as hot as they are in a shop.
//
// Approach: the n-th operation is computed from the seed and n alone. Users take turns (user = n
// mod users), so a user's tries are spread over the run. A product is drawn evenly, or by Zipf's
// law: the k-th product has a share of 1 / k^s, found by bisecting the cumulative shares.
//
// What breaks it: scenarios whose next step depends on the answer to the last one.
#include "run/scenario_parts.h"

#include "base/text.h"
#include "run/seeded.h"

#include <stdio.h>
#include <string.h>

#define KEY_AND_TYPE "Content-Type: application/json\nIdempotency-Key: {{key}}\n\n"

// The requests that scenarios are made of. A template's own takes their place.
enum request { REQUEST_DEDUCT, REQUEST_READ, REQUEST_ISSUE, REQUEST_DRAW };

static const char *const requests[] = {
    [REQUEST_DEDUCT] = "POST /v1/stock/{{resource}}/deduct\n" KEY_AND_TYPE
                       "{\"quantity\":{{quantity}},\"user_id\":\"{{user}}\"}",
    [REQUEST_READ] = "GET /v1/stock/{{resource}}\n",
    [REQUEST_ISSUE] =
        "POST /v1/coupons/{{resource}}/issue\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
    [REQUEST_DRAW] =
        "POST /v1/lotteries/{{resource}}/draw\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
};

struct scenario_kind {
    const char *name, *summary;
    unsigned uses;
    int64_t tries;
    bool checkable;
    // Fills kind, request, counter, resource and quantity.
    void (*task)(const struct scenario *scenario, int64_t n, struct task *ret_task);
};

// ---- operations

// The first product whose cumulative share is above the number.
static size_t bisect(const double *popularity, size_t n, double number)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (popularity[middle] >= number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static size_t pick_sku(const struct scenario *scenario, int64_t n)
{
    uint64_t random = seeded(scenario->plan->seed, SEEDED_SKU, (uint64_t)n);
    if (scenario->popularity != NULL)
        return bisect(scenario->popularity, scenario->n_skus, seeded_unit(random));
    return seeded_below(random, scenario->n_skus);
}

static void deduct_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->request = REQUEST_DEDUCT;
    task->counter = pick_sku(scenario, n);
    task->resource = scenario->skus[task->counter];
    task->quantity = scenario->plan->quantity;
}

static void read_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    deduct_task(scenario, n, task);
    task->kind = KIND_READ;
    task->request = REQUEST_READ;
    task->quantity = HISTORY_NONE;
}

static void issue_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_ISSUE;
    task->request = REQUEST_ISSUE;
    task->counter = scenario_coupon_counter(scenario);
    task->resource = scenario->other;
    task->quantity = HISTORY_NONE;
}

static void draw_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_DRAW;
    task->request = REQUEST_DRAW;
    task->counter = scenario_lottery_counter(scenario);
    task->resource = scenario->other;
    task->quantity = HISTORY_NONE;
}

static void mixed_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    static void (*const tasks[KIND_COUNT])(const struct scenario *, int64_t, struct task *) = {
        [KIND_DEDUCT] = deduct_task,
        [KIND_ISSUE] = issue_task,
        [KIND_DRAW] = draw_task,
        [KIND_READ] = read_task,
    };
    uint64_t random = seeded(scenario->plan->seed, SEEDED_KIND, (uint64_t)n);
    int64_t left = (int64_t)seeded_below(random, (uint64_t)scenario->mix_total);
    size_t kind = 0;
    while (left >= scenario->plan->mix[kind])
        left -= scenario->plan->mix[kind++];
    tasks[kind](scenario, n, task);
}

static void template_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_OTHER;
    task->request = 0;
    task->counter = SIZE_MAX;
    task->resource = scenario->other;
    task->quantity = scenario->plan->quantity;
}

static const struct scenario_kind kinds[] = {
    {"deduct", "every operation takes units of a product", USES_STOCK, PLAN_OPEN, true,
     deduct_task},
    {"coupon", "each user tries several times to get a coupon of one campaign",
     USES_COUPON | USES_TRIES, 3, true, issue_task},
    {"draw", "each user draws at one lottery", USES_LOTTERY | USES_TRIES, 1, true, draw_task},
    {"mixed", "deductions, reads, coupons and draws side by side (--mix)",
     USES_STOCK | USES_COUPON | USES_LOTTERY | USES_MIX, PLAN_OPEN, true, mixed_task},
    {"template", "a request of your own (--template), to any HTTP service", USES_TEMPLATE,
     PLAN_OPEN, false, template_task},
};

void scenario_task(const struct scenario *scenario, int64_t n, struct task *ret_task)
{
    ret_task->user = n % scenario->plan->users;
    scenario->plan->scenario->task(scenario, n, ret_task);
}

// ---- the table

const struct scenario_kind *scenario_kind_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

const char *scenario_kind_name(const struct scenario_kind *kind)
{
    return kind->name;
}

bool scenario_kind_checkable(const struct scenario_kind *kind)
{
    return kind->checkable;
}

unsigned scenario_kind_uses(const struct scenario_kind *kind)
{
    return kind->uses;
}

int64_t scenario_kind_tries(const struct scenario_kind *kind)
{
    return kind->tries;
}

void scenario_kinds_list(unsigned uses, char *target, size_t size)
{
    size_t used = 0;
    target[0] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(kinds) && used < size; i++) {
        if (uses != 0 && (kinds[i].uses & uses) == 0)
            continue;
        (void)text_format(target + used, size - used, "%s%s", used > 0 ? ", " : "", kinds[i].name);
        used += strlen(target + used);
    }
}

void scenario_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        (void)fprintf(out, "  %-10s %s\n", kinds[i].name, kinds[i].summary);
}

// ---- requests and counters

size_t scenario_requests(const struct scenario *scenario)
{
    return scenario->text != NULL ? 1 : ARRAY_LENGTH(requests);
}

const char *scenario_request(const struct scenario *scenario, size_t request)
{
    return scenario->text != NULL ? scenario->text : requests[request];
}

size_t scenario_coupon_counter(const struct scenario *scenario)
{
    return scenario->n_skus;
}

size_t scenario_lottery_counter(const struct scenario *scenario)
{
    return scenario->n_skus + ((scenario->uses & USES_COUPON) != 0);
}
