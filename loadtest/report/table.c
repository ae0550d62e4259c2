// The report for a terminal: plain text, at most 100 columns wide unless a single text is longer.
#include "report/report.h"

#include "base/clock.h"
#include "report/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WIDTH 96
#define INDENT 14 // of the values

static void write_label(struct buffer *out, const char *label)
{
    buffer_format(out, "  %-*s ", INDENT - 3, label);
}

// A row of items with spaces between them, wrapped to a new line when it is full.
struct row {
    struct buffer *out;
    size_t column;
};

static void row_add(struct row *row, const char *item)
{
    size_t length = strlen(item);
    if (row->column > INDENT && row->column + 3 + length > WIDTH) {
        buffer_format(row->out, "\n%*s", INDENT, "");
        row->column = INDENT;
    }
    if (row->column > INDENT)
        buffer_append_text(row->out, "   ");
    buffer_append_printable(row->out, item, length); // a server may send any bytes
    row->column += length + (row->column > INDENT ? 3 : 0);
}

static struct row row_begin(struct buffer *out, const char *label)
{
    write_label(out, label);
    return (struct row){out, INDENT};
}

static void row_end(const struct row *row)
{
    buffer_append_text(row->out, "\n");
}

static void row_add_count(struct row *row, const char *name, int64_t count)
{
    char number[FIGURE_TEXT_MAX], item[128];
    text_format(item, sizeof item, "%s %s", name, figures_count(number, count));
    row_add(row, item);
}

static void write_what_ran(const struct summary *summary, struct buffer *out)
{
    char number[FIGURE_TEXT_MAX], when[32] = "";
    time_t started = (time_t)(summary->started_at_ms / 1000);
    struct tm parts;
    if (gmtime_r(&started, &parts) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &parts);
    buffer_format(out, "\nRun %s: %s, %s, %s connection%s; %s\n", summary->run, summary->scenario,
                  summary->arrival, figures_count(number, summary->connections),
                  summary->connections == 1 ? "" : "s", when);
    if (summary->interrupted)
        buffer_append_text(out, "Interrupted: these are the results until then.\n");
    buffer_append_text(out, "\n");

    struct row row = row_begin(out, summary->n_targets == 1 ? "target" : "targets");
    for (size_t i = 0; i < summary->n_targets; i++)
        row_add(&row, summary->targets[i]);
    row_end(&row);
    for (size_t i = 0; i < summary->n_facts; i++) {
        write_label(out, summary->facts[i].name);
        buffer_format(out, "%s\n", summary->facts[i].value);
    }
}

static void write_amounts(const struct summary *summary, struct buffer *out)
{
    const struct measure *measure = summary->measure;
    char number[FIGURE_TEXT_MAX], rate[FIGURE_TEXT_MAX], ok_rate[FIGURE_TEXT_MAX];
    buffer_append_text(out, "\n");
    write_label(out, "operations");
    buffer_append_text(out, figures_count(number, measure->operations_done));
    if (measure->operations_begun > measure->operations_done)
        buffer_format(out, " of %s begun", figures_count(number, measure->operations_begun));
    buffer_format(out, ", in %s\n", figures_duration(number, summary->duration_s * 1e9));

    double seconds = summary->duration_s;
    double answered = figures_rate(figures_answered(measure), seconds);
    double ok = figures_rate(measure->classes[ANSWER_OK], seconds);
    write_label(out, "requests");
    buffer_format(out, "%s, %s answered a second, %s of them ok\n",
                  figures_count(number, measure->requests_sent),
                  figures_count(rate, llround(answered)), figures_count(ok_rate, llround(ok)));
}

static void write_outcomes(const struct measure *measure, struct buffer *out)
{
    static const char *const names[] = {"ok", "refused", "error"};
    int64_t ended = figures_ended(measure);
    struct row row = row_begin(out, "outcomes");
    for (size_t i = 0; i < ANSWER_CLASSES; i++) {
        char number[FIGURE_TEXT_MAX], item[96];
        double percent = ended > 0 ? 100.0 * (double)measure->classes[i] / (double)ended : 0;
        text_format(item, sizeof item, "%s %s (%.3g%%)", names[i],
                    figures_count(number, measure->classes[i]), percent);
        row_add(&row, item);
    }
    row_end(&row);
}

static void write_statuses(const struct measure *measure, struct buffer *out)
{
    struct row row = row_begin(out, "statuses");
    for (size_t i = 1; i < ARRAY_LENGTH(measure->statuses); i++) {
        char name[FIGURE_TEXT_MAX];
        if (measure->statuses[i] > 0)
            row_add_count(&row, figures_count(name, (int64_t)i), measure->statuses[i]);
    }
    if (measure->statuses[0] > 0)
        row_add_count(&row, "no answer", measure->statuses[0]);
    if (row.column == INDENT)
        row_add(&row, "none");
    row_end(&row);
}

