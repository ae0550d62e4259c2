// The tables orders, order_item and redemption.
#include "store/tables/order.h"

#include "base/text.h"
#include "domain/counter.h"
#include "store/db/db.h"
#include "store/db/list.h"
#include "store/tables/campaign.h"

#include <stdlib.h>
#include <string.h>

const char *const order_states[ORDER_STATE_COUNT] = {
    [ORDER_PLACED] = "placed",
    [ORDER_PARTIALLY_REFUNDED] = "partially_refunded",
    [ORDER_REFUNDED] = "refunded",
    [ORDER_CANCELLED] = "cancelled",
};

enum { ORDER_COLUMNS = 14, LINE_COLUMNS = 6, REDEMPTION_COLUMNS = 7 };

static void order_values(const struct order *order, struct db_value values[ORDER_COLUMNS])
{
    const struct db_value row[ORDER_COLUMNS] = {
        db_text(order->id),
        db_text(order->user_id),
        db_text(order_states[order->state]),
        db_text_or_null(order->reservation),
        db_text_or_null(order->code),
        db_int(order->redemption),
        db_int(order->subtotal_cents),
        db_int(order->discount_cents),
        db_int(order->refunded_cents),
        db_int(order->points_spent),
        db_int(order->points_earned),
        db_int(order->points_returned),
        db_int(order->points_taken),
        db_int(order->created_at_ms),
    };
    memcpy(values, row, sizeof row);
}

static void line_values(const struct order *order, size_t i, struct db_value values[LINE_COLUMNS])
{
    const struct order_line *line = &order->lines[i];
    const struct db_value row[LINE_COLUMNS] = {db_text(order->id),     db_int((int64_t)i),
                                               db_text(line->sku),     db_int(line->quantity),
                                               db_int(line->refunded), db_int(line->price_cents)};
    memcpy(values, row, sizeof row);
}

enum rc order_insert(struct db *db, struct order *const *orders, size_t n, int64_t now_ms)
{
    size_t n_lines = 0, filled = 0;
    for (size_t i = 0; i < n; i++)
        n_lines += orders[i]->n_lines;
    struct db_value *values CLEANUP(free_memory) = calloc(n * ORDER_COLUMNS + 1, sizeof *values);
    struct db_value *lines CLEANUP(free_memory) = calloc(n_lines * LINE_COLUMNS + 1, sizeof *lines);
    if (values == NULL || lines == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        orders[i]->created_at_ms = now_ms;
        order_values(orders[i], values + i * ORDER_COLUMNS);
        for (size_t line = 0; line < orders[i]->n_lines; line++)
            line_values(orders[i], line, lines + LINE_COLUMNS * filled++);
    }
    enum rc rc =
        db_insert(db,
                  "orders (order_id, user_id, state, reservation, code, redemption, subtotal_cents,"
                  " discount_cents, refunded_cents, points_spent, points_earned, points_returned,"
                  " points_taken, created_at)",
                  ORDER_COLUMNS, values, n);
    return rc == RC_OK
               ? db_insert(db, "order_item (order_id, line, sku, quantity, refunded, price_cents)",
                           LINE_COLUMNS, lines, n_lines)
               : rc;
}

// An update of many rows. Both spellings have the same parameters.
struct update {
    struct db_list sqlite, mysql;
};

enum { ORDER_VALUES = 5, LINE_VALUES = 3, REDEMPTION_VALUES = 2 };

static const struct update update_orders = {
    .sqlite = {"UPDATE orders SET ",
               "state = ?, refunded_cents = ?, points_returned = ?, points_taken = ?"
               " WHERE order_id = ?",
               "", "", ORDER_VALUES},
    .mysql = {"UPDATE (SELECT CAST('' AS BINARY) AS state, 0 AS refunded_cents,"
              " 0 AS points_returned, 0 AS points_taken, CAST('' AS BINARY) AS order_id",
              " UNION ALL SELECT ?,?,?,?,?", "",
              ") w STRAIGHT_JOIN orders o ON o.order_id = w.order_id SET o.state = w.state,"
              " o.refunded_cents = w.refunded_cents, o.points_returned = w.points_returned,"
              " o.points_taken = w.points_taken",
              ORDER_VALUES},
};

