// The table of scenarios, and what the n-th operation of each is.
//
// Problem: many threads must request different things without coordination, a run must be
// repeatable, and hot keys must be as hot as they are in a shop.
//
// Approach: the n-th operation is computed from the seed and n alone. Users take turns (user = n
// mod users), so a user's operations are spread over the run. Two transfers whose numbers follow
// each other move points between the same two accounts, in opposite directions, so that they meet.
// Everything that can fail is done in scenario_new, before the run begins.
//
// What depends on an answer is not here: the steps after a reservation are in follow.c.
#include "run/scenario.h"

#include "base/text.h"
#include "run/request_text.h"
#include "run/seeded.h"
#include "run/template_file.h"

#include <stdlib.h>
#include <string.h>

#define OTHERS_CODE 0.05 // share of the uses of codes that try another user's

struct scenario {
    const struct plan *plan;
    struct resources resources;
    int64_t mix_total;
    char *text; // of the template file; NULL: the templates above
};

struct scenario_kind {
    const char *name, *summary;
    unsigned uses;
    int64_t tries;
    bool checkable;
    // Fills in the task except for its user; what it does not set is 0.
    void (*task)(const struct scenario *scenario, int64_t n, struct task *ret_task);
    const int64_t *mix; // default weights of the kinds
};

// ---- operations ---------------------------------------------------------------------------------

static size_t pick(const struct scenario *scenario, const struct resource_list *list,
                   uint64_t stream, int64_t n)
{
    uint64_t random = seeded(scenario->plan->seed, stream, (uint64_t)n);
    return resource_list_pick(list, random);
}

static void deduct_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->template = REQUEST_DEDUCT;
    task->counter = pick(scenario, &scenario->resources.skus, SEEDED_SKU, n);
    task->resource = scenario->resources.skus.names[task->counter];
    task->quantity = scenario->plan->quantity;
}

// One to --lines different products. A product that is drawn again gives way to the next.
static void reserve_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    const struct plan *plan = scenario->plan;
    const struct resource_list *skus = &scenario->resources.skus;
    size_t max = (size_t)plan->lines < skus->n ? (size_t)plan->lines : skus->n;
    size_t lines = 1 + seeded_below(seeded(plan->seed, SEEDED_LINES, (uint64_t)n), max);
    deduct_task(scenario, n, task);
    task->kind = KIND_RESERVE;
    task->template = REQUEST_RESERVE;
    while (1 + task->n_more < lines) {
        size_t sku = pick(scenario, skus, SEEDED_LINE + task->n_more, n);
        for (size_t i = 0; i <= task->n_more;) {
            bool taken = sku == (i == 0 ? task->counter : task->more[i - 1].counter);
            sku = taken ? (sku + 1) % skus->n : sku;
            i = taken ? 0 : i + 1;
        }
        task->more[task->n_more++] =
            (struct attempt_leg){.counter = sku, .amount = -task->quantity};
    }
    if (scenario->resources.accounts.n == 0)
        return;
    task->account = pick(scenario, &scenario->resources.accounts, SEEDED_ACCOUNT, n);
    task->owner = scenario->resources.accounts.names[task->account];
}

// The code of the task's user, or sometimes of another one.
static void name_code(const struct scenario *scenario, int64_t n, struct task *task)
{
    size_t n_codes = scenario->resources.n_codes;
    bool other = seeded_share(scenario->plan->seed, SEEDED_OWNER, n, OTHERS_CODE);
    task->code = n_codes > 0 ? 1 + (task->account + other) % n_codes : 0;
}

// Half of the orders spend points, some have a code.
static void order_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    const struct plan *plan = scenario->plan;
    reserve_task(scenario, n, task);
    task->kind = KIND_ORDER;
    task->template = REQUEST_ORDER;
    task->points = seeded(plan->seed, SEEDED_ORDER, (uint64_t)n) % 2 == 0 ? plan->quantity : 0;
    text_format(task->order, sizeof task->order, "%s-%lld", plan->run, (long long)n);
    if (seeded_share(plan->seed, SEEDED_CODE, n, plan->code))
        name_code(scenario, n, task);
}

// `resource` and `owner` are the account's user.
static void name_account(const struct scenario *scenario, size_t account, struct task *task)
{
    task->counter = scenario->resources.skus.n + account;
    task->resource = task->owner = scenario->resources.accounts.names[account];
    task->quantity = scenario->plan->quantity;
}

static void earn_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_EARN;
    task->template = REQUEST_EARN;
    name_account(scenario, pick(scenario, &scenario->resources.accounts, SEEDED_ACCOUNT, n), task);
}

static void spend_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    earn_task(scenario, n, task);
    task->kind = KIND_SPEND;
    task->template = REQUEST_SPEND;
}

