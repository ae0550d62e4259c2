// Reconciliation of orders on both engines: a small shop that the service itself has made is clean,
// and then, one at a time, a single defect and exactly the findings that report it.
#include "requests.h"

#include "base/text.h"
#include "guard/strategy/registry.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/reconcile/reconcile.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS 60000 // no sweeper runs

static void execute(struct fixture *fixture, const char *sql)
{
    struct db *db = fixture->scratch.db;
    ck_assert_msg(db_exec(db, sql, NULL, 0, NULL) == RC_OK, "%s: %s", sql, db_error(db));
}

// The requests of ann, each with its key.
static const struct {
    const char *key, *what, *body;
} shop[] = {
    {"a", "PUT /v1/stock/A", "{\"quantity\":20,\"price_cents\":100}"},
    {"b", "PUT /v1/stock/B", "{\"quantity\":20,\"price_cents\":200}"},
    {"c", "PUT /v1/coupons/C", "{\"total\":5,\"per_user_limit\":1}"},
    {"i", "POST /v1/coupons/C/issue", "{\"user_id\":\"ann\"}"},
    {"e", "POST /v1/points/ann/earn", "{\"points\":100}"},
    {"o1", "POST /v1/orders",
     "{\"user_id\":\"ann\",\"order_id\":\"o1\",\"lines\":[{\"sku\":\"A\",\"quantity\":5},{\"sku\":"
     "\"B\",\"quantity\":3}],\"code\":\"CODE\",\"points\":40,\"points_earn\":16}"},
    {"r1", "POST /v1/orders/o1/refunds",
     "{\"lines\":[{\"line\":0,\"quantity\":2,\"restock\":true},{\"line\":1,\"quantity\":1}],"
     "\"points\":10}"},
    {"d1", "POST /v1/coupons/redeem", "{\"code\":\"CODE\",\"user_id\":\"ann\"}"},
    {"d2", "POST /v1/redemptions/CODE:2/rollback", "{}"},
    {"h1", "POST /v1/reservations",
     "{\"ttl_s\":60,\"lines\":[{\"sku\":\"A\",\"quantity\":4},{\"sku\":\"B\",\"quantity\":4}]}"},
    {"o2", "POST /v1/orders",
     "{\"user_id\":\"bob\",\"order_id\":\"o2\",\"reservation\":\"%s\",\"lines\":[{\"sku\":\"B\","
     "\"quantity\":2}]}"},
    {"o3", "POST /v1/orders",
     "{\"user_id\":\"bob\",\"order_id\":\"o3\",\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}"},
    {"x3", "POST /v1/orders/o3/cancel", "{}"},
};

static bool open_shop(struct fixture *fixture, enum db_engine engine)
{
    struct fixture_options options = {.strategy = strategy_find("conditional"),
                                      .engine = engine,
                                      .instances = 1,
                                      .max_batch = 256};
    char reservation[64] = "", error[MIGRATE_ERROR_MAX];
    if (!fixture_open(fixture, &options))
        return false;
    struct requests requests;
    requests_init(&requests, fixture, ARRAY_LENGTH(shop));
    for (size_t i = 0; i < ARRAY_LENGTH(shop); i++) {
        struct request *request = &requests.all[i];
        char body[256];
        snprintf(body, sizeof body, "%s", shop[i].body);
        char *place = strstr(body, "%s");
        if (place != NULL)
            snprintf(place, sizeof body - (size_t)(place - body), "%s%s", reservation,
                     strstr(shop[i].body, "%s") + 2);
        text_copy(request->key, sizeof request->key, shop[i].key);
        request_send(&requests, i, 0, shop[i].what, "%s", body);
        requests_settle(&requests);
        ck_assert_msg(request->rc == RC_OK, "%s: %s", shop[i].key, rc_slug(request->rc));
        if (strcmp(shop[i].key, "i") == 0) {
            execute(fixture, "UPDATE campaign SET discount_percent = 10, uses_per_code = 2");
            execute(fixture, "UPDATE coupon SET code = 'CODE'");
        }
        if (strcmp(shop[i].key, "h1") == 0)
            text_copy(reservation, sizeof reservation, request->call.operation.reservation);
    }
    requests_release(&requests);
    ck_assert_msg(migrate_lab(fixture->scratch.db, true, error) == RC_OK, "%s", error);
    return true;
}

