// The table of flags, and the functions that read their values.
//
// To add a flag: an id in flags.h, a row in the table below, and in options.c whatever it
// contradicts. Each value is checked here once and trusted afterwards. A value that is not accepted
// is rejected with the flag's name, the value, and what was expected.
#include "run/flags.h"

#include "base/text.h"
#include "run/arrival.h"
#include "run/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define ID_CHARACTERS LETTERS_AND_DIGITS "._:-"
#define TOKEN_MAX 255
#define RATE_MAX 1e7
#define WEIGHT_MAX INT64_C(1000000000)
#define QUANTITY_MAX INT64_C(1000000)

static void *member(const struct flag *flag, struct plan *plan)
{
    return (char *)plan + flag->offset;
}

static bool rejected(const struct flag *flag, const char *text, char *ret_error, const char *format,
                     ...) PRINTF_LIKE(4, 5);

static bool rejected(const struct flag *flag, const char *text, char *ret_error, const char *format,
                     ...)
{
    char expected[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    (void)text_format(ret_error, HISTORY_ERROR_MAX, "%s: '%.60s' is not %s", flag->name, text,
                      expected);
    return false;
}

// ---- numbers ------------------------------------------------------------------------------------

static bool value_integer(const struct flag *flag, const char *text, struct plan *plan,
                          char *ret_error)
{
    int64_t value;
    if (!text_to_int64(text, &value) || value < flag->min || value > flag->max)
        return rejected(flag, text, ret_error, "a whole number from %lld to %lld",
                        (long long)flag->min, (long long)flag->max);
    *(int64_t *)member(flag, plan) = value;
    return true;
}

// Reads a decimal number at the beginning of the text; *ret_rest is what follows it. A number that
// is too large becomes infinite, and the callers' bounds reject it.
static bool read_number(const char *text, double *ret_value, const char **ret_rest)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] == 'x' || text[digits] == 'X')
        return false;
    // strtod would read "1." of "1..2".
    bool range = strncmp(text + digits, "..", 2) == 0;
    char *rest;
    *ret_value = strtod(text, &rest);
    *ret_rest = range ? text + digits : rest;
    return true;
}

static bool value_exponent(const struct flag *flag, const char *text, struct plan *plan,
                           char *ret_error)
{
    double value = 0;
    const char *rest;
    if (!read_number(text, &value, &rest) || *rest != '\0' || value > 10)
        return rejected(flag, text, ret_error, "a number from 0 to 10, such as 0.99");
    *(double *)member(flag, plan) = value;
    return true;
}

static bool value_share(const struct flag *flag, const char *text, struct plan *plan,
                        char *ret_error)
{
    double value = 0;
    const char *rest;
    bool number = read_number(text, &value, &rest);
    if (number && strcmp(rest, "%") == 0) {
        value /= 100;
        rest++;
    }
    if (!number || *rest != '\0' || value > 1)
        return rejected(flag, text, ret_error,
                        "a share from 0 to 1, such as 0.05, or a percentage, such as 5%%");
    *(double *)member(flag, plan) = value;
    return true;
}

static bool value_rate(const struct flag *flag, const char *text, struct plan *plan,
                       char *ret_error)
{
    double from = 0, to = 0;
    const char *rest;
    bool number = read_number(text, &from, &rest), ramp = false;
    to = from;
    if (number && strncmp(rest, "..", 2) == 0) {
        ramp = true;
        number = read_number(rest + 2, &to, &rest);
    }
    if (!number || *rest != '\0' || from > RATE_MAX || to > RATE_MAX || from + to <= 0)
        return rejected(flag, text, ret_error,
                        "operations a second, such as 500, or a ramp, such as 100..2000, up to "
                        "10000000");
    plan->rate = from;
    plan->rate_to = ramp ? to : (double)PLAN_UNSET;
    return true;
}

