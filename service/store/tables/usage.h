// How many coupons of a campaign, or draws of a lottery, each user has.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct db;

// Counts by user the rows of `table` (a literal: coupon, draw) whose column `noun` equals `id`:
// ret_used[i] for users[i], which are distinct and in any order.
MUST_CHECK enum rc usage_count(struct db *db, const char *table, const char *noun, const char *id,
                               const char *const *users, size_t n, int64_t *ret_used);
