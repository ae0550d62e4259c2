// The verdict as text: what was checked, a line for each invariant, and for each violation the
// requests and rows that prove it, with a bar for the time each request was in flight. At most 100
// columns. Sentences and events contain text of the server, so they are made printable.
#include "check/verdict.h"

#include "base/text.h"
#include "check/number.h"
#include "history/history.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS 100
#define BAR 40

void verdict_release(struct verdict *verdict)
{
    free(verdict->shown);
    *verdict = (struct verdict){0};
}

// Wraps the text, which begins at `column`, at column 100; further lines are indented.
static void write_wrapped(struct buffer *out, const char *text, size_t column, size_t indent)
{
    const char *word = text;
    while (*word != '\0') {
        size_t length = strcspn(word, " ");
        if (word != text) {
            if (column + 1 + length > COLUMNS) {
                buffer_format(out, "\n%*s", (int)indent, "");
                column = indent;
            } else {
                buffer_append_text(out, " ");
                column++;
            }
        }
        buffer_append_printable(out, word, length);
        column += length;
        word += length;
        word += *word == ' ';
    }
    buffer_append_text(out, "\n");
}

static void write_counts(const struct verdict *verdict, struct buffer *out)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    buffer_format(&text,
                  "Checked in %.2f s: %s operations in %s requests (%s readings, %s refusals,"
                  " %s replays, %s with unknown outcome), %s ledger rows of %s counters.",
                  verdict->took_s, number(verdict->operations).text, number(verdict->attempts).text,
                  number(verdict->reads).text, number(verdict->refusals).text,
                  number(verdict->replays).text, number(verdict->unknown).text,
                  number(verdict->ledger_rows).text, number(verdict->counters).text);
    write_wrapped(out, text.data != NULL ? text.data : "", 0, 0);
}

static void write_invariant(const struct invariant *invariant, struct buffer *out)
{
    const char *mark = invariant->violations > 0  ? "BROKEN"
                       : invariant->looked_at > 0 ? "holds"
                                                  : "-";
    struct buffer text CLEANUP(buffer_release) = {0};
    buffer_append_text(&text, invariant->sentence);
    if (invariant->violations > 0)
        buffer_format(&text, " Violations: %s.", number(invariant->violations).text);
    buffer_format(out, "  %-6s  %-24s  ", mark, invariant->slug);
    write_wrapped(out, text.data != NULL ? text.data : "", 36, 36);
}

// The time span of a violation's events.
struct scale {
    int64_t from_ns, to_ns;
};

static struct scale find_scale(const struct violation *violation)
{
    struct scale scale = {INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < violation->n_events; i++) {
        const struct event *event = &violation->events[i];
        if (event->from_ns < 0)
            continue;
        int64_t to_ns = event->to_ns != HISTORY_NEVER ? event->to_ns : event->from_ns;
        scale.from_ns = event->from_ns < scale.from_ns ? event->from_ns : scale.from_ns;
        scale.to_ns = to_ns > scale.to_ns ? to_ns : scale.to_ns;
    }
    return scale;
}

static size_t place(const struct scale *scale, int64_t at_ns)
{
    double length = (double)(scale->to_ns - scale->from_ns);
    double share = length > 0 ? (double)(at_ns - scale->from_ns) / length : 0;
    return (size_t)(share * (BAR - 1));
}

//        12.345 ms |          [======]                      | 14.000 ms
static void write_bar(const struct scale *scale, const struct event *event, struct buffer *out)
{
    char bar[BAR + 1];
    bool never = event->to_ns == HISTORY_NEVER;
    size_t from = place(scale, event->from_ns);
    size_t to = never ? BAR - 1 : place(scale, event->to_ns);
    memset(bar, ' ', BAR);
    bar[BAR] = '\0';
    memset(bar + from, '=', to - from + 1);
    bar[from] = '[';
    bar[to] = never ? '>' : ']';
    if (from == to)
        bar[from] = '|';
    buffer_format(out, "    %15s ms  %s  %s%s\n", milliseconds(event->from_ns).text, bar,
                  never ? "no answer" : milliseconds(event->to_ns).text, never ? "" : " ms");
}

static void write_violation(const struct violation *violation, struct buffer *out)
{
    struct scale scale = find_scale(violation);
    buffer_format(out, "\n%s\n  ", violation->invariant);
    write_wrapped(out, violation->sentence, 2, 2);
    for (size_t i = 0; i < violation->n_events; i++) {
        const struct event *event = &violation->events[i];
        buffer_append_text(out, "    ");
        buffer_append_printable(out, event->who, strlen(event->who));
        buffer_append_text(out, "\n      ");
        write_wrapped(out, event->what, 6, 6);
        if (event->from_ns >= 0)
            write_bar(&scale, event, out);
    }
}

void verdict_write_text(const struct verdict *verdict, struct buffer *out)
{
    if (!verdict->done) {
        buffer_append_text(out, "Not checked. ");
        buffer_append_printable(out, verdict->why_not, strlen(verdict->why_not));
        buffer_append_text(out, "\n");
        return;
    }
    write_counts(verdict, out);
    for (size_t i = 0; i < verdict->n_invariants; i++)
        write_invariant(&verdict->invariants[i], out);
    for (size_t i = 0; i < verdict->n_shown; i++)
        write_violation(&verdict->shown[i], out);
    if (verdict->violations > (int64_t)verdict->n_shown)
        buffer_format(out, "\n%s violations in all; the first few of each invariant are shown.\n",
                      number(verdict->violations).text);
}
