// One attempt's line. The members may come in any order; they are looked for in the order in which
// they are written, so that the one that comes is as a rule the first that is tried.
#include "history/reader_parts.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/flat_json.h"

#include <string.h>

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
    int kinds; // of values that it may have
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
    enum flat_kind kinds[MEMBER_COUNT]; // FLAT_END: left out
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
            text_format(line->ret_error, HISTORY_ERROR_MAX, "this is no JSON object");
            return false;
        }
        enum member member = find_member(&found, next);
        if (member == MEMBER_COUNT) {
            text_format(line->ret_error, HISTORY_ERROR_MAX, "`%.*s` is not known",
                        (int)(found.name_length < 40 ? found.name_length : 40), found.name);
            return false;
        }
        if (line->kinds[member] != FLAT_END)
            return wrong(line, member, "there once");
        line->values[member] = found;
        line->kinds[member] = kind;
        next = (enum member)(member + 1);
    }
    if (json.at != json.end && strspn(json.at, " \r\t") < (size_t)(json.end - json.at)) {
        text_format(line->ret_error, HISTORY_ERROR_MAX, "something stands behind the object");
        return false;
    }
    return true;
}

static bool check_member(const struct line *line, enum member member)
{
    enum flat_kind kind = line->kinds[member];
    int kinds = members[member].kinds;
    if (kind == FLAT_END)
        return !members[member].required || wrong(line, member, "there");
    if ((kinds & 1 << kind) == 0)
        return wrong(line, member,
                     kinds == TEXT          ? "a text"
                     : kinds == BOOL        ? "true or false"
                     : kinds == INT_OR_NULL ? "a whole number or null"
                                            : "a whole number");
    int64_t number = line->values[member].number;
    if (kind == FLAT_INT && (number < members[member].min || number > members[member].max))
        return wrong(line, member, "in its range");
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
        return attempt->kind == KIND_OTHER || wrong(line, MEMBER_COUNTER, "there");
    if (flat_text_copy(name, sizeof name, &line->values[MEMBER_COUNTER])) {
        uint32_t found = index_find(line->counters, name);
        if (found != INDEX_NONE) {
            attempt->counter = found;
            return true;
        }
    }
    return wrong(line, MEMBER_COUNTER, "one of the head's counters");
}

// What must be true of an attempt as a whole.
static bool check_attempt(const struct line *line, const struct attempt *attempt)
{
    bool changes =
        attempt->kind == KIND_DEDUCT || attempt->kind == KIND_ISSUE || attempt->kind == KIND_DRAW;
    if (changes && attempt->key[0] == '\0')
        return wrong(line, MEMBER_KEY, "there");
    if (attempt->kind == KIND_DEDUCT && attempt->quantity == HISTORY_NONE)
        return wrong(line, MEMBER_QUANTITY, "there");
    if (attempt->target >= line->head->n_targets)
        return wrong(line, MEMBER_TARGET, "one of the head's targets");
    if ((attempt->outcome == OUTCOME_INFO) != (attempt->complete_ns == HISTORY_NEVER))
        return wrong(line, MEMBER_COMPLETE, "null if the outcome is info, and only then");
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

bool reader_attempt(const char *text, size_t length, const struct history_head *head,
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
