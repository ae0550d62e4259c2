// Reads a history line by line, and checks every line so that the checker can trust it.
//
// The head is one line for a real JSON parser. The lines after it are many and flat, and go
// through flat_json. A run that was killed leaves a history without a closing line, and perhaps
// half a line at its end: it is read as far as it goes. Anything else that is wrong ends the
// reading, because a checker must not guess what a damaged history meant.
#include "history/reader.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/index.h"
#include "history/line.h"
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

static bool head_number(const json_t *object, const char *name, int64_t *ret_number,
                        char *ret_error)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value))
        return wrong_head(ret_error, name, "a whole number");
    *ret_number = json_integer_value(value);
    return true;
}

// The kind, with which the counter's name must begin: "stock/...".
static bool head_kind(const json_t *object, const char *name, enum counter_kind *ret_kind,
                      char *ret_error)
{
    const char *text = json_string_value(json_object_get(object, "kind"));
    size_t length = text != NULL ? strlen(text) : 0;
    for (int kind = COUNTER_STOCK; text != NULL && kind <= COUNTER_PRIZE; kind++) {
        if (strcmp(text, counter_kind_name((enum counter_kind)kind)) == 0 &&
            strncmp(name, text, length) == 0 && name[length] == '/') {
            *ret_kind = (enum counter_kind)kind;
            return true;
        }
    }
    return wrong_head(ret_error, "kind", "stock, coupon, lottery or prize, as the name begins");
}

// Refuses members that were not read: such a member may be one that is misspelled.
static bool head_size(const json_t *object, const char *name, size_t size, char *ret_error)
{
    return json_object_size(object) == size ||
           wrong_head(ret_error, name, "free of unknown members");
}

static bool head_counter(const json_t *json, struct history_counter *counter, char *ret_error)
{
    if (!head_text(json, "name", counter->name, sizeof counter->name, ret_error) ||
        !head_kind(json, counter->name, &counter->kind, ret_error) ||
        !head_number(json, "version", &counter->version, ret_error) ||
        !head_number(json, "remaining", &counter->remaining, ret_error))
        return false;
    bool total = counter_kind_has_total(counter->kind);
    bool limit = counter_kind_has_limit(counter->kind);
    return (!total || head_number(json, "total", &counter->total, ret_error)) &&
           (!limit || head_number(json, "per_user_limit", &counter->per_user_limit, ret_error)) &&
           head_size(json, "counters", 4U + total + limit, ret_error);
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
           head_counters(json, ret_head, ret_index, ret_error) &&
           head_size(json, "holdfast_history", 6, ret_error);
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
    MEMBER_REPLAYED,
    MEMBER_DETAIL,
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
    [MEMBER_REPLAYED] = {"replayed", MEMBER_BOOL, 0, A, 0, 0},
    [MEMBER_DETAIL] = {"detail", MEMBER_TEXT, 0, A, 1, HISTORY_TEXT_MAX},
    [MEMBER_END] = {"end", MEMBER_BOOL, CLOSING, 0, 0, 0},
    [MEMBER_ATTEMPTS] = {"attempts", MEMBER_INT, CLOSING, 0, 0, INT64_MAX},
};

struct line {
    struct member_values found;
    const struct history_head *head;
    const struct index *counters;
    struct history_arena *arena;
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
    *ret_text = arena_text(line->arena, text, strlen(text));
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
    if (line->found.kinds[MEMBER_COUNTER] == FLAT_END)
        return attempt->kind == KIND_OTHER || wrong(line, MEMBER_COUNTER, "present");
    if (attempt->kind == KIND_OTHER)
        return wrong(line, MEMBER_COUNTER, "absent if the kind is other");
    if (flat_text_copy(name, sizeof name, &line->found.values[MEMBER_COUNTER])) {
        uint32_t found = index_find(line->counters, name);
        if (found != INDEX_NONE) {
            attempt->counter = found;
            return true;
        }
    }
    return wrong(line, MEMBER_COUNTER, "one of the head's counters");
}

// Whether the key is the run's name, a hyphen and the operation's number.
static bool key_fits(const struct line *line, const struct attempt *attempt)
{
    const char *run = line->head->run;
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
        line->head->counters[attempt->counter].kind != attempt_kind_counter(attempt->kind))
        return wrong(line, MEMBER_COUNTER, "one that such a request changes");
    if ((attempt->kind == KIND_DEDUCT) != (line->found.kinds[MEMBER_QUANTITY] != FLAT_END))
        return wrong(line, MEMBER_QUANTITY, "present exactly if the kind is deduct");
    if (attempt->target >= line->head->n_targets)
        return wrong(line, MEMBER_TARGET, "one of the head's targets");
    if (attempt->outcome != attempt_outcome_of(attempt->status, attempt->detail))
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
    if (!members_find(history_members, HISTORY_MEMBERS, text, length, &line.found, ret_error))
        return false;
    bool closing = line.found.kinds[MEMBER_END] != FLAT_END;
    if (!members_check(history_members, HISTORY_MEMBERS,
                       closing ? HISTORY_LINE_CLOSING : HISTORY_LINE_ATTEMPT, &line.found,
                       ret_error))
        return false;
    if (!closing)
        return assemble(&line, ret_attempt);
    if (line.found.kinds[MEMBER_END] != FLAT_TRUE)
        return wrong(&line, MEMBER_END, "true");
    *ret_closing = (struct closing){true, number_of(&line, MEMBER_ATTEMPTS)};
    return true;
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
