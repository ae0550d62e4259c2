// Assembles a line of JSON in memory that the caller has made large enough: there are no bounds
// checks. Each function writes at `at` and returns the end of what it wrote.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The most bytes that line_text and line_int write.
#define LINE_TEXT_ROOM(bytes) (6 * (bytes) + 2)
#define LINE_INT_ROOM 20

// Writes the characters of a string literal.
#define LINE_PUT(at, literal)                                                                      \
    ((char *)memcpy((at), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

char *line_int(char *at, int64_t number);

// In quotes and escaped. At most `max` bytes of the text.
char *line_text(char *at, const char *text, size_t max);
