// The records of orders and refunds, on both engines.
#include "store/tables/order.h"

#include "base/text.h"
#include "scratch.h"
#include "store/db/db.h"
#include "store/tables/counter.h"

#include "suite.h"

#include <check.h>
#include <string.h>

enum { ORDERS = 5, LINES = 3 };

static void make_order(size_t i, struct order *ret_order)
{
    *ret_order = (struct order){.n_lines = LINES, .subtotal_cents = 600, .points_spent = 10};
    text_format(ret_order->id, sizeof ret_order->id, "o%zu", i);
    text_copy(ret_order->user_id, sizeof ret_order->user_id, "ann");
    for (size_t line = 0; line < LINES; line++) {
        ret_order->lines[line] = (struct order_line){.quantity = 20, .price_cents = 10};
        text_format(ret_order->lines[line].sku, sizeof ret_order->lines[line].sku, "S%zu", line);
    }
}

// What the i-th refund makes of its order: line j has i * j refunded units. So some lines have
// none.
static void refund_order(size_t i, struct order *order)
{
    order->state = i % 2 == 0 ? ORDER_PARTIALLY_REFUNDED : ORDER_CANCELLED;
    order->refunded_cents = 100 + (int64_t)i;
    order->points_returned = (int64_t)i;
    order->points_taken = 2 * (int64_t)i;
    for (size_t line = 0; line < LINES; line++)
        order->lines[line].refunded = (int64_t)(i * line);
}

static enum rc add_count(void *arg, const struct db_row *row)
{
    *(int64_t *)arg += db_row_int(row, 1);
    return RC_OK;
}

static int64_t count_updates(struct db *db)
{
    int64_t updates = 0;
    ck_assert_int_eq(
        db_query(db, "SHOW SESSION STATUS LIKE 'Com_update%'", NULL, 0, add_count, &updates),
        RC_OK);
    return updates;
}

static void check_order(struct db *db, size_t i, const struct order *expected)
{
    struct order got;
    struct refund refund = {.order = &got, .version = 2 + (int64_t)i};
    int64_t version;
    ck_assert_int_eq(order_get(db, expected->id, &got, &version), RC_OK);
    ck_assert_int_eq(got.state, expected->state);
    ck_assert_int_eq(got.refunded_cents, expected->refunded_cents);
    ck_assert_int_eq(got.points_returned, expected->points_returned);
    ck_assert_int_eq(got.points_taken, expected->points_taken);
    ck_assert_int_eq(got.points_spent, 10);
    ck_assert_uint_eq(got.n_lines, LINES);
    for (size_t line = 0; line < LINES; line++) {
        ck_assert_int_eq(got.lines[line].refunded, expected->lines[line].refunded);
        ck_assert_int_eq(got.lines[line].quantity, 20);
    }
    bool refunded = expected->state != ORDER_PLACED;
    ck_assert_int_eq(refund_get(db, &refund), RC_OK);
    ck_assert_int_eq(refund.refunded_cents, refunded ? (int64_t)i : 0);
}

// The refunds of a batch: each order gets its own, and the last order stays as it was.
START_TEST(refunds_are_written_together)
{
    struct scratch scratch;
    struct order orders[ORDERS], *placed[ORDERS];
    struct refund refunds[ORDERS], *given[ORDERS];
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    for (size_t i = 0; i < ORDERS; i++) {
        char counter[COUNTER_NAME_MAX + 1];
        placed[i] = &orders[i];
        make_order(i, &orders[i]);
        text_format(counter, sizeof counter, "order/%s", orders[i].id);
        ck_assert_int_eq(counter_insert(db, counter, LINES * 20), RC_OK);
    }
    ck_assert_int_eq(order_insert(db, placed, ORDERS, 1), RC_OK);
    ck_assert_int_eq(db_commit(db), RC_OK);

    int64_t updates = _i == DB_MYSQL ? count_updates(db) : 0;
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    for (size_t i = 0; i < ORDERS - 1; i++) {
        given[i] = &refunds[i];
        refunds[i] = (struct refund){
            .order = &orders[i], .version = 2 + (int64_t)i, .refunded_cents = (int64_t)i};
        refund_order(i, &orders[i]);
    }
    ck_assert_int_eq(refund_insert(db, given, ORDERS - 1, 7), RC_OK);
    ck_assert_int_eq(db_commit(db), RC_OK);
    if (_i == DB_MYSQL) // of orders and of lines
        ck_assert_int_eq(count_updates(db) - updates, 2);
    for (size_t i = 0; i < ORDERS; i++)
        check_order(db, i, &orders[i]);
    scratch_close(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_orders");
    TCase *tests = suite_case(suite, "refunds", 60);
    tcase_add_loop_test(tests, refunds_are_written_together, DB_SQLITE, DB_MYSQL + 1);
    return suite_run(suite);
}
