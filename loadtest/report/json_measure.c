// What was counted, as members of the JSON report. What was not measured is null and never 0.
#include "report/json_parts.h"

#include "base/clock.h"
#include "measure/measure.h"
#include "report/figures.h"

#define POINTS_MAX 240        // of the timeline
#define POINTS_MIN 12         // so many are worth more than exact quantiles in each
#define ANSWERS_WANTED 50     // in a point of the timeline
#define PERCENTILES_A_HALF 3  // points until the share that is above has halved
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

// Closer and closer to 1, until no value is left above.
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

// How many slots make a point: a quantile of three answers says nothing.
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

void json_put_measure(json_t **object, const struct measure *measure, double duration_s)
{
    int64_t ok = measure->classes[ANSWER_OK];
    json_put(object, "operations", json_integer(measure->operations_done));
    json_put(object, "requests", json_integer(measure->requests_sent));
    json_put(object, "rate", json_number(figures_rate(figures_answered(measure), duration_s)));
    json_put(object, "ok_rate", json_number(figures_rate(ok, duration_s)));
    json_put(object, "outcomes", make_outcomes(measure));
    json_put(object, "statuses", make_statuses(measure));
    json_put(object, "problems", make_problems(measure));
    json_put(object, "retries", json_integer(measure->retries));
    json_put(object, "duplicates", json_integer(measure->duplicates));
    json_put(object, "replays", json_integer(measure->replays));
    json_put(object, "timeouts", json_integer(measure->timeouts));
    json_put(object, "latency_ms", make_latency(&measure->latency));
    json_put(object, "operation_latency_ms", make_latency(&measure->operations));
    json_put(object, "timeline", make_timeline(measure));
    json_put(object, "percentiles", make_percentiles(&measure->latency));
}
