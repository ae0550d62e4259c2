// Creates what a scenario needs, and notes the state of each counter before the first request.
//
// The service's answers to PUT and GET carry a counter's version and remaining, read together. For
// a prize they carry what remains but no version. The version is 1 if the lottery is new (its own
// version is 1, and every draw and every change increases that). Otherwise both come from the last
// row of the prize's ledger, so that they belong together.
//
// No administrator sets an account: it earns its balance, and one that exists already has so much
// more. The key of that is none of the run's, which begin with the run's name.
//
// What breaks it: other clients that change the same counters at the same time. The checker then
// finds rows that are not of this run.
#include "run/setup.h"

#include "base/text.h"
#include "control/http.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_PAGE 1000
#define LEDGER_PAGES_MAX 20000 // a broken server may send pages without end
#define CODES_MAX 1000000      // of a campaign whose codes are used
#define PRICE_CENTS 100
#define DISCOUNT_PERCENT 10
#define LOTTERY_PRIZES_MAX 64 // api/openapi.yaml

struct setup {
    const struct plan *plan;
    const struct resources *resources;
    struct http *http;
    struct history_counter *counters;
    size_t n_counters;
    char *error;
};

static void json_release(json_t **json)
{
    json_decref(*json);
}

static bool failed(struct setup *setup, const char *format, ...) PRINTF_LIKE(2, 3);

static bool failed(struct setup *setup, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(setup->error, HISTORY_ERROR_MAX, format, args);
    va_end(args);
    return false;
}

// Creates or sets the resource if the plan says so, else reads it. Takes ownership of `body`; NULL
// means out of memory.
static bool fetch(struct setup *setup, const char *path, json_t *body, json_t **ret_answer)
{
    json_t *owned CLEANUP(json_release) = body;
    if (owned == NULL)
        return failed(setup, "out of memory");
    bool put = setup->plan->set_up;
    return http_call(setup->http, put ? "PUT" : "GET", path, put ? owned : NULL, ret_answer,
                     setup->error);
}

static bool read_int(struct setup *setup, const json_t *answer, const char *path, const char *name,
                     int64_t *ret_value)
{
    const json_t *value = json_object_get(answer, name);
    if (!json_is_integer(value))
        return failed(setup, "the answer for %s has no integer '%s': is this a Holdfast service?",
                      path, name);
    *ret_value = json_integer_value(value);
    return true;
}

static struct history_counter *add_counter(struct setup *setup, enum counter_kind kind)
{
    struct history_counter *counter = &setup->counters[setup->n_counters++];
    *counter = (struct history_counter){.kind = kind};
    return counter;
}

// ---- products, accounts and campaigns -----------------------------------------------------------

static bool set_up_sku(struct setup *setup, const char *sku)
{
    char path[128];
    json_t *answer CLEANUP(json_release) = NULL;
    text_format(path, sizeof path, "/v1/stock/%s", sku);
    json_t *body = json_pack("{s:I}", "quantity", (json_int_t)setup->plan->stock);
    // Only what has a price can be ordered.
    if (body != NULL && (scenario_kind_uses(setup->plan->scenario) & USES_ORDERS) != 0)
        (void)json_object_set_new(body, "price_cents", json_integer(PRICE_CENTS));
    if (!fetch(setup, path, body, &answer))
        return false;
    struct history_counter *counter = add_counter(setup, COUNTER_STOCK);
    text_format(counter->name, sizeof counter->name, "stock/%s", sku);
    return read_int(setup, answer, path, "version", &counter->version) &&
           read_int(setup, answer, path, "remaining", &counter->remaining);
}

static bool set_up_account(struct setup *setup, size_t number)
{
    const struct plan *plan = setup->plan;
    const char *user = setup->resources->accounts.names[number];
    char path[128], key[HISTORY_TEXT_MAX + 1];
    json_t *answer CLEANUP(json_release) = NULL;
    json_t *body CLEANUP(json_release) = json_pack("{s:I}", "points", (json_int_t)plan->balance);
    text_format(path, sizeof path, "/v1/points/%s%s", user, plan->set_up ? "/earn" : "");
    text_format(key, sizeof key, "balance-%s-%zu", plan->run, number + 1);
    if (body == NULL)
        return failed(setup, "out of memory");
    if (plan->set_up ? !http_post(setup->http, path, key, body, &answer, setup->error)
                     : !http_call(setup->http, "GET", path, NULL, &answer, setup->error))
        return false;
    struct history_counter *counter = add_counter(setup, COUNTER_POINTS);
    text_format(counter->name, sizeof counter->name, "points/%s", user);
    return read_int(setup, answer, path, "version", &counter->version) &&
           read_int(setup, answer, path, plan->set_up ? "remaining" : "points",
                    &counter->remaining);
}

