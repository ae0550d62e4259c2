// The head of a history: one line, read with a real parser, and checked so that everything behind
// it can trust it.
#include "history/reader_parts.h"

#include "base/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(char *ret_error, const char *name, const char *expected)
{
    text_format(ret_error, HISTORY_ERROR_MAX, "`%s` must be %s", name, expected);
    return false;
}

static bool read_text(const json_t *object, const char *name, char *target, size_t size,
                      char *ret_error)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || !text_copy(target, size, text))
        return wrong(ret_error, name, "a text that is not too long");
    return true;
}

// HISTORY_NONE where it is left out.
static bool read_number(const json_t *object, const char *name, int64_t *ret_number,
                        char *ret_error)
{
    const json_t *value = json_object_get(object, name);
    *ret_number = HISTORY_NONE;
    if (value == NULL)
        return true;
    if (!json_is_integer(value))
        return wrong(ret_error, name, "a whole number");
    *ret_number = json_integer_value(value);
    return true;
}

static bool read_kind(const json_t *object, enum counter_kind *ret_kind, char *ret_error)
{
    const char *text = json_string_value(json_object_get(object, "kind"));
    for (int kind = COUNTER_STOCK; text != NULL && kind <= COUNTER_PRIZE; kind++) {
        if (strcmp(text, counter_kind_name((enum counter_kind)kind)) == 0) {
            *ret_kind = (enum counter_kind)kind;
            return true;
        }
    }
    return wrong(ret_error, "kind", "stock, coupon, lottery or prize");
}

static bool read_counter(const json_t *json, struct history_counter *counter, char *ret_error)
{
    return read_text(json, "name", counter->name, sizeof counter->name, ret_error) &&
           read_kind(json, &counter->kind, ret_error) &&
           read_number(json, "version", &counter->version, ret_error) &&
           read_number(json, "remaining", &counter->remaining, ret_error) &&
           read_number(json, "total", &counter->total, ret_error) &&
           read_number(json, "per_user_limit", &counter->per_user_limit, ret_error);
}

static bool read_counters(const json_t *head, struct history_head *ret_head, struct index *index,
                          char *ret_error)
{
    const json_t *list = json_object_get(head, "counters");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n >= INDEX_NONE)
        return wrong(ret_error, "counters", "a list of counters");
    ret_head->counters = calloc(n > 0 ? n : 1, sizeof *ret_head->counters);
    if (ret_head->counters == NULL || !index_init(index, n))
        return wrong(ret_error, "counters", "a list that fits into memory");
    for (size_t i = 0; i < n; i++) {
        struct history_counter *counter = &ret_head->counters[i];
        uint32_t number = 0;
        if (!read_counter(json_array_get(list, i), counter, ret_error))
            return false;
        if (!index_put(index, counter->name, (uint32_t)i, &number))
            return wrong(ret_error, "counters", "a list that fits into memory");
        if (number != i)
            return wrong(ret_error, "counters", "a list without two counters of one name");
        ret_head->n_counters++;
    }
    return true;
}

static bool read_targets(const json_t *head, struct history_head *ret_head, char *ret_error)
{
    const json_t *list = json_object_get(head, "targets");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > HISTORY_TARGETS_MAX)
        return wrong(ret_error, "targets", "a list of at most 32 URLs");
    for (size_t i = 0; i < n; i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url == NULL || !text_copy(ret_head->targets[i], sizeof ret_head->targets[i], url))
            return wrong(ret_error, "targets", "a list of URLs of at most 255 bytes");
    }
    ret_head->n_targets = n;
    return true;
}

static bool read_head(const json_t *json, struct history_head *ret_head, struct index *ret_index,
                      char *ret_error)
{
    const json_t *format = json_object_get(json, "holdfast_history");
    if (!json_is_integer(format))
        return wrong(ret_error, "holdfast_history", "there: this is no history");
    if (json_integer_value(format) != HISTORY_FORMAT)
        return wrong(ret_error, "holdfast_history", "1, the format that is understood here");
    return read_text(json, "run", ret_head->run, sizeof ret_head->run, ret_error) &&
           read_text(json, "scenario", ret_head->scenario, sizeof ret_head->scenario, ret_error) &&
           read_number(json, "started_at_ms", &ret_head->started_at_ms, ret_error) &&
           read_targets(json, ret_head, ret_error) &&
           read_counters(json, ret_head, ret_index, ret_error);
}

bool reader_head(const char *text, size_t length, struct history_head *ret_head,
                 struct index *ret_index, char *ret_error)
{
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        text_format(ret_error, HISTORY_ERROR_MAX, "this is no history: %s", error.text);
        return false;
    }
    bool read = read_head(json, ret_head, ret_index, ret_error);
    json_decref(json);
    return read;
}
