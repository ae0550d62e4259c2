// The table of scenarios, and what the n-th operation of each is.
//
// Problem: many threads must request different things without coordination, a run must be
// repeatable, and hot keys must be as hot as they are in a shop.
//
// Approach: the n-th operation is computed from the seed and n alone. Users take turns (user = n
// mod users), so a user's operations are spread over the run. A product is drawn evenly, or by
// Zipf's law: the k-th product has a share of 1 / k^s, found by bisecting the cumulative shares.
// Everything that can fail is done in scenario_new, before the run begins.
//
// What breaks it: scenarios whose next step depends on the previous answer.
#include "run/scenario.h"

#include "base/text.h"
#include "run/seeded.h"
#include "run/template.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_BYTES_MAX ((size_t)1024 * 1024)

#define KEY_AND_TYPE "Content-Type: application/json\nIdempotency-Key: {{key}}\n\n"

// The scenarios' request templates. With --template, the file takes their place.
enum { TEMPLATE_DEDUCT, TEMPLATE_READ, TEMPLATE_ISSUE, TEMPLATE_DRAW };

static const char *const templates[] = {
    [TEMPLATE_DEDUCT] = "POST /v1/stock/{{resource}}/deduct\n" KEY_AND_TYPE
                        "{\"quantity\":{{quantity}},\"user_id\":\"{{user}}\"}",
    [TEMPLATE_READ] = "GET /v1/stock/{{resource}}\n",
    [TEMPLATE_ISSUE] =
        "POST /v1/coupons/{{resource}}/issue\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
    [TEMPLATE_DRAW] =
        "POST /v1/lotteries/{{resource}}/draw\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
};

struct scenario {
    const struct plan *plan;
    struct resources resources;
    double *cumulative_shares; // of the products, for a Zipf spread; else NULL
    int64_t mix_total;
    char *text; // of the template file; NULL: the templates above
};

struct scenario_kind {
    const char *name, *summary;
    unsigned uses;
    int64_t tries;
    bool checkable;
    // Fills kind, template, counter, resource and quantity.
    void (*task)(const struct scenario *scenario, int64_t n, struct task *ret_task);
};

// ---- operations ---------------------------------------------------------------------------------

// The first product whose cumulative share reaches the number.
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

static size_t pick_sku(const struct scenario *scenario, int64_t n)
{
    uint64_t random = seeded(scenario->plan->seed, SEEDED_SKU, (uint64_t)n);
    if (scenario->cumulative_shares != NULL)
        return bisect(scenario->cumulative_shares, scenario->resources.n_skus, seeded_unit(random));
    return seeded_below(random, scenario->resources.n_skus);
}

static void deduct_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->template = TEMPLATE_DEDUCT;
    task->counter = pick_sku(scenario, n);
    task->resource = scenario->resources.skus[task->counter];
    task->quantity = scenario->plan->quantity;
}

static void read_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    deduct_task(scenario, n, task);
    task->kind = KIND_READ;
    task->template = TEMPLATE_READ;
    task->quantity = 0;
}

static void issue_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_ISSUE;
    task->template = TEMPLATE_ISSUE;
    task->counter = scenario->resources.n_skus;
    task->resource = scenario->resources.named;
    task->quantity = 0;
}

static void draw_task(const struct scenario *scenario, int64_t n, struct task *task)
{
    (void)n;
    task->kind = KIND_DRAW;
    task->template = TEMPLATE_DRAW;
    task->counter = scenario->resources.n_skus + ((scenario->resources.uses & USES_COUPON) != 0);
    task->resource = scenario->resources.named;
    task->quantity = 0;
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
    task->template = 0;
    task->counter = SIZE_MAX;
    task->resource = scenario->resources.named;
    task->quantity = scenario->plan->quantity;
}

