// How many coupons of a campaign or draws of a lottery each user has, and which orders an account
// has earned points for.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct db;

// Reads a number for each pair: ret_used[i] for nouns[i] and subjects[i]. number: a literal, the
// SELECT of the number for w.noun and w.subject; none is 0.
MUST_CHECK enum rc usage_read(struct db *db, const char *number, const char *const *nouns,
                              const char *const *subjects, size_t n, int64_t *ret_used);

// The number of the last of a subject's rows in a table that numbers them from 1 and keeps them:
// how many there are, with one look into the index.
#define USAGE_LAST_SLOT(table, noun)                                                               \
    "SELECT t.slot FROM " table " t WHERE t." noun " = w.noun AND t.user_id = w.subject"           \
    " ORDER BY t.slot DESC LIMIT 1"
