// Products: the stock counters with a title and a price.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"
#include "domain/order.h"
#include "domain/precondition.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

#define PRODUCT_TITLE_MAX 200 // bytes of UTF-8
#define REMAINING_KEPT (-1)

struct product {
    char sku[ID_MAX + 1];
    char title[PRODUCT_TITLE_MAX + 1]; // empty if none
    int64_t price_cents;               // PRICE_NONE if none
    int64_t remaining, version;
};

// Creates or changes the product if the condition (NULL: none) holds for its version, else
// RC_VERSION_MISMATCH. `remaining` becomes the stock, 0 to REMAINING_MAX; an empty title,
// PRICE_NONE or REMAINING_KEPT keeps the present one. RC_NOT_FOUND if the product does not exist
// and the stock is REMAINING_KEPT. Any change raises the version with a ledger row (opening, or
// adjust, whose delta may be 0), so that two states of a product never share a version. Runs in a
// transaction of its own, with retries; ret_product is the product afterwards.
MUST_CHECK enum rc product_put(struct db *db, const struct product *put,
                               const struct precondition *condition, bool *ret_created,
                               struct product *ret_product);
MUST_CHECK enum rc product_get(struct db *db, const char *sku, struct product *ret_product);

// The holds on a product at the database's time.
struct product_holds {
    bool due;                // some are due and have not expired yet
    int64_t reserved;        // units in the open holds that are not due; 0 unless asked for
    int64_t next_release_ms; // when the first of these expires; 0 as above, or without any
};

// product_get and its holds, in one reading.
MUST_CHECK enum rc product_get_with_holds(struct db *db, const char *sku, bool add_up,
                                          struct product *ret_product,
                                          struct product_holds *ret_holds);

typedef enum rc (*product_fn)(void *arg, const struct product *product);
// Products with sku > after in byte order, ascending, at most limit.
MUST_CHECK enum rc product_page(struct db *db, const char *after, int64_t limit,
                                product_fn on_product, void *arg);

// The prices in cents of distinct products: ret_prices[i] for skus[i]. PRICE_NONE if a product has
// none; 0 if there is no such product, which the decision refuses.
MUST_CHECK enum rc product_prices(struct db *db, const char *const *skus, size_t n,
                                  int64_t *ret_prices);