static bool value_duration(const struct flag *flag, const char *text, struct plan *plan,
                           char *ret_error)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
    double value = 0;
    const char *rest;
    bool number = read_number(text, &value, &rest);
    for (size_t i = 0; number && i < ARRAY_LENGTH(units); i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        value *= units[i].ns;
        if (value < (double)flag->min || value > (double)flag->max)
            break;
        *(int64_t *)member(flag, plan) = (int64_t)value;
        return true;
    }
    if (number && value == 0 && *rest == '\0' && flag->min == 0) {
        *(int64_t *)member(flag, plan) = 0;
        return true;
    }
    return rejected(flag, text, ret_error,
                    "a time with its unit (ms, s, m or h), such as 500ms or 10s, from %s to %lldh",
                    flag->min == 0 ? "0" : "1ms", (long long)(flag->max / INT64_C(3600000000000)));
}

// ---- texts --------------------------------------------------------------------------------------

static bool value_path(const struct flag *flag, const char *text, struct plan *plan,
                       char *ret_error)
{
    if (*text == '\0')
        return rejected(flag, text, ret_error, "a file path");
    *(const char **)member(flag, plan) = text;
    return true;
}

static bool value_token(const struct flag *flag, const char *text, struct plan *plan,
                        char *ret_error)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e)
            length = 0; // it would break the request's head
    }
    if (length == 0 || length > TOKEN_MAX) { // the message does not repeat a secret
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: expected 1 to %d visible ASCII characters", flag->name, TOKEN_MAX);
        return false;
    }
    *(const char **)member(flag, plan) = text;
    return true;
}

static bool is_id(const char *text, size_t max)
{
    size_t length = strspn(text, ID_CHARACTERS);
    return length > 0 && length <= max && text[length] == '\0';
}

static bool value_id(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (!is_id(text, ID_MAX))
        return rejected(flag, text, ret_error, "1 to 64 of A-Z a-z 0-9 . _ : -");
    *(const char **)member(flag, plan) = text;
    return true;
}

static bool value_run(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (!is_id(text, HISTORY_RUN_MAX))
        return rejected(flag, text, ret_error, "1 to 16 of A-Z a-z 0-9 . _ : -");
    return text_copy(plan->run, sizeof plan->run, text);
}

static bool value_scenario(const struct flag *flag, const char *text, struct plan *plan,
                           char *ret_error)
{
    const struct scenario_kind *kind = scenario_kind_find(text);
    if (kind == NULL) {
        char names[128];
        scenario_kinds_list(0, names, sizeof names);
        return rejected(flag, text, ret_error, "one of %s", names);
    }
    plan->scenario = kind;
    return true;
}

static bool value_arrival(const struct flag *flag, const char *text, struct plan *plan,
                          char *ret_error)
{
    for (enum arrival_kind kind = 0; kind < ARRIVAL_KINDS; kind++) {
        if (strcmp(arrival_name(kind), text) != 0)
            continue;
        plan->arrival = kind;
        return true;
    }
    return rejected(flag, text, ret_error, "one of latch, closed, open, ramp");
}

static bool value_spread(const struct flag *flag, const char *text, struct plan *plan,
                         char *ret_error)
{
    bool zipf = strcmp(text, "zipf") == 0;
    if (!zipf && strcmp(text, "even") != 0)
        return rejected(flag, text, ret_error, "even or zipf");
    plan->spread = zipf ? SPREAD_ZIPF : SPREAD_EVEN;
    return true;
}

static bool value_spacing(const struct flag *flag, const char *text, struct plan *plan,
                          char *ret_error)
{
    plan->poisson = strcmp(text, "poisson") == 0;
    return plan->poisson || strcmp(text, "even") == 0 ||
           rejected(flag, text, ret_error, "poisson or even");
}

