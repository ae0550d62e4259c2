// Reads a history line by line. A run that was killed leaves a history without a closing line, and
// perhaps half a line at its end; that is read as far as it goes. Anything else that is wrong ends
// the reading: a checker must not make its own sense of a damaged history.
#include "history/reader.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/lines.h"
#include "history/reader_parts.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    struct lines lines;
    struct index counters;
    struct history *history;
    size_t capacity;
    struct closing closing;
    char problem[HISTORY_ERROR_MAX - 64];
};

static bool grow(struct reading *reading)
{
    struct history *history = reading->history;
    if (history->n_attempts < reading->capacity)
        return true;
    size_t capacity = reading->capacity > 0 ? reading->capacity + reading->capacity / 2 : 1024;
    void *grown = realloc(history->attempts, capacity * sizeof *history->attempts);
    if (grown == NULL)
        return false;
    history->attempts = grown;
    reading->capacity = capacity;
    return true;
}

static bool problem(struct reading *reading, const char *text)
{
    text_copy(reading->problem, sizeof reading->problem, text);
    return false;
}

// Everything behind the head.
static bool read_attempts(struct reading *reading)
{
    struct history *history = reading->history;
    const char *text;
    size_t length;
    bool whole;
    char error[HISTORY_ERROR_MAX] = "";
    while (lines_next(&reading->lines, &text, &length, &whole)) {
        if (reading->closing.found)
            return problem(reading, "something stands behind the closing line");
        if (!grow(reading))
            return problem(reading, "out of memory");
        struct attempt *attempt = &history->attempts[history->n_attempts];
        if (!reader_attempt(text, length, &history->head, &reading->counters, history->arena,
                            attempt, &reading->closing, error)) {
            if (!whole)
                return true; // the last line, cut off
            return problem(reading, error);
        }
        history->n_attempts += !reading->closing.found;
    }
    if (reading->closing.found && reading->closing.attempts != (int64_t)history->n_attempts)
        return problem(reading, "the closing line counts another number of attempts");
    return reading->lines.error == 0 || problem(reading, strerror(reading->lines.error));
}

static bool read_all(struct reading *reading)
{
    struct history *history = reading->history;
    const char *text;
    size_t length;
    bool whole;
    char error[HISTORY_ERROR_MAX] = "";
    history->arena = arena_new();
    if (history->arena == NULL)
        return problem(reading, "out of memory");
    if (!lines_next(&reading->lines, &text, &length, &whole))
        return problem(reading, reading->lines.error != 0 ? strerror(reading->lines.error)
                                                          : "the file is empty");
    if (!reader_head(text, length, &history->head, &reading->counters, error))
        return problem(reading, error);
    return read_attempts(reading);
}

bool history_read_file(int descriptor, struct history *ret_history, char *ret_error)
{
    struct history history = {0};
    struct reading reading = {.history = &history};
    lines_init(&reading.lines, descriptor);
    bool read = read_all(&reading);
    if (read) {
        history.whole = reading.closing.found;
        *ret_history = history;
    } else {
        size_t line = reading.lines.count > 0 ? reading.lines.count : 1;
        text_format(ret_error, HISTORY_ERROR_MAX, "line %zu: %s", line, reading.problem);
        history_release(&history);
    }
    lines_release(&reading.lines);
    index_release(&reading.counters);
    return read;
}

void history_release(struct history *history)
{
    arena_free(history->arena);
    free(history->attempts);
    free(history->head.counters);
    *history = (struct history){0};
}