static const struct update update_lines = {
    .sqlite = {"UPDATE order_item SET ", "refunded = ? WHERE order_id = ? AND line = ?", "", "",
               LINE_VALUES},
    .mysql = {"UPDATE (SELECT 0 AS refunded, CAST('' AS BINARY) AS order_id, 0 AS line",
              " UNION ALL SELECT ?,?,?", "",
              ") w STRAIGHT_JOIN order_item i ON i.order_id = w.order_id AND i.line = w.line"
              " SET i.refunded = w.refunded",
              LINE_VALUES},
};

static const struct update roll_back_redemptions = {
    .sqlite = {"UPDATE redemption SET state = 'rolled-back' WHERE ", "code = ? AND version = ?", "",
               "", REDEMPTION_VALUES},
    .mysql = {"UPDATE (SELECT CAST('' AS BINARY) AS code, 0 AS version", " UNION ALL SELECT ?,?",
              "",
              ") w STRAIGHT_JOIN redemption r ON r.code = w.code AND r.version = w.version"
              " SET r.state = 'rolled-back'",
              REDEMPTION_VALUES},
};

// On MySQL one statement, which changes a row once even if it is named twice.
static enum rc run_update(struct db *db, const struct update *update, const struct db_value *params,
                          size_t n)
{
    return db_run_list(db, db_is_sqlite(db) ? &update->sqlite : &update->mysql, params, n, NULL,
                       NULL);
}

