// Products. The product row has title and price; the counter stock/SKU has the stock. The counter's
// row lock protects both, and its version stands for both: a new title changes the counter by 0. So
// the version is all that a condition (If-Match) has to name.
#include "store/tables/product.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/admin.h"

#include <stdlib.h>
#include <string.h>

// Two spellings, because `||` is OR on MySQL, and SQLite has CONCAT only since 3.44.
#define PRODUCT_COLUMNS "p.sku, p.title, COALESCE(p.price_cents, -1), c.remaining, c.version"
#define FROM_SQLITE " FROM product p JOIN counter c ON c.name = 'stock/' || p.sku"
#define FROM_MYSQL " FROM product p JOIN counter c ON c.name = CONCAT('stock/', p.sku)"
#define PRODUCT_SQLITE "SELECT " PRODUCT_COLUMNS FROM_SQLITE
#define PRODUCT_MYSQL "SELECT " PRODUCT_COLUMNS FROM_MYSQL

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

struct with_holds {
    struct product product;
    struct product_holds holds;
};

static enum rc read_with_holds(void *arg, const struct db_row *row)
{
    struct with_holds *found = arg;
    struct reader reader = {keep_product, &found->product};
    found->holds.due = db_row_int(row, 5) != 0;
    found->holds.reserved = db_row_int(row, 6);
    found->holds.next_release_ms = db_row_int(row, 7);
    return read_product(&reader, row);
}

enum rc product_get_with_holds(struct db *db, const char *sku, bool add_up,
                               struct product *ret_product, struct product_holds *ret_holds)
{
    struct with_holds found = {.product.version = 0};
    struct db_value param = db_text(sku);
    struct buffer sql CLEANUP(buffer_release) = {0};
    const char *now = db_now_ms_sql(db);
    buffer_format(&sql,
                  "SELECT " PRODUCT_COLUMNS
                  ", EXISTS (SELECT 1 FROM hold h WHERE h.counter = c.name AND h.expires_at <= %s),"
                  " (SELECT COALESCE(SUM(h.quantity), 0) FROM hold h"
                  " WHERE %d AND h.counter = c.name AND h.expires_at > %s),"
                  " (SELECT COALESCE(MIN(h.expires_at), 0) FROM hold h"
                  " WHERE %d AND h.counter = c.name AND h.expires_at > %s)%s WHERE p.sku = ?",
                  now, add_up, now, add_up, now, db_is_sqlite(db) ? FROM_SQLITE : FROM_MYSQL);
    if (sql.failed)
        return RC_NO_MEMORY;
    enum rc rc = db_query(db, sql.data, &param, 1, read_with_holds, &found);
    if (rc != RC_OK)
        return rc;
    if (found.product.version == 0)
        return RC_NOT_FOUND;
    *ret_product = found.product;
    *ret_holds = found.holds;
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
    const struct product *wanted;
    const struct precondition *condition;
    bool created;
    struct product result;
};

static enum rc write_row(struct db *db, const struct product *product)
{
    struct db_value price = product->price_cents == PRICE_NONE ? (struct db_value){.type = DB_NULL}
                                                               : db_int(product->price_cents);
    struct db_value update[] = {db_text_or_null(product->title), price, db_text(product->sku)};
    struct db_value insert[] = {update[2], update[0], price};
    int64_t matched = 0;
    enum rc rc = db_exec(db, "UPDATE product SET title = ?, price_cents = ? WHERE sku = ?", update,
                         ARRAY_LENGTH(update), &matched);
    if (rc == RC_OK && matched == 0)
        rc = db_insert(db, "product (sku, title, price_cents)", ARRAY_LENGTH(insert), insert, 1);
    return rc;
}

// Puts what is wanted over the product. Returns whether that changes it.
static bool change(struct product *product, const struct product *wanted)
{
    const struct product before = *product;
    if (wanted->title[0] != '\0')
        text_copy(product->title, sizeof product->title, wanted->title);
    if (wanted->price_cents != PRICE_NONE)
        product->price_cents = wanted->price_cents;
    if (wanted->remaining != REMAINING_KEPT)
        product->remaining = wanted->remaining;
    return strcmp(product->title, before.title) != 0 ||
           product->price_cents != before.price_cents || product->remaining != before.remaining;
}

static enum rc put_once(struct db *db, void *arg)
{
    struct put *put = arg;
    const struct product *wanted = put->wanted;
    struct product product = {.price_cents = PRICE_NONE};
    struct counter counter;
    int64_t now_ms;
    text_format(counter.name, sizeof counter.name, "stock/%s", wanted->sku);
    enum rc rc = admin_lock_counter(db, put->condition, &counter, &now_ms);
    if (rc == RC_OK)
        rc = product_get(db, wanted->sku, &product);
    put->created = rc == RC_NOT_FOUND && wanted->remaining != REMAINING_KEPT;
    if (rc != RC_OK && !put->created)
        return rc;
    text_copy(product.sku, sizeof product.sku, wanted->sku);
    if (change(&product, wanted) || counter.version == 0 || put->created) {
        rc = write_row(db, &product);
        if (rc == RC_OK)
            rc = admin_set_counter(db, &counter, product.remaining, now_ms);
        if (rc != RC_OK)
            return rc;
    }
    put->result = product;
    put->result.version = counter.version;
    return RC_OK;
}

enum rc product_put(struct db *db, const struct product *put, const struct precondition *condition,
                    bool *ret_created, struct product *ret_product)
{
    struct put state = {.wanted = put, .condition = condition};
    enum rc rc = admin_transaction(db, put_once, &state);
    if (rc != RC_OK)
        return rc;
    *ret_created = state.created;
    *ret_product = state.result;
    return RC_OK;
}

struct prices {
    const char *const *skus;
    size_t n;
    int64_t *prices;
};

static enum rc keep_price(void *arg, const struct db_row *row)
{
    const struct prices *prices = arg;
    for (size_t i = 0; i < prices->n; i++) {
        if (strcmp(prices->skus[i], db_row_text(row, 0)) == 0)
            prices->prices[i] = db_row_int(row, 1);
    }
    return RC_OK;
}

enum rc product_prices(struct db *db, const char *const *skus, size_t n, int64_t *ret_prices)
{
    struct prices prices = {skus, n, ret_prices};
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value *params CLEANUP(free_memory) = calloc(n, sizeof *params);
    if (params == NULL)
        return RC_NO_MEMORY;
    buffer_append_text(&sql, "SELECT sku, COALESCE(price_cents, -1) FROM product WHERE sku IN (");
    for (size_t i = 0; i < n; i++) {
        buffer_append_text(&sql, i == 0 ? "?" : ",?");
        params[i] = db_text(skus[i]);
        ret_prices[i] = 0;
    }
    buffer_append_text(&sql, ")");
    if (sql.failed)
        return RC_NO_MEMORY;
    return db_query(db, sql.data, params, n, keep_price, &prices);
}
