// Reads the head of a history: one nested line, for a real JSON parser. Whatever it does not know
// is refused.
#include "history/head.h"

#include "base/text.h"
#include "history/arena.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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
    for (int kind = COUNTER_STOCK; text != NULL && kind < COUNTER_KIND_COUNT; kind++) {
        if (!counter_kind_begins((enum counter_kind)kind) &&
            strcmp(text, counter_kind_name((enum counter_kind)kind)) == 0 &&
            strncmp(name, text, length) == 0 && name[length] == '/') {
            *ret_kind = (enum counter_kind)kind;
            return true;
        }
    }
    return wrong_head(ret_error, "kind", "a kind of counter, with which the name begins");
}

// Refuses members that were not read: such a member may be one that is misspelled.
static bool head_size(const json_t *object, const char *name, size_t size, char *ret_error)
{
    return json_object_size(object) == size ||
           wrong_head(ret_error, name, "free of unknown members");
}

static bool head_owner(const json_t *json, struct history_arena *arena, const char **ret_owner,
                       char *ret_error)
{
    char owner[HISTORY_TEXT_MAX + 1];
    if (!head_text(json, "owner", owner, sizeof owner, ret_error))
        return false;
    *ret_owner = arena_text(arena, owner, strlen(owner));
    return *ret_owner != NULL ||
           wrong_head(ret_error, "owner", "short enough for the memory that is left");
}

static bool head_counter(const json_t *json, struct history_arena *arena,
                         struct history_counter *counter, char *ret_error)
{
    if (!head_text(json, "name", counter->name, sizeof counter->name, ret_error) ||
        !head_kind(json, counter->name, &counter->kind, ret_error) ||
        !head_number(json, "version", &counter->version, ret_error) ||
        !head_number(json, "remaining", &counter->remaining, ret_error))
        return false;
    bool total = counter_kind_has_total(counter->kind);
    bool limit = counter_kind_has_limit(counter->kind);
    bool owner = counter_kind_has_owner(counter->kind);
    return (!total || head_number(json, "total", &counter->total, ret_error)) &&
           (!limit || head_number(json, "per_user_limit", &counter->per_user_limit, ret_error)) &&
           (!owner || head_owner(json, arena, &counter->owner, ret_error)) &&
           head_size(json, "counters", 4U + total + limit + owner, ret_error);
}

static bool head_counters(const json_t *head, struct counters *counters, char *ret_error)
{
    const json_t *list = json_object_get(head, "counters");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n >= INDEX_NONE)
        return wrong_head(ret_error, "counters", "a list of counters");
    if (!counters_init(counters, counters->head, counters->arena, n))
        return wrong_head(ret_error, "counters", "a list that fits into memory");
    for (size_t i = 0; i < n; i++) {
        struct history_counter counter = {0};
        bool is_new = false;
        if (!head_counter(json_array_get(list, i), counters->arena, &counter, ret_error))
            return false;
        if (!counters_add(counters, &counter, &is_new))
            return wrong_head(ret_error, "counters", "a list that fits into memory");
        if (!is_new)
            return wrong_head(ret_error, "counters", "a list of counters with different names");
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

static bool head_proxied(const json_t *head, bool *ret_proxied, char *ret_error)
{
    const json_t *value = json_object_get(head, "proxied");
    *ret_proxied = value != NULL;
    return value == NULL || json_is_true(value) ||
           wrong_head(ret_error, "proxied", "true, or left out");
}

static bool head_head(const json_t *json, struct counters *counters, char *ret_error)
{
    struct history_head *ret_head = counters->head;
    const json_t *format = json_object_get(json, "holdfast_history");
    if (!json_is_integer(format))
        return wrong_head(ret_error, "holdfast_history", "present: this is not a history");
    if (json_integer_value(format) != HISTORY_FORMAT)
        return wrong_head(ret_error, "holdfast_history", "1, the only known format");
    return head_text(json, "run", ret_head->run, sizeof ret_head->run, ret_error) &&
           head_text(json, "scenario", ret_head->scenario, sizeof ret_head->scenario, ret_error) &&
           head_number(json, "started_at_ms", &ret_head->started_at_ms, ret_error) &&
           head_targets(json, ret_head, ret_error) &&
           head_proxied(json, &ret_head->proxied, ret_error) &&
           head_counters(json, counters, ret_error) &&
           head_size(json, "holdfast_history", 6U + ret_head->proxied, ret_error);
}

bool head_parse(const char *text, size_t length, struct counters *counters, char *ret_error)
{
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        text_format(ret_error, HISTORY_ERROR_MAX, "this is not a history: %s", error.text);
        return false;
    }
    bool read = head_head(json, counters, ret_error);
    json_decref(json);
    return read;
}
