// Parses bodies with jansson, which checks UTF-8, duplicate keys and trailing bytes, and compares
// the result with a table of fields. A pass over the bytes limits the nesting first, because
// jansson's own limit is 2,048 levels.
//
// What breaks it: jansson's conveniences. json_integer_value of a real is 0 and json_unpack "i"
// truncates, so this file checks types and ranges itself. jansson reports an integer beyond 64 bits
// as a parse error; the client gets an out-of-range error instead.
#include "http/wire/body.h"

#include "base/text.h"
#include "http/wire/problem.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

static bool slice_is(struct slice slice, const char *word)
{
    return slice.length == strlen(word) && strncasecmp(slice.text, word, slice.length) == 0;
}

enum rc body_check_media_type(struct slice content_type, struct problem *problem)
{
    if (content_type.text != NULL) {
        const char *semicolon = memchr(content_type.text, ';', content_type.length);
        struct slice type = content_type, parameter = {NULL, 0};
        if (semicolon != NULL) {
            type.length = (size_t)(semicolon - content_type.text);
            parameter.text = semicolon + 1;
            parameter.length = content_type.length - type.length - 1;
            parameter = slice_trim(parameter);
        }
        bool utf8 = semicolon == NULL || slice_is(parameter, "charset=utf-8") ||
                    slice_is(parameter, "charset=\"utf-8\"");
        if (slice_is(slice_trim(type), "application/json") && utf8)
            return RC_OK;
    }
    return problem_set(problem, RC_UNSUPPORTED_MEDIA_TYPE,
                       "Send the body as `Content-Type: application/json`, in UTF-8.");
}

static bool is_too_deep(const char *bytes, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > BODY_DEPTH_MAX)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

// jansson's message may quote the input, so it is not passed on.
static enum rc parse_problem(const json_error_t *error, struct problem *problem)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
        return problem_set(problem, RC_INVALID_FIELD,
                           "The number at line %d, column %d is too large for any field.",
                           error->line, error->column);
    case json_error_duplicate_key:
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "The object at line %d, column %d has duplicate member names.",
                           error->line, error->column);
    case json_error_end_of_input_expected:
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "Unexpected data after the JSON value, at line %d, column %d.",
                           error->line, error->column);
    case json_error_premature_end_of_input:
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "The JSON value is incomplete, at line %d, column %d.", error->line,
                           error->column);
    case json_error_invalid_utf8:
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "The body is not UTF-8, at line %d, column %d.", error->line,
                           error->column);
    case json_error_null_character:
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "A string contains a NUL character, at line %d, column %d.", error->line,
                           error->column);
    case json_error_out_of_memory:
        return problem_set(problem, RC_NO_MEMORY, "Out of memory while parsing the body.");
    default:
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "The body is not JSON, at line %d, column %d.", error->line,
                           error->column);
    }
}

enum rc body_parse(const char *bytes, size_t length, json_t **ret_object, struct problem *problem)
{
    if (length == 0)
        return problem_set(problem, RC_MALFORMED_REQUEST, "The body is empty; send a JSON object.");
    if (length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "Remove the byte order mark at the start of the body.");
    if (is_too_deep(bytes, length))
        return problem_set(problem, RC_MALFORMED_REQUEST,
                           "The JSON value is nested more than %d levels deep.", BODY_DEPTH_MAX);
    json_error_t error;
    json_t *value = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value == NULL)
        return parse_problem(&error, problem);
    if (!json_is_object(value)) {
        json_decref(value);
        return problem_set(problem, RC_MALFORMED_REQUEST, "The body must be a JSON object.");
    }
    *ret_object = value;
    return RC_OK;
}

