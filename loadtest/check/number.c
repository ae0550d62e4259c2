// Numbers as people read them.
#include "check/number.h"

#include "base/text.h"

#include <string.h>

struct number_text number(int64_t n)
{
    char digits[24];
    struct number_text result;
    text_format(digits, sizeof digits, "%lld", (long long)n);
    size_t length = strlen(digits), sign = digits[0] == '-', out = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > sign && (length - i) % 3 == 0)
            result.text[out++] = ',';
        result.text[out++] = digits[i];
    }
    result.text[out] = '\0';
    return result;
}

struct number_text milliseconds(int64_t ns)
{
    struct number_text result;
    text_format(result.text, sizeof result.text, "%.3f", (double)ns / 1e6);
    return result;
}
