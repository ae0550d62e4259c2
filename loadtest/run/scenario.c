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

static size_t pick(const struct scenario *scenario, const struct resource_list *list,
                   enum seeded_stream stream, int64_t n)
{
    uint64_t random = seeded(scenario->plan->seed, stream, (uint64_t)n);
    return list->cumulative_shares != NULL
               ? bisect(list->cumulative_shares, list->n, seeded_unit(random))
               : seeded_below(random, list->n);
}

static void deduct_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->template = TEMPLATE_DEDUCT;
    task->counter = pick(scenario, &scenario->resources.skus, SEEDED_SKU, n);
    task->resource = scenario->resources.skus.names[task->counter];
    task->quantity = scenario->plan->quantity;
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
    task->template = TEMPLATE_EARN;
    name_account(scenario, pick(scenario, &scenario->resources.accounts, SEEDED_ACCOUNT, n), task);
}

static void spend_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    earn_task(scenario, n, task);
    task->kind = KIND_SPEND;
    task->template = TEMPLATE_SPEND;
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
    task->template = TEMPLATE_TRANSFER;
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
    task->template = account ? TEMPLATE_READ_POINTS : TEMPLATE_READ;
    task->quantity = 0;
}

static void issue_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_ISSUE;
    task->template = TEMPLATE_ISSUE;
    task->counter = scenario->resources.skus.n + scenario->resources.accounts.n;
    task->resource = scenario->resources.named;
}

static void draw_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_DRAW;
    task->template = TEMPLATE_DRAW;
    task->counter = scenario->resources.skus.n + scenario->resources.accounts.n +
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

static const int64_t no_mix[KIND_COUNT];
static const int64_t points_mix[KIND_COUNT] = {
    [KIND_EARN] = 25, [KIND_SPEND] = 25, [KIND_TRANSFER] = 40, [KIND_READ] = 10};
static const int64_t everything_mix[KIND_COUNT] = {
    [KIND_DEDUCT] = 50, [KIND_ISSUE] = 10,   [KIND_DRAW] = 10, [KIND_EARN] = 5,
    [KIND_SPEND] = 5,   [KIND_TRANSFER] = 5, [KIND_READ] = 15};

static const struct scenario_kind kinds[] = {
    {"deduct", "each operation deducts units of a product", USES_STOCK, PLAN_UNSET, true,
     deduct_task, no_mix},
    {"coupon", "each user requests a coupon of one campaign several times",
     USES_COUPON | USES_TRIES, 3, true, issue_task, no_mix},
    {"draw", "each user draws in one lottery", USES_LOTTERY | USES_TRIES, 1, true, draw_task,
     no_mix},
    {"points", "accounts earn, spend, are read, and transfer in opposite directions",
     USES_POINTS | USES_MIX, PLAN_UNSET, true, mix_task, points_mix},
    {"mixed", "deductions, coupons, draws, points and reads together",
     USES_STOCK | USES_POINTS | USES_COUPON | USES_LOTTERY | USES_MIX, PLAN_UNSET, true, mix_task,
     everything_mix},
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

static bool name_all(const struct plan *plan, struct resource_list *list)
{
    list->names = calloc(list->n, sizeof *list->names);
    if (list->names == NULL)
        return false;
    for (size_t i = 0; i < list->n; i++) {
        char *name = list->names[i];
        if (plan->resource == NULL)
            text_format(name, RESOURCE_MAX + 1, "load-%s-%zu", plan->run, i + 1);
        else if (list->n == 1)
            text_copy(name, RESOURCE_MAX + 1, plan->resource);
        else
            text_format(name, RESOURCE_MAX + 1, "%s-%zu", plan->resource, i + 1);
    }
    return true;
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

static bool compute_shares(const struct plan *plan, struct resource_list *list)
{
    if (plan->spread != SPREAD_ZIPF)
        return true;
    list->cumulative_shares = calloc(list->n, sizeof *list->cumulative_shares);
    if (list->cumulative_shares == NULL)
        return false;
    double sum = 0;
    for (size_t i = 0; i < list->n; i++) {
        sum += pow((double)(i + 1), -plan->zipf_exponent);
        list->cumulative_shares[i] = sum;
    }
    for (size_t i = 0; i < list->n; i++)
        list->cumulative_shares[i] /= sum;
    return true;
}

// False: out of memory.
static bool fill_list(const struct plan *plan, int64_t n, struct resource_list *list)
{
    list->n = (size_t)n;
    return name_all(plan, list) && compute_shares(plan, list);
}

static bool fill(struct scenario *scenario, char *ret_error)
{
    if ((scenario->resources.uses & USES_TEMPLATE) &&
        !template_file_read(scenario->plan->template_path, &scenario->text, ret_error))
        return false;
    struct resources *resources = &scenario->resources;
    const struct plan *plan = scenario->plan;
    if (((resources->uses & USES_STOCK) && !fill_list(plan, plan->skus, &resources->skus)) ||
        ((resources->uses & USES_POINTS) && !fill_list(plan, plan->accounts, &resources->accounts)))
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
    free(scenario->resources.skus.names);
    free(scenario->resources.skus.cumulative_shares);
    free(scenario->resources.accounts.names);
    free(scenario->resources.accounts.cumulative_shares);
    free(scenario->text);
    free(scenario);
}
