// Reads a history line by line, and checks every line so that the checker can trust it.
//
// The head is one line for a real JSON parser (head.c). The lines after it are many and flat, and
// go through flat_json. The legs of all requests are in one array, which moves while it grows, so
// the requests get their pointers into it at the end. A run that was killed leaves a history
// without a closing line, and perhaps half a line at its end: it is read as far as it goes.
// Anything else that is wrong ends the reading, because a checker must not guess what a damaged
// history meant.
#include "history/reader.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/counters.h"
#include "history/head.h"
#include "history/line.h"
#include "history/lines.h"

#include <stdlib.h>
#include <string.h>

// ---- one line -----------------------------------------------------------------------------------

// The closing line.
struct closing {
    bool found;
    int64_t attempts;
};

enum history_member {
    MEMBER_OP,
    MEMBER_ATTEMPT,
    MEMBER_KIND,
    MEMBER_COUNTER,
    MEMBER_TARGET,
    MEMBER_KEY,
    MEMBER_USER,
    MEMBER_QUANTITY,
    MEMBER_INVOKE,
    MEMBER_COMPLETE,
    MEMBER_OUTCOME,
    MEMBER_STATUS,
    MEMBER_VERSION,
    MEMBER_REMAINING,
    MEMBER_EXPIRES,
    MEMBER_REPLAYED,
    MEMBER_DETAIL,
    MEMBER_MORE,
    MEMBER_END,
    MEMBER_ATTEMPTS,
};

enum { A = HISTORY_LINE_ATTEMPT, CLOSING = HISTORY_LINE_CLOSING };

// The version and the remaining of an answer have no range: a number that makes no sense is not
// damage of the file, but a violation by the service.
const struct member history_members[HISTORY_MEMBERS] = {
    [MEMBER_OP] = {"op", MEMBER_INT, A, 0, 0, INT64_MAX},
    [MEMBER_ATTEMPT] = {"attempt", MEMBER_INT, A, 0, 0, INT64_MAX},
    [MEMBER_KIND] = {"kind", MEMBER_TEXT, A, 0, 1, HISTORY_TEXT_MAX},
    [MEMBER_COUNTER] = {"counter", MEMBER_TEXT, 0, A, 1, HISTORY_COUNTER_MAX},
    [MEMBER_TARGET] = {"target", MEMBER_INT, A, 0, 0, HISTORY_TARGETS_MAX - 1},
    [MEMBER_KEY] = {"key", MEMBER_TEXT, 0, A, 1, HISTORY_TEXT_MAX},
    [MEMBER_USER] = {"user", MEMBER_TEXT, 0, A, 1, HISTORY_TEXT_MAX},
    [MEMBER_QUANTITY] = {"quantity", MEMBER_INT, 0, A, 1, INT64_MAX},
    [MEMBER_INVOKE] = {"invoke_ns", MEMBER_INT, A, 0, 0, INT64_MAX - 1},
    [MEMBER_COMPLETE] = {"complete_ns", MEMBER_INT_OR_NULL, A, 0, 0, INT64_MAX - 1},
    [MEMBER_OUTCOME] = {"outcome", MEMBER_TEXT, A, 0, 1, HISTORY_TEXT_MAX},
    [MEMBER_STATUS] = {"status", MEMBER_INT, A, 0, 0, 999},
    [MEMBER_VERSION] = {"version", MEMBER_INT, 0, A, INT64_MIN, INT64_MAX},
    [MEMBER_REMAINING] = {"remaining", MEMBER_INT, 0, A, INT64_MIN, INT64_MAX},
    [MEMBER_EXPIRES] = {"expires_at_ms", MEMBER_INT, 0, A, INT64_MIN, INT64_MAX},
    [MEMBER_REPLAYED] = {"replayed", MEMBER_BOOL, 0, A, 0, 0},
    [MEMBER_DETAIL] = {"detail", MEMBER_TEXT, 0, A, 1, HISTORY_TEXT_MAX},
    [MEMBER_MORE] = {"more", MEMBER_ARRAY, 0, A, 1, HISTORY_LEGS_MAX - 1},
    [MEMBER_END] = {"end", MEMBER_BOOL, CLOSING, 0, 0, 0},
    [MEMBER_ATTEMPTS] = {"attempts", MEMBER_INT, CLOSING, 0, 0, INT64_MAX},
};

struct line {
    struct member_values found;
    struct history *history; // read so far; its head is complete
    struct counters *counters;
    size_t legs_capacity;
    char *ret_error;
};

static bool wrong(const struct line *line, enum history_member member, const char *expected)
{
    return members_wrong(&history_members[member], expected, line->ret_error);
}

