// Requirements: conditions on one figure of a run, given on the command line, so that a build can
// fail on them.
//
// One table of metrics: each row knows its units and how to read its value from a summary. A value
// that was not measured fails every requirement: an empty run has no p99 below 20 ms, and a run
// that was not checked has no "0 violations".
#include "report/requirement.h"

#include "base/clock.h"
#include "base/text.h"
#include "history/history.h"
#include "report/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum family { FAMILY_TIME, FAMILY_RATE, FAMILY_COUNT, FAMILY_SHARE };

struct metric {
    const char *name, *help;
    enum family family;
    // In the unit with this scale; NaN if nothing was measured.
    double (*read)(const struct summary *summary, const struct metric *metric, double scale);
    double quantile;
    size_t offset; // of a counter in struct measure
};

static double read_quantile(const struct summary *summary, const struct metric *metric,
                            double scale)
{
    const struct histogram *latency = &summary->measure->ok_latency;
    if (latency->count == 0)
        return NAN;
    return (double)histogram_quantile(latency, metric->quantile) / scale;
}

static double read_mean(const struct summary *summary, const struct metric *metric, double scale)
{
    (void)metric;
    const struct histogram *latency = &summary->measure->ok_latency;
    return latency->count > 0 ? histogram_mean(latency) / scale : NAN;
}

static double read_rate(const struct summary *summary, const struct metric *metric, double scale)
{
    (void)metric;
    return figures_rate(figures_answered(summary->measure), summary->duration_s) * scale;
}

static double read_ok_rate(const struct summary *summary, const struct metric *metric, double scale)
{
    (void)metric;
    return figures_rate(summary->measure->classes[ANSWER_OK], summary->duration_s) * scale;
}

static double read_count(const struct summary *summary, const struct metric *metric, double scale)
{
    const char *at = (const char *)summary->measure + metric->offset;
    int64_t count;
    memcpy(&count, at, sizeof count);
    return (double)count * scale;
}

static double read_violations(const struct summary *summary, const struct metric *metric,
                              double scale)
{
    (void)metric;
    if (summary->verdict == NULL || !summary->verdict->done)
        return NAN;
    return (double)summary->verdict->violations * scale;
}

static double read_error_share(const struct summary *summary, const struct metric *metric,
                               double scale)
{
    (void)metric;
    int64_t all = figures_ended(summary->measure);
    return all > 0 ? (double)summary->measure->classes[ANSWER_ERROR] * scale / (double)all : NAN;
}

#define QUANTILE(name, quantile, help)                                                             \
    {                                                                                              \
        name, help, FAMILY_TIME, read_quantile, quantile, 0                                        \
    }
#define COUNT(name, member, help)                                                                  \
    {                                                                                              \
        name, help, FAMILY_COUNT, read_count, 0, offsetof(struct measure, member)                  \
    }

static const struct metric metrics[] = {
    QUANTILE("p50", 0.5, "latency that half of the successes did not exceed (us, ms or s)"),
    QUANTILE("p90", 0.9, "the same for 90 of 100 successes"),
    QUANTILE("p95", 0.95, "for 95 of 100"),
    QUANTILE("p99", 0.99, "for 99 of 100"),
    QUANTILE("p99.9", 0.999, "for 999 of 1,000"),
    QUANTILE("p99.99", 0.9999, "for 9,999 of 10,000"),
    QUANTILE("max", 1, "the longest latency of a success"),
    {"mean", "the mean latency of the successes", FAMILY_TIME, read_mean, 0, 0},
    {"rate", "answered requests a second", FAMILY_RATE, read_rate, 0, 0},
    {"ok_rate", "requests a second that were answered with a 2xx", FAMILY_RATE, read_ok_rate, 0, 0},
    COUNT("requests", requests_sent, "requests sent"),
    COUNT("operations", operations_done, "operations completed"),
    COUNT("ok", classes[ANSWER_OK], "requests answered with a 2xx"),
    COUNT("refused", classes[ANSWER_REFUSED], "requests refused: 409 and every other 4xx"),
    COUNT("errors", classes[ANSWER_ERROR], "requests that failed: 5xx, timeout, connection"),
    COUNT("unknown", unknown, "requests with unknown outcome: they may have had an effect"),
    COUNT("retries", retries, "requests sent again after an error"),
    COUNT("duplicates", duplicates, "requests sent twice on purpose"),
    COUNT("replays", replays, "answers that repeat the recorded answer of an earlier request"),
    COUNT("timeouts", timeouts, "requests that timed out"),
    COUNT("malformed", malformed, "answers that broke HTTP or the API's description"),
    {"violations", "violations of invariants that the checker found", FAMILY_COUNT, read_violations,
     0, 0},
    {"error_share", "errors among all requests, as a number or in %", FAMILY_SHARE,
     read_error_share, 0, 0},
};

static const struct {
    enum family family;
    const char *name;
    double scale;
} units[] = {
    {FAMILY_TIME, "us", 1e3}, {FAMILY_TIME, "ms", NS_PER_MS}, {FAMILY_TIME, "s", NS_PER_S},
    {FAMILY_RATE, "", 1},     {FAMILY_RATE, "/s", 1},         {FAMILY_COUNT, "", 1},
    {FAMILY_SHARE, "", 1},    {FAMILY_SHARE, "%", 100},
};

