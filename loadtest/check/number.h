// Numbers as people read them, by value, so that a call can take several as arguments:
// number(n).text. They live until the end of the full expression.
#pragma once

#include <stdint.h>

struct number_text {
    char text[32];
};

struct number_text number(int64_t n);        // 1234567 as "1,234,567"
struct number_text milliseconds(int64_t ns); // nanoseconds as "12.345" milliseconds
