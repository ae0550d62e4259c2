// Writes JSON from left to right into a buffer. All text is UTF-8 already (request bodies are
// checked when they are read, everything else is ASCII), so only quotes, backslashes and control
// characters need escaping. What breaks it: unbalanced open and close.
#include "base/json_write.h"

#include "base/text.h"

#include <string.h>

static void begin(struct buffer *out, const char *key)
{
    if (out->length > 0) {
        char last = out->data[out->length - 1];
        if (last != '{' && last != '[' && last != ':')
            buffer_append(out, ",", 1);
    }
    if (key != NULL) {
        buffer_append(out, "\"", 1);
        buffer_append_text(out, key);
        buffer_append(out, "\":", 2);
    }
}

void json_write_open(struct buffer *out, const char *key, char bracket)
{
    begin(out, key);
    buffer_append(out, &bracket, 1);
}

void json_write_close(struct buffer *out, char bracket)
{
    buffer_append(out, &bracket, 1);
}

static void append_escape(struct buffer *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        char escape[] = {'\\', (char)c};
        buffer_append(out, escape, sizeof escape);
        return;
    }
    char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    buffer_append(out, escape, sizeof escape);
}

void json_write_text(struct buffer *out, const char *key, const char *text)
{
    begin(out, key);
    buffer_append(out, "\"", 1);
    const char *plain = text;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buffer_append(out, plain, (size_t)(text - plain));
        append_escape(out, c);
        plain = text + 1;
    }
    buffer_append(out, plain, (size_t)(text - plain));
    buffer_append(out, "\"", 1);
}

void json_write_int(struct buffer *out, const char *key, int64_t number)
{
    begin(out, key);
    buffer_append_int(out, number);
}

void json_write_bool(struct buffer *out, const char *key, bool value)
{
    begin(out, key);
    buffer_append_text(out, value ? "true" : "false");
}

void json_write_null(struct buffer *out, const char *key)
{
    begin(out, key);
    buffer_append_text(out, "null");
}

void json_write_text_or_null(struct buffer *out, const char *key, const char *text)
{
    if (text[0] == '\0')
        json_write_null(out, key);
    else
        json_write_text(out, key, text);
}
