// Sorts what lock servers say into a few reasons. Each client has its table of signs.
#include "guard/trouble.h"

#include "base/text.h"

#include <string.h>

const char *trouble_reason(const struct trouble_sign *signs, size_t n, const char *words,
                           const char *otherwise)
{
    for (size_t i = 0; i < n; i++) {
        if (strstr(words, signs[i].text) != NULL)
            return signs[i].reason;
    }
    return otherwise;
}

void trouble_set(struct guard_trouble *ret_trouble, const char *reason, const char *words)
{
    ret_trouble->reason = reason;
    text_format(ret_trouble->words, sizeof ret_trouble->words, "%s",
                words[0] != '\0' ? words : reason);
}
