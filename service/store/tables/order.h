// Orders, their lines, and redemptions of coupon codes.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/order.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

extern const char *const order_states[ORDER_STATE_COUNT]; // "placed", ...

// The orders and their lines, with created_at_ms = now_ms.
MUST_CHECK enum rc order_insert(struct db *db, struct order *const *orders, size_t n,
                                int64_t now_ms);
// Writes the refunds, and the state, sums and lines of their orders as they are after them. n is
// not 0, and no two are of one order.
MUST_CHECK enum rc refund_insert(struct db *db, struct refund *const *refunds, size_t n,
                                 int64_t now_ms);
// The numbers of the refund with refund->order->id and refund->version.
MUST_CHECK enum rc refund_get(struct db *db, struct refund *refund);
// ret_version: of the counter order/ID. Order, lines and version are of one moment. RC_NOT_FOUND.
MUST_CHECK enum rc order_get(struct db *db, const char *id, struct order *ret_order,
                             int64_t *ret_version);

// The use of a code: an id for people is CODE:VERSION.
struct redemption {
    char code[COUPON_CODE_MAX + 1];
    int64_t version; // of the counter code/CODE when it was redeemed
    char user_id[USER_ID_MAX + 1], order_id[ORDER_ID_MAX + 1]; // order_id empty if none
    bool in_order, rolled_back;
};

MUST_CHECK enum rc redemption_insert(struct db *db, const struct redemption *redemptions, size_t n,
                                     int64_t now_ms);
// Only code and version are read. Redemptions may be named twice.
MUST_CHECK enum rc redemption_roll_back(struct db *db, const struct redemption *redemptions,
                                        size_t n);
// ret_redemption->code and ->version name it. ret_version: of the counter code/CODE now, read by
// the same statement. RC_NOT_FOUND.
MUST_CHECK enum rc redemption_get(struct db *db, struct redemption *ret_redemption,
                                  int64_t *ret_version);

// A code, its owner, and the terms of its campaign.
struct code {
    char code[COUPON_CODE_MAX + 1], campaign[ID_MAX + 1], user_id[USER_ID_MAX + 1];
    struct terms terms;
    int64_t uses_left;
    int64_t now_ms; // the database's time
};

MUST_CHECK enum rc code_get(struct db *db, const char *code, struct code *ret_code);