static bool value_requirement(const struct flag *flag, const char *text, struct plan *plan,
                              char *ret_error)
{
    char error[HISTORY_ERROR_MAX];
    if (plan->n_requirements == REQUIREMENTS_MAX) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "%s: it may be given at most %d times",
                          flag->name, REQUIREMENTS_MAX);
        return false;
    }
    if (!requirement_parse(text, &plan->requirements[plan->n_requirements], error)) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "%s: %.480s", flag->name, error);
        return false;
    }
    plan->n_requirements++;
    return true;
}

// ---- lists --------------------------------------------------------------------------------------

// Copies the part up to the separator, and skips the separator. False if the part is empty or too
// long.
static bool next_part(const char **at, char separator, char *target, size_t size)
{
    const char stop[] = {separator, '\0'};
    size_t length = strcspn(*at, stop);
    target[0] = '\0';
    bool fits = length > 0 && text_format(target, size, "%.*s", (int)length, *at);
    *at += length + ((*at)[length] != '\0');
    return fits;
}

static bool read_prize(const char *text, struct plan_prize *prize)
{
    char quantity[24], weight[24];
    return next_part(&text, ':', prize->name, sizeof prize->name) &&
           prize->name[strspn(prize->name, LETTERS_AND_DIGITS "._-")] == '\0' &&
           next_part(&text, ':', quantity, sizeof quantity) &&
           text_to_int64(quantity, &prize->quantity) && prize->quantity >= 0 &&
           prize->quantity <= QUANTITY_MAX && next_part(&text, ':', weight, sizeof weight) &&
           text_to_int64(weight, &prize->weight) && prize->weight >= 0 &&
           prize->weight <= WEIGHT_MAX && *text == '\0';
}

static bool is_new_prize(const struct plan *plan, const struct plan_prize *prize)
{
    for (size_t i = 0; i < plan->n_prizes; i++) {
        if (strcmp(plan->prizes[i].name, prize->name) == 0)
            return false;
    }
    return true;
}

static bool value_prizes(const struct flag *flag, const char *text, struct plan *plan,
                         char *ret_error)
{
    char part[80];
    plan->n_prizes = 0;
    while (*text != '\0') {
        struct plan_prize prize;
        if (!next_part(&text, ',', part, sizeof part) || !read_prize(part, &prize) ||
            !is_new_prize(plan, &prize) || plan->n_prizes == PRIZES_MAX) {
            (void)text_format(ret_error, HISTORY_ERROR_MAX,
                              "%s: '%.60s' is not a prize NAME:QUANTITY:WEIGHT, such as "
                              "silver:10:19; each of the at most %d prizes needs a different "
                              "name of at most 32 letters and digits",
                              flag->name, part, PRIZES_MAX);
            return false;
        }
        plan->prizes[plan->n_prizes++] = prize;
    }
    if (plan->n_prizes == 0)
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: expected at least one prize, such as gold:1:1", flag->name);
    return plan->n_prizes > 0;
}

// Reads "deduct=60". Rejects a kind that has a weight already (not -1).
static bool read_weight(const char *text, int64_t *mix)
{
    char name[16];
    int64_t weight;
    if (!next_part(&text, '=', name, sizeof name) || !text_to_int64(text, &weight) || weight < 0 ||
        weight > WEIGHT_MAX)
        return false;
    for (enum attempt_kind kind = 0; kind < KIND_COUNT; kind++) {
        if (kind == KIND_OTHER || strcmp(attempt_kind_name(kind), name) != 0 || mix[kind] >= 0)
            continue;
        mix[kind] = weight;
        return true;
    }
    return false;
}

static bool value_mix(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    char part[40];
    int64_t mix[KIND_COUNT], sum = 0;
    for (size_t i = 0; i < KIND_COUNT; i++)
        mix[i] = -1;
    while (*text != '\0') {
        if (next_part(&text, ',', part, sizeof part) && read_weight(part, mix))
            continue;
        (void)text_format(
            ret_error, HISTORY_ERROR_MAX,
            "%s: '%.39s' is not one of deduct, issue, draw, earn, spend, transfer, "
            "reserve, order, redeem, read with its weight, such as deduct=60; each may be given once",
            flag->name, part);
        return false;
    }
    for (size_t i = 0; i < KIND_COUNT; i++) {
        plan->mix[i] = mix[i] > 0 ? mix[i] : 0;
        sum += plan->mix[i];
    }
    if (sum == 0)
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: the weights are all 0; expected a list such as deduct=60,read=40",
                          flag->name);
    return sum > 0;
}

