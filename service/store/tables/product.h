// Products: the stock counters with a title and a price.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

#define PRODUCT_TITLE_MAX 200 // bytes of UTF-8
#define PRICE_NONE (-1)

struct product {
    char sku[ID_MAX + 1];
    char title[PRODUCT_TITLE_MAX + 1]; // empty if none
    int64_t price_cents;               // PRICE_NONE if none
    int64_t remaining, version;
};

// Creates or changes the product. `remaining` becomes the stock; an empty title or PRICE_NONE keeps
// the present one. A change of the stock writes a ledger row (opening, adjust). Runs in a
// transaction of its own, with retries; ret_product is the product afterwards.
MUST_CHECK enum rc product_put(struct db *db, const struct product *put, bool *ret_created,
                               struct product *ret_product);
MUST_CHECK enum rc product_get(struct db *db, const char *sku, struct product *ret_product);

typedef enum rc (*product_fn)(void *arg, const struct product *product);
// Products with sku > after in byte order, ascending, at most limit.
MUST_CHECK enum rc product_page(struct db *db, const char *after, int64_t limit,
                                product_fn on_product, void *arg);