static const struct {
    const char *what;
    const char *plant[3];
    struct {
        const char *check, *where;
        int64_t expected, found;
    } findings[5]; // in the order in which they are reported
} cases[] = {
    {"nothing is wrong", {NULL}, {{NULL, NULL, 0, 0}}},
    {"a line was refunded without the order's counter",
     {"UPDATE order_item SET refunded = 3 WHERE order_id = 'o1' AND line = 0"},
     {{"order-sum", "order o1", 4, 5}}},
    {"an order has lost its lines",
     {"DELETE FROM order_item WHERE order_id = 'o2'"},
     {{"order-sum", "order o2", 0, 2}}},
    {"an order has a line that took nothing",
     {"INSERT INTO order_item VALUES ('o2', 2, 'C', 0, 0, 1)"},
     {{"order-legs", "order o2", 3, 2}}},
    {"the code was redeemed in a transaction of its own",
     {"UPDATE ledger SET request_key = 'alone', leg = 0 WHERE request_key = 'o1'"
      " AND counter = 'code/CODE'"},
     {{"legs-missing", "request o1 reason order", 5, 4}, {"order-legs", "order o1", 5, 4}}},
    {"an order took more than it says",
     {"UPDATE ledger SET request_key = 'o3', leg = 9 WHERE request_key = 'r1'"
      " AND counter = 'stock/A'",
      "UPDATE ledger SET reason = 'order' WHERE leg = 9"},
     {{"legs-missing", "request o3 reason order", 10, 3},
      {"legs-missing", "request r1 reason refund", 3, 2},
      {"order-legs", "order o3", 2, 3},
      {"order-movement", "request o3 reason order", 0, 2}}},
    {"a refund restocked more than it took from the order",
     {"UPDATE ledger SET request_key = 'r2', leg = 0 WHERE request_key = 'r1'"
      " AND counter = 'stock/A'"},
     {{"legs-missing", "request r1 reason refund", 3, 2},
      {"order-movement", "request r2 reason refund", 0, 2}}},
    {"a cancellation that did not restock",
     {"UPDATE ledger SET reason = 'cancel' WHERE request_key = 'r1'"},
     {{"order-movement", "request r1 reason cancel", 0, -1}}},
    {"an order spent other points than it says",
     {"UPDATE orders SET points_spent = 39 WHERE order_id = 'o1'"},
     {{"order-points", "order o1 version 1", -23, -24}}},
    {"more was given back than the refunds say, and than was paid",
     {"UPDATE orders SET refunded_cents = 1000 WHERE order_id = 'o1'"},
     {{"refund-sum", "order o1 of cents", 360, 1000},
      {"refund-limit", "order o1 of cents", 990, 1000}}},
    {"points were returned that were never spent",
     {"UPDATE orders SET points_returned = 50 WHERE order_id = 'o1'",
      "UPDATE refund SET points_returned = 50 WHERE order_id = 'o1'"},
     {{"order-points", "order o1 version 2", 44, 4},
      {"refund-limit", "order o1 of points-returned", 40, 50}}},
    {"more points were taken back than the refunds say, and than were earned",
     {"UPDATE orders SET points_taken = 17 WHERE order_id = 'o1'"},
     {{"refund-sum", "order o1 of points-taken", 6, 17},
      {"refund-limit", "order o1 of points-taken", 16, 17}}},
    {"more units were refunded than ordered",
     {"UPDATE order_item SET refunded = 6 WHERE order_id = 'o1' AND line = 0",
      "UPDATE order_item SET quantity = 7, refunded = 5 WHERE order_id = 'o1' AND line = 1"},
     {{"order-sum", "order o1", 1, 5}, {"refund-limit", "order o1 of line-0", 5, 6}}},
    {"a refund is not on record",
     {"DELETE FROM refund WHERE order_id = 'o3'",
      "UPDATE orders SET refunded_cents = 0 WHERE order_id = 'o3'"},
     {{"ledger-without-refund", "order/o3 version 2", 1, 0}}},
    {"a refund that no ledger row made",
     {"INSERT INTO refund VALUES ('o1', 7, 0, 0, 0, 0, NULL, 1)"},
     {{"refund-without-ledger", "order o1 version 7", 1, 0}}},
    {"a redemption is not on record",
     {"DELETE FROM redemption WHERE version = 1"},
     {{"redemption-sum", "code/CODE", 2, 1},
      {"ledger-without-redemption", "code/CODE user ann version 1", 1, 0}}},
    {"a use was given back although it was redeemed", // or: was given back twice
     {"UPDATE redemption SET state = 'redeemed' WHERE version = 2"},
     {{"redemption-sum", "code/CODE", 0, 1}}},
    {"a redemption that no ledger row made",
     {"INSERT INTO redemption VALUES ('CODE', 9, 'ann', NULL, 0, 'rolled-back', 1)"},
     {{"redemption-without-ledger", "code CODE user ann version 9", 1, 0}}},
    {"the redemption of another order",
     {"UPDATE redemption SET order_id = 'o2' WHERE version = 1"},
     {{"redemption-without-ledger", "code CODE user ann version 1", 1, 0}}},
};

struct seen {
    size_t at, n;
};

static void check_finding(void *arg, const struct finding *finding)
{
    struct seen *seen = arg;
    size_t i = seen->n++;
    ck_assert_msg(i < ARRAY_LENGTH(cases[0].findings) &&
                      cases[seen->at].findings[i].check != NULL &&
                      strcmp(finding->check, cases[seen->at].findings[i].check) == 0 &&
                      strcmp(finding->where, cases[seen->at].findings[i].where) == 0 &&
                      finding->expected == cases[seen->at].findings[i].expected &&
                      finding->found == cases[seen->at].findings[i].found,
                  "%s: found %s: %s: %s", cases[seen->at].what, finding->check, finding->where,
                  finding->what);
}

// Even runs: SQLite; odd runs: MySQL.
START_TEST(each_defect_is_found_and_nothing_else)
{
    struct fixture fixture;
    struct reconciliation summary;
    struct seen seen = {.at = (size_t)_i / 2};
    if (!open_shop(&fixture, _i % 2 == 0 ? DB_SQLITE : DB_MYSQL))
        return;
    for (size_t i = 0; i < 3 && cases[seen.at].plant[i] != NULL; i++)
        execute(&fixture, cases[seen.at].plant[i]);
    ck_assert_msg(reconcile_run(fixture.scratch.db, SWEEP_MS, check_finding, &seen, &summary) ==
                      RC_OK,
                  "%s", db_error(fixture.scratch.db));
    ck_assert_msg(cases[seen.at].findings[seen.n].check == NULL, "%s: %s was not found",
                  cases[seen.at].what, cases[seen.at].findings[seen.n].check);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reconcile orders");
    TCase *tests = suite_case(suite, "defects", 60);
    tcase_add_loop_test(tests, each_defect_is_found_and_nothing_else, 0,
                        2 * (int)ARRAY_LENGTH(cases));
    return suite_run(suite);
}