static bool set_up_campaign(struct setup *setup, const char *campaign)
{
    const struct plan *plan = setup->plan;
    char path[128];
    json_t *answer CLEANUP(json_release) = NULL;
    text_format(path, sizeof path, "/v1/coupons/%s", campaign);
    json_t *body = json_pack("{s:I,s:I}", "total", (json_int_t)plan->total, "per_user_limit",
                             (json_int_t)plan->per_user_limit);
    if (!fetch(setup, path, body, &answer))
        return false;
    struct history_counter *counter = add_counter(setup, COUNTER_COUPON);
    text_format(counter->name, sizeof counter->name, "coupon/%s", campaign);
    return read_int(setup, answer, path, "version", &counter->version) &&
           read_int(setup, answer, path, "remaining", &counter->remaining) &&
           read_int(setup, answer, path, "total", &counter->total) &&
           read_int(setup, answer, path, "per_user_limit", &counter->per_user_limit);
}

// Creates a campaign whose every coupon may be used several times.
static bool set_up_terms(struct setup *setup)
{
    const struct plan *plan = setup->plan;
    char path[128];
    json_t *answer CLEANUP(json_release) = NULL;
    text_format(path, sizeof path, "/v1/coupons/%s", setup->resources->named);
    json_t *body = json_pack("{s:I,s:I,s:i,s:I}", "total", (json_int_t)CODES_MAX, "per_user_limit",
                             (json_int_t)CODES_MAX, "discount_percent", DISCOUNT_PERCENT,
                             "uses_per_code", (json_int_t)plan->code_uses);
    return fetch(setup, path, body, &answer);
}

// Issues a code to the account's user. Its counter begins with its first use.
static bool set_up_code(struct setup *setup, size_t number)
{
    const char *user = setup->resources->accounts.names[number], *code;
    char path[128], key[HISTORY_TEXT_MAX + 1];
    json_t *answer CLEANUP(json_release) = NULL;
    json_t *body CLEANUP(json_release) = json_pack("{s:s}", "user_id", user);
    text_format(path, sizeof path, "/v1/coupons/%s/issue", setup->resources->named);
    text_format(key, sizeof key, "code-%s-%zu", setup->plan->run, number + 1);
    if (body == NULL)
        return failed(setup, "out of memory");
    if (!http_post(setup->http, path, key, body, &answer, setup->error))
        return false;
    code = json_string_value(json_object_get(answer, "code"));
    if (code == NULL || !text_copy(setup->resources->codes[number], CODE_MAX + 1, code))
        return failed(setup, "the answer for %s has no code: is this a Holdfast service?", path);
    struct history_counter *counter = add_counter(setup, COUNTER_CODE);
    text_format(counter->name, sizeof counter->name, "code/%s", code);
    counter->total = setup->plan->code_uses;
    counter->owner = user;
    return true;
}

static bool set_up_codes(struct setup *setup)
{
    bool done = setup->resources->n_codes == 0 || set_up_terms(setup);
    for (size_t i = 0; done && i < setup->resources->n_codes; i++)
        done = set_up_code(setup, i);
    return done;
}

// ---- lotteries ----------------------------------------------------------------------------------

// Reads version and remaining from the last row of the counter's ledger.
static bool read_last_row(struct setup *setup, struct history_counter *counter)
{
    int64_t after = 0;
    for (int pages = 0; pages < LEDGER_PAGES_MAX; pages++) {
        char path[256];
        json_t *page CLEANUP(json_release) = NULL;
        text_format(path, sizeof path, "/v1/ledger?counter=%s&after_version=%lld&limit=%d",
                    counter->name, (long long)after, LEDGER_PAGE);
        if (!http_call(setup->http, "GET", path, NULL, &page, setup->error))
            return false;
        const json_t *rows = json_object_get(page, "rows");
        size_t n = json_array_size(rows);
        const json_t *last = n > 0 ? json_array_get(rows, n - 1) : NULL;
        if (last == NULL && after == 0)
            return failed(setup, "the ledger of %s has no rows", counter->name);
        if (last != NULL && (!read_int(setup, last, path, "version", &counter->version) ||
                             !read_int(setup, last, path, "remaining", &counter->remaining)))
            return false;
        if (n < LEDGER_PAGE)
            return true;
        if (counter->version <= after)
            return failed(setup, "the ledger of %s repeats a page", counter->name);
        after = counter->version;
    }
    return failed(setup, "the ledger of %s has more than 20 million rows", counter->name);
}

