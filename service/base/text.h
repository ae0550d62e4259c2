// Bounded text: copies that cannot overflow, and a growing buffer.
#pragma once

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Copies a string into a buffer of this size, always terminated. False if it did not fit whole.
bool text_copy(char *target, size_t size, const char *source);

// snprintf that returns whether everything fitted.
bool text_format(char *target, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

// 64-bit FNV-1a (Fowler, Noll, Vo) over the bytes, continued from `hash`. Start with
// TEXT_HASH_START. Not secure against attackers: it picks hash buckets and detects honest mistakes.
#define TEXT_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t text_hash(uint64_t hash, const void *bytes, size_t length);
// The same over a text and its terminator, so that "ab" and "c" differ from "a" and "bc".
uint64_t text_hash_text(uint64_t hash, const char *text);
// The same over a number's eight bytes, the lowest first on every machine.
uint64_t text_hash_int(uint64_t hash, int64_t number);

// The length of the UTF-8 character that begins at `at`, where `length` bytes are left; 0 if there
// is none.
size_t text_utf8_length(const char *at, size_t length);

// Parses a decimal integer with optional sign. False on overflow or any other text.
bool text_to_int64(const char *text, int64_t *ret_value);

// A buffer that grows. Zero-initialise it. A failed allocation sets `failed`, and every later
// append does nothing, so one check at the end is enough.
struct buffer {
    char *data; // always terminated once anything was appended; NULL before
    size_t length, capacity;
    bool failed;
};

void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_text(struct buffer *buffer, const char *text);
// Appends text from outside so that a terminal only shows it. Each byte of a control character (C0,
// with tab and line feed, DEL, C1), and each that is not UTF-8, becomes a question mark.
void buffer_append_printable(struct buffer *buffer, const char *text, size_t length);
// Appends the decimal digits of a number; much faster than buffer_format.
void buffer_append_int(struct buffer *buffer, int64_t number);
void buffer_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
// Appends words as lines of at most `width` columns, each behind `indent` spaces.
void buffer_append_wrapped(struct buffer *buffer, const char *text, size_t indent, size_t width);
// Empties the buffer and clears `failed`. Keeps the memory, unless an allocation had failed.
void buffer_clear(struct buffer *buffer);
// Frees the memory; the buffer may be used again. Usable with CLEANUP().
void buffer_release(struct buffer *buffer);
