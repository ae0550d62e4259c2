// The table of scenarios, and what the n-th operation of each is.
//
// Problem: many threads must request different things without coordination, a run must be
// repeatable, and hot keys must be as hot as they are in a shop.
//
// Approach: the n-th operation is computed from the seed and n alone. Users take turns (user = n
// mod users), so a user's operations are spread over the run. A product or an account is drawn
// evenly, or by Zipf's law: the k-th one has a share of 1 / k^s, found by bisecting the cumulative
// shares. Two transfers whose numbers follow each other move points between the same two accounts,
// in opposite directions, so that they meet. Everything that can fail is done in scenario_new,
// before the run begins.
//
// What breaks it: scenarios whose next step depends on the previous answer.
#include "run/scenario.h"

#include "base/text.h"
#include "run/seeded.h"
#include "run/template_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY_AND_TYPE "Content-Type: application/json\nIdempotency-Key: {{key}}\n\n"

// The scenarios' request templates. With --template, the file takes their place.
enum {
    TEMPLATE_DEDUCT,
    TEMPLATE_READ,
    TEMPLATE_ISSUE,
    TEMPLATE_DRAW,
    TEMPLATE_EARN,
    TEMPLATE_SPEND,
    TEMPLATE_TRANSFER,
    TEMPLATE_READ_POINTS
};

static const char *const templates[] = {
    [TEMPLATE_DEDUCT] = "POST /v1/stock/{{resource}}/deduct\n" KEY_AND_TYPE
                        "{\"quantity\":{{quantity}},\"user_id\":\"{{user}}\"}",
    [TEMPLATE_READ] = "GET /v1/stock/{{resource}}\n",
    [TEMPLATE_ISSUE] =
        "POST /v1/coupons/{{resource}}/issue\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
    [TEMPLATE_DRAW] =
        "POST /v1/lotteries/{{resource}}/draw\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
    [TEMPLATE_EARN] = "POST /v1/points/{{user}}/earn\n" KEY_AND_TYPE "{\"points\":{{quantity}}}",
    [TEMPLATE_SPEND] = "POST /v1/points/{{user}}/spend\n" KEY_AND_TYPE "{\"points\":{{quantity}}}",
    [TEMPLATE_TRANSFER] = "POST /v1/points/transfers\n" KEY_AND_TYPE
                          "{\"from\":\"{{user}}\",\"to\":\"{{resource}}\",\"points\":{{quantity}}}",
    [TEMPLATE_READ_POINTS] = "GET /v1/points/{{user}}\n",
};

struct scenario {
    const struct plan *plan;
    struct resources resources;
    double *sku_shares, *account_shares; // cumulative, for a Zipf spread; else NULL
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
    int64_t mix[KIND_COUNT];
};

// ---- operations ---------------------------------------------------------------------------------

// The first one whose cumulative share reaches the number.
static size_t bisect(const double *cumulative_shares, size_t n, double number)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cumulative_shares[middle] >= number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static size_t pick(uint64_t random, const double *cumulative_shares, size_t n)
{
    return cumulative_shares != NULL ? bisect(cumulative_shares, n, seeded_unit(random))
                                     : seeded_below(random, n);
}

static size_t pick_sku(const struct scenario *scenario, int64_t n)
{
    return pick(seeded(scenario->plan->seed, SEEDED_SKU, (uint64_t)n), scenario->sku_shares,
                scenario->resources.n_skus);
}

static size_t pick_account(const struct scenario *scenario, enum seeded_stream stream, int64_t n)
{
    return pick(seeded(scenario->plan->seed, stream, (uint64_t)n), scenario->account_shares,
                scenario->resources.n_accounts);
}

static void deduct_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->template = TEMPLATE_DEDUCT;
    task->counter = pick_sku(scenario, n);
    task->resource = scenario->resources.skus[task->counter];
    task->quantity = scenario->plan->quantity;
}

// `resource` and `owner` are the account's user.
static void name_account(const struct scenario *scenario, size_t account, struct task *task)
{
    task->counter = scenario->resources.n_skus + account;
    task->resource = task->owner = scenario->resources.accounts[account];
    task->quantity = scenario->plan->quantity;
}

static void earn_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_EARN;
    task->template = TEMPLATE_EARN;
    name_account(scenario, pick_account(scenario, SEEDED_ACCOUNT, n), task);
}

static void spend_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    earn_task(scenario, n, task);
    task->kind = KIND_SPEND;
    task->template = TEMPLATE_SPEND;
}

static void transfer_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    size_t n_accounts = scenario->resources.n_accounts;
    size_t from = pick_account(scenario, SEEDED_ACCOUNT, n / 2);
    size_t to = pick_account(scenario, SEEDED_PARTNER, n / 2);
    if (to == from)
        to = (to + 1) % n_accounts;
    if (n % 2 != 0) {
        size_t giver = to;
        to = from;
        from = giver;
    }
    task->kind = KIND_TRANSFER;
    task->template = TEMPLATE_TRANSFER;
    name_account(scenario, from, task);
    task->resource = scenario->resources.accounts[to];
    task->more[task->n_more++] =
        (struct attempt_leg){.counter = scenario->resources.n_skus + to, .amount = task->quantity};
}

// A product or an account, whichever there is.
static void read_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    const struct resources *resources = &scenario->resources;
    bool account =
        resources->n_skus == 0 || (resources->n_accounts > 0 &&
                                   seeded(scenario->plan->seed, SEEDED_READ, (uint64_t)n) % 2 == 0);
    if (account)
        earn_task(scenario, n, task);
    else
        deduct_task(scenario, n, task);
    task->kind = KIND_READ;
    task->template = account ? TEMPLATE_READ_POINTS : TEMPLATE_READ;
    task->quantity = 0;
}