static bool read_prize(struct setup *setup, const char *lottery, bool is_new, const json_t *prize)
{
    struct history_counter *counter = add_counter(setup, COUNTER_PRIZE);
    const char *name = json_string_value(json_object_get(prize, "prize"));
    if (name == NULL)
        return failed(setup, "a prize of lottery %s has no name: is this a Holdfast service?",
                      lottery);
    text_format(counter->name, sizeof counter->name, "prize/%s/%s", lottery, name);
    if (!read_int(setup, prize, counter->name, "quantity", &counter->total))
        return false;
    if (!is_new)
        return read_last_row(setup, counter);
    counter->version = 1;
    return read_int(setup, prize, counter->name, "remaining", &counter->remaining);
}

static bool read_lottery(struct setup *setup, const char *lottery, const char *path,
                         const json_t *answer)
{
    const json_t *prizes = json_object_get(answer, "prizes");
    size_t n_prizes = json_array_size(prizes);
    if (n_prizes > LOTTERY_PRIZES_MAX)
        return failed(setup, "lottery %s has %zu prizes: is this a Holdfast service?", lottery,
                      n_prizes);
    struct history_counter *counters =
        realloc(setup->counters, (setup->n_counters + 1 + n_prizes) * sizeof *counters);
    if (counters == NULL)
        return failed(setup, "out of memory");
    setup->counters = counters;
    struct history_counter *counter = add_counter(setup, COUNTER_LOTTERY);
    text_format(counter->name, sizeof counter->name, "lottery/%s", lottery);
    if (!read_int(setup, answer, path, "version", &counter->version) ||
        !read_int(setup, answer, path, "remaining", &counter->remaining) ||
        !read_int(setup, answer, path, "draws_per_user", &counter->per_user_limit))
        return false;
    for (size_t i = 0; i < n_prizes; i++) {
        if (!read_prize(setup, lottery, counter->version == 1, json_array_get(prizes, i)))
            return false;
    }
    return true;
}

static json_t *lottery_body(const struct plan *plan)
{
    json_t *prizes = json_array();
    for (size_t i = 0; i < plan->n_prizes; i++) {
        const struct plan_prize *prize = &plan->prizes[i];
        json_t *item = json_pack("{s:s,s:I,s:I}", "prize", prize->name, "quantity",
                                 (json_int_t)prize->quantity, "weight", (json_int_t)prize->weight);
        if (json_array_append_new(prizes, item) != 0) {
            json_decref(prizes);
            return NULL;
        }
    }
    return json_pack("{s:I,s:I,s:o}", "draws_per_user", (json_int_t)plan->per_user_limit,
                     "blank_weight", (json_int_t)plan->blank_weight, "prizes", prizes);
}

static bool set_up_lottery(struct setup *setup, const char *lottery)
{
    char path[128];
    json_t *answer CLEANUP(json_release) = NULL;
    text_format(path, sizeof path, "/v1/lotteries/%s", lottery);
    return fetch(setup, path, lottery_body(setup->plan), &answer) &&
           read_lottery(setup, lottery, path, answer);
}

static bool set_up_all(struct setup *setup)
{
    const struct resources *resources = setup->resources;
    // Room for all but the prizes, because only the service knows how many there are.
    setup->counters = calloc(resources->skus.n + resources->accounts.n + resources->n_codes + 2,
                             sizeof *setup->counters);
    if (setup->counters == NULL)
        return failed(setup, "out of memory");
    for (size_t i = 0; i < resources->skus.n; i++) {
        if (!set_up_sku(setup, resources->skus.names[i]))
            return false;
    }
    for (size_t i = 0; i < resources->accounts.n; i++) {
        if (!set_up_account(setup, i))
            return false;
    }
    return set_up_codes(setup) &&
           ((resources->uses & USES_COUPON) == 0 || set_up_campaign(setup, resources->named)) &&
           ((resources->uses & USES_LOTTERY) == 0 || set_up_lottery(setup, resources->named));
}

bool setup_resources(const struct plan *plan, const struct resources *resources, struct http *http,
                     struct history_head *ret_head, char *ret_error)
{
    struct setup setup = {.plan = plan, .resources = resources, .http = http, .error = ret_error};
    if (!set_up_all(&setup)) {
        free(setup.counters);
        return false;
    }
    ret_head->counters = setup.counters;
    ret_head->n_counters = setup.n_counters;
    return true;
}