// A code without an order. If the run has none, its user earns points.
static void redeem_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    const struct resources *resources = &scenario->resources;
    earn_task(scenario, n, task);
    task->account = task->counter - resources->skus.n;
    name_code(scenario, n, task);
    if (task->code == 0)
        return;
    task->kind = KIND_REDEEM;
    task->template = REQUEST_REDEEM;
    task->counter = resources->skus.n + resources->accounts.n + task->code - 1;
    task->quantity = 0;
}

// Operations 2k and 2k + 1 have the same accounts, in opposite directions.
static void transfer_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    const struct resource_list *accounts = &scenario->resources.accounts;
    size_t from = pick(scenario, accounts, SEEDED_ACCOUNT, n / 2);
    size_t to = pick(scenario, accounts, SEEDED_PARTNER, n / 2);
    if (to == from)
        to = (to + 1) % accounts->n;
    if (n % 2 != 0) {
        size_t giver = to;
        to = from;
        from = giver;
    }
    task->kind = KIND_TRANSFER;
    task->template = REQUEST_TRANSFER;
    name_account(scenario, from, task);
    task->resource = accounts->names[to];
    task->more[task->n_more++] =
        (struct attempt_leg){.counter = scenario->resources.skus.n + to, .amount = task->quantity};
}

// A product or an account, whichever there is.
static void read_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    const struct resources *resources = &scenario->resources;
    bool account =
        resources->skus.n == 0 || (resources->accounts.n > 0 &&
                                   seeded(scenario->plan->seed, SEEDED_READ, (uint64_t)n) % 2 == 0);
    if (account)
        earn_task(scenario, n, task);
    else
        deduct_task(scenario, n, task);
    task->kind = KIND_READ;
    task->template = account ? REQUEST_READ_POINTS : REQUEST_READ;
    task->quantity = 0;
}

// The counter of the campaign, or if there is none of the lottery.
static size_t behind_codes(const struct resources *resources)
{
    return resources->skus.n + resources->accounts.n + resources->n_codes;
}

static void issue_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_ISSUE;
    task->template = REQUEST_ISSUE;
    task->counter = behind_codes(&scenario->resources);
    task->resource = scenario->resources.named;
}

static void draw_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_DRAW;
    task->template = REQUEST_DRAW;
    task->counter =
        behind_codes(&scenario->resources) + ((scenario->resources.uses & USES_COUPON) != 0);
    task->resource = scenario->resources.named;
}

static void mix_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    static void (*const tasks[KIND_COUNT])(const struct scenario *, int64_t, struct task *) = {
        [KIND_DEDUCT] = deduct_task, [KIND_ISSUE] = issue_task,     [KIND_DRAW] = draw_task,
        [KIND_EARN] = earn_task,     [KIND_SPEND] = spend_task,     [KIND_TRANSFER] = transfer_task,
        [KIND_READ] = read_task,     [KIND_RESERVE] = reserve_task, [KIND_ORDER] = order_task,
        [KIND_REDEEM] = redeem_task,
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
    task->counter = SIZE_MAX;
    task->resource = scenario->resources.named;
    task->quantity = scenario->plan->quantity;
}

static const int64_t no_mix[KIND_COUNT];
static const int64_t points_mix[KIND_COUNT] = {
    [KIND_EARN] = 25, [KIND_SPEND] = 25, [KIND_TRANSFER] = 40, [KIND_READ] = 10};
static const int64_t reserve_mix[KIND_COUNT] = {
    [KIND_RESERVE] = 60, [KIND_DEDUCT] = 30, [KIND_READ] = 10};
static const int64_t checkout_mix[KIND_COUNT] = {
    [KIND_ORDER] = 50, [KIND_RESERVE] = 30, [KIND_EARN] = 5, [KIND_READ] = 10, [KIND_REDEEM] = 5};
static const int64_t everything_mix[KIND_COUNT] = {
    [KIND_DEDUCT] = 40,  [KIND_ISSUE] = 10,  [KIND_DRAW] = 10, [KIND_EARN] = 5, [KIND_SPEND] = 5,
    [KIND_TRANSFER] = 5, [KIND_RESERVE] = 5, [KIND_ORDER] = 5, [KIND_READ] = 15};

