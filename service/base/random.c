// Random bytes from getrandom(2), which may return fewer than asked for, and unbiased bounded
// numbers by rejection.
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *buffer, size_t length)
{
    unsigned char *at = buffer;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        at += got;
        length -= (size_t)got;
    }
}

uint64_t random_below(uint64_t bound)
{
    // The lowest 2^64 mod bound values are rejected, else some results would be more likely.
    uint64_t unfair = -bound % bound;
    uint64_t value;
    do
        random_bytes(&value, sizeof value);
    while (value < unfair);
    return value % bound;
}
