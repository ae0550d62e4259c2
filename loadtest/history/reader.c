// Reads a history line by line, and checks every line so that the checker can trust it.
//
// The head is one line for a real JSON parser. The lines after it are many and flat, and go
// through flat_json. A run that was killed leaves a history without a closing line, and perhaps
// half a line at its end: it is read as far as it goes. Anything else that is wrong ends the
// reading, because a checker must not guess what a damaged history meant.
#include "history/reader.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/flat_json.h"
#include "history/index.h"
#include "history/lines.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// ---- the head -----------------------------------------------------------------------------------

static bool wrong_head(char *ret_error, const char *name, const char *expected)
{
    text_format(ret_error, HISTORY_ERROR_MAX, "`%s` must be %s", name, expected);
    return false;
}

static bool head_text(const json_t *object, const char *name, char *target, size_t size,
                      char *ret_error)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || !text_copy(target, size, text))
        return wrong_head(ret_error, name, "a text that is short enough");
    return true;
}

// HISTORY_NONE if the member is missing.
static bool head_number(const json_t *object, const char *name, int64_t *ret_number,
                        char *ret_error)
{
    const json_t *value = json_object_get(object, name);
    *ret_number = HISTORY_NONE;
    if (value == NULL)
        return true;
    if (!json_is_integer(value))
        return wrong_head(ret_error, name, "a whole number");
    *ret_number = json_integer_value(value);
    return true;
}

static bool head_kind(const json_t *object, enum counter_kind *ret_kind, char *ret_error)
{
    const char *text = json_string_value(json_object_get(object, "kind"));
    for (int kind = COUNTER_STOCK; text != NULL && kind <= COUNTER_PRIZE; kind++) {
        if (strcmp(text, counter_kind_name((enum counter_kind)kind)) == 0) {
            *ret_kind = (enum counter_kind)kind;
            return true;
        }
    }
    return wrong_head(ret_error, "kind", "stock, coupon, lottery or prize");
}

static bool head_counter(const json_t *json, struct history_counter *counter, char *ret_error)
{
    return head_text(json, "name", counter->name, sizeof counter->name, ret_error) &&
           head_kind(json, &counter->kind, ret_error) &&
           head_number(json, "version", &counter->version, ret_error) &&
           head_number(json, "remaining", &counter->remaining, ret_error) &&
           head_number(json, "total", &counter->total, ret_error) &&
           head_number(json, "per_user_limit", &counter->per_user_limit, ret_error);
}

static bool head_counters(const json_t *head, struct history_head *ret_head, struct index *index,
                          char *ret_error)
{
    const json_t *list = json_object_get(head, "counters");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n >= INDEX_NONE)
        return wrong_head(ret_error, "counters", "a list of counters");
    ret_head->counters = calloc(n > 0 ? n : 1, sizeof *ret_head->counters);
    if (ret_head->counters == NULL || !index_init(index, n))
        return wrong_head(ret_error, "counters", "a list that fits into memory");
    for (size_t i = 0; i < n; i++) {
        struct history_counter *counter = &ret_head->counters[i];
        uint32_t number = 0;
        if (!head_counter(json_array_get(list, i), counter, ret_error))
            return false;
        if (!index_put(index, counter->name, (uint32_t)i, &number))
            return wrong_head(ret_error, "counters", "a list that fits into memory");
        if (number != i)
            return wrong_head(ret_error, "counters", "a list of counters with different names");
        ret_head->n_counters++;
    }
    return true;
}

static bool head_targets(const json_t *head, struct history_head *ret_head, char *ret_error)
{
    const json_t *list = json_object_get(head, "targets");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > HISTORY_TARGETS_MAX)
        return wrong_head(ret_error, "targets", "a list of at most 32 URLs");
    for (size_t i = 0; i < n; i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url == NULL || !text_copy(ret_head->targets[i], sizeof ret_head->targets[i], url))
            return wrong_head(ret_error, "targets", "a list of URLs of at most 255 bytes");
    }
    ret_head->n_targets = n;
    return true;
}

static bool head_head(const json_t *json, struct history_head *ret_head, struct index *ret_index,
                      char *ret_error)
{
    const json_t *format = json_object_get(json, "holdfast_history");
    if (!json_is_integer(format))
        return wrong_head(ret_error, "holdfast_history", "present: this is not a history");
    if (json_integer_value(format) != HISTORY_FORMAT)
        return wrong_head(ret_error, "holdfast_history", "1, the only known format");
    return head_text(json, "run", ret_head->run, sizeof ret_head->run, ret_error) &&
           head_text(json, "scenario", ret_head->scenario, sizeof ret_head->scenario, ret_error) &&
           head_number(json, "started_at_ms", &ret_head->started_at_ms, ret_error) &&
           head_targets(json, ret_head, ret_error) &&
           head_counters(json, ret_head, ret_index, ret_error);
}

static bool parse_head(const char *text, size_t length, struct history_head *ret_head,
                       struct index *ret_index, char *ret_error)
{
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        text_format(ret_error, HISTORY_ERROR_MAX, "this is not a history: %s", error.text);
        return false;
    }
    bool read = head_head(json, ret_head, ret_index, ret_error);
    json_decref(json);
    return read;
}

