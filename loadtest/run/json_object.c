// Validates JSON by recursive descent. Every answer of a run passes through here, so it is one pass
// over the bytes; to build a tree with Jansson takes ten times as long.
#include "run/json_object.h"

#include "base/text.h"

#include <string.h>

#define DEPTH_MAX 32

struct scan {
    const char *at, *end;
};

// Skips white space. Takes the character if it is next.
static bool take(struct scan *scan, char c)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static bool is_digit(const struct scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

static bool skip_digits(struct scan *scan)
{
    const char *begin = scan->at;
    while (is_digit(scan))
        scan->at++;
    return scan->at > begin;
}

// "-12.5e+3"; no other digit follows a zero at the beginning.
static bool skip_number(struct scan *scan)
{
    scan->at += scan->at < scan->end && *scan->at == '-';
    if (scan->at < scan->end && *scan->at == '0')
        scan->at++;
    else if (!skip_digits(scan))
        return false;
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (!skip_digits(scan))
            return false;
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        scan->at += scan->at < scan->end && (*scan->at == '+' || *scan->at == '-');
        return skip_digits(scan);
    }
    return true;
}

// What follows a backslash.
static bool skip_escape(struct scan *scan)
{
    if (scan->at == scan->end || *scan->at == '\0' || strchr("\"\\/bfnrtu", *scan->at) == NULL)
        return false;
    if (*scan->at++ != 'u')
        return true;
    for (int i = 0; i < 4; i++, scan->at++) {
        if (scan->at == scan->end || *scan->at == '\0' ||
            strchr("0123456789abcdefABCDEF", *scan->at) == NULL)
            return false;
    }
    return true;
}

// What follows the first quote.
static bool skip_text(struct scan *scan)
{
    while (scan->at < scan->end) {
        unsigned char c = (unsigned char)*scan->at;
        if (c < 0x20)
            return false;
        size_t length = c < 0x80 ? 1 : text_utf8_length(scan->at, (size_t)(scan->end - scan->at));
        scan->at += length;
        if (length == 0 || (c == '\\' && !skip_escape(scan)))
            return false;
        if (c == '"')
            return true;
    }
    return false;
}

static bool skip_word(struct scan *scan)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(scan->end - scan->at) >= length && memcmp(scan->at, words[i], length) == 0) {
            scan->at += length;
            return true;
        }
    }
    return false;
}

static bool skip_value(struct scan *scan, int depth);

// What follows the opening bracket. `named`: the values have names.
static bool skip_list(struct scan *scan, char closing, bool named, int depth)
{
    if (depth > DEPTH_MAX)
        return false;
    if (take(scan, closing))
        return true;
    do {
        if (named && !(take(scan, '"') && skip_text(scan) && take(scan, ':')))
            return false;
        if (!skip_value(scan, depth))
            return false;
    } while (take(scan, ','));
    return take(scan, closing);
}

static bool skip_value(struct scan *scan, int depth)
{
    if (take(scan, '"'))
        return skip_text(scan);
    if (take(scan, '{'))
        return skip_list(scan, '}', true, depth + 1);
    if (take(scan, '['))
        return skip_list(scan, ']', false, depth + 1);
    return skip_word(scan) || skip_number(scan);
}

bool json_object_is_valid(const char *bytes, size_t length)
{
    struct scan scan = {bytes, bytes + length};
    if (!take(&scan, '{') || !skip_list(&scan, '}', true, 1))
        return false;
    (void)take(&scan, ' '); // skips the white space at the end
    return scan.at == scan.end;
}
