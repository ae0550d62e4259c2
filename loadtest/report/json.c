// The report for machines: one JSON object, whose members loadtest/reports.md lists. A figure that
// was not measured is null, never 0.
#include "report/report.h"

#include "base/clock.h"
#include "base/version.h"
#include "history/history.h"
#include "report/figures.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

// ---- Jansson ------------------------------------------------------------------------------------

// json_put and json_add take the value's reference. A value that is NULL (out of memory) turns the
// container into NULL, so one check at the end is enough.
static void json_put(json_t **object, const char *name, json_t *value)
{
    if (json_object_set_new(*object, name, value) != 0) {
        json_decref(*object);
        *object = NULL;
    }
}

static void json_add(json_t **array, json_t *value)
{
    if (json_array_append_new(*array, value) != 0) {
        json_decref(*array);
        *array = NULL;
    }
}

// Null for NULL. Bytes that are no UTF-8 (a server may send any) become question marks.
static json_t *json_text_or_null(const char *text)
{
    if (text == NULL)
        return json_null();
    json_t *made = json_string(text);
    if (made != NULL)
        return made;
    char *copy CLEANUP(free_memory) = strdup(text);
    for (char *at = copy; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    }
    return json_string(copy);
}

// Null for NaN and infinity; a whole number is written as one.
static json_t *json_number(double value)
{
    if (!isfinite(value))
        return json_null();
    if (value == floor(value) && fabs(value) < 1e15)
        return json_integer((json_int_t)value);
    return json_real(value);
}

static json_t *json_ms(double duration_ns)
{
    return json_number(duration_ns / (double)NS_PER_MS);
}

// ---- what was measured --------------------------------------------------------------------------

#define POINTS_MAX 240    // of the timeline
#define POINTS_MIN 12     // fewer points are worse than inexact quantiles in each
#define ANSWERS_WANTED 50 // in a point of the timeline
#define BAR_FIRST_NS 1e4  // 10 us; of the histogram
#define BARS_A_DECADE 10.0
#define PERCENTILES_A_HALF 3  // points until the share above has halved
#define PERCENTILES_HALVES 40 // until it is 1e-12

static json_t *make_quantile(const struct histogram *histogram, double quantile)
{
    if (histogram->count == 0)
        return json_null();
    return json_ms((double)histogram_quantile(histogram, quantile));
}

static json_t *make_latency(const struct histogram *histogram)
{
    bool any = histogram->count > 0;
    json_t *latency = json_object();
    json_put(&latency, "min", any ? json_ms((double)histogram->min) : json_null());
    json_put(&latency, "mean", any ? json_ms(histogram_mean(histogram)) : json_null());
    for (size_t i = 0; i < FIGURE_QUANTILES; i++)
        json_put(&latency, figure_quantiles[i].name,
                 make_quantile(histogram, figure_quantiles[i].quantile));
    json_put(&latency, "max", make_quantile(histogram, 1));
    return latency;
}

static json_t *make_percentile(const struct histogram *histogram, double quantile)
{
    json_t *point = json_array();
    json_add(&point, json_number(quantile));
    json_add(&point, make_quantile(histogram, quantile));
    return point;
}

// Quantiles that approach 1, until no value is left above.
static json_t *make_percentiles(const struct histogram *histogram)
{
    json_t *points = json_array();
    if (histogram->count == 0)
        return points;
    double above = 1;
    for (int half = 0; half < PERCENTILES_HALVES; half++, above /= 2) {
        for (int i = 0; i < PERCENTILES_A_HALF; i++) {
            double share = above * (1 - i / (2.0 * PERCENTILES_A_HALF));
            if (share * (double)histogram->count >= 1)
                json_add(&points, make_percentile(histogram, 1 - share));
        }
    }
    json_add(&points, make_percentile(histogram, 1));
    return points;
}