static struct maybe maybe_number(const struct line *line, enum history_member member)
{
    bool known = line->found.kinds[member] == FLAT_INT;
    return (struct maybe){known ? line->found.values[member].number : 0, known};
}

static int64_t number_of(const struct line *line, enum history_member member)
{
    return maybe_number(line, member).value;
}

static bool keep_text(struct line *line, enum history_member member, const char **ret_text)
{
    char text[HISTORY_TEXT_MAX + 1];
    *ret_text = "";
    if (line->found.kinds[member] == FLAT_END)
        return true;
    if (!flat_text_copy(text, sizeof text, &line->found.values[member]))
        return wrong(line, member, "a text of at most 64 bytes, without NUL");
    *ret_text = arena_text(line->history->arena, text, strlen(text));
    return *ret_text != NULL || wrong(line, member, "short enough for the memory that is left");
}

static bool text_is(const struct line *line, enum history_member member, const char *word)
{
    const struct flat_member *value = &line->found.values[member];
    return value->text_length == strlen(word) && memcmp(value->text, word, value->text_length) == 0;
}

static bool find_kind(const struct line *line, struct attempt *attempt)
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        attempt->kind = (enum attempt_kind)kind;
        if (text_is(line, MEMBER_KIND, attempt_kind_name(attempt->kind)))
            return true;
    }
    return wrong(line, MEMBER_KIND, "one of the known kinds");
}

static bool find_outcome(const struct line *line, struct attempt *attempt)
{
    for (int outcome = OUTCOME_OK; outcome <= OUTCOME_INFO; outcome++) {
        attempt->outcome = (enum attempt_outcome)outcome;
        if (text_is(line, MEMBER_OUTCOME, attempt_outcome_name(attempt->outcome)))
            return true;
    }
    return wrong(line, MEMBER_OUTCOME, "ok, fail or info");
}

// The counter that the text names; false if there is none.
static bool counter_of(const struct line *line, const struct flat_member *text, size_t *ret_counter)
{
    char name[HISTORY_COUNTER_MAX + 1];
    return flat_text_copy(name, sizeof name, text) &&
           counters_find(line->counters, name, ret_counter);
}

static bool find_counter(const struct line *line, struct attempt *attempt)
{
    attempt->counter = SIZE_MAX;
    if (line->found.kinds[MEMBER_COUNTER] == FLAT_END)
        return attempt->kind == KIND_OTHER || wrong(line, MEMBER_COUNTER, "present");
    if (attempt->kind == KIND_OTHER)
        return wrong(line, MEMBER_COUNTER, "absent if the kind is other");
    return counter_of(line, &line->found.values[MEMBER_COUNTER], &attempt->counter) ||
           wrong(line, MEMBER_COUNTER, "one of the head's counters");
}

// ---- further legs -------------------------------------------------------------------------------

// The array with room for one more element. NULL: out of memory, and the array stays as it is.
static void *grow(void *array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity)
        return array;
    size_t larger = *capacity > 0 ? *capacity + *capacity / 2 : 1024;
    void *grown = realloc(array, larger * size);
    if (grown != NULL)
        *capacity = larger;
    return grown;
}

static bool read_maybe(struct flat_json *array, struct maybe *ret_number)
{
    struct flat_member element;
    enum flat_kind kind = flat_array_next(array, &element);
    *ret_number = (struct maybe){kind == FLAT_INT ? element.number : 0, kind == FLAT_INT};
    return kind == FLAT_INT || kind == FLAT_NULL;
}

// Reads ["points/u2",5,12,42].
static bool read_leg(const struct line *line, const struct flat_member *text,
                     struct attempt_leg *ret_leg)
{
    struct flat_json array = flat_array_open(text);
    struct flat_member element;
    struct maybe amount = {0};
    if (flat_array_next(&array, &element) != FLAT_TEXT ||
        !counter_of(line, &element, &ret_leg->counter) || !read_maybe(&array, &amount) ||
        !read_maybe(&array, &ret_leg->version) || !read_maybe(&array, &ret_leg->remaining))
        return false;
    ret_leg->amount = amount.value;
    return amount.known && flat_array_next(&array, &element) == FLAT_END;
}

