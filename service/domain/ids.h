// Identifiers: plain fixed-size text, checked once when a request comes in and then trusted.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ID_MAX 64            // sku, campaign, lottery, prize, and the user of an account of points
#define USER_ID_MAX 128      // the user_id of a coupon, a draw or a ledger row: the shop's own name
#define ORDER_ID_MAX 128     // the shop's own name of an order
#define REQUEST_KEY_MAX 64   // the idempotency key
#define COUNTER_NAME_MAX 144 // "prize/" + lottery + "/" + prize
#define STRATEGY_NAME_MAX 24

// 1 to 64 of A-Z a-z 0-9 . _ : - and nothing else.
bool id_is_valid(const char *text, size_t length);

// A coupon's code, or the id of its redemption: as an id, and it may have the check characters
// * ~ $ = as well.
bool id_is_code(const char *text, size_t length);

// Two or more ids or codes separated by slashes, at most COUNTER_NAME_MAX in all: "stock/SKU-1",
// "prize/WHEEL/gold".
bool counter_name_is_valid(const char *name);

// 1 to `max` visible ASCII characters (0x21 to 0x7e): a request key, a user_id, an order_id.
bool id_is_visible(const char *text, size_t length, size_t max);
