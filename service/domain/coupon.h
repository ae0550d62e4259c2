// Coupons: how many there are, how many one user may have, and codes that cannot be guessed.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

#include <stdbool.h>
#include <stdint.h>

// The decision of issue: the view's `limit` and `used` count coupons. RC_OK, RC_LIMIT_REACHED or
// RC_COUPON_EXHAUSTED. The user's limit is checked before the total, because that reason will not
// change.
enum rc coupon_issue(struct view *view, struct operation *operation);

// Such as 0CSA-V6C3-ZQSG-WFAH-P: 16 characters of Crockford's base 32, 80 random bits, and a check
// character that detects every single wrong character and every swap of two neighbours.
void coupon_code(const uint64_t entropy[ENTROPY_WORDS], char ret_code[COUPON_CODE_MAX + 1]);
bool coupon_code_is_valid(const char *code);
