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

// Counts the rows of the table with this noun and subject: ret_used[i] for nouns[i] and subjects[i].
// The pairs are distinct, and in any order.
MUST_CHECK enum rc usage_count(struct db *db, const struct usage *usage, const char *const *nouns,
                               const char *const *subjects, size_t n, int64_t *ret_used);
