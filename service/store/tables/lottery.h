// Lotteries, their prizes, and the draws made.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/lottery.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

// Creates the lottery or changes it. Reads from put: draws_per_user, blank_weight and of each prize
// its name, quantity and weight, in any order. RC_INVALID_FIELD if a quantity is below what was
// won, a prize is named twice, or the prizes there ever were are more than LOTTERY_PRIZES_MAX. A
// prize that is no longer named keeps what was won of it, with weight 0 and nothing left. Any
// change moves the version of lottery/LOTTERY with a ledger row, and of each prize whose number
// left changes. One transaction of its own.
MUST_CHECK enum rc lottery_put(struct db *db, const struct lottery *put, bool *ret_created,
                               struct lottery *ret_lottery);
MUST_CHECK enum rc lottery_get(struct db *db, const char *lottery, struct lottery *ret_lottery);

// For a section: definition and prize counters, after the lottery's own counter was loaded (and
// locked, where the rule says so). Fills everything but remaining and version of the lottery
// itself. RC_NOT_FOUND if there is no such lottery.
MUST_CHECK enum rc lottery_load(struct db *db, const char *lottery, struct lottery *ret_lottery);

struct draw {
    char lottery[ID_MAX + 1];
    char user_id[ID_MAX + 1];
    int64_t slot;           // 1 to draws_per_user: UNIQUE (lottery, user, slot)
    char prize[ID_MAX + 1]; // empty is the blank
    int64_t version;        // of the counter lottery/LOTTERY
    int64_t created_at_ms;
};

// RC_DUPLICATE: a slot that is already there.
MUST_CHECK enum rc draw_insert(struct db *db, const struct draw *draws, size_t n);

// How many draws each of these users (distinct) has made: used[i] for users[i].
MUST_CHECK enum rc draw_count(struct db *db, const char *lottery, const char *const *users,
                              size_t n, int64_t *ret_used);

// The draw made at this version. RC_NOT_FOUND if there is none.
MUST_CHECK enum rc draw_find(struct db *db, const char *lottery, const char *user_id,
                             int64_t version, struct draw *ret_draw);
