// Orders: several products, the use of a coupon code and points, taken together or not at all; and
// what of them is given back later. The record of an order; its numbers stand in counters.
#pragma once

#include "domain/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_LINES_MAX 50
#define RANDOM_ID_MAX RESERVATION_ID_MAX
#define PRICE_NONE (-1)
#define EXACT_MAX INT64_C(9007199254740991) // 2^53 - 1: every JSON parser reads it exactly

enum order_state {
    ORDER_PLACED,
    ORDER_PARTIALLY_REFUNDED,
    ORDER_REFUNDED,
    ORDER_CANCELLED,
    ORDER_STATE_COUNT
};

struct order_line {
    char sku[ID_MAX + 1];
    int64_t quantity, refunded, price_cents;
};

struct order {
    char id[ID_MAX + 1], user_id[USER_ID_MAX + 1];
    enum order_state state;
    char reservation[RANDOM_ID_MAX + 1]; // empty if none
    char code[COUPON_CODE_MAX + 1];      // empty if none
    int64_t redemption;                  // the version of code/CODE; 0 without a code
    size_t code_leg;                     // the operation's leg that uses the code; 0 without a code
    int64_t subtotal_cents, discount_cents, refunded_cents;
    int64_t points_spent, points_earned; // by the order
    int64_t points_returned;             // of the spent ones
    int64_t points_taken;                // of the earned ones
    int64_t created_at_ms;
    size_t n_lines;
    struct order_line lines[ORDER_LINES_MAX];
    bool code_returned; // the redemption is rolled back
    bool unpriced;      // the worker that runs the operation finds the prices before it decides
};

// What a cancellation or a refund gives back.
struct refund {
    struct order *order; // as it is after the refund, except for points_taken
    int64_t version;     // of order/ID after it
    int64_t refunded_cents, points_returned;
    int64_t points_wanted; // of the earned ones
    int64_t points_taken;  // of these, as far as they were there
    char reason[201];
};

// The terms under which a code gives a discount. 0: none.
struct terms {
    int64_t discount_percent, discount_cents, min_cents;
    int64_t valid_from_ms, valid_until_ms;
    int64_t uses_per_code;
};

// The discount on a subtotal, at most the subtotal. A percentage is rounded down.
int64_t terms_discount(const struct terms *terms, int64_t subtotal_cents);

// May a code be redeemed at this time for this subtotal?
bool terms_allow(const struct terms *terms, int64_t subtotal_cents, int64_t now_ms);

// The part of a sum that belongs to `part` of `whole`, rounded down; all of it if they are equal.
int64_t share_of(int64_t sum, int64_t part, int64_t whole);

// Sets the subtotal of the order that this operation places, from the prices of its lines. A line
// without a price (PRICE_NONE) bars its leg: leg 1 + i takes line i. Returns whether all have one.
bool order_price(struct operation *operation);

// Units of the order, and those that are not refunded.
int64_t order_units(const struct order *order);
int64_t order_units_left(const struct order *order);
