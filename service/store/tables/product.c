// Products. The product row has title and price; the counter stock/SKU has the stock. The counter's
// row lock protects both.
#include "store/tables/product.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/admin.h"

// Two spellings, because `||` is OR on MySQL, and SQLite has CONCAT only since 3.44.
#define PRODUCT_SQL(counter_name)                                                                  \
    "SELECT p.sku, p.title, COALESCE(p.price_cents, -1), c.remaining, c.version"                   \
    " FROM product p JOIN counter c ON c.name = " counter_name
#define PRODUCT_SQLITE PRODUCT_SQL("'stock/' || p.sku")
#define PRODUCT_MYSQL PRODUCT_SQL("CONCAT('stock/', p.sku)")

struct reader {
    product_fn on_product;
    void *arg;
};

static enum rc read_product(void *arg, const struct db_row *row)
{
    struct reader *reader = arg;
    struct product product = {.price_cents = db_row_int(row, 2),
                              .remaining = db_row_int(row, 3),
                              .version = db_row_int(row, 4)};
    text_copy(product.sku, sizeof product.sku, db_row_text(row, 0));
    text_copy(product.title, sizeof product.title, db_row_text(row, 1));
    return reader->on_product(reader->arg, &product);
}

static enum rc keep_product(void *arg, const struct product *product)
{
    *(struct product *)arg = *product;
    return RC_OK;
}

enum rc product_get(struct db *db, const char *sku, struct product *ret_product)
{
    struct product found = {.version = 0};
    struct reader reader = {keep_product, &found};
    struct db_value param = db_text(sku);
    enum rc rc = db_query(
        db, db_is_sqlite(db) ? PRODUCT_SQLITE " WHERE p.sku = ?" : PRODUCT_MYSQL " WHERE p.sku = ?",
        &param, 1, read_product, &reader);
    if (rc != RC_OK)
        return rc;
    if (found.version == 0)
        return RC_NOT_FOUND;
    *ret_product = found;
    return RC_OK;
}

enum rc product_page(struct db *db, const char *after, int64_t limit, product_fn on_product,
                     void *arg)
{
    struct reader reader = {on_product, arg};
    struct db_value params[] = {db_text(after), db_int(limit)};
    return db_query(db,
                    db_is_sqlite(db) ? PRODUCT_SQLITE " WHERE p.sku > ? ORDER BY p.sku LIMIT ?"
                                     : PRODUCT_MYSQL " WHERE p.sku > ? ORDER BY p.sku LIMIT ?",
                    params, ARRAY_LENGTH(params), read_product, &reader);
}

struct put {
    const struct product *product;
    bool created;
    struct product result;
};

static enum rc put_row(struct db *db, const struct product *product, bool *ret_created)
{
    struct db_value price = product->price_cents == PRICE_NONE ? (struct db_value){.type = DB_NULL}
                                                               : db_int(product->price_cents);
    struct db_value title = db_text_or_null(product->title);
    struct db_value update[] = {title, price, db_text(product->sku)};
    struct db_value insert[] = {db_text(product->sku), title, price};
    int64_t matched = 0;
    enum rc rc = db_exec(db,
                         "UPDATE product SET title = COALESCE(?, title),"
                         " price_cents = COALESCE(?, price_cents) WHERE sku = ?",
                         update, ARRAY_LENGTH(update), &matched);
    *ret_created = matched == 0;
    if (rc == RC_OK && matched == 0)
        rc = db_insert(db, "product (sku, title, price_cents)", ARRAY_LENGTH(insert), insert, 1);
    return rc;
}

static enum rc put_once(struct db *db, void *arg)
{
    struct put *put = arg;
    struct counter counter;
    int64_t now_ms;
    text_format(counter.name, sizeof counter.name, "stock/%s", put->product->sku);
    enum rc rc = admin_lock_counter(db, &counter, &now_ms);
    if (rc == RC_OK)
        rc = put_row(db, put->product, &put->created);
    if (rc == RC_OK && (counter.version == 0 || counter.remaining != put->product->remaining))
        rc = admin_set_counter(db, &counter, put->product->remaining, now_ms);
    if (rc == RC_OK)
        rc = product_get(db, put->product->sku, &put->result);
    return rc;
}

enum rc product_put(struct db *db, const struct product *put, bool *ret_created,
                    struct product *ret_product)
{
    struct put state = {.product = put};
    enum rc rc = admin_transaction(db, put_once, &state);
    if (rc != RC_OK)
        return rc;
    *ret_created = state.created;
    *ret_product = state.result;
    return RC_OK;
}