// ---- one attempt --------------------------------------------------------------------------------

// The closing line.
struct closing {
    bool found;
    int64_t attempts;
};

// The members of an attempt may come in any order. They are looked for in the order in which the
// writer puts them, so that the first one tried is nearly always the right one.
enum member {
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
    MEMBER_REPLAYED,
    MEMBER_DETAIL,
    MEMBER_END,
    MEMBER_ATTEMPTS,
    MEMBER_COUNT
};

enum {
    INT = 1 << FLAT_INT,
    TEXT = 1 << FLAT_TEXT,
    BOOL = 1 << FLAT_TRUE | 1 << FLAT_FALSE,
    INT_OR_NULL = INT | 1 << FLAT_NULL
};

static const struct {
    const char *name;
    int kinds; // of values that are allowed
    bool required;
    int64_t min, max;
} members[MEMBER_COUNT] = {
    [MEMBER_OP] = {"op", INT, true, 0, INT64_MAX},
    [MEMBER_ATTEMPT] = {"attempt", INT, true, 0, INT64_MAX},
    [MEMBER_KIND] = {"kind", TEXT, true, 0, 0},
    [MEMBER_COUNTER] = {"counter", TEXT, false, 0, 0},
    [MEMBER_TARGET] = {"target", INT, true, 0, HISTORY_TARGETS_MAX - 1},
    [MEMBER_KEY] = {"key", TEXT, false, 0, 0},
    [MEMBER_USER] = {"user", TEXT, false, 0, 0},
    [MEMBER_QUANTITY] = {"quantity", INT, false, 1, INT64_MAX},
    [MEMBER_INVOKE] = {"invoke_ns", INT, true, INT64_MIN, INT64_MAX - 1},
    [MEMBER_COMPLETE] = {"complete_ns", INT_OR_NULL, true, INT64_MIN, INT64_MAX - 1},
    [MEMBER_OUTCOME] = {"outcome", TEXT, true, 0, 0},
    [MEMBER_STATUS] = {"status", INT, true, 0, 599},
    [MEMBER_VERSION] = {"version", INT, false, 0, INT64_MAX},
    [MEMBER_REMAINING] = {"remaining", INT, false, INT64_MIN, INT64_MAX},
    [MEMBER_REPLAYED] = {"replayed", BOOL, false, 0, 0},
    [MEMBER_DETAIL] = {"detail", TEXT, false, 0, 0},
    [MEMBER_END] = {"end", BOOL, false, 0, 0},
    [MEMBER_ATTEMPTS] = {"attempts", INT, false, 0, INT64_MAX},
};

struct line {
    struct flat_member values[MEMBER_COUNT];
    enum flat_kind kinds[MEMBER_COUNT]; // FLAT_END: missing
    const struct history_head *head;
    const struct index *counters;
    struct history_arena *arena;
    char *ret_error;
};

static bool wrong(const struct line *line, enum member member, const char *expected)
{
    text_format(line->ret_error, HISTORY_ERROR_MAX, "`%s` must be %s", members[member].name,
                expected);
    return false;
}

static enum member find_member(const struct flat_member *found, enum member expected)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        enum member member = (enum member)((expected + i) % MEMBER_COUNT);
        if (flat_member_is(found, members[member].name))
            return member;
    }
    return MEMBER_COUNT;
}

static bool gather(struct line *line, const char *text, size_t length)
{
    struct flat_json json = flat_json_open(text, length);
    struct flat_member found;
    enum flat_kind kind;
    enum member next = MEMBER_OP;
    while ((kind = flat_json_next(&json, &found)) != FLAT_END) {
        if (kind == FLAT_ERROR) {
            text_format(line->ret_error, HISTORY_ERROR_MAX, "not a JSON object");
            return false;
        }
        enum member member = find_member(&found, next);
        if (member == MEMBER_COUNT) {
            text_format(line->ret_error, HISTORY_ERROR_MAX, "unknown member `%.*s`",
                        (int)(found.name_length < 40 ? found.name_length : 40), found.name);
            return false;
        }
        if (line->kinds[member] != FLAT_END)
            return wrong(line, member, "present only once");
        line->values[member] = found;
        line->kinds[member] = kind;
        next = (enum member)(member + 1);
    }
    if (json.at != json.end && strspn(json.at, " \r\t") < (size_t)(json.end - json.at)) {
        text_format(line->ret_error, HISTORY_ERROR_MAX, "there is more after the object");
        return false;
    }
    return true;
}

static bool check_member(const struct line *line, enum member member)
{
    enum flat_kind kind = line->kinds[member];
    int kinds = members[member].kinds;
    if (kind == FLAT_END)
        return !members[member].required || wrong(line, member, "present");
    if ((kinds & 1 << kind) == 0)
        return wrong(line, member,
                     kinds == TEXT          ? "a text"
                     : kinds == BOOL        ? "true or false"
                     : kinds == INT_OR_NULL ? "a whole number or null"
                                            : "a whole number");
    int64_t number = line->values[member].number;
    if (kind == FLAT_INT && (number < members[member].min || number > members[member].max))
        return wrong(line, member, "within its range");
    return true;
}

