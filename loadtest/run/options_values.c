// Reads the values of flags. Each is checked here once and then trusted. A value that does not fit
// is refused with the flag's name, the value, and what was expected. Lists are in options_lists.c.
#include "run/options_parts.h"

#include "base/text.h"
#include "run/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
#define ID_MAX 64
#define TOKEN_MAX 255
#define RATE_MAX 1e7

static void *member(const struct flag *flag, struct plan *plan)
{
    return (char *)plan + flag->offset;
}

static bool refused(const struct flag *flag, const char *text, char *ret_error, const char *format,
                    ...) PRINTF_LIKE(4, 5);

static bool refused(const struct flag *flag, const char *text, char *ret_error, const char *format,
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

// ---- numbers

bool value_integer(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    int64_t value;
    if (!text_to_int64(text, &value) || value < flag->min || value > flag->max)
        return refused(flag, text, ret_error, "a whole number from %lld to %lld",
                       (long long)flag->min, (long long)flag->max);
    *(int64_t *)member(flag, plan) = value;
    return true;
}

// A decimal number at the beginning; *ret_rest is what stands behind it. Too large a one is
// infinite: callers have a bound anyway.
static bool read_number(const char *text, double *ret_value, const char **ret_rest)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] == 'x' || text[digits] == 'X')
        return false;
    // Of "1..2" strtod would take "1.".
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
        return refused(flag, text, ret_error, "a number from 0 to 10, as 0.99");
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
        return refused(flag, text, ret_error,
                       "a share from 0 to 1, as 0.05, or in percent, as 5%%");
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
        return refused(flag, text, ret_error,
                       "operations a second, as 500, or a ramp, as 100..2000, up to "
                       "10000000");
    plan->rate = from;
    plan->rate_to = ramp ? to : (double)PLAN_OPEN;
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
    return refused(flag, text, ret_error,
                   "a time with its unit (ms, s, m or h), as 500ms or 10s, from %s to %lldh",
                   flag->min == 0 ? "0" : "1ms", (long long)(flag->max / INT64_C(3600000000000)));
}

// ---- texts

bool value_path(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (*text == '\0')
        return refused(flag, text, ret_error, "a file's path");
    *(const char **)member(flag, plan) = text;
    return true;
}

bool value_token(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e)
            length = 0; // it would break the head that it stands in
    }
    if (length == 0 || length > TOKEN_MAX) { // a secret: it is not repeated
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
        return refused(flag, text, ret_error, "1 to 64 of A-Z a-z 0-9 . _ : -");
    *(const char **)member(flag, plan) = text;
    return true;
}

bool value_run(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    if (!is_id(text, HISTORY_RUN_MAX))
        return refused(flag, text, ret_error, "1 to 16 of A-Z a-z 0-9 . _ : -");
    return text_copy(plan->run, sizeof plan->run, text);
}

bool value_scenario(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    const struct scenario_kind *kind = scenario_kind_find(text);
    if (kind == NULL) {
        char names[128];
        scenario_kinds_list(0, names, sizeof names);
        return refused(flag, text, ret_error, "one of %s", names);
    }
    plan->scenario = kind;
    return true;
}

static const char *const arrivals[] = {
    [ARRIVAL_LATCH] = "latch",
    [ARRIVAL_CLOSED] = "closed",
    [ARRIVAL_OPEN] = "open",
    [ARRIVAL_RAMP] = "ramp",
};

const char *arrival_name(enum arrival_kind kind)
{
    return arrivals[kind];
}

bool value_arrival(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    for (size_t i = 0; i < ARRAY_LENGTH(arrivals); i++) {
        if (strcmp(arrivals[i], text) != 0)
            continue;
        plan->arrival = (enum arrival_kind)i;
        return true;
    }
    return refused(flag, text, ret_error, "one of latch, closed, open, ramp");
}

bool value_spread(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    bool zipf = strcmp(text, "zipf") == 0;
    if (!zipf && strcmp(text, "even") != 0)
        return refused(flag, text, ret_error, "even or zipf");
    plan->spread = zipf ? SPREAD_ZIPF : SPREAD_EVEN;
    return true;
}

bool value_spacing(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    plan->poisson = strcmp(text, "poisson") == 0;
    return plan->poisson || strcmp(text, "even") == 0 ||
           refused(flag, text, ret_error, "poisson or even");
}

bool value_requirement(const struct flag *flag, const char *text, struct plan *plan,
                       char *ret_error)
{
    char error[HISTORY_ERROR_MAX];
    if (plan->n_requirements == REQUIREMENTS_MAX) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "%s: there can be %d of them", flag->name,
                          REQUIREMENTS_MAX);
        return false;
    }
    if (!requirement_parse(text, &plan->requirements[plan->n_requirements], error)) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "%s: %.480s", flag->name, error);
        return false;
    }
    plan->n_requirements++;
    return true;
}