// How many slots are merged into a point, because a quantile of three answers means nothing.
static size_t slots_a_point(const struct timeline *timeline, int64_t answers)
{
    size_t slots = 1;
    for (;;) {
        size_t points = (timeline->n_slots + slots - 1) / slots;
        bool sparse = answers < (int64_t)points * ANSWERS_WANTED && points > 2 * POINTS_MIN;
        if (points <= POINTS_MAX && !sparse)
            return slots;
        slots *= 2;
    }
}

// How many requests took less than each bound, and not less than the bound before. From the first
// bar that is not empty to the last.
static json_t *make_bars(const struct histogram *histogram)
{
    json_t *bars = json_array();
    uint64_t seen = 0;
    for (int i = 0; seen < histogram->count; i++) {
        double bound_ns = BAR_FIRST_NS * pow(10, i / BARS_A_DECADE);
        uint64_t below = histogram_count_below(histogram, (int64_t)bound_ns);
        if (below > 0) {
            json_t *bar = json_array();
            json_add(&bar, json_ms(bound_ns));
            json_add(&bar, json_integer((json_int_t)(below - seen)));
            json_add(&bars, bar);
        }
        seen = below;
    }
    return bars;
}

static json_t *make_point(const struct timeline *timeline, size_t from, size_t n,
                          struct histogram *latency)
{
    int64_t counts[ANSWER_CLASSES] = {0};
    histogram_clear(latency);
    for (size_t i = from; i < from + n && i < timeline->n_slots; i++) {
        for (size_t k = 0; k < ANSWER_CLASSES; k++)
            counts[k] += timeline->slots[i].counts[k];
        histogram_merge(latency, &timeline->slots[i].latency);
    }
    json_t *point = json_object();
    json_put(&point, "t", json_number((double)from * (double)timeline->slot_ns / (double)NS_PER_S));
    json_put(&point, "ok", json_integer(counts[ANSWER_OK]));
    json_put(&point, "refused", json_integer(counts[ANSWER_REFUSED]));
    json_put(&point, "error", json_integer(counts[ANSWER_ERROR]));
    json_put(&point, "p50_ms", make_quantile(latency, 0.5));
    json_put(&point, "p99_ms", make_quantile(latency, 0.99));
    return point;
}

static json_t *make_timeline(const struct measure *measure)
{
    const struct timeline *timeline = &measure->timeline;
    struct histogram latency CLEANUP(histogram_release) = {0};
    if (!histogram_init(&latency, 1))
        return NULL;
    size_t slots = slots_a_point(timeline, figures_ended(measure));
    json_t *points = json_array();
    for (size_t from = 0; from < timeline->n_slots; from += slots)
        json_add(&points, make_point(timeline, from, slots, &latency));
    json_t *made = json_object();
    json_put(&made, "slot_s",
             json_number((double)slots * (double)timeline->slot_ns / (double)NS_PER_S));
    json_put(&made, "points", points);
    return made;
}

static json_t *make_statuses(const struct measure *measure)
{
    json_t *statuses = json_object();
    for (size_t i = 0; i < ARRAY_LENGTH(measure->statuses); i++) {
        char name[FIGURE_TEXT_MAX];
        if (measure->statuses[i] > 0)
            json_put(&statuses, figures_count(name, (int64_t)i),
                     json_integer(measure->statuses[i]));
    }
    return statuses;
}

static json_t *make_problems(const struct measure *measure)
{
    json_t *problems = json_object();
    for (size_t i = 0; i < measure->n_problems; i++) {
        json_t *slug = json_text_or_null(measure->problems[i].slug);
        json_put(&problems, json_string_value(slug), json_integer(measure->problems[i].count));
        json_decref(slug);
    }
    return problems;
}

static json_t *make_outcomes(const struct measure *measure)
{
    json_t *outcomes = json_object();
    json_put(&outcomes, "ok", json_integer(measure->classes[ANSWER_OK]));
    json_put(&outcomes, "refused", json_integer(measure->classes[ANSWER_REFUSED]));
    json_put(&outcomes, "error", json_integer(measure->classes[ANSWER_ERROR]));
    json_put(&outcomes, "unknown", json_integer(measure->unknown));
    return outcomes;
}