static const char *const then_names[THEN_COUNT] = {
    [THEN_CONFIRM] = "confirm", [THEN_RELEASE] = "release", [THEN_EXTEND] = "extend",
    [THEN_RETURN] = "return",   [THEN_LEAVE] = "leave",
};

static bool value_then(const struct flag *flag, const char *text, struct plan *plan,
                       char *ret_error)
{
    char part[40], name[16];
    int64_t sum = 0, weights[THEN_COUNT] = {0};
    while (*text != '\0') {
        const char *rest = part;
        int64_t weight = -1;
        size_t i = 0;
        bool read = next_part(&text, ',', part, sizeof part) &&
                    next_part(&rest, '=', name, sizeof name) && text_to_int64(rest, &weight);
        while (read && i < THEN_COUNT && strcmp(then_names[i], name) != 0)
            i++;
        if (!read || i == THEN_COUNT || weight < 0 || weight > WEIGHT_MAX || weights[i] > 0) {
            (void)text_format(ret_error, HISTORY_ERROR_MAX,
                              "%s: '%.39s' is not one of confirm, release, extend, return, leave "
                              "with its weight, such as confirm=4; each may be given once",
                              flag->name, part);
            return false;
        }
        weights[i] = weight;
        sum += weight;
    }
    memcpy(plan->then, weights, sizeof plan->then);
    if (sum == weights[THEN_EXTEND])
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: expected a list that ends, such as confirm=4,leave=1", flag->name);
    return sum > weights[THEN_EXTEND];
}

// ---- the table ----------------------------------------------------------------------------------

#define MS INT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

// Most rows store one member of the plan.
#define INTO(member) .offset = offsetof(struct plan, member)
#define INTEGER(member, low, high) .read = value_integer, INTO(member), .min = (low), .max = (high)
#define DURATION(member, low, high)                                                                \
    .read = value_duration, INTO(member), .min = (low), .max = (high)
#define SWITCH(member, on) .read = NULL, INTO(member), .min = (on)