static enum rc update_refunded(struct db *db, struct refund *const *refunds, size_t n)
{
    size_t n_lines = 0;
    for (size_t i = 0; i < n; i++)
        n_lines += refunds[i]->order->n_lines;
    struct db_value *orders CLEANUP(free_memory) = calloc(ORDER_VALUES * n, sizeof *orders);
    struct db_value *lines CLEANUP(free_memory) = calloc(LINE_VALUES * n_lines + 1, sizeof *lines);
    if (orders == NULL || lines == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = orders, *line = lines;
    for (size_t i = 0; i < n; i++) {
        const struct order *order = refunds[i]->order;
        *at++ = db_text(order_states[order->state]);
        *at++ = db_int(order->refunded_cents);
        *at++ = db_int(order->points_returned);
        *at++ = db_int(order->points_taken);
        *at++ = db_text(order->id);
        for (size_t j = 0; j < order->n_lines; j++) {
            if (order->lines[j].refunded == 0)
                continue;
            *line++ = db_int(order->lines[j].refunded);
            *line++ = db_text(order->id);
            *line++ = db_int((int64_t)j);
        }
    }
    enum rc rc = run_update(db, &update_orders, orders, n);
    return rc == RC_OK ? run_update(db, &update_lines, lines, (size_t)(line - lines) / LINE_VALUES)
                       : rc;
}

enum rc refund_insert(struct db *db, struct refund *const *refunds, size_t n, int64_t now_ms)
{
    enum { COLUMNS = 8 };
    struct db_value *values CLEANUP(free_memory) = calloc(n * COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        const struct refund *refund = refunds[i];
        *at++ = db_text(refund->order->id);
        *at++ = db_int(refund->version);
        *at++ = db_int(refund->refunded_cents);
        *at++ = db_int(refund->points_returned);
        *at++ = db_int(refund->points_taken);
        *at++ = db_int(refund->points_wanted - refund->points_taken);
        *at++ = db_text_or_null(refund->reason);
        *at++ = db_int(now_ms);
    }
    enum rc rc = db_insert(db,
                           "refund (order_id, version, refunded_cents, points_returned,"
                           " points_taken, points_short, reason, created_at)",
                           COLUMNS, values, n);
    return rc == RC_OK ? update_refunded(db, refunds, n) : rc;
}

static enum rc keep_refund(void *arg, const struct db_row *row)
{
    struct refund *refund = arg;
    refund->refunded_cents = db_row_int(row, 0);
    refund->points_returned = db_row_int(row, 1);
    refund->points_taken = db_row_int(row, 2);
    refund->points_wanted = refund->points_taken + db_row_int(row, 3);
    return RC_OK;
}

enum rc refund_get(struct db *db, struct refund *refund)
{
    struct db_value params[] = {db_text(refund->order->id), db_int(refund->version)};
    return db_query(db,
                    "SELECT refunded_cents, points_returned, points_taken, points_short FROM refund"
                    " WHERE order_id = ? AND version = ?",
                    params, ARRAY_LENGTH(params), keep_refund, refund);
}

struct get {
    struct order *order;
    int64_t version;
};

static enum rc keep_line(struct order *order, const struct db_row *row, size_t column)
{
    if (order->n_lines == ORDER_LINES_MAX)
        return RC_INTERNAL;
    struct order_line *line = &order->lines[order->n_lines++];
    line->quantity = db_row_int(row, column + 1);
    line->refunded = db_row_int(row, column + 2);
    line->price_cents = db_row_int(row, column + 3);
    return text_copy(line->sku, sizeof line->sku, db_row_text(row, column)) ? RC_OK : RC_INTERNAL;
}

// A row has the order and one of its lines.
static enum rc keep_order(void *arg, const struct db_row *row)
{
    struct get *get = arg;
    struct order *order = get->order;
    size_t state = 0;
    while (state < ORDER_STATE_COUNT && strcmp(order_states[state], db_row_text(row, 1)) != 0)
        state++;
    order->state = (enum order_state)state;
    order->redemption = db_row_int(row, 4);
    order->subtotal_cents = db_row_int(row, 5);
    order->discount_cents = db_row_int(row, 6);
    order->refunded_cents = db_row_int(row, 7);
    order->points_spent = db_row_int(row, 8);
    order->points_earned = db_row_int(row, 9);
    order->points_returned = db_row_int(row, 10);
    order->points_taken = db_row_int(row, 11);
    order->created_at_ms = db_row_int(row, 12);
    get->version = db_row_int(row, 13);
    order->code_returned = strcmp(db_row_text(row, 14), "rolled-back") == 0;
    bool whole = text_copy(order->user_id, sizeof order->user_id, db_row_text(row, 0)) &&
                 text_copy(order->reservation, sizeof order->reservation, db_row_text(row, 2)) &&
                 text_copy(order->code, sizeof order->code, db_row_text(row, 3));
    return whole && state < ORDER_STATE_COUNT ? keep_line(order, row, 15) : RC_INTERNAL;
}

enum rc order_get(struct db *db, const char *id, struct order *ret_order, int64_t *ret_version)
{
    char counter[COUNTER_NAME_MAX + 1];
    struct get get = {.order = ret_order};
    struct order order = {.n_lines = 0}; // the id may be ret_order's own
    if (!text_copy(order.id, sizeof order.id, id))
        return RC_NOT_FOUND;
    *ret_order = order;
    text_format(counter, sizeof counter, "order/%s", ret_order->id);
    struct db_value params[] = {db_text(counter), db_text(ret_order->id)};
    enum rc rc = db_query(db,
                          "SELECT o.user_id, o.state, o.reservation, o.code, o.redemption,"
                          " o.subtotal_cents, o.discount_cents, o.refunded_cents, o.points_spent,"
                          " o.points_earned, o.points_returned, o.points_taken, o.created_at,"
                          " c.version, COALESCE(r.state, ''),"
                          " i.sku, i.quantity, i.refunded, i.price_cents FROM orders o"
                          " JOIN counter c ON c.name = ?"
                          " JOIN order_item i ON i.order_id = o.order_id"
                          " LEFT JOIN redemption r ON r.code = o.code AND r.version = o.redemption"
                          " WHERE o.order_id = ? ORDER BY i.line",
                          params, ARRAY_LENGTH(params), keep_order, &get);
    *ret_version = get.version;
    return rc == RC_OK && get.version == 0 ? RC_NOT_FOUND : rc;
}

// ---- redemptions --------------------------------------------------------------------------------

enum rc redemption_insert(struct db *db, const struct redemption *redemptions, size_t n,
                          int64_t now_ms)
{
    struct db_value *values CLEANUP(free_memory) = calloc(n * REDEMPTION_COLUMNS, sizeof *values);
    struct db_value *at = values;
    if (values == NULL)
        return n == 0 ? RC_OK : RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(redemptions[i].code);
        *at++ = db_int(redemptions[i].version);
        *at++ = db_text(redemptions[i].user_id);
        *at++ = db_text_or_null(redemptions[i].order_id);
        *at++ = db_int(redemptions[i].in_order);
        *at++ = db_text("redeemed");
        *at++ = db_int(now_ms);
    }
    return db_insert(db,
                     "redemption (code, version, user_id, order_id, in_order, state, created_at)",
                     REDEMPTION_COLUMNS, values, n);
}