// Appends the legs to those of the history.
static bool read_more(struct line *line, struct attempt *attempt)
{
    struct history *history = line->history;
    struct flat_json array = flat_array_open(&line->found.values[MEMBER_MORE]);
    struct flat_member element;
    enum flat_kind kind;
    if (line->found.kinds[MEMBER_MORE] == FLAT_END)
        return true;
    while ((kind = flat_array_next(&array, &element)) != FLAT_END) {
        struct attempt_leg leg = {0};
        if (kind != FLAT_ARRAY || attempt->n_more == HISTORY_LEGS_MAX - 1 ||
            !read_leg(line, &element, &leg))
            return wrong(line, MEMBER_MORE,
                         "a list of at most 63 [one of the head's counters, a whole number, a whole"
                         " number or null, the same]");
        void *legs = grow(history->legs, history->n_legs, &line->legs_capacity, sizeof leg);
        if (legs == NULL)
            return wrong(line, MEMBER_MORE, "short enough for the memory that is left");
        history->legs = legs;
        history->legs[history->n_legs++] = leg;
        attempt->n_more++;
    }
    return attempt->n_more > 0 || wrong(line, MEMBER_MORE, "a list, not empty");
}

// Whether the legs must add up to zero. Without an answer those are missing that the service names.
static bool is_balanced(const struct attempt *attempt)
{
    return attempt_kind_is_balanced(attempt->kind) &&
           (attempt->outcome == OUTCOME_OK || !attempt_kind_opens(attempt->kind));
}

// Checks the legs against the kind, and against each other.
static bool check_legs(const struct line *line, const struct attempt *attempt)
{
    const struct history *history = line->history;
    const struct attempt_leg *more = history->legs + (history->n_legs - attempt->n_more);
    int64_t sum = attempt_leg(attempt, 0).amount;
    if (!attempt_kind_has_more(attempt->kind, attempt->n_more))
        return wrong(line, MEMBER_MORE, "a list as long as the kind demands");
    for (size_t i = 0; i < attempt->n_more; i++) {
        enum counter_kind kind = history->head.counters[more[i].counter].kind;
        bool repeated = more[i].counter == attempt->counter;
        for (size_t j = 0; j < i; j++)
            repeated |= more[j].counter == more[i].counter;
        if (repeated || !attempt_kind_may_name(attempt->kind, kind))
            return wrong(line, MEMBER_MORE,
                         "a list of different counters that such a request may name");
        if (attempt_kind_balances(attempt->kind, kind) &&
            __builtin_add_overflow(sum, more[i].amount, &sum))
            return wrong(line, MEMBER_MORE, "a list of changes with a sum");
    }
    return sum == 0 || !is_balanced(attempt) ||
           wrong(line, MEMBER_MORE, "a list of changes that add up to zero with the first");
}

// ---- one request --------------------------------------------------------------------------------

// Whether the key is the run's name, a hyphen and the operation's number.
static bool key_fits(const struct line *line, const struct attempt *attempt)
{
    const char *run = line->history->head.run;
    size_t length = strlen(run);
    char number[LINE_INT_ROOM + 1];
    *line_int(number, attempt->op) = '\0';
    return strncmp(attempt->key, run, length) == 0 && attempt->key[length] == '-' &&
           strcmp(attempt->key + length + 1, number) == 0;
}

// Checks the members of an attempt against each other.
static bool check_attempt(const struct line *line, const struct attempt *attempt)
{
    bool changes = attempt_kind_changes(attempt->kind);
    if (attempt->key[0] == '\0' ? changes : !key_fits(line, attempt))
        return wrong(line, MEMBER_KEY, "the run's name, `-` and the value of `op`");
    if (changes && attempt->user[0] == '\0')
        return wrong(line, MEMBER_USER, "present");
    if (changes &&
        line->history->head.counters[attempt->counter].kind != attempt_kind_counter(attempt->kind))
        return wrong(line, MEMBER_COUNTER, "one that such a request changes");
    bool quantity = line->found.kinds[MEMBER_QUANTITY] != FLAT_END;
    if (quantity != attempt_kind_has_quantity(attempt->kind) &&
        (quantity || !attempt_kind_may_lack_quantity(attempt->kind)))
        return wrong(line, MEMBER_QUANTITY, "present exactly if the kind has one");
    if (attempt->target >= line->history->head.n_targets)
        return wrong(line, MEMBER_TARGET, "one of the head's targets");
    if (attempt->outcome !=
        attempt_outcome_of(attempt->status, attempt->detail, line->history->head.proxied))
        return wrong(line, MEMBER_OUTCOME, "what `status` and `detail` promise");
    if ((attempt->outcome == OUTCOME_INFO) != (attempt->complete_ns == HISTORY_NEVER))
        return wrong(line, MEMBER_COMPLETE, "null exactly if the outcome is info");
    if (attempt->complete_ns < attempt->invoke_ns)
        return wrong(line, MEMBER_COMPLETE, "no earlier than `invoke_ns`");
    return true;
}

