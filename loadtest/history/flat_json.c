// One pass from left to right, a few nanoseconds a member, because every answer of a load test and
// every line of a history comes through here. Between members anything made of commas and white
// space is passed over; what a value is, its first character tells.
#include "history/flat_json.h"

#include <string.h>

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

// The closing quote of the text that begins here, or NULL.
static const char *find_quote(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (*at == '"')
            return at;
        if (*at == '\\' && ++at == end)
            return NULL;
    }
    return NULL;
}

// Behind the object or array that begins here, or NULL.
static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;
    for (; at < end; at++) {
        if (*at == '"') {
            at = find_quote(at + 1, end);
            if (at == NULL)
                return NULL;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if ((*at == '}' || *at == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return NULL;
}

static bool is_delimiter(char c)
{
    return c == ',' || c == '}' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static enum flat_kind read_number(struct flat_json *json, int64_t *ret_number)
{
    const char *at = json->at;
    bool negative = *at == '-', whole = true;
    int64_t number = 0;
    const char *digits = at += negative;
    for (; at < json->end && *at >= '0' && *at <= '9'; at++) {
        int64_t digit = negative ? '0' - *at : *at - '0';
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            whole = false;
    }
    if (at == digits)
        return FLAT_ERROR;
    for (; at < json->end && !is_delimiter(*at); at++)
        whole = false;
    if (at == json->end)
        return FLAT_ERROR;
    json->at = at;
    *ret_number = whole ? number : 0;
    return whole ? FLAT_INT : FLAT_OTHER;
}

static enum flat_kind read_word(struct flat_json *json)
{
    static const struct {
        const char *word;
        size_t length;
        enum flat_kind kind;
    } words[] = {{"true", 4, FLAT_TRUE}, {"false", 5, FLAT_FALSE}, {"null", 4, FLAT_NULL}};
    size_t left = (size_t)(json->end - json->at);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (left > words[i].length && memcmp(json->at, words[i].word, words[i].length) == 0) {
            json->at += words[i].length;
            return words[i].kind;
        }
    }
    return FLAT_ERROR;
}

static enum flat_kind read_value(struct flat_json *json, struct flat_member *member)
{
    const char *at = json->at;
    if (*at == '"') {
        const char *quote = find_quote(at + 1, json->end);
        if (quote == NULL)
            return FLAT_ERROR;
        member->text = at + 1;
        member->text_length = (size_t)(quote - member->text);
        json->at = quote + 1;
        return FLAT_TEXT;
    }
    if (*at == '{' || *at == '[') {
        const char *behind = skip_nested(at, json->end);
        if (behind == NULL)
            return FLAT_ERROR;
        json->at = behind;
        return FLAT_OTHER;
    }
    if (*at == '-' || (*at >= '0' && *at <= '9'))
        return read_number(json, &member->number);
    return read_word(json);
}

struct flat_json flat_json_open(const char *text, size_t length)
{
    const char *end = text + length, *at = skip_space(text, end);
    if (at == end || *at != '{')
        return (struct flat_json){end, end};
    return (struct flat_json){at + 1, end};
}

enum flat_kind flat_json_next(struct flat_json *json, struct flat_member *ret_member)
{
    const char *end = json->end, *at = skip_space(json->at, end);
    while (at < end && *at == ',')
        at = skip_space(at + 1, end);
    if (at < end && *at == '}') {
        json->at = at + 1;
        return FLAT_END;
    }
    const char *quote = at < end && *at == '"' ? find_quote(at + 1, end) : NULL;
    if (quote == NULL)
        return FLAT_ERROR;
    *ret_member = (struct flat_member){.name = at + 1, .name_length = (size_t)(quote - at - 1)};
    at = skip_space(quote + 1, end);
    if (at == end || *at != ':')
        return FLAT_ERROR;
    json->at = skip_space(at + 1, end);
    return json->at < end ? read_value(json, ret_member) : FLAT_ERROR;
}

bool flat_member_is(const struct flat_member *member, const char *name)
{
    return strncmp(name, member->name, member->name_length) == 0 &&
           name[member->name_length] == '\0';
}
