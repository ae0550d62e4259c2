// Bounded copying and formatting of text, and the program's growing buffer.
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool text_copy(char *target, size_t size, const char *source)
{
    size_t length = strnlen(source, size);
    bool fits = length < size;
    if (!fits)
        length = size - 1;
    memcpy(target, source, length);
    target[length] = '\0';
    return fits;
}

bool text_format(char *target, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(target, size, format, arguments);
    va_end(arguments);
    return length >= 0 && (size_t)length < size;
}

uint64_t text_hash(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        hash ^= at[i];
        hash *= UINT64_C(0x100000001b3);
    }
    return hash;
}

uint64_t text_hash_int(uint64_t hash, int64_t number)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)((uint64_t)number >> (8 * i));
    return text_hash(hash, bytes, sizeof bytes);
}

uint64_t text_hash_text(uint64_t hash, const char *text)
{
    return text_hash(hash, text, strlen(text) + 1);
}

size_t text_utf8_length(const char *at, size_t length)
{
    unsigned char first = (unsigned char)at[0];
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n > length || first > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return 0;
    }
    // Overlong forms, surrogates, and what is above U+10FFFF.
    unsigned char second = n > 2 ? (unsigned char)at[1] : 0x80;
    bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                 (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return wrong ? 0 : n;
}

bool text_to_int64(const char *text, int64_t *ret_value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits < '0' || *digits > '9')
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

// Room for `more` bytes and the terminator.
static bool reserve(struct buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : 256;
    while (capacity < needed)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (!reserve(buffer, length))
        return;
    if (length > 0)
        memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

static size_t printable_length(const char *at, size_t length)
{
    unsigned char c = (unsigned char)*at;
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f;
    size_t n = text_utf8_length(at, length);
    return n == 2 && c == 0xc2 && (unsigned char)at[1] < 0xa0 ? 0 : n; // U+0080 to U+009F: C1
}

void buffer_append_printable(struct buffer *buffer, const char *text, size_t length)
{
    while (length > 0) {
        size_t n = printable_length(text, length);
        buffer_append(buffer, n > 0 ? text : "?", n > 0 ? n : 1);
        text += n > 0 ? n : 1;
        length -= n > 0 ? n : 1;
    }
}

void buffer_append_int(struct buffer *buffer, int64_t number)
{
    char digits[24];
    char *at = digits + sizeof digits;
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (number < 0)
        *--at = '-';
    buffer_append(buffer, at, (size_t)(digits + sizeof digits - at));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !reserve(buffer, (size_t)length))
        return;
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
}

void buffer_append_wrapped(struct buffer *buffer, const char *text, size_t indent, size_t width)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > width) {
            buffer_append_text(buffer, "\n");
            column = 0;
        }
        if (column == 0)
            buffer_format(buffer, "%*s", (int)indent, "");
        else
            buffer_append_text(buffer, " ");
        column += (column == 0 ? indent : 1) + word;
        buffer_append(buffer, text, word);
        text += word;
        text += strspn(text, " ");
    }
    buffer_append_text(buffer, "\n");
}

void buffer_clear(struct buffer *buffer)
{
    if (buffer->failed)
        buffer_release(buffer);
    buffer->length = 0;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
