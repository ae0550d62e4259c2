// A scanner for one flat JSON object. It parses every answer of a load test and every line of a
// history, so it makes one pass from left to right and needs only a few nanoseconds a member.
//
// The first character of a value gives its kind. The second half of this file copies a string and
// resolves its escapes: an unknown escape loses its backslash, and a lone surrogate becomes U+FFFD.
#include "history/flat_json.h"

#include <string.h>

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

// The closing quote of the text that begins at `at`, or NULL.
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

// The end of the object or array that begins at `at`, or NULL.
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
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

// The end of the fraction and the exponent that may follow the digits of a number, or NULL.
static const char *skip_fraction(const char *at, const char *end)
{
    if (at < end && *at == '.') {
        const char *digits = ++at;
        at = skip_digits(at, end);
        if (at == digits)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const char *digits = at;
        at = skip_digits(at, end);
        if (at == digits)
            return NULL;
    }
    return at;
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
    if (at == digits || (*digits == '0' && at - digits > 1))
        return FLAT_ERROR;
    const char *after = skip_fraction(at, json->end);
    if (after == NULL || after == json->end || !is_delimiter(*after))
        return FLAT_ERROR;
    whole = whole && after == at;
    json->at = after;
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
        const char *after = skip_nested(at, json->end);
        if (after == NULL)
            return FLAT_ERROR;
        member->text = at;
        member->text_length = (size_t)(after - at);
        json->at = after;
        return *at == '[' ? FLAT_ARRAY : FLAT_OTHER;
    }
    if (*at == '-' || (*at >= '0' && *at <= '9'))
        return read_number(json, &member->number);
    return read_word(json);
}

static struct flat_json open_at(const char *text, size_t length, char opening)
{
    const char *end = text + length, *at = skip_space(text, end);
    if (at == end || *at != opening)
        return (struct flat_json){end, end, false};
    return (struct flat_json){at + 1, end, false};
}

struct flat_json flat_json_open(const char *text, size_t length)
{
    return open_at(text, length, '{');
}

struct flat_json flat_array_open(const struct flat_member *array)
{
    return open_at(array->text, array->text_length, '[');
}

// Moves to the next member or element: FLAT_OTHER. FLAT_END behind the last one.
static enum flat_kind move_on(struct flat_json *json, char closing)
{
    const char *end = json->end, *at = skip_space(json->at, end);
    if (at < end && *at == closing) {
        json->at = at + 1;
        return FLAT_END;
    }
    if (json->begun && (at == end || *at++ != ','))
        return FLAT_ERROR;
    json->begun = true;
    json->at = skip_space(at, end);
    return FLAT_OTHER;
}

enum flat_kind flat_json_next(struct flat_json *json, struct flat_member *ret_member)
{
    enum flat_kind kind = move_on(json, '}');
    if (kind != FLAT_OTHER)
        return kind;
    const char *end = json->end, *at = json->at;
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

enum flat_kind flat_array_next(struct flat_json *array, struct flat_member *ret_element)
{
    enum flat_kind kind = move_on(array, ']');
    if (kind != FLAT_OTHER)
        return kind;
    *ret_element = (struct flat_member){.name = array->at};
    return array->at < array->end ? read_value(array, ret_element) : FLAT_ERROR;
}

bool flat_member_is(const struct flat_member *member, const char *name)
{
    return strncmp(name, member->name, member->name_length) == 0 &&
           name[member->name_length] == '\0';
}

// ---- texts --------------------------------------------------------------------------------------

struct copy {
    char *at, *end; // the end leaves room for the terminator
    bool whole;
};

static void append(struct copy *copy, const char *bytes, size_t length)
{
    if ((size_t)(copy->end - copy->at) < length) {
        copy->whole = false;
        copy->end = copy->at;
        return;
    }
    memcpy(copy->at, bytes, length);
    copy->at += length;
}

static void append_utf8(struct copy *copy, unsigned code)
{
    char bytes[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(marks[length] | code);
    append(copy, bytes, length);
}

// The value of the four hexadecimal digits after `\u`, or -1.
static int read_hex(const char *at, const char *end)
{
    if (end - at < 4)
        return -1;
    int code = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = memchr(digits, at[i], sizeof digits - 1);
        if (found == NULL)
            return -1;
        code = 16 * code + (int)((found - digits) % 16);
    }
    return code;
}

// `at` is after the `u`. Returns where to continue.
static const char *append_unicode(struct copy *copy, const char *at, const char *end)
{
    int code = read_hex(at, end);
    if (code < 0) {
        append(copy, "u", 1);
        return at;
    }
    at += 4;
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u';
        int low = pair ? read_hex(at + 2, end) : -1;
        if (low >= 0xdc00 && low < 0xe000) {
            append_utf8(copy,
                        0x10000u + (((unsigned)code & 0x3ff) << 10) + ((unsigned)low & 0x3ff));
            return at + 6;
        }
        code = 0xfffd;
    }
    append_utf8(copy, (unsigned)code);
    return at;
}

bool flat_text_copy(char *target, size_t size, const struct flat_member *member)
{
    struct copy copy = {target, target + size - 1, true};
    const char *at = member->text, *end = at + member->text_length;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *plain = escape != NULL ? escape : end;
        append(&copy, at, (size_t)(plain - at));
        at = plain;
        if (end - at < 2)
            break;
        static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
        char letter = at[1];
        at += 2;
        const char *found = memchr(letters, letter, sizeof letters - 1);
        if (letter == 'u')
            at = append_unicode(&copy, at, end);
        else
            append(&copy, found != NULL ? &meanings[found - letters] : &letter, 1);
    }
    *copy.at = '\0';
    return copy.whole && memchr(target, '\0', (size_t)(copy.at - target)) == NULL;
}