static const struct scenario_kind kinds[] = {
    {"deduct", "each operation deducts units of a product", USES_STOCK, PLAN_UNSET, true,
     deduct_task},
    {"coupon", "each user requests a coupon of one campaign several times",
     USES_COUPON | USES_TRIES, 3, true, issue_task},
    {"draw", "each user draws in one lottery", USES_LOTTERY | USES_TRIES, 1, true, draw_task},
    {"mixed", "deductions, reads, coupons and draws together (--mix)",
     USES_STOCK | USES_COUPON | USES_LOTTERY | USES_MIX, PLAN_UNSET, true, mixed_task},
    {"template", "a request of your own (--template), for any HTTP service; not checked",
     USES_TEMPLATE, PLAN_UNSET, false, template_task},
};

void scenario_task(const struct scenario *scenario, int64_t n, struct task *ret_task)
{
    ret_task->user = n % scenario->plan->users;
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

static void close_file(FILE **file)
{
    if (*file != NULL && *file != stdin)
        (void)fclose(*file);
}

static bool read_text(const char *path, struct buffer *text, char *ret_error)
{
    FILE *file CLEANUP(close_file) = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char chunk[4096];
    size_t got;
    if (file == NULL) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: cannot open %.200s: %s", path,
                          strerror(errno));
        return false;
    }
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0 && text->length <= TEMPLATE_BYTES_MAX)
        buffer_append(text, chunk, got);
    if (ferror(file)) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: cannot read %.200s: %s", path,
                          strerror(errno));
        return false;
    }
    if (text->length > TEMPLATE_BYTES_MAX) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: %.200s is larger than 1 MiB",
                          path);
        return false;
    }
    buffer_append(text, "", 0); // terminates the text, even if the file is empty
    return !text->failed || no_memory(ret_error);
}

static bool read_template(struct scenario *scenario, char *ret_error)
{
    const char *path = scenario->plan->template_path;
    struct buffer text CLEANUP(buffer_release) = {0};
    struct template *compiled = NULL;
    char error[HISTORY_ERROR_MAX];
    if (!read_text(path, &text, ret_error))
        return false;
    bool usable = strlen(text.data) == text.length;
    if (!usable)
        (void)text_copy(error, sizeof error, "it contains a NUL byte");
    else
        usable = template_compile(text.data, "localhost", "", "", &compiled, error);
    template_free(compiled);
    if (!usable) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: %.100s: %.390s", path, error);
        return false;
    }
    scenario->text = text.data;
    text = (struct buffer){0};
    return true;
}

static bool name_skus(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    scenario->resources.n_skus = (size_t)plan->skus;
    scenario->resources.skus = calloc(scenario->resources.n_skus, sizeof *scenario->resources.skus);
    if (scenario->resources.skus == NULL)
        return false;
    for (size_t i = 0; i < scenario->resources.n_skus; i++) {
        char *name = scenario->resources.skus[i];
        if (plan->resource == NULL)
            text_format(name, RESOURCE_MAX + 1, "load-%s-%zu", plan->run, i + 1);
        else if (plan->skus == 1)
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

static bool compute_shares(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    if (plan->spread != SPREAD_ZIPF)
        return true;
    scenario->cumulative_shares =
        calloc(scenario->resources.n_skus, sizeof *scenario->cumulative_shares);
    if (scenario->cumulative_shares == NULL)
        return false;
    double sum = 0;
    for (size_t i = 0; i < scenario->resources.n_skus; i++) {
        sum += pow((double)(i + 1), -plan->zipf_exponent);
        scenario->cumulative_shares[i] = sum;
    }
    for (size_t i = 0; i < scenario->resources.n_skus; i++)
        scenario->cumulative_shares[i] /= sum;
    return true;
}

static bool fill(struct scenario *scenario, char *ret_error)
{
    if ((scenario->resources.uses & USES_TEMPLATE) && !read_template(scenario, ret_error))
        return false;
    if ((scenario->resources.uses & USES_STOCK) &&
        (!name_skus(scenario) || !compute_shares(scenario)))
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
    free(scenario->cumulative_shares);
    free(scenario->text);
    free(scenario);
}