static bool assemble(struct line *line, struct attempt *attempt)
{
    *attempt = (struct attempt){
        .op = number_of(line, MEMBER_OP),
        .attempt = number_of(line, MEMBER_ATTEMPT),
        .target = (size_t)number_of(line, MEMBER_TARGET),
        .status = (int)number_of(line, MEMBER_STATUS),
        .replayed = line->found.kinds[MEMBER_REPLAYED] == FLAT_TRUE,
        .invoke_ns = number_of(line, MEMBER_INVOKE),
        .complete_ns = line->found.kinds[MEMBER_COMPLETE] == FLAT_NULL
                           ? HISTORY_NEVER
                           : number_of(line, MEMBER_COMPLETE),
        .quantity = number_of(line, MEMBER_QUANTITY),
        .version = maybe_number(line, MEMBER_VERSION),
        .remaining = maybe_number(line, MEMBER_REMAINING),
        .expires_at_ms = maybe_number(line, MEMBER_EXPIRES),
    };
    return find_kind(line, attempt) && find_outcome(line, attempt) && find_counter(line, attempt) &&
           keep_text(line, MEMBER_KEY, &attempt->key) &&
           keep_text(line, MEMBER_USER, &attempt->user) &&
           keep_text(line, MEMBER_DETAIL, &attempt->detail) && read_more(line, attempt) &&
           check_attempt(line, attempt) && check_legs(line, attempt);
}

static bool parse_line(struct line *line, const char *text, size_t length,
                       struct attempt *ret_attempt, struct closing *ret_closing)
{
    if (!members_find(history_members, HISTORY_MEMBERS, text, length, &line->found,
                      line->ret_error))
        return false;
    bool closing = line->found.kinds[MEMBER_END] != FLAT_END;
    if (!members_check(history_members, HISTORY_MEMBERS,
                       closing ? HISTORY_LINE_CLOSING : HISTORY_LINE_ATTEMPT, &line->found,
                       line->ret_error))
        return false;
    if (!closing)
        return assemble(line, ret_attempt);
    if (line->found.kinds[MEMBER_END] != FLAT_TRUE)
        return wrong(line, MEMBER_END, "true");
    *ret_closing = (struct closing){true, number_of(line, MEMBER_ATTEMPTS)};
    return true;
}

// ---- the file -----------------------------------------------------------------------------------

struct reading {
    struct lines lines;
    struct counters counters;
    struct history *history;
    struct closing closing;
    char problem[HISTORY_ERROR_MAX - 64];
};

static bool problem(struct reading *reading, const char *text)
{
    text_copy(reading->problem, sizeof reading->problem, text);
    return false;
}

// Reads every line after the head.
static bool read_attempts(struct reading *reading)
{
    struct history *history = reading->history;
    const char *text;
    size_t length;
    bool whole;
    char error[HISTORY_ERROR_MAX] = "";
    struct line line = {.history = history, .counters = &reading->counters, .ret_error = error};
    size_t capacity = 0;
    while (lines_next(&reading->lines, &text, &length, &whole)) {
        if (reading->closing.found)
            return problem(reading, "there is more after the closing line");
        void *attempts =
            grow(history->attempts, history->n_attempts, &capacity, sizeof *history->attempts);
        if (attempts == NULL)
            return problem(reading, "out of memory");
        history->attempts = attempts;
        struct attempt *attempt = &history->attempts[history->n_attempts];
        if (!parse_line(&line, text, length, attempt, &reading->closing)) {
            if (!whole)
                return true; // the last line was cut off
            return problem(reading, error);
        }
        history->n_attempts += !reading->closing.found;
    }
    if (reading->closing.found && reading->closing.attempts != (int64_t)history->n_attempts)
        return problem(reading, "the closing line gives another number of attempts");
    return reading->lines.error == 0 || problem(reading, strerror(reading->lines.error));
}

static void point_to_legs(struct history *history)
{
    size_t n = 0;
    for (size_t i = 0; i < history->n_attempts; i++) {
        struct attempt *attempt = &history->attempts[i];
        attempt->more = attempt->n_more > 0 ? history->legs + n : NULL;
        n += attempt->n_more;
    }
    history->n_legs = n; // without those of a last line that was cut off
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
    reading->counters = (struct counters){.head = &history->head, .arena = history->arena};
    if (!head_parse(text, length, &reading->counters, error))
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
        point_to_legs(&history);
        history.whole = reading.closing.found;
        *ret_history = history;
    } else {
        size_t line = reading.lines.count > 0 ? reading.lines.count : 1;
        text_format(ret_error, HISTORY_ERROR_MAX, "line %zu: %s", line, reading.problem);
        history_release(&history);
    }
    lines_release(&reading.lines);
    counters_release(&reading.counters);
    return read;
}

void history_release(struct history *history)
{
    arena_free(history->arena);
    free(history->attempts);
    free(history->legs);
    free(history->head.counters);
    *history = (struct history){0};
}
