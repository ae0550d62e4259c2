// How many coupons of a campaign or draws of a lottery each user has, and which orders an account
// has earned points for.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct db;

struct usage {
    const char *table, *noun, *subject; // literals: the table, and two of its columns
};

// Counts by subject the rows of the table whose column `noun` equals `id`: ret_used[i] for
// subjects[i], which are distinct and in any order.
MUST_CHECK enum rc usage_count(struct db *db, const struct usage *usage, const char *id,
                               const char *const *subjects, size_t n, int64_t *ret_used);
