// Figures that several reports show, and how they are written.
#include "report/figures.h"

#include "base/clock.h"
#include "base/text.h"
#include "check/number.h"

const struct figure_quantile figure_quantiles[FIGURE_QUANTILES] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999},
};

int64_t figures_answered(const struct measure *measure)
{
    int64_t answered = 0;
    for (size_t i = 1; i < ARRAY_LENGTH(measure->statuses); i++)
        answered += measure->statuses[i];
    return answered;
}

int64_t figures_ended(const struct measure *measure)
{
    int64_t ended = 0;
    for (size_t i = 0; i < ANSWER_CLASSES; i++)
        ended += measure->classes[i];
    return ended;
}

double figures_rate(int64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

const char *figures_count(char text[FIGURE_TEXT_MAX], int64_t count)
{
    text_copy(text, FIGURE_TEXT_MAX, number(count).text);
    return text;
}

const char *figures_duration(char text[FIGURE_TEXT_MAX], double duration_ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e3, "us"}, {NS_PER_MS, "ms"}, {NS_PER_S, "s"}};
    if (duration_ns <= 0) {
        text_copy(text, FIGURE_TEXT_MAX, "0 s");
        return text;
    }
    size_t i = 0;
    // A value that would round to 1000 uses the next unit.
    while (i + 1 < ARRAY_LENGTH(units) && duration_ns >= 999.5 * units[i].ns)
        i++;
    double value = duration_ns / units[i].ns;
    int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    text_format(text, FIGURE_TEXT_MAX, "%.*f %s", decimals, value, units[i].unit);
    return text;
}
