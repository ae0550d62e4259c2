// The functions that read the flags' values. Each value is checked here once and trusted
// afterwards. A value that is not accepted is rejected with the flag's name, the value, and what
// was expected.
#include "run/flag_values.h"

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

bool value_integer(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_exponent(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    double value = 0;
    const char *rest;
    if (!read_number(text, &value, &rest) || *rest != '\0' || value > 10)
        return rejected(flag, text, ret_error, "a number from 0 to 10, such as 0.99");
    *(double *)member(flag, plan) = value;
    return true;
}

bool value_share(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_rate(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_duration(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_path(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (*text == '\0')
        return rejected(flag, text, ret_error, "a file path");
    *(const char **)member(flag, plan) = text;
    return true;
}

bool value_token(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_id(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (!is_id(text, ID_MAX))
        return rejected(flag, text, ret_error, "1 to 64 of A-Z a-z 0-9 . _ : -");
    *(const char **)member(flag, plan) = text;
    return true;
}

bool value_run(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (!is_id(text, HISTORY_RUN_MAX))
        return rejected(flag, text, ret_error, "1 to 16 of A-Z a-z 0-9 . _ : -");
    return text_copy(plan->run, sizeof plan->run, text);
}

bool value_scenario(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_arrival(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    for (enum arrival_kind kind = 0; kind < ARRIVAL_KINDS; kind++) {
        if (strcmp(arrival_name(kind), text) != 0)
            continue;
        plan->arrival = kind;
        return true;
    }
    return rejected(flag, text, ret_error, "one of latch, closed, open, ramp");
}

bool value_spread(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    bool zipf = strcmp(text, "zipf") == 0;
    if (!zipf && strcmp(text, "even") != 0)
        return rejected(flag, text, ret_error, "even or zipf");
    plan->spread = zipf ? SPREAD_ZIPF : SPREAD_EVEN;
    return true;
}

bool value_route(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    plan->routed = strcmp(text, "resource") == 0;
    return plan->routed || strcmp(text, "any") == 0 ||
           rejected(flag, text, ret_error, "any or resource");
}

bool value_keys(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    static const char *const names[KEY_KINDS] = {"run", "uuid4", "uuid7"};
    for (size_t i = 0; i < KEY_KINDS; i++) {
        plan->keys = (enum key_kind)i;
        if (strcmp(text, names[i]) == 0)
            return true;
    }
    return rejected(flag, text, ret_error, "run, uuid4 or uuid7");
}

bool value_spacing(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    plan->poisson = strcmp(text, "poisson") == 0;
    return plan->poisson || strcmp(text, "even") == 0 ||
           rejected(flag, text, ret_error, "poisson or even");
}

bool value_requirement(const struct flag *flag, const char *text, struct plan *plan,
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

bool value_prizes(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_mix(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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

bool value_then(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
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
