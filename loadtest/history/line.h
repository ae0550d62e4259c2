// Puts a line of JSON together in memory that is known to be large enough: no checks, no calls for
// most of it. Each function writes at `at` and returns where to go on.
#pragma once

#include <stddef.h>
#include <stdint.h>

// What line_text may need for a text of this many bytes.
#define LINE_TEXT_ROOM(bytes) (6 * (bytes) + 2)
#define LINE_INT_ROOM 20

// The characters of a literal.
#define LINE_PUT(at, literal)                                                                      \
    ((char *)memcpy((at), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

char *line_int(char *at, int64_t number);

// In quotes and escaped. At most `max` bytes of the text.
char *line_text(char *at, const char *text, size_t max);