const struct flag run_flags[FLAG_COUNT] = {
    [FLAG_SCENARIO] = {"--scenario", "NAME", "kind of operations, see below (deduct)",
                       .read = value_scenario, .heading = "Operations"},
    [FLAG_TEMPLATE] = {"--template", "FILE", "a request of your own; - reads standard input",
                       .read = value_path, INTO(template_path), .uses = USES_TEMPLATE},
    [FLAG_RESOURCE] = {"--resource", "NAME",
                       "SKU, account, campaign or lottery to use (new ones, load-RUN-1, ...)",
                       .read = value_id, INTO(resource)},
    [FLAG_NO_SETUP] = {"--no-setup", NULL, "use what exists and create nothing; needs --resource",
                       SWITCH(set_up, false),
                       .uses = USES_STOCK | USES_POINTS | USES_COUPON | USES_LOTTERY},
    [FLAG_SKUS] = {"--skus", "N", "number of products; several are named NAME-1 to NAME-N (1)",
                   INTEGER(skus, 1, 100000), .uses = USES_STOCK},
    [FLAG_STOCK] = {"--stock", "N", "units of each product (half of the demand, or a million)",
                    INTEGER(stock, 0, 1000000), .uses = USES_STOCK, .creates = true},
    [FLAG_ACCOUNTS] = {"--accounts", "N",
                       "number of accounts of points, named as products are (20)",
                       INTEGER(accounts, 1, 100000), .uses = USES_POINTS},
    [FLAG_BALANCE] = {"--balance", "N",
                      "points that each account begins with (10 times --quantity)",
                      INTEGER(balance, 1, 1000000), .uses = USES_POINTS, .creates = true},
    [FLAG_QUANTITY] = {"--quantity", "N", "units or points of each operation (1)",
                       INTEGER(quantity, 1, 1000000),
                       .uses = USES_STOCK | USES_POINTS | USES_TEMPLATE},
    [FLAG_SPREAD] = {"--spread", "even|zipf",
                     "how products and accounts are chosen: equally, or a few hot ones (even)",
                     .read = value_spread, .uses = USES_STOCK | USES_POINTS},
    [FLAG_ZIPF] = {"--zipf", "S", "exponent: product or account k has a share of 1 / k^S (0.99)",
                   .read = value_exponent, INTO(zipf_exponent), .uses = USES_STOCK | USES_POINTS},
    [FLAG_USERS] = {"--users", "M", "number of users, who take turns (1000)",
                    INTEGER(users, 1, 1000000000)},
    [FLAG_TRIES] = {"--tries", "K", "operations of each user (coupon 3, draw 1)",
                    INTEGER(tries, 1, 1000000), .uses = USES_TRIES},
    [FLAG_TOTAL] = {"--total", "N", "coupons in all (half the users)",
                    INTEGER(total, 0, 1000000000), .uses = USES_COUPON, .creates = true},
    [FLAG_PER_USER] = {"--per-user", "N", "coupons or draws allowed per user (1)",
                       INTEGER(per_user_limit, 1, 1000000), .uses = USES_COUPON | USES_LOTTERY,
                       .creates = true},
    [FLAG_PRIZES] = {"--prizes", "LIST", "NAME:QUANTITY:WEIGHT,... (gold:1:1,silver:10:19)",
                     .read = value_prizes, .uses = USES_LOTTERY, .creates = true},
    [FLAG_BLANK] = {"--blank", "N", "weight of a draw without a prize (80)",
                    INTEGER(blank_weight, 0, 1000000000), .uses = USES_LOTTERY, .creates = true},
    [FLAG_MIX] = {"--mix", "LIST", "weights of the kinds, see below", .read = value_mix,
                  .uses = USES_MIX},
    [FLAG_TTL] = {"--ttl", "TIME", "how long a reservation is held, in whole seconds (2s)",
                  DURATION(ttl_ns, 1000 * MS, 24 * HOUR), .uses = USES_HOLDS},
    [FLAG_LINES] = {"--lines", "N", "products of a reservation at most (1)",
                    INTEGER(lines, 1, PLAN_LINES_MAX), .uses = USES_HOLDS},
    [FLAG_THEN] = {"--then", "LIST", "what follows (confirm=4,release=2,extend=1,return=2,leave=1)",
                   .read = value_then, .uses = USES_HOLDS},
    [FLAG_LEAVE] = {"--leave", "P", "share of reservations whose user never returns (by --then)",
                    .read = value_share, INTO(leave), .uses = USES_HOLDS},
    [FLAG_PARTIAL] = {"--partial", "P",
                      "share of confirmations that sell a part, if there is one (0.25)",
                      .read = value_share, INTO(partial), .uses = USES_HOLDS},
    [FLAG_CANCEL] = {"--cancel", "P", "share of orders that are cancelled (0.12)",
                     .read = value_share, INTO(cancel), .uses = USES_ORDERS},
    [FLAG_REFUND] = {"--refund", "P", "share of orders that get a refund of a line (0.28)",
                     .read = value_share, INTO(refund), .uses = USES_ORDERS},
    [FLAG_CODE] = {"--code", "P", "share of orders with the code of a coupon (0.1)",
                   .read = value_share, INTO(code), .uses = USES_CODES, .creates = true},
    [FLAG_USES] = {"--uses", "N", "uses of each code, one code for each account (10)",
                   INTEGER(code_uses, 1, 1000000), .uses = USES_CODES, .creates = true},
    [FLAG_STRATEGY] = {"--strategy", "NAME",
                       "strategy for these requests (X-Holdfast-Strategy; lab mode)",
                       .read = value_id, INTO(strategy)},

    [FLAG_ARRIVAL] = {"--arrival", "KIND", "latch, closed, open or ramp, see below (closed)",
                      .read = value_arrival, .heading = "Arrival"},
    [FLAG_CONNECTIONS] = {"--connections", "N",
                          "keep-alive connections (64; latch: one a request, up to 1000)",
                          INTEGER(connections, 1, 100000)},
    [FLAG_REQUESTS] = {"--requests", "N",
                       "operations in all (latch 1000; coupon, draw: users x tries)",
                       INTEGER(requests, 1, INT64_C(1000000000000))},
    [FLAG_DURATION] = {"--duration", "TIME", "length of the run: 500ms, 10s, 5m, 1h (10s)",
                       DURATION(duration_ns, MS, 30 * 24 * HOUR)},
    [FLAG_RATE] = {"--rate", "R", "operations a second: R (open) or FROM..TO (ramp)",
                   .read = value_rate},
    [FLAG_SPACING] = {"--spacing", "poisson|even",
                      "gaps between the starts of an open loop or ramp (poisson)",
                      .read = value_spacing},

    [FLAG_RETRY] = {"--retry", "N", "retries of an operation at most, with the same key (0)",
                    INTEGER(retries, 0, 100), .heading = "Client behaviour"},
    [FLAG_DUPLICATE] = {"--duplicate", "P",
                        "share of operations sent twice at once, 0.05 or 5% (0)",
                        .read = value_share, INTO(duplicate)},
    [FLAG_THINK] = {"--think", "TIME", "pause of a user between two operations (0)",
                    DURATION(think_ns, 0, HOUR)},
    [FLAG_TIMEOUT] = {"--timeout", "TIME", "longest wait for a whole answer (5s)",
                      DURATION(timeout_ns, MS, HOUR)},
    [FLAG_THREADS] = {"--threads", "N", "threads of the load tester (1)", INTEGER(threads, 1, 64)},
    [FLAG_SEED] = {"--seed", "N", "the same seed makes the same choices (random)",
                   INTEGER(seed, 0, INT64_MAX)},
    [FLAG_RUN] = {"--run", "NAME", "prefix of the run's keys and new names (random)",
                  .read = value_run},
    [FLAG_ADMIN_TOKEN] = {"--admin-token", "T", "admin token (HOLDFAST_AUTH_ADMIN_TOKEN)",
                          .read = value_token, INTO(admin_token)},
    [FLAG_CLIENT_TOKEN] = {"--client-token", "T", "client token (HOLDFAST_AUTH_CLIENT_TOKEN)",
                           .read = value_token, INTO(client_token)},

    [FLAG_HISTORY] = {"--history", "FILE", "record every request, for `holdfast-load check`",
                      .read = value_path, INTO(history_path), .heading = "Results"},
    [FLAG_JSON] = {"--json", "FILE", "write the report as JSON", .read = value_path,
                   INTO(json_path)},
    [FLAG_HTML] = {"--html", "FILE", "write the report as one HTML page", .read = value_path,
                   INTO(html_path)},
    [FLAG_REQUIRE] = {"--require", "EXPR", "such as 'p99<20ms'; exit code 1 if not met; repeatable",
                      .read = value_requirement},
    [FLAG_NO_CHECK] = {"--no-check", NULL, "measure only: do not check the history",
                       SWITCH(check, false)},
    [FLAG_ALLOW_FOREIGN] = {"--allow-foreign", NULL, "do not report ledger rows of other clients",
                            SWITCH(allow_foreign, true)},
    [FLAG_QUIET] = {"--quiet", NULL, "do not show the live line", SWITCH(quiet, true)},
    [FLAG_HELP] = {"--help", NULL, "show this help", .read = NULL},
};