static enum rc fault(const struct field *field, const char *where, struct problem *problem)
{
    char name[96];
    text_format(name, sizeof name, "%s%s", where, field->name);
    switch (field->kind) {
    case FIELD_INT:
        return problem_field(problem, RC_INVALID_FIELD, name,
                             "an integer from %" PRId64 " to %" PRId64, field->min, field->max);
    case FIELD_BOOL:
        return problem_field(problem, RC_INVALID_FIELD, name, "true or false");
    case FIELD_ID:
        return problem_field(problem, RC_INVALID_FIELD, name,
                             "a string of 1 to %d of A-Z a-z 0-9 . _ : -", ID_MAX);
    case FIELD_VISIBLE:
        return problem_field(problem, RC_INVALID_FIELD, name,
                             "a string of 1 to %" PRId64 " visible ASCII characters", field->max);
    case FIELD_TEXT:
        return problem_field(problem, RC_INVALID_FIELD, name,
                             "a string of %" PRId64 " to %" PRId64
                             " bytes of UTF-8 without control characters and line separators",
                             field->min, field->max);
    case FIELD_LIST:
        break;
    }
    return problem_field(problem, RC_INVALID_FIELD, name,
                         "a list of %" PRId64 " to %" PRId64 " items", field->min, field->max);
}

static bool is_within(const struct field *field, int64_t value)
{
    return value >= field->min && value <= field->max;
}

// False if the text, which is UTF-8 and ends with a NUL, has a control character (C0, DEL, C1) or
// one of the separators U+2028 and U+2029, which end a line in many programs.
static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char *at = (const unsigned char *)text + i;
        if (at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0) ||
            (at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)))
            return false;
    }
    return true;
}

static bool is_valid(const struct field *field, const char *text, size_t length)
{
    if (field->kind == FIELD_ID)
        return id_is_valid(text, length);
    if (field->kind == FIELD_VISIBLE)
        return id_is_visible(text, length, (size_t)field->max);
    return is_within(field, (int64_t)length) && is_printable(text, length);
}

static bool read_text(const struct field *field, const json_t *value)
{
    if (!json_is_string(value))
        return false;
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (!is_valid(field, text, length))
        return false;
    memcpy(field->target, text, length + 1);
    return true;
}

static bool read_field(const struct field *field, json_t *value)
{
    switch (field->kind) {
    case FIELD_INT:
        if (!json_is_integer(value) || !is_within(field, json_integer_value(value)))
            return false;
        *(int64_t *)field->target = json_integer_value(value);
        return true;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return false;
        *(bool *)field->target = json_is_true(value);
        return true;
    case FIELD_ID:
    case FIELD_VISIBLE:
    case FIELD_TEXT:
        return read_text(field, value);
    case FIELD_LIST:
        if (!json_is_array(value) || !is_within(field, (int64_t)json_array_size(value)))
            return false;
        *(json_t **)field->target = value;
        return true;
    }
    return false;
}

static enum rc find_unknown(const json_t *object, const char *where, const struct field *fields,
                            size_t n_fields, struct problem *problem)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;
        while (i < n_fields && strcmp(fields[i].name, key) != 0)
            i++;
        if (i < n_fields)
            continue;
        char name[96];
        text_format(name, sizeof name, "%s%s", where, key);
        return problem_field(problem, RC_UNKNOWN_FIELD, name, "%s", "");
    }
    return problem_set(problem, RC_INTERNAL, "The body has an unknown field.");
}

enum rc body_read(const json_t *object, const char *where, const struct field *fields,
                  size_t n_fields, struct problem *problem)
{
    size_t found = 0;
    for (size_t i = 0; i < n_fields; i++) {
        json_t *value = json_object_get(object, fields[i].name);
        if (value == NULL && !fields[i].required)
            continue;
        if (value == NULL || !read_field(&fields[i], value))
            return fault(&fields[i], where, problem);
        found++;
    }
    if (found != json_object_size(object))
        return find_unknown(object, where, fields, n_fields, problem);
    return RC_OK;
}

enum rc body_decode(const char *bytes, size_t length, const struct field *fields, size_t n_fields,
                    struct problem *problem)
{
    json_t *object = NULL;
    enum rc rc = body_parse(bytes, length, &object, problem);
    if (rc != RC_OK)
        return rc;
    rc = body_read(object, "", fields, n_fields, problem);
    json_decref(object);
    return rc;
}
