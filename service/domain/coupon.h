// Coupons: how many there are, how many one user may have, and codes that cannot be guessed.
#pragma once

#include "base/rc.h"
#include "domain/counter.h"
#include "domain/effect.h"
#include "domain/operation.h"

#include <stdbool.h>
#include <stdint.h>

// Issues to the user who has `*used` coupons so far. RC_OK, RC_LIMIT_REACHED (asked before the
// total, so that a user learns the reason that will not change), RC_COUPON_EXHAUSTED, or
// RC_NOT_FOUND where the counter was not loaded (version 0). Only on RC_OK it moves the counter and
// *used. Fills the operation's outcome in both cases.
enum rc coupon_decide(struct counter *campaign, int64_t per_user_limit, int64_t *used,
                      struct operation *operation, struct effect *ret_effect);

// Such as 0CSA-V6C3-ZQSG-WFAH-P: 16 characters of Crockford's base 32, 80 random bits, and a check
// character that finds every single wrong character and every swap of two neighbours.
void coupon_code(const uint64_t entropy[ENTROPY_WORDS], char ret_code[COUPON_CODE_MAX + 1]);
bool coupon_code_is_valid(const char *code);
