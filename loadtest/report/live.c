// The progress line of a running test. Parts that do not fit are left out, from the right. All
// widths but that of the error count are fixed, so the figures do not jump.
#include "report/report.h"

#include "base/clock.h"
#include "report/figures.h"

#include <string.h>

#define BAR 10

static void add_part(struct buffer *out, size_t columns, size_t *used, const char *part)
{
    size_t length = strlen(part);
    if (*used + length > columns) {
        *used = columns; // no later, shorter part may follow a part that was left out
        return;
    }
    *used += length;
    buffer_append(out, part, length);
}

static void add_progress(struct buffer *out, size_t columns, size_t *used, double progress)
{
    if (progress > 1)
        progress = 1;
    char bar[BAR + 1] = "----------", part[48];
    memset(bar, '#', (size_t)(progress * BAR));
    text_format(part, sizeof part, "  [%s] %3.0f%%", bar, progress * 100);
    add_part(out, columns, used, part);
}

void report_live(const struct measure *recent, double recent_s, const struct measure *total,
                 double elapsed_s, double progress, size_t columns, struct buffer *out)
{
    char part[96], number[FIGURE_TEXT_MAX];
    size_t used = 0;
    text_format(part, sizeof part, "%5.1f s", elapsed_s);
    add_part(out, columns, &used, part);

    double rate = figures_rate(figures_answered(recent), recent_s);
    text_format(part, sizeof part, "  %7s/s", figures_count(number, (int64_t)(rate + 0.5)));
    add_part(out, columns, &used, part);

    static const double quantiles[] = {0.5, 0.99};
    for (size_t i = 0; i < ARRAY_LENGTH(quantiles); i++) {
        const struct histogram *latency = &recent->latency;
        if (latency->count > 0)
            figures_duration(number, (double)histogram_quantile(latency, quantiles[i]));
        else
            text_copy(number, sizeof number, "-");
        text_format(part, sizeof part, "  p%.0f %7s", quantiles[i] * 100, number);
        add_part(out, columns, &used, part);
    }

    text_format(part, sizeof part, "  errors %s",
                figures_count(number, total->classes[ANSWER_ERROR]));
    add_part(out, columns, &used, part);
    if (progress >= 0)
        add_progress(out, columns, &used, progress);
}