static void issue_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_ISSUE;
    task->template = TEMPLATE_ISSUE;
    task->counter = scenario->resources.n_skus + scenario->resources.n_accounts;
    task->resource = scenario->resources.named;
}

static void draw_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_DRAW;
    task->template = TEMPLATE_DRAW;
    task->counter = scenario->resources.n_skus + scenario->resources.n_accounts +
                    ((scenario->resources.uses & USES_COUPON) != 0);
    task->resource = scenario->resources.named;
}

static void mix_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    static void (*const tasks[KIND_COUNT])(const struct scenario *, int64_t, struct task *) = {
        [KIND_DEDUCT] = deduct_task, [KIND_ISSUE] = issue_task, [KIND_DRAW] = draw_task,
        [KIND_EARN] = earn_task,     [KIND_SPEND] = spend_task, [KIND_TRANSFER] = transfer_task,
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
    task->counter = SIZE_MAX;
    task->resource = scenario->resources.named;
    task->quantity = scenario->plan->quantity;
}

static const struct scenario_kind kinds[] = {
    {"deduct",
     "each operation deducts units of a product",
     USES_STOCK,
     PLAN_UNSET,
     true,
     deduct_task,
     {0}},
    {"coupon",
     "each user requests a coupon of one campaign several times",
     USES_COUPON | USES_TRIES,
     3,
     true,
     issue_task,
     {0}},
    {"draw", "each user draws in one lottery", USES_LOTTERY | USES_TRIES, 1, true, draw_task, {0}},
    {"points",
     "earns, spends, transfers in both directions, and reads of accounts",
     USES_POINTS | USES_MIX,
     PLAN_UNSET,
     true,
     mix_task,
     {[KIND_EARN] = 25, [KIND_SPEND] = 25, [KIND_TRANSFER] = 40, [KIND_READ] = 10}},
    {"mixed", "deductions, reads, coupons and draws together",
     USES_STOCK | USES_COUPON | USES_LOTTERY | USES_MIX, PLAN_UNSET, true, mix_task,
     {[KIND_DEDUCT] = 60, [KIND_READ] = 15, [KIND_ISSUE] = 15, [KIND_DRAW] = 10}},
    {"template",
     "a request of your own (--template), for any HTTP service; not checked",
     USES_TEMPLATE,
     PLAN_UNSET,
     false,
     template_task,
     {0}},
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
    return scenario->text != NULL ? 1 : ARRAY_LENGTH(templates);
}

const char *scenario_template(const struct scenario *scenario, size_t template)
{
    return scenario->text != NULL ? scenario->text : templates[template];
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

// Names the products or the accounts. NULL: out of memory.
static char (*name_several(const struct plan *plan, size_t n))[RESOURCE_MAX + 1]
{
    char(*names)[RESOURCE_MAX + 1] = calloc(n, sizeof *names);
    for (size_t i = 0; names != NULL && i < n; i++) {
        if (plan->resource == NULL)
            text_format(names[i], sizeof *names, "load-%s-%zu", plan->run, i + 1);
        else if (n == 1)
            text_copy(names[i], sizeof *names, plan->resource);
        else
            text_format(names[i], sizeof *names, "%s-%zu", plan->resource, i + 1);
    }
    return names;
}

static void name_campaign_and_lottery(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    if (plan->resource != NULL)
        text_copy(scenario->resources.named, sizeof scenario->resources.named, plan->resource);
    else if (scenario->resources.uses & (USES_COUPON | USES_LOTTERY))
        text_format(scenario->resources.named, sizeof scenario->resources.named, "load-%s-1",
                    plan->run);
}

// The cumulative shares of n products or accounts. False: out of memory.
static bool compute_shares(const struct plan *plan, size_t n, double **ret_shares)
{
    if (plan->spread != SPREAD_ZIPF)
        return true;
    double *shares = calloc(n, sizeof *shares), sum = 0;
    if (shares == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        sum += pow((double)(i + 1), -plan->zipf_exponent);
        shares[i] = sum;
    }
    for (size_t i = 0; i < n; i++)
        shares[i] /= sum;
    *ret_shares = shares;
    return true;
}

static bool fill_skus(struct scenario *scenario)
{
    struct resources *resources = &scenario->resources;
    if ((resources->uses & USES_STOCK) == 0)
        return true;
    resources->n_skus = (size_t)scenario->plan->skus;
    resources->skus = name_several(scenario->plan, resources->n_skus);
    return resources->skus != NULL &&
           compute_shares(scenario->plan, resources->n_skus, &scenario->sku_shares);
}

static bool fill_accounts(struct scenario *scenario)
{
    struct resources *resources = &scenario->resources;
    if ((resources->uses & USES_POINTS) == 0)
        return true;
    resources->n_accounts = (size_t)scenario->plan->accounts;
    resources->accounts = name_several(scenario->plan, resources->n_accounts);
    return resources->accounts != NULL &&
           compute_shares(scenario->plan, resources->n_accounts, &scenario->account_shares);
}

static bool fill(struct scenario *scenario, char *ret_error)
{
    if ((scenario->resources.uses & USES_TEMPLATE) &&
        !template_file_read(scenario->plan->template_path, &scenario->text, ret_error))
        return false;
    if (!fill_skus(scenario) || !fill_accounts(scenario))
        return no_memory(ret_error);
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
    free(scenario->resources.skus);
    free(scenario->resources.accounts);
    free(scenario->sku_shares);
    free(scenario->account_shares);
    free(scenario->text);
    free(scenario);
}