// The kinds of requests that were sent.
static json_t *make_kinds(const struct measure *measure)
{
    json_t *kinds = json_object();
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        const int64_t *classes = measure->kinds[kind];
        if (classes[ANSWER_OK] + classes[ANSWER_REFUSED] + classes[ANSWER_ERROR] == 0)
            continue;
        json_t *made = json_object();
        json_put(&made, "ok", json_integer(classes[ANSWER_OK]));
        json_put(&made, "refused", json_integer(classes[ANSWER_REFUSED]));
        json_put(&made, "error", json_integer(classes[ANSWER_ERROR]));
        json_put(&kinds, attempt_kind_name((enum attempt_kind)kind), made);
    }
    return kinds;
}

static void put_measure(json_t **object, const struct measure *measure, double duration_s)
{
    int64_t ok = measure->classes[ANSWER_OK];
    json_put(object, "operations", json_integer(measure->operations_done));
    json_put(object, "requests", json_integer(measure->requests_sent));
    json_put(object, "rate", json_number(figures_rate(figures_answered(measure), duration_s)));
    json_put(object, "ok_rate", json_number(figures_rate(ok, duration_s)));
    json_put(object, "outcomes", make_outcomes(measure));
    json_put(object, "kinds", make_kinds(measure));
    json_put(object, "statuses", make_statuses(measure));
    json_put(object, "problems", make_problems(measure));
    json_put(object, "retries", json_integer(measure->retries));
    json_put(object, "duplicates", json_integer(measure->duplicates));
    json_put(object, "replays", json_integer(measure->replays));
    json_put(object, "timeouts", json_integer(measure->timeouts));
    json_put(object, "malformed", json_integer(measure->malformed));
    json_put(object, "latency_ms", make_latency(&measure->latency));
    json_put(object, "ok_latency_ms", make_latency(&measure->ok_latency));
    json_put(object, "operation_latency_ms", make_latency(&measure->operations));
    json_put(object, "histogram", make_bars(&measure->ok_latency));
    json_put(object, "timeline", make_timeline(measure));
    json_put(object, "percentiles", make_percentiles(&measure->latency));
}

// ---- the verdict --------------------------------------------------------------------------------

static json_t *make_event(const struct event *event)
{
    bool begins = event->from_ns >= 0, ends = begins && event->to_ns != HISTORY_NEVER;
    json_t *made = json_object();
    json_put(&made, "from_ms", begins ? json_ms((double)event->from_ns) : json_null());
    json_put(&made, "to_ms", ends ? json_ms((double)event->to_ns) : json_null());
    json_put(&made, "operation",
             event->operation >= 0 ? json_integer(event->operation) : json_null());
    json_put(&made, "who", json_text_or_null(event->who));
    json_put(&made, "what", json_text_or_null(event->what));
    return made;
}

static json_t *make_violation(const struct violation *violation)
{
    json_t *events = json_array();
    for (size_t i = 0; i < violation->n_events; i++)
        json_add(&events, make_event(&violation->events[i]));
    json_t *made = json_object();
    json_put(&made, "invariant", json_text_or_null(violation->invariant));
    json_put(&made, "sentence", json_text_or_null(violation->sentence));
    json_put(&made, "events", events);
    return made;
}

static json_t *make_invariant(const struct invariant *invariant)
{
    json_t *made = json_object();
    json_put(&made, "slug", json_text_or_null(invariant->slug));
    json_put(&made, "sentence", json_text_or_null(invariant->sentence));
    json_put(&made, "looked_at", json_integer(invariant->looked_at));
    json_put(&made, "violations", json_integer(invariant->violations));
    return made;
}

