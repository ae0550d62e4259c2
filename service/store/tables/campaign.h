// Coupon campaigns, and the coupons issued from them.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "domain/order.h"
#include "domain/precondition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_row;

#define TERM_KEPT (-1)

struct campaign {
    char campaign[ID_MAX + 1];
    int64_t total, per_user_limit; // total 0 to REMAINING_MAX, per_user_limit 1 to QUANTITY_MAX
    struct terms terms;
    int64_t remaining, version; // issued = total - remaining
};

// Creates or changes the campaign if the condition holds for its version, else RC_VERSION_MISMATCH.
// Its counter becomes total - issued. RC_INVALID_FIELD if total is below the number already issued.
// A term that is TERM_KEPT stays as it is, and so does uses_per_code if it is 0; a new campaign
// begins with 0 and one use per code. Any change raises the counter's version with a ledger row
// (delta may be 0), so that a decision based on the old limits cannot be saved. Runs in a
// transaction of its own.
MUST_CHECK enum rc campaign_put(struct db *db, const struct campaign *put,
                                const struct precondition *condition, bool *ret_created,
                                struct campaign *ret_campaign);
MUST_CHECK enum rc campaign_get(struct db *db, const char *campaign, struct campaign *ret_campaign);

// The limit for each user of these campaigns, distinct and in byte order. RC_NOT_FOUND if one of
// them does not exist.
MUST_CHECK enum rc campaign_limits(struct db *db, const char *const *campaigns, size_t n,
                                   int64_t *ret_limits);

typedef enum rc (*campaign_fn)(void *arg, const struct campaign *campaign);
// Campaigns with a name > after in byte order, ascending, at most limit.
MUST_CHECK enum rc campaign_page(struct db *db, const char *after, int64_t limit,
                                 campaign_fn on_campaign, void *arg);

// The columns of a campaign's terms, for a query in which it is `p`; and what they hold, from this
// column on.
#define TERMS_COLUMNS                                                                              \
    "p.discount_percent, p.discount_cents, p.min_cents, p.valid_from_ms, p.valid_until_ms,"        \
    " p.uses_per_code"
struct terms terms_read(const struct db_row *row, size_t column);

struct coupon {
    char code[COUPON_CODE_MAX + 1];
    char campaign[ID_MAX + 1];
    char user_id[USER_ID_MAX + 1];
    int64_t slot;    // 1 to per_user_limit: UNIQUE (campaign, user, slot)
    int64_t version; // of the counter, as in the ledger row that issued it
    int64_t created_at_ms;
};

// RC_DUPLICATE: the slot or the code is taken.
MUST_CHECK enum rc coupon_insert(struct db *db, const struct coupon *coupons, size_t n);

// How many coupons of campaigns[i] users[i] has: ret_used[i].
MUST_CHECK enum rc coupon_count(struct db *db, const char *const *campaigns,
                                const char *const *users, size_t n, int64_t *ret_used);

// The coupon issued at this version, or RC_NOT_FOUND.
MUST_CHECK enum rc coupon_find(struct db *db, const char *campaign, const char *user_id,
                               int64_t version, struct coupon *ret_coupon);