static const struct scenario_kind kinds[] = {
    {"deduct", "each operation deducts units of a product", USES_STOCK, PLAN_UNSET, true,
     deduct_task, no_mix},
    {"coupon", "each user requests a coupon of one campaign several times",
     USES_COUPON | USES_TRIES, 3, true, issue_task, no_mix},
    {"draw", "each user draws in one lottery", USES_LOTTERY | USES_TRIES, 1, true, draw_task,
     no_mix},
    {"points", "accounts earn, spend, are read, and transfer in opposite directions",
     USES_POINTS | USES_MIX, PLAN_UNSET, true, mix_task, points_mix},
    {"reserve", "users reserve, then confirm, release, extend, come back as it expires, or never",
     USES_STOCK | USES_HOLDS | USES_MIX, PLAN_UNSET, true, mix_task, reserve_mix},
    {"checkout", "users order, some from a reservation, some with a code; some cancel, get refunds",
     USES_STOCK | USES_HOLDS | USES_ORDERS | USES_POINTS | USES_CODES | USES_MIX, PLAN_UNSET, true,
     mix_task, checkout_mix},
    {"mixed", "deductions, reservations, orders, coupons, draws, points and reads together",
     USES_STOCK | USES_HOLDS | USES_ORDERS | USES_POINTS | USES_COUPON | USES_LOTTERY | USES_MIX,
     PLAN_UNSET, true, mix_task, everything_mix},
    {"template", "a request of your own (--template), for any HTTP service; not checked",
     USES_TEMPLATE, PLAN_UNSET, false, template_task, no_mix},
};

void scenario_task(const struct scenario *scenario, int64_t n, struct task *ret_task)
{
    *ret_task = (struct task){.user = n % scenario->plan->users};
    scenario->plan->scenario->task(scenario, n, ret_task);
}

// ---- the table ----------------------------------------------------------------------------------

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

const int64_t *scenario_kind_mix(const struct scenario_kind *kind)
{
    return kind->mix;
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
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        const char *before = "             --mix ";
        (void)fprintf(out, "  %-10s %s\n", kinds[i].name, kinds[i].summary);
        for (enum attempt_kind kind = 0; kind < KIND_COUNT; kind++) {
            if (kinds[i].mix[kind] == 0)
                continue;
            (void)fprintf(out, "%s%s=%lld", before, attempt_kind_name(kind),
                          (long long)kinds[i].mix[kind]);
            before = ",";
        }
        if (*before == ',')
            (void)fputc('\n', out);
    }
}

size_t scenario_templates(const struct scenario *scenario)
{
    return scenario->text != NULL ? 1 : REQUEST_COUNT;
}

const char *scenario_template(const struct scenario *scenario, size_t template)
{
    return scenario->text != NULL ? scenario->text : request_text(template);
}

const struct plan *scenario_plan(const struct scenario *scenario)
{
    return scenario->plan;
}

const struct resources *scenario_resources(const struct scenario *scenario)
{
    return &scenario->resources;
}

// ---- making -------------------------------------------------------------------------------------

static bool no_memory(char *ret_error)
{
    (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
    return false;
}

static void name_campaign_and_lottery(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    if (plan->resource != NULL)
        text_copy(scenario->resources.named, sizeof scenario->resources.named, plan->resource);
    else if (scenario->resources.uses & (USES_COUPON | USES_LOTTERY | USES_CODES))
        text_format(scenario->resources.named, sizeof scenario->resources.named, "load-%s-1",
                    plan->run);
}

static bool fill(struct scenario *scenario, char *ret_error)
{
    if ((scenario->resources.uses & USES_TEMPLATE) &&
        !template_file_read(scenario->plan->template_path, &scenario->text, ret_error))
        return false;
    struct resources *resources = &scenario->resources;
    const struct plan *plan = scenario->plan;
    if (((resources->uses & USES_STOCK) &&
         !resource_list_init(&resources->skus, plan, plan->skus)) ||
        ((resources->uses & USES_POINTS) &&
         !resource_list_init(&resources->accounts, plan, plan->accounts)))
        return no_memory(ret_error);
    if ((resources->uses & USES_CODES) && plan->set_up) {
        resources->n_codes = resources->accounts.n;
        resources->codes = calloc(resources->n_codes + 1, sizeof *resources->codes);
        if (resources->codes == NULL)
            return no_memory(ret_error);
    }
    name_campaign_and_lottery(scenario);
    for (size_t i = 0; i < KIND_COUNT; i++)
        scenario->mix_total += scenario->plan->mix[i];
    return true;
}

bool scenario_new(const struct plan *plan, struct scenario **ret_scenario, char *ret_error)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    if (scenario == NULL)
        return no_memory(ret_error);
    scenario->plan = plan;
    scenario->resources.uses = scenario_kind_uses(plan->scenario);
    if (!fill(scenario, ret_error)) {
        scenario_free(scenario);
        return false;
    }
    *ret_scenario = scenario;
    return true;
}

void scenario_free(struct scenario *scenario)
{
    if (scenario == NULL)
        return;
    resource_list_release(&scenario->resources.skus);
    resource_list_release(&scenario->resources.accounts);
    free(scenario->resources.codes);
    free(scenario->text);
    free(scenario);
}