// The member "check"; null for NULL.
static json_t *make_verdict(const struct verdict *verdict)
{
    if (verdict == NULL)
        return json_null();
    json_t *check = json_object(), *invariants = json_array(), *shown = json_array();
    json_put(&check, "done", json_boolean(verdict->done));
    json_put(&check, "why_not", json_text_or_null(verdict->done ? NULL : verdict->why_not));
    json_put(&check, "violations", json_integer(verdict->violations));
    json_put(&check, "operations", json_integer(verdict->operations));
    json_put(&check, "attempts", json_integer(verdict->attempts));
    json_put(&check, "reads", json_integer(verdict->reads));
    json_put(&check, "replays", json_integer(verdict->replays));
    json_put(&check, "refusals", json_integer(verdict->refusals));
    json_put(&check, "unknown", json_integer(verdict->unknown));
    json_put(&check, "ledger_rows", json_integer(verdict->ledger_rows));
    json_put(&check, "counters", json_integer(verdict->counters));
    json_put(&check, "took_s", json_number(verdict->took_s));
    for (size_t i = 0; i < verdict->n_invariants; i++)
        json_add(&invariants, make_invariant(&verdict->invariants[i]));
    json_put(&check, "invariants", invariants);
    for (size_t i = 0; i < verdict->n_shown; i++)
        json_add(&shown, make_violation(&verdict->shown[i]));
    json_put(&check, "shown", shown);
    return check;
}

// ---- the whole ----------------------------------------------------------------------------------

#define DIGITS 10 // of a number that is not whole

static json_t *make_targets(const struct summary *summary)
{
    json_t *targets = json_array();
    for (size_t i = 0; i < summary->n_targets; i++)
        json_add(&targets, json_text_or_null(summary->targets[i]));
    return targets;
}

static json_t *make_facts(const struct summary *summary)
{
    json_t *facts = json_object();
    for (size_t i = 0; i < summary->n_facts; i++)
        json_put(&facts, summary->facts[i].name, json_text_or_null(summary->facts[i].value));
    return facts;
}

static json_t *make_requirements(const struct summary *summary)
{
    json_t *requirements = json_array();
    for (size_t i = 0; i < summary->n_requirements; i++) {
        const struct requirement_result *result = &summary->requirements[i];
        json_t *made = json_object();
        json_put(&made, "text", json_text_or_null(result->text));
        json_put(&made, "value", json_number(result->value));
        json_put(&made, "unit", json_text_or_null(result->unit));
        json_put(&made, "holds", json_boolean(result->holds));
        json_add(&requirements, made);
    }
    return requirements;
}

static json_t *make_report(const struct summary *summary)
{
    json_t *report = json_object();
    json_put(&report, "tool", json_string("holdfast-load"));
    json_put(&report, "version", json_string(HOLDFAST_VERSION));
    json_put(&report, "run", json_text_or_null(summary->run));
    json_put(&report, "scenario", json_text_or_null(summary->scenario));
    json_put(&report, "arrival", json_text_or_null(summary->arrival));
    json_put(&report, "targets", make_targets(summary));
    json_put(&report, "facts", make_facts(summary));
    json_put(&report, "connections", json_integer(summary->connections));
    json_put(&report, "started_at_ms", json_integer(summary->started_at_ms));
    json_put(&report, "duration_s", json_number(summary->duration_s));
    json_put(&report, "interrupted", json_boolean(summary->interrupted));
    json_put(&report, "open_loop", json_boolean(summary->open_loop));
    put_measure(&report, summary->measure, summary->duration_s);
    json_put(&report, "check", make_verdict(summary->verdict));
    json_put(&report, "undone",
             json_text_or_null(summary->undone[0] != '\0' ? summary->undone : NULL));
    json_put(&report, "requirements", make_requirements(summary));
    json_put(&report, "history", json_text_or_null(summary->history_path));
    return report;
}

void report_json(const struct summary *summary, struct buffer *out)
{
    json_t *report = make_report(summary);
    char *text CLEANUP(free_memory) =
        json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(DIGITS));
    json_decref(report);
    if (text == NULL) {
        out->failed = true;
        return;
    }
    buffer_append_text(out, text);
    buffer_append_text(out, "\n");
}