static void write_problems(const struct measure *measure, struct buffer *out)
{
    if (measure->n_problems == 0)
        return;
    struct row row = row_begin(out, "problems");
    bool written[MEASURE_PROBLEMS_MAX] = {false};
    for (size_t n = 0; n < measure->n_problems; n++) { // the most frequent first
        size_t next = 0;
        while (written[next])
            next++;
        for (size_t i = next + 1; i < measure->n_problems; i++) {
            if (!written[i] && measure->problems[i].count > measure->problems[next].count)
                next = i;
        }
        written[next] = true;
        row_add_count(&row, measure->problems[next].slug, measure->problems[next].count);
    }
    row_end(&row);
}

static void write_clients(const struct measure *measure, struct buffer *out)
{
    struct row row = row_begin(out, "clients");
    row_add_count(&row, "retries", measure->retries);
    row_add_count(&row, "duplicates", measure->duplicates);
    row_add_count(&row, "replays", measure->replays);
    row_add_count(&row, "timeouts", measure->timeouts);
    row_add_count(&row, "outcome unknown", measure->unknown);
    row_end(&row);
}

static void write_latency_row(const char *label, const struct histogram *histogram,
                              struct buffer *out)
{
    char number[FIGURE_TEXT_MAX];
    write_label(out, label);
    for (size_t i = 0; i < FIGURE_QUANTILES; i++) {
        double value = (double)histogram_quantile(histogram, figure_quantiles[i].quantile);
        buffer_format(out, "%10s", figures_duration(number, value));
    }
    buffer_format(out, "%10s\n", figures_duration(number, (double)histogram->max));
}

static void write_latency(const struct summary *summary, struct buffer *out)
{
    const struct measure *measure = summary->measure;
    if (measure->latency.count == 0)
        return;
    buffer_append_text(out, "\n");
    write_label(out, "latency");
    for (size_t i = 0; i < FIGURE_QUANTILES; i++)
        buffer_format(out, "%10s", figure_quantiles[i].name);
    buffer_format(out, "%10s\n", "max");
    write_latency_row("requests", &measure->latency, out);
    if (measure->ok_latency.count > 0 && measure->ok_latency.count < measure->latency.count)
        write_latency_row("ok", &measure->ok_latency, out);
    if (measure->retries > 0)
        write_latency_row("operations", &measure->operations, out);
    buffer_format(out, "%*s%s\n", INDENT, "",
                  summary->open_loop ? "from the intended start of each operation"
                                     : "from sending; few requests see a stall of the server "
                                       "(closed loop)");
}

static void write_check(const struct summary *summary, struct buffer *out)
{
    const struct verdict *verdict = summary->verdict;
    if (verdict == NULL)
        return;
    char number[FIGURE_TEXT_MAX];
    if (verdict->done && verdict->violations > 0)
        buffer_format(out, "\nVIOLATED: %s violation%s\n\n",
                      figures_count(number, verdict->violations),
                      verdict->violations == 1 ? "" : "s");
    else
        buffer_append_text(out, verdict->done ? "\nOk: 0 violations\n\n" : "\n");
    verdict_write_text(verdict, out);
}

static void write_undone(const struct summary *summary, struct buffer *out)
{
    if (summary->undone[0] != '\0')
        buffer_format(out, "\nFAIL: %s\n", summary->undone);
}

static void write_measured(const struct requirement_result *result, struct buffer *out)
{
    char number[FIGURE_TEXT_MAX];
    if (fabs(result->value) < 1000)
        text_format(number, sizeof number, "%.5g", result->value);
    else
        figures_count(number, llround(result->value));
    buffer_format(out, "  measured %s%s%s\n", number, result->unit[0] != '\0' ? " " : "",
                  result->unit);
}

static void write_requirements(const struct summary *summary, struct buffer *out)
{
    if (summary->n_requirements == 0)
        return;
    buffer_append_text(out, "\nRequirements\n\n");
    for (size_t i = 0; i < summary->n_requirements; i++) {
        const struct requirement_result *result = &summary->requirements[i];
        buffer_format(out, "  %s  %-24s", result->holds ? "pass" : "FAIL", result->text);
        if (isnan(result->value))
            buffer_append_text(out, "  not measured\n");
        else
            write_measured(result, out);
    }
}

void report_table(const struct summary *summary, struct buffer *out)
{
    write_what_ran(summary, out);
    write_amounts(summary, out);
    write_outcomes(summary->measure, out);
    write_statuses(summary->measure, out);
    write_problems(summary->measure, out);
    write_clients(summary->measure, out);
    write_latency(summary, out);
    write_check(summary, out);
    write_undone(summary, out);
    write_requirements(summary, out);
    if (summary->history_path != NULL)
        buffer_format(out, "\n  history: %s\n", summary->history_path);
}
