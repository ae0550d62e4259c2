// The rules of coupons.
//
// A code ends with a check character: the sum of its characters' values, each times its place,
// modulo 37. 37 is a prime larger than the alphabet, so no factor can hide a change. The check is
// written with the 32 characters of the alphabet and Crockford's five extra check symbols.
#include "domain/coupon.h"

#include <string.h>

#define CODE_CHARACTERS 16
#define CODE_MODULUS 37

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";

enum rc coupon_issue(struct view *view, struct operation *operation)
{
    if (view_is_used_up(view))
        return RC_LIMIT_REACHED;
    if (view->counters[view->legs[0]].remaining < 1)
        return RC_COUPON_EXHAUSTED;
    ++*view->used;
    view_post_leg(view, 0, -1);
    coupon_code(operation->entropy, operation->outcome.code);
    return RC_OK;
}

void coupon_code(const uint64_t entropy[ENTROPY_WORDS], char ret_code[COUPON_CODE_MAX + 1])
{
    char *at = ret_code;
    unsigned check = 0;
    for (unsigned i = 0; i < CODE_CHARACTERS; i++) {
        // Eight characters a word: 40 of its 64 random bits.
        unsigned value = (unsigned)(entropy[i / 8] >> (5 * (i % 8))) & 31;
        check = (check + (i + 1) * value) % CODE_MODULUS;
        *at++ = alphabet[value];
        if (i % 4 == 3)
            *at++ = '-';
    }
    *at++ = alphabet[check];
    *at = '\0';
}

bool coupon_code_is_valid(const char *code)
{
    unsigned check = 0, place = 0;
    for (const char *at = code; *at != '\0'; at++) {
        size_t offset = (size_t)(at - code);
        bool dash_expected = offset % 5 == 4;
        if ((*at == '-') != dash_expected || place > CODE_CHARACTERS)
            return false;
        if (dash_expected)
            continue;
        const char *found = strchr(alphabet, *at);
        if (found == NULL)
            return false;
        unsigned value = (unsigned)(found - alphabet);
        if (place == CODE_CHARACTERS)
            return value == check && at[1] == '\0';
        if (value >= 32)
            return false;
        check = (check + ++place * value) % CODE_MODULUS;
    }
    return false;
}
