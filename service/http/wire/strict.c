// Refuses ambiguous requests: several or missing Hosts, several or malformed lengths, a length next
// to a transfer coding, codings other than a single `chunked`, field names that are not tokens,
// control characters in values, escapes that hide a NUL, a control character or a dot segment in
// the path. The HTTP library accepts most of these, or guesses.
//
// What breaks it: the library's parser destroys some evidence (line ends, NULs). raw_head_mhd*.c
// checks for that.
#include "http/wire/strict.h"

#include <string.h>
#include <strings.h>

enum method strict_method(const char *name)
{
    static const struct {
        const char *name;
        enum method method;
    } methods[] = {
        {"POST", METHOD_POST},     {"GET", METHOD_GET},       {"PUT", METHOD_PUT},
        {"HEAD", METHOD_HEAD},     {"PATCH", METHOD_PATCH},   {"DELETE", METHOD_DELETE},
        {"OPTIONS", METHOD_OTHER}, {"CONNECT", METHOD_OTHER}, {"TRACE", METHOD_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        if (strcmp(methods[i].name, name) == 0)
            return methods[i].method;
    }
    return METHOD_UNKNOWN;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

// Counts the segment's dots, escaped or not; -1 as soon as it has another character.
static int count_dots(int dots, int c)
{
    return c == '.' && dots >= 0 ? dots + 1 : -1;
}

const char *strict_target(const char *target, size_t length)
{
    if (length == 0 || target[0] != '/')
        return "The request target must be a path that begins with a slash.";
    bool in_path = true;
    int dots = 0;
    for (size_t i = 1; i <= length; i++) {
        int c = i < length ? (unsigned char)target[i] : '/';
        bool segment_ends = c == '/' || c == '?';
        if (i < length && (c <= 0x20 || c >= 0x7f))
            return "The request target contains a byte that is not visible ASCII.";
        if (c == '#' || c == '\\' || c == '"' || c == '<' || c == '>')
            return "The request target has a character that must be escaped.";
        if (c == '%') {
            if (i + 2 >= length || hex_digit(target[i + 1]) < 0 || hex_digit(target[i + 2]) < 0)
                return "The request target has a malformed percent escape.";
            c = hex_digit(target[i + 1]) * 16 + hex_digit(target[i + 2]);
            if (c < 0x20 || c == 0x7f)
                return "The request target has an escaped control character.";
            i += 2;
            segment_ends = false;
        }
        if (!in_path)
            continue;
        if (!segment_ends) {
            dots = count_dots(dots, c);
            continue;
        }
        if (dots == 1 || dots == 2)
            return "The request target has a `.` or `..` segment.";
        dots = 0;
        in_path = c != '?';
    }
    return NULL;
}

bool strict_is_token(struct slice name)
{
    // RFC 9110: the characters of a token, as a bit set over ASCII.
    static const uint64_t token[2] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.text[i];
        if (c >= 0x80 || (token[c >> 6] >> (c & 63) & 1) == 0)
            return false;
    }
    return name.length > 0;
}

static bool is_clean_value(struct slice value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

struct slice slice_trim(struct slice text)
{
    while (text.length > 0 && (*text.text == ' ' || *text.text == '\t')) {
        text.text++;
        text.length--;
    }
    while (text.length > 0 &&
           (text.text[text.length - 1] == ' ' || text.text[text.length - 1] == '\t'))
        text.length--;
    return text;
}

static bool slice_is(struct slice slice, const char *word, size_t length)
{
    return slice.length == length && strncasecmp(slice.text, word, length) == 0;
}
#define IS(slice, word) slice_is(slice, word, sizeof(word) - 1)

static void once(struct fields *fields, struct slice *target, struct slice value, const char *twice)
{
    if (target->text != NULL && fields->wrong == NULL)
        fields->wrong = twice;
    *target = value;
}

void strict_field(struct fields *fields, struct slice name, struct slice sent)
{
    struct slice value = slice_trim(sent);
    if (fields->wrong == NULL && !strict_is_token(name))
        fields->wrong = "A header field's name is not a token.";
    if (fields->wrong == NULL && !is_clean_value(value))
        fields->wrong = "A header field's value has a control character.";

    switch (name.length) {
    case 4:
        if (IS(name, "Host")) {
            fields->hosts++;
            fields->host = value;
        }
        break;
    case 6:
        if (IS(name, "Expect")) {
            fields->expects_continue = IS(value, "100-continue");
            fields->expects_other |= !fields->expects_continue;
        }
        break;
    case 8:
        if (IS(name, "If-Match"))
            once(fields, &fields->if_match, value, "Duplicate If-Match header.");
        break;
    case 12:
        if (IS(name, "Content-Type"))
            once(fields, &fields->content_type, value, "Duplicate Content-Type header.");
        break;
    case 13:
        if (IS(name, "Authorization"))
            once(fields, &fields->authorization, value, "Duplicate Authorization header.");
        else if (IS(name, "If-None-Match"))
            once(fields, &fields->if_none_match, value, "Duplicate If-None-Match header.");
        break;
    case 14:
        if (IS(name, "Content-Length")) {
            fields->lengths++;
            fields->length = sent;
        }
        break;
    case 15:
        if (IS(name, "Idempotency-Key"))
            once(fields, &fields->idempotency_key, value, "Duplicate Idempotency-Key header.");
        break;
    case 17:
        if (IS(name, "Transfer-Encoding")) {
            fields->encodings++;
            fields->encoding = sent;
        }
        break;
    case 19:
        if (IS(name, "X-Holdfast-Strategy"))
            once(fields, &fields->strategy, value, "Duplicate X-Holdfast-Strategy header.");
        break;
    default:
        break;
    }
}

static bool to_length(struct slice digits, uint64_t *ret_length)
{
    uint64_t length = 0;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.text[i] < '0' || digits.text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(digits.text[i] - '0');
        length = length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : length * 10 + digit;
    }
    if (digits.length == 0)
        return false;
    *ret_length = length;
    return true;
}

static enum rc refuse(enum rc rc, const char *why, const char **ret_why)
{
    *ret_why = why;
    return rc;
}

enum rc strict_framing(const struct fields *fields, bool http_1_1, uint64_t body_max,
                       struct framing *ret_framing, const char **ret_why)
{
    const enum rc bad = RC_MALFORMED_REQUEST;
    struct framing framing = {0};
    if (fields->wrong != NULL)
        return refuse(bad, fields->wrong, ret_why);
    if (fields->hosts > 1)
        return refuse(bad, "Duplicate Host header.", ret_why);
    if (fields->hosts == 0 && http_1_1)
        return refuse(bad, "The Host header is missing.", ret_why);
    if (fields->host.length > 0 && memchr(fields->host.text, ' ', fields->host.length) != NULL)
        return refuse(bad, "The Host header contains a space.", ret_why);
    if (fields->lengths > 1)
        return refuse(bad, "Duplicate Content-Length header.", ret_why);
    if (fields->lengths > 0 && fields->encodings > 0)
        return refuse(bad, "Content-Length and Transfer-Encoding exclude each other.", ret_why);
    if (fields->encodings > 1)
        return refuse(bad, "Duplicate Transfer-Encoding header.", ret_why);
    if (fields->encodings == 1) {
        if (!http_1_1)
            return refuse(bad, "HTTP/1.0 does not support Transfer-Encoding.", ret_why);
        if (!IS(fields->encoding, "chunked"))
            return refuse(RC_NOT_IMPLEMENTED,
                          "The only supported transfer coding is `chunked`, once.", ret_why);
        framing.chunked = true;
    }
    if (fields->lengths == 1) {
        if (!to_length(fields->length, &framing.length))
            return refuse(bad, "The Content-Length is not a number.", ret_why);
        if (framing.length > body_max)
            return refuse(RC_BODY_TOO_LARGE, "The Content-Length exceeds the limit.", ret_why);
    }
    *ret_framing = framing;
    return RC_OK;
}
