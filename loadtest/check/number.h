// Numbers as people read them, by value, so that a call can take several as arguments:
// number(n).text. They live until the end of the full expression.
#pragma once

#include <stdint.h>

// The sum modulo 2^64. The numbers of a faulty service may be so large that a sum overflows; sums
// that must be equal are equal modulo 2^64 too.
static inline int64_t wrapping_sum(int64_t one, int64_t two)
{
    return (int64_t)((uint64_t)one + (uint64_t)two);
}

struct number_text {
    char text[32];
};

struct number_text number(int64_t n);        // 1234567 as "1,234,567"
struct number_text milliseconds(int64_t ns); // nanoseconds as "12.345" milliseconds
