// Lotteries, their prizes, and the draws made.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/lottery.h"
#include "domain/precondition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

// Creates or changes the lottery if the condition holds for its version, else RC_VERSION_MISMATCH.
// Reads from put: draws_per_user, blank_weight, and the name, quantity and weight of each prize, in
// any order. RC_INVALID_FIELD if a quantity is below the number already won or a prize is named
// twice. RC_LIMIT_REACHED if old and new prizes together exceed LOTTERY_PRIZES_MAX.
//
// A prize that put no longer names keeps the quantity already won, with weight 0 and none left. Any
// change raises the version of lottery/LOTTERY with a ledger row; so does each prize whose
// remaining number changes. Runs in a transaction of its own.
MUST_CHECK enum rc lottery_put(struct db *db, const struct lottery *put,
                               const struct precondition *condition, bool *ret_created,
                               struct lottery *ret_lottery);
MUST_CHECK enum rc lottery_get(struct db *db, const char *lottery, struct lottery *ret_lottery);

typedef enum rc (*lottery_fn)(void *arg, const struct lottery *lottery);
// Lotteries with a name > after in byte order, ascending, at most limit, all at one moment.
MUST_CHECK enum rc lottery_page(struct db *db, const char *after, int64_t limit,
                                lottery_fn on_lottery, void *arg);

// Loads the definition and the prize counters, for a section that has already loaded the lottery's
// own counter (and locked it, where the rule says so). Fills in everything but the lottery's
// remaining and version. RC_NOT_FOUND if there is no such lottery.
MUST_CHECK enum rc lottery_load(struct db *db, const char *lottery, struct lottery *ret_lottery);

struct draw {
    char lottery[ID_MAX + 1];
    char user_id[USER_ID_MAX + 1];
    int64_t slot;           // 1 to draws_per_user: UNIQUE (lottery, user, slot)
    char prize[ID_MAX + 1]; // empty is the blank
    int64_t version;        // of the counter lottery/LOTTERY
    int64_t created_at_ms;
};

// RC_DUPLICATE: the slot is taken.
MUST_CHECK enum rc draw_insert(struct db *db, const struct draw *draws, size_t n);

// How many draws of lotteries[i] users[i] has made: ret_used[i].
MUST_CHECK enum rc draw_count(struct db *db, const char *const *lotteries, const char *const *users,
                              size_t n, int64_t *ret_used);

// The draw made at this version, or RC_NOT_FOUND.
MUST_CHECK enum rc draw_find(struct db *db, const char *lottery, const char *user_id,
                             int64_t version, struct draw *ret_draw);
