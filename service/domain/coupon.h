// Coupons: how many there are, how many one user may have, and codes that cannot be guessed.
#pragma once

#include "base/rc.h"
#include "domain/counter.h"
#include "domain/effect.h"
#include "domain/operation.h"

#include <stdbool.h>
#include <stdint.h>

// Issues a coupon to a user with `*used` coupons so far. RC_OK, RC_LIMIT_REACHED,
// RC_COUPON_EXHAUSTED, or RC_NOT_FOUND if the counter was not loaded (version 0). The user's limit
// is checked before the total, because that reason will not change. Moves the counter and *used
// only on RC_OK. Fills in the operation's outcome in every case.
enum rc coupon_decide(struct counter *campaign, int64_t per_user_limit, int64_t *used,
                      struct operation *operation, struct effect *ret_effect);

// Such as 0CSA-V6C3-ZQSG-WFAH-P: 16 characters of Crockford's base 32, 80 random bits, and a check
// character that detects every single wrong character and every swap of two neighbours.
void coupon_code(const uint64_t entropy[ENTROPY_WORDS], char ret_code[COUPON_CODE_MAX + 1]);
bool coupon_code_is_valid(const char *code);
