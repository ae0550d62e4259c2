// Writes JSON straight into a growing buffer. The frequent answers have a few members each;
// building a tree of allocations for them would cost more than the rest of the handler.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;

// Each call decides from the buffer's last byte whether a comma is needed, so there is no state.
// `key` is NULL inside an array and at the top; keys are constants of the program and are not
// escaped.
void json_write_open(struct buffer *out, const char *key, char bracket);     // '{' or '['
void json_write_close(struct buffer *out, char bracket);                     // '}' or ']'
void json_write_text(struct buffer *out, const char *key, const char *text); // escaped; UTF-8
void json_write_int(struct buffer *out, const char *key, int64_t number);
void json_write_bool(struct buffer *out, const char *key, bool value);
void json_write_null(struct buffer *out, const char *key);
// Null when the text is empty.
void json_write_text_or_null(struct buffer *out, const char *key, const char *text);