static int64_t number_of(const struct line *line, enum member member)
{
    return line->kinds[member] == FLAT_INT ? line->values[member].number : HISTORY_NONE;
}

static bool keep_text(struct line *line, enum member member, const char **ret_text)
{
    char text[HISTORY_TEXT_MAX + 1];
    *ret_text = "";
    if (line->kinds[member] == FLAT_END)
        return true;
    if (!flat_text_copy(text, sizeof text, &line->values[member]))
        return wrong(line, member, "at most 64 bytes long");
    *ret_text = arena_text(line->arena, text, strlen(text));
    return *ret_text != NULL || wrong(line, member, "short enough for the memory that is left");
}

static bool text_is(const struct line *line, enum member member, const char *word)
{
    const struct flat_member *value = &line->values[member];
    return value->text_length == strlen(word) && memcmp(value->text, word, value->text_length) == 0;
}

static bool find_kind(const struct line *line, struct attempt *attempt)
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        attempt->kind = (enum attempt_kind)kind;
        if (text_is(line, MEMBER_KIND, attempt_kind_name(attempt->kind)))
            return true;
    }
    return wrong(line, MEMBER_KIND, "deduct, issue, draw, read or other");
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

static bool find_counter(const struct line *line, struct attempt *attempt)
{
    char name[HISTORY_COUNTER_MAX + 1];
    attempt->counter = SIZE_MAX;
    if (line->kinds[MEMBER_COUNTER] == FLAT_END)
        return attempt->kind == KIND_OTHER || wrong(line, MEMBER_COUNTER, "present");
    if (flat_text_copy(name, sizeof name, &line->values[MEMBER_COUNTER])) {
        uint32_t found = index_find(line->counters, name);
        if (found != INDEX_NONE) {
            attempt->counter = found;
            return true;
        }
    }
    return wrong(line, MEMBER_COUNTER, "one of the head's counters");
}

// Checks the members of an attempt against each other.
static bool check_attempt(const struct line *line, const struct attempt *attempt)
{
    bool changes =
        attempt->kind == KIND_DEDUCT || attempt->kind == KIND_ISSUE || attempt->kind == KIND_DRAW;
    if (changes && attempt->key[0] == '\0')
        return wrong(line, MEMBER_KEY, "present");
    if (attempt->kind == KIND_DEDUCT && attempt->quantity == HISTORY_NONE)
        return wrong(line, MEMBER_QUANTITY, "present");
    if (attempt->target >= line->head->n_targets)
        return wrong(line, MEMBER_TARGET, "one of the head's targets");
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
        .replayed = line->kinds[MEMBER_REPLAYED] == FLAT_TRUE,
        .invoke_ns = number_of(line, MEMBER_INVOKE),
        .complete_ns = line->kinds[MEMBER_COMPLETE] == FLAT_NULL ? HISTORY_NEVER
                                                                 : number_of(line, MEMBER_COMPLETE),
        .quantity = number_of(line, MEMBER_QUANTITY),
        .version = number_of(line, MEMBER_VERSION),
        .remaining = number_of(line, MEMBER_REMAINING),
    };
    return find_kind(line, attempt) && find_outcome(line, attempt) && find_counter(line, attempt) &&
           keep_text(line, MEMBER_KEY, &attempt->key) &&
           keep_text(line, MEMBER_USER, &attempt->user) &&
           keep_text(line, MEMBER_DETAIL, &attempt->detail) && check_attempt(line, attempt);
}

static bool parse_line(const char *text, size_t length, const struct history_head *head,
                       const struct index *counters, struct history_arena *arena,
                       struct attempt *ret_attempt, struct closing *ret_closing, char *ret_error)
{
    struct line line = {.head = head, .counters = counters, .arena = arena, .ret_error = ret_error};
    if (!gather(&line, text, length))
        return false;
    if (line.kinds[MEMBER_END] == FLAT_TRUE) {
        *ret_closing = (struct closing){true, number_of(&line, MEMBER_ATTEMPTS)};
        return check_member(&line, MEMBER_ATTEMPTS);
    }
    for (int member = 0; member < MEMBER_COUNT; member++) {
        if (!check_member(&line, (enum member)member))
            return false;
    }
    return assemble(&line, ret_attempt);
}

// ---- the file -----------------------------------------------------------------------------------

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

// Reads every line after the head.
static bool read_attempts(struct reading *reading)
{
    struct history *history = reading->history;
    const char *text;
    size_t length;
    bool whole;
    char error[HISTORY_ERROR_MAX] = "";
    while (lines_next(&reading->lines, &text, &length, &whole)) {
        if (reading->closing.found)
            return problem(reading, "there is more after the closing line");
        if (!grow(reading))
            return problem(reading, "out of memory");
        struct attempt *attempt = &history->attempts[history->n_attempts];
        if (!parse_line(text, length, &history->head, &reading->counters, history->arena, attempt,
                        &reading->closing, error)) {
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
    if (!parse_head(text, length, &history->head, &reading->counters, error))
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
