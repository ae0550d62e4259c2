// Initialises, merges and clears the counts of a run.
#include "measure/measure.h"

#include "base/text.h"

#include <string.h>

#define OTHERS "all others"

bool measure_init(struct measure *measure)
{
    *measure = (struct measure){0};
    if (histogram_init(&measure->latency, 3) && histogram_init(&measure->ok_latency, 3) &&
        histogram_init(&measure->operations, 3) && timeline_init(&measure->timeline))
        return true;
    measure_release(measure);
    return false;
}

void measure_release(struct measure *measure)
{
    histogram_release(&measure->latency);
    histogram_release(&measure->ok_latency);
    histogram_release(&measure->operations);
    timeline_release(&measure->timeline);
    *measure = (struct measure){0};
}

static void add_problem(struct measure *measure, const char *slug, int64_t count)
{
    size_t i = 0;
    // Long slugs are truncated, so only their beginning is compared.
    while (i < measure->n_problems &&
           strncmp(measure->problems[i].slug, slug, sizeof measure->problems[i].slug - 1) != 0)
        i++;
    if (i >= MEASURE_PROBLEMS_MAX - 1) {
        // After a merge "all others" may stand in a place before the last.
        if (strcmp(slug, OTHERS) != 0) {
            add_problem(measure, OTHERS, count);
            return;
        }
        i = MEASURE_PROBLEMS_MAX - 1;
    }
    struct measure_problem *problem = &measure->problems[i];
    if (i >= measure->n_problems) {
        *problem = (struct measure_problem){0};
        text_copy(problem->slug, sizeof problem->slug, slug);
        measure->n_problems = i + 1;
    }
    problem->count += count;
}

void measure_problem(struct measure *measure, const char *slug)
{
    add_problem(measure, slug, 1);
}

void measure_merge(struct measure *into, const struct measure *other)
{
    histogram_merge(&into->latency, &other->latency);
    histogram_merge(&into->ok_latency, &other->ok_latency);
    histogram_merge(&into->operations, &other->operations);
    timeline_merge(&into->timeline, &other->timeline);
    for (size_t i = 0; i < ARRAY_LENGTH(into->statuses); i++)
        into->statuses[i] += other->statuses[i];
    for (size_t i = 0; i < ANSWER_CLASSES; i++)
        into->classes[i] += other->classes[i];
    for (size_t i = 0; i < MEASURE_KINDS_MAX; i++)
        for (size_t j = 0; j < ANSWER_CLASSES; j++)
            into->kinds[i][j] += other->kinds[i][j];
    for (size_t i = 0; i < other->n_problems; i++)
        add_problem(into, other->problems[i].slug, other->problems[i].count);
    into->requests_sent += other->requests_sent;
    into->operations_begun += other->operations_begun;
    into->operations_done += other->operations_done;
    into->retries += other->retries;
    into->duplicates += other->duplicates;
    into->replays += other->replays;
    into->unknown += other->unknown;
    into->timeouts += other->timeouts;
    into->malformed += other->malformed;
    into->bytes_read += other->bytes_read;
    into->bytes_written += other->bytes_written;
}

void measure_clear(struct measure *measure)
{
    histogram_clear(&measure->latency);
    histogram_clear(&measure->ok_latency);
    histogram_clear(&measure->operations);
    timeline_clear(&measure->timeline);
    struct measure empty = {.latency = measure->latency,
                            .ok_latency = measure->ok_latency,
                            .operations = measure->operations,
                            .timeline = measure->timeline};
    *measure = empty;
}