// Longer operators come before their prefixes.
static const struct {
    const char *text;
    enum comparison comparison;
} comparisons[] = {
    {"<=", LESS_OR_EQUAL}, {">=", GREATER_OR_EQUAL}, {"==", EQUAL}, {"!=", UNEQUAL},
    {"<", LESS},           {">", GREATER},
};

static const char *after_spaces(const char *at)
{
    return at + strspn(at, " ");
}

static bool parse_metric(const char **at, struct requirement *requirement, char *ret_error)
{
    const char *name = after_spaces(*at);
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789.");
    for (size_t i = 0; i < ARRAY_LENGTH(metrics); i++) {
        if (strlen(metrics[i].name) == length && strncmp(metrics[i].name, name, length) == 0) {
            requirement->metric = &metrics[i];
            *at = name + length;
            return true;
        }
    }
    struct buffer names CLEANUP(buffer_release) = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(metrics); i++)
        buffer_format(&names, "%s%s", i > 0 ? " " : "", metrics[i].name);
    text_format(ret_error, HISTORY_ERROR_MAX,
                "The requirement '%.80s' must begin with one of these metrics: %s.",
                requirement->text, names.failed ? "" : names.data);
    return false;
}

static bool parse_comparison(const char **at, struct requirement *requirement, char *ret_error)
{
    const char *operator= after_spaces(*at);
    for (size_t i = 0; i < ARRAY_LENGTH(comparisons); i++) {
        size_t length = strlen(comparisons[i].text);
        if (strncmp(comparisons[i].text, operator, length) == 0) {
            requirement->comparison = comparisons[i].comparison;
            *at = operator+ length;
            return true;
        }
    }
    text_format(ret_error, HISTORY_ERROR_MAX,
                "The requirement '%.80s' must have one of < <= > >= == != after '%s'.",
                requirement->text, requirement->metric->name);
    return false;
}

static bool parse_bound(const char **at, struct requirement *requirement, char *ret_error)
{
    const char *number = after_spaces(*at);
    char *end = NULL;
    // Digits only: strtod would also take "inf", "0x10" and "1e3".
    size_t length = strspn(number, "0123456789.");
    if (length > 0 && length < 32) {
        char digits[32];
        text_copy(digits, sizeof digits, number);
        digits[length] = '\0';
        requirement->bound = strtod(digits, &end);
        if (end == digits + length) {
            *at = number + length;
            return true;
        }
    }
    text_format(ret_error, HISTORY_ERROR_MAX,
                "The requirement '%.80s' must have a number such as 20 or 0.5 after its operator.",
                requirement->text);
    return false;
}

static bool parse_unit(const char *at, struct requirement *requirement, char *ret_error)
{
    static const char *const wanted[] = {
        [FAMILY_TIME] = "one of the units us, ms, s",
        [FAMILY_RATE] = "no unit (the rate is per second), or /s",
        [FAMILY_COUNT] = "no unit",
        [FAMILY_SHARE] = "no unit, or %",
    };
    const char *unit = after_spaces(at);
    size_t length = strcspn(unit, " ");
    bool ends = *after_spaces(unit + length) == '\0';
    enum family family = requirement->metric->family;
    for (size_t i = 0; ends && i < ARRAY_LENGTH(units); i++) {
        if (units[i].family == family && strlen(units[i].name) == length &&
            strncmp(units[i].name, unit, length) == 0) {
            requirement->unit = units[i].name;
            requirement->scale = units[i].scale;
            return true;
        }
    }
    text_format(ret_error, HISTORY_ERROR_MAX,
                "The requirement '%.80s' must have %s after its number, and nothing else.",
                requirement->text, wanted[family]);
    return false;
}

bool requirement_parse(const char *text, struct requirement *ret_requirement, char *ret_error)
{
    struct requirement requirement = {.text = text};
    const char *at = text;
    if (!parse_metric(&at, &requirement, ret_error) ||
        !parse_comparison(&at, &requirement, ret_error) ||
        !parse_bound(&at, &requirement, ret_error) || !parse_unit(at, &requirement, ret_error))
        return false;
    *ret_requirement = requirement;
    return true;
}

static bool compare(double value, enum comparison comparison, double bound)
{
    switch (comparison) {
    case LESS_OR_EQUAL:
        return value <= bound;
    case GREATER_OR_EQUAL:
        return value >= bound;
    case EQUAL:
        return value == bound;
    case UNEQUAL:
        return value != bound;
    case LESS:
        return value < bound;
    case GREATER:
        return value > bound;
    }
    return false;
}

struct requirement_result requirement_judge(const struct requirement *requirement,
                                            const struct summary *summary)
{
    const struct metric *metric = requirement->metric;
    double value = metric->read(summary, metric, requirement->scale);
    return (struct requirement_result){
        .text = requirement->text,
        .unit = requirement->unit,
        .value = value,
        .holds = !isnan(value) && compare(value, requirement->comparison, requirement->bound),
    };
}

void requirement_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LENGTH(metrics); i++)
        fprintf(out, "  %-12s %s\n", metrics[i].name, metrics[i].help);
}
