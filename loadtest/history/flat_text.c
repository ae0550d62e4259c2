// Resolves the escapes of a JSON text. What is no escape that JSON knows is taken as it stands;
// half a surrogate pair becomes U+FFFD.
#include "history/flat_json.h"

#include <string.h>

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

// The four digits behind `\u`, or -1.
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

// `at` is behind the `u`. Returns where to go on.
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
    return copy.whole;
}