enum rc redemption_roll_back(struct db *db, const struct redemption *redemptions, size_t n)
{
    struct db_value *params CLEANUP(free_memory) =
        calloc(n * REDEMPTION_VALUES + 1, sizeof *params);
    if (params == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = params;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(redemptions[i].code);
        *at++ = db_int(redemptions[i].version);
    }
    return run_update(db, &roll_back_redemptions, params, n);
}

struct get_redemption {
    struct redemption *redemption;
    int64_t version;
};

static enum rc keep_redemption(void *arg, const struct db_row *row)
{
    struct get_redemption *get = arg;
    struct redemption *redemption = get->redemption;
    redemption->in_order = db_row_int(row, 2) != 0;
    redemption->rolled_back = strcmp(db_row_text(row, 3), "rolled-back") == 0;
    get->version = db_row_int(row, 4);
    return text_copy(redemption->user_id, sizeof redemption->user_id, db_row_text(row, 0)) &&
                   text_copy(redemption->order_id, sizeof redemption->order_id, db_row_text(row, 1))
               ? RC_OK
               : RC_INTERNAL;
}

enum rc redemption_get(struct db *db, struct redemption *ret_redemption, int64_t *ret_version)
{
    char counter[COUNTER_NAME_MAX + 1];
    struct get_redemption get = {.redemption = ret_redemption};
    text_format(counter, sizeof counter, "code/%s", ret_redemption->code);
    struct db_value params[] = {db_text(counter), db_text(ret_redemption->code),
                                db_int(ret_redemption->version)};
    enum rc rc = db_query(db,
                          "SELECT r.user_id, r.order_id, r.in_order, r.state, c.version"
                          " FROM redemption r JOIN counter c ON c.name = ?"
                          " WHERE r.code = ? AND r.version = ?",
                          params, ARRAY_LENGTH(params), keep_redemption, &get);
    *ret_version = get.version;
    return rc == RC_OK && get.version == 0 ? RC_NOT_FOUND : rc;
}

static enum rc keep_code(void *arg, const struct db_row *row)
{
    struct code *code = arg;
    code->now_ms = db_row_int(row, 2);
    code->terms = terms_read(row, 4);
    code->uses_left = db_row_is_null(row, 3) ? code->terms.uses_per_code : db_row_int(row, 3);
    return text_copy(code->campaign, sizeof code->campaign, db_row_text(row, 0)) &&
                   text_copy(code->user_id, sizeof code->user_id, db_row_text(row, 1))
               ? RC_OK
               : RC_INTERNAL;
}

enum rc code_get(struct db *db, const char *code, struct code *ret_code)
{
    char counter[COUNTER_NAME_MAX + 1];
    struct buffer sql CLEANUP(buffer_release) = {0};
    *ret_code = (struct code){.now_ms = 0};
    if (!text_copy(ret_code->code, sizeof ret_code->code, code))
        return RC_NOT_FOUND;
    text_format(counter, sizeof counter, "code/%s", code);
    struct db_value params[] = {db_text(counter), db_text(code)};
    buffer_format(&sql,
                  "SELECT p.campaign, x.user_id, %s, c.remaining, " TERMS_COLUMNS
                  " FROM coupon x JOIN campaign p ON p.campaign = x.campaign"
                  " LEFT JOIN counter c ON c.name = ? WHERE x.code = ?",
                  db_now_ms_sql(db));
    if (sql.failed)
        return RC_NO_MEMORY;
    enum rc rc = db_query(db, sql.data, params, ARRAY_LENGTH(params), keep_code, ret_code);
    return rc == RC_OK && ret_code->now_ms == 0 ? RC_NOT_FOUND : rc;
}
