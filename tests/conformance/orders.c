// Conformance of orders, refunds and redemptions: for every strategy on every database engine,
// combined and direct. Requests go through the service's handlers.
#include "lost_answer.h"
#include "requests.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "domain/coupon.h"
#include "http/api/basket.h"
#include "store/db/db.h"

#include "suite.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LINES 3

// ---- the shop -----------------------------------------------------------------------------------

static int64_t ask(struct fixture *fixture, const char *sql, const char *name)
{
    int64_t number = -1;
    struct db_value param = db_text(name != NULL ? name : "");
    ck_assert_msg(db_query_int(fixture->scratch.db, sql, &param, name != NULL, &number) == RC_OK,
                  "%s: %s", sql, db_error(fixture->scratch.db));
    return number;
}

static int64_t left(struct fixture *fixture, const char *counter)
{
    return fixture_counter(fixture, counter).remaining;
}

static void put_product(struct fixture *fixture, const char *sku, int quantity)
{
    char what[64];
    text_format(what, sizeof what, "PUT /v1/stock/%s", sku);
    request_do(fixture, what, "{\"quantity\":%d,\"price_cents\":%d}", quantity, 100 + sku[0]);
}

// A code of the user ann: 10 % off, from 1.00, at most `uses` times.
static void put_code(struct fixture *fixture, int uses, char ret_code[COUPON_CODE_MAX + 1])
{
    struct operation issue = {.kind = OPERATION_ISSUE,
                              .leg = {.counter = "coupon/C", .amount = 1},
                              .request_key = "issue",
                              .user_id = "ann"};
    struct db_value params[] = {db_int(uses)};
    request_do(fixture, "PUT /v1/coupons/C", "{\"total\":5,\"per_user_limit\":5}");
    ck_assert_int_eq(db_exec(fixture->scratch.db,
                             "UPDATE campaign SET discount_percent = 10, min_cents = 100,"
                             " uses_per_code = ?",
                             params, 1, NULL),
                     RC_OK);
    do { // ends with a character that no other id has
        random_bytes(issue.entropy, sizeof issue.entropy);
        coupon_code(issue.entropy, ret_code);
    } while (strpbrk(ret_code, "*~$=") == NULL);
    ck_assert_int_eq(submit_and_wait(fixture->instances[0].engine, &issue), RC_OK);
    ck_assert_str_eq(issue.outcome.code, ret_code);
}

// All rows of the order are there and no other: its record, its lines, its ledger.
static void assert_whole(struct fixture *fixture, const struct request *request)
{
    const struct basket *basket = request->call.input;
    const struct order *order = &basket->order;
    char counter[COUNTER_NAME_MAX + 1];
    text_format(counter, sizeof counter, "order/%s", order->id);
    bool placed = request->rc == RC_OK;
    int64_t rows = 1 + (int64_t)order->n_lines + (order->code[0] != '\0') +
                   (order->points_spent + order->points_earned > 0);
    if (order->reservation[0] != '\0')
        rows += ask(fixture,
                    "SELECT COUNT(*) FROM ledger WHERE counter LIKE 'hold/%' AND delta < 0"
                    " AND request_key = ?",
                    request->key);
    ck_assert_int_eq(
        ask(fixture, "SELECT COUNT(*) FROM ledger WHERE request_key = ?", request->key),
        placed ? rows : 0);
    ck_assert_int_eq(ask(fixture, "SELECT COUNT(*) FROM orders WHERE order_id = ?", order->id),
                     placed);
    ck_assert_int_eq(ask(fixture, "SELECT COUNT(*) FROM order_item WHERE order_id = ?", order->id),
                     placed ? (int64_t)order->n_lines : 0);
    ck_assert_int_eq(ask(fixture, "SELECT COUNT(*) FROM redemption WHERE order_id = ?", order->id),
                     placed && order->code[0] != '\0');
    ck_assert_int_eq(fixture_counter(fixture, counter).version, placed);
    ck_assert_int_eq(left(fixture, counter), placed ? order_units(order) : 0);
}

// ---- orders -------------------------------------------------------------------------------------

// Orders of three of five products, each in an order of its own, among deducts, from all instances:
// what is sold was there, and an order is whole or absent.
static void order_at_random(int i, enum guard_scope least, size_t instances)
{
    enum { N = 36, OPENING = 24 };
    static const char *const skus[] = {"A", "B", "C", "D", "E"};
    int64_t sold[ARRAY_LENGTH(skus)] = {0};
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    for (size_t j = 0; j < ARRAY_LENGTH(skus); j++)
        put_product(&fixture, skus[j], OPENING);
    struct requests requests;
    requests_init(&requests, &fixture, N);
    for (size_t j = 0; j < N; j++) {
        size_t first = random_below(ARRAY_LENGTH(skus)), step = 1 + random_below(4);
        const char *line[LINES];
        for (size_t k = 0; k < LINES; k++)
            line[k] = skus[(first + k * step) % ARRAY_LENGTH(skus)];
        if (j % 6 == 5)
            request_send(&requests, j, j % instances, "POST /v1/stock/A/deduct",
                         "{\"quantity\":1}");
        else // two lines of one product are one demand
            request_send(&requests, j, j % instances, "POST /v1/orders",
                         "{\"user_id\":\"u\",\"lines\":[{\"sku\":\"%s\",\"quantity\":1},"
                         "{\"sku\":\"%s\",\"quantity\":1},{\"sku\":\"%s\",\"quantity\":2},"
                         "{\"sku\":\"%s\",\"quantity\":1}]}",
                         line[0], line[1], line[2], line[0]);
    }
    requests_settle(&requests);
    ck_assert_uint_gt(requests_count(&requests, RC_OK), 0);
    ck_assert_uint_eq(requests_count(&requests, RC_OK) + requests_count(&requests, RC_OUT_OF_STOCK),
                      N);
    for (size_t j = 0; j < N; j++) {
        const struct request *request = &requests.all[j];
        const struct basket *basket = request->call.input;
        if (j % 6 == 5)
            sold[0] += request->rc == RC_OK;
        else
            assert_whole(&fixture, request);
        for (size_t k = 0; j % 6 != 5 && request->rc == RC_OK && k < LINES; k++)
            sold[basket->order.lines[k].sku[0] - 'A'] += basket->order.lines[k].quantity;
    }
    for (size_t j = 0; j < ARRAY_LENGTH(skus); j++) {
        char counter[16];
        text_format(counter, sizeof counter, "stock/%s", skus[j]);
        ck_assert_int_eq(left(&fixture, counter) + sold[j], OPENING);
    }
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}

START_TEST(one_instance_sells_what_is_there)
{
    order_at_random(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_sell_what_is_there)
{
    order_at_random(_i, SCOPE_CLUSTER, 2);
}
END_TEST

// The second product, the code or the points are not there: nothing is written.
START_TEST(a_refused_order_leaves_nothing)
{
    static const struct {
        const char *rest;
        enum rc rc;
    } cases[] = {
        {"{\"sku\":\"B\",\"quantity\":1}],\"code\":\"%s\",\"points\":5", RC_OUT_OF_STOCK},
        {"{\"sku\":\"A\",\"quantity\":2}],\"code\":\"%s\"", RC_OUT_OF_STOCK}, // two lines add up
        {"{\"sku\":\"C\",\"quantity\":1}],\"code\":\"%s\",\"points\":11,\"points_earn\":40",
         RC_NOT_ENOUGH_POINTS},
        {"{\"sku\":\"UNKNOWN\",\"quantity\":1}],\"code\":\"%s\",\"points\":5", RC_NOT_FOUND},
        {"{\"sku\":\"N\",\"quantity\":1}],\"code\":\"%s\"", RC_PRICE_MISSING},
        {"{\"sku\":\"N\",\"quantity\":1}],\"points\":5", RC_PRICE_MISSING},
    };
    struct fixture fixture;
    char code[COUPON_CODE_MAX + 1], rest[128], counter[COUNTER_NAME_MAX + 1];
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    put_product(&fixture, "A", 2);
    put_product(&fixture, "B", 0);
    put_product(&fixture, "C", 9);
    request_do(&fixture, "PUT /v1/stock/N", "{\"quantity\":9}");
    put_code(&fixture, 1, code);
    request_do(&fixture, "POST /v1/points/ann/earn", "{\"points\":10}");
    struct requests requests;
    requests_init(&requests, &fixture, ARRAY_LENGTH(cases) + 1);
    for (size_t j = 0; j < requests.n; j++) {
        bool refused = j < ARRAY_LENGTH(cases);
        text_format(rest, sizeof rest,
                    refused ? cases[j].rest
                            : "{\"sku\":\"C\",\"quantity\":9}],\"code\":\"%s\",\"points\":10,"
                              "\"points_earn\":3",
                    code);
        request_send(&requests, j, 0, "POST /v1/orders",
                     "{\"user_id\":\"ann\",\"lines\":[{\"sku\":\"A\",\"quantity\":1},%s}", rest);
        requests_settle(&requests);
        ck_assert_int_eq(requests.all[j].rc, refused ? cases[j].rc : RC_OK);
        if (cases[j % ARRAY_LENGTH(cases)].rc != RC_NOT_FOUND)
            assert_whole(&fixture, &requests.all[j]);
    }
    fixture_assert_stock(&fixture, "A", 1, 2);
    fixture_assert_stock(&fixture, "C", 0, 2);
    ck_assert_int_eq(left(&fixture, "points/ann"), 3);
    ck_assert_int_eq(fixture_counter(&fixture, "points/ann").version, 2);
    text_format(counter, sizeof counter, "code/%s", code);
    ck_assert_int_eq(left(&fixture, counter), 0);
    ck_assert_int_eq(fixture_counter(&fixture, counter).version, 1);
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}
END_TEST

// One instance whose workers wait at a gate before they load, once it is closed.
static bool open_gated(struct fixture *fixture, struct gate *gate, int i)
{
    struct scenario scenario = scenario_at(i);
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = 1,
                                      .max_batch = scenario.max_batch,
                                      .hooks = {{gate_pause, gate}}};
    gate_init(gate, PAUSE_BEFORE_LOAD, SIZE_MAX);
    gate_open(gate);
    return scenario.strategy->scope >= SCOPE_PROCESS && fixture_open(fixture, &options);
}

// Orders of one name in one batch: one is placed. A key that was used for something else is told
// so, also when the name is taken.
START_TEST(orders_of_one_name)
{
    enum { USED, BLOCKER, FIRST, OTHER, MISUSED, N };
    static const char order[] = "{\"user_id\":\"u\",\"order_id\":\"x\",\"lines\":[{\"sku\":\"A\","
                                "\"quantity\":1}]}";
    struct fixture fixture;
    struct gate gate;
    if (!open_gated(&fixture, &gate, _i))
        return;
    put_product(&fixture, "A", 9);
    struct requests requests;
    requests_init(&requests, &fixture, N);
    request_send(&requests, USED, 0, "POST /v1/stock/A/deduct", "{\"quantity\":1}");
    requests_settle(&requests);
    gate_close(&gate);
    request_make(&requests, BLOCKER, "POST /v1/stock/A/deduct", "{\"quantity\":1}");
    request_submit(&requests, BLOCKER, 0);
    gate_wait_for_arrival(&gate);
    text_copy(requests.all[MISUSED].key, sizeof requests.all[MISUSED].key, requests.all[USED].key);
    for (size_t j = FIRST; j < N; j++)
        request_make(&requests, j, "POST /v1/orders", order);
    for (size_t j = FIRST; j < N; j++)
        request_submit(&requests, j, 0);
    gate_open(&gate);
    requests_settle(&requests);
    ck_assert_int_eq(requests.all[BLOCKER].rc, RC_OK);
    ck_assert_int_eq(requests.all[MISUSED].rc, RC_IDEMPOTENCY_MISMATCH);
    bool first = requests.all[FIRST].rc == RC_OK;
    ck_assert_int_eq(requests.all[first ? FIRST : OTHER].rc, RC_OK);
    ck_assert_int_eq(requests.all[first ? OTHER : FIRST].rc, RC_ORDER_EXISTS);
    fixture_assert_stock(&fixture, "A", 6, 4);
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}
END_TEST

// A product without a price, in one batch with others: its order alone is refused, until there is a
// price.
START_TEST(an_order_without_price_is_refused_alone)
{
    enum { BLOCKER, BEFORE, UNPRICED, AFTER, AGAIN, N };
    static const char order[] = "{\"user_id\":\"u\",\"lines\":[{\"sku\":\"A\",\"quantity\":1},"
                                "{\"sku\":\"%s\",\"quantity\":2}]}";
    struct fixture fixture;
    struct gate gate;
    if (!open_gated(&fixture, &gate, _i))
        return;
    put_product(&fixture, "A", 9);
    put_product(&fixture, "B", 9);
    request_do(&fixture, "PUT /v1/stock/N", "{\"quantity\":9}");
    struct requests requests;
    requests_init(&requests, &fixture, N);
    gate_close(&gate);
    request_make(&requests, BLOCKER, "POST /v1/stock/A/deduct", "{\"quantity\":1}");
    request_submit(&requests, BLOCKER, 0);
    gate_wait_for_arrival(&gate);
    for (size_t j = BEFORE; j <= AFTER; j++)
        request_make(&requests, j, "POST /v1/orders", order, j == UNPRICED ? "N" : "B");
    for (size_t j = BEFORE; j <= AFTER; j++)
        request_submit(&requests, j, 0);
    gate_open(&gate);
    requests_settle(&requests);
    for (size_t j = BLOCKER; j <= AFTER; j++)
        ck_assert_int_eq(requests.all[j].rc, j == UNPRICED ? RC_PRICE_MISSING : RC_OK);
    assert_whole(&fixture, &requests.all[UNPRICED]);
    fixture_assert_stock(&fixture, "A", 6, 4);
    fixture_assert_stock(&fixture, "N", 9, 1);
    request_do(&fixture, "PUT /v1/stock/N", "{\"price_cents\":0}"); // a gift
    request_repeat(&requests, UNPRICED, AGAIN, 0);
    requests_settle(&requests);
    ck_assert_int_eq(requests.all[AGAIN].rc, RC_OK);
    fixture_assert_stock(&fixture, "N", 7, 3);
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}
END_TEST

// Orders and redemptions of one code, each order of a product of its own: one gets it.
static void use_a_code(int i, enum guard_scope least, size_t instances)
{
    enum { N = 12, USES = 2 };
    struct fixture fixture;
    char code[COUPON_CODE_MAX + 1], counter[COUNTER_NAME_MAX + 1], sku[8];
    if (!open_scenario(&fixture, i, least, instances))
        return;
    put_code(&fixture, USES, code);
    request_do(&fixture, "POST /v1/points/ann/earn", "{\"points\":100}");
    struct requests requests;
    requests_init(&requests, &fixture, N);
    for (size_t j = 0; j < N; j += 2) {
        text_format(sku, sizeof sku, "%c", (int)('A' + j));
        put_product(&fixture, sku, 10);
    }
    for (size_t j = 0; j < N; j++) {
        if (j % 2 == 1)
            request_send(&requests, j, j / 2 % instances, "POST /v1/coupons/redeem",
                         "{\"code\":\"%s\",\"user_id\":\"ann\"}", code);
        else
            request_send(&requests, j, j / 2 % instances, "POST /v1/orders",
                         "{\"user_id\":\"ann\",\"lines\":[{\"sku\":\"%c\",\"quantity\":4}],"
                         "\"code\":\"%s\",\"points\":7}",
                         (int)('A' + j), code);
    }
    requests_settle(&requests);
    ck_assert_uint_eq(requests_count(&requests, RC_OK), USES);
    ck_assert_uint_eq(requests_count(&requests, RC_COUPON_REDEEMED), N - USES);
    int64_t orders = 0;
    for (size_t j = 0; j < N; j += 2) {
        assert_whole(&fixture, &requests.all[j]);
        orders += requests.all[j].rc == RC_OK;
    }
    text_format(counter, sizeof counter, "code/%s", code);
    ck_assert_int_eq(left(&fixture, counter), 0);
    ck_assert_int_eq(fixture_counter(&fixture, counter).version, USES);
    ck_assert_int_eq(left(&fixture, "points/ann"), 100 - 7 * orders);
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}

START_TEST(one_instance_redeems_a_code_as_often_as_it_may)
{
    use_a_code(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_redeem_a_code_as_often_as_it_may)
{
    use_a_code(_i, SCOPE_CLUSTER, 2);
}
END_TEST

// Rollbacks that have all found the redemption before one of them runs: one gives the use back. The
// others find out that it has moved, and look again.
START_TEST(a_redemption_is_rolled_back_once)
{
    enum { N = 4 };
    struct fixture fixture;
    char code[COUPON_CODE_MAX + 1], what[128];
    if (!open_scenario(&fixture, _i, SCOPE_CLUSTER, 2))
        return;
    put_code(&fixture, 1, code);
    request_do(&fixture, "POST /v1/coupons/redeem", "{\"code\":\"%s\",\"user_id\":\"ann\"}", code);
    text_format(what, sizeof what, "POST /v1/redemptions/%s:1/rollback", code);
    struct requests requests;
    requests_init(&requests, &fixture, N);
    for (size_t j = 0; j < N; j++)
        request_make(&requests, j, what, "{}");
    for (size_t j = 0; j < N; j++)
        request_submit(&requests, j, j % 2);
    requests_settle(&requests);
    ck_assert_uint_eq(requests_count(&requests, RC_OK), 1);
    ck_assert_uint_eq(requests_count(&requests, RC_ALREADY_ROLLED_BACK), N - 1);
    text_format(what, sizeof what, "code/%s", code);
    ck_assert_int_eq(left(&fixture, what), 1);
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}
END_TEST

// ---- reserved goods -----------------------------------------------------------------------------

// The reservation's id from the answer of a reserve or an order.
static void id_of(const struct request *request, char ret_id[ID_MAX + 1])
{
    json_t *answer = json_loads(request->call.reply.data, 0, NULL);
    const char *id = json_string_value(json_object_get(answer, "reservation_id"));
    ck_assert_ptr_nonnull(id);
    text_copy(ret_id, ID_MAX + 1, id);
    json_decref(answer);
}

static void reserve(struct requests *requests, size_t i, size_t instance, int64_t ttl_ms)
{
    requests->all[i].ttl_ms = ttl_ms;
    request_send(requests, i, instance, "POST /v1/reservations",
                 "{\"ttl_s\":1,\"lines\":[{\"sku\":\"A\",\"quantity\":1},"
                 "{\"sku\":\"B\",\"quantity\":2}]}");
}

// Every hold is ordered twice, confirmed, and runs out, while others deduct: each unit is sold
// once.
static void order_reserved(int i, enum guard_scope least, size_t instances)
{
    enum { HELD = 6, WAYS = 4, N = HELD * WAYS };
    struct fixture fixture;
    if (!open_scenario(&fixture, i, least, instances))
        return;
    put_product(&fixture, "A", HELD);
    put_product(&fixture, "B", 2 * HELD);
    struct requests reserves, ends;
    requests_init(&reserves, &fixture, HELD);
    requests_init(&ends, &fixture, N);
    for (size_t j = 0; j < HELD; j++)
        reserve(&reserves, j, j % instances, j % 2 == 0 ? 150 : 60000);
    requests_settle(&reserves);
    ck_assert_uint_eq(requests_count(&reserves, RC_OK), HELD);
    clock_sleep_ns(130 * NS_PER_MS); // some holds run out while they are ordered
    for (size_t j = 0; j < N; j++) {
        char id[ID_MAX + 1], confirm[128];
        size_t instance = j / HELD % instances;
        id_of(&reserves.all[j % HELD], id);
        text_format(confirm, sizeof confirm, "POST /v1/reservations/%s/confirm", id);
        if (j / HELD < 2)
            request_send(&ends, j, instance, "POST /v1/orders",
                         "{\"user_id\":\"u\",\"reservation\":\"%s\"}", id);
        else if (j / HELD == 2)
            request_send(&ends, j, instance, confirm, "{}");
        else
            request_send(&ends, j, instance, "POST /v1/stock/A/deduct", "{\"quantity\":1}");
    }
    requests_settle(&ends);
    size_t resolved = 0, deducted = 0;
    for (size_t j = 0; j < N; j++) {
        bool ok = ends.all[j].rc == RC_OK;
        resolved += ok && j / HELD < 3;
        deducted += ok && j / HELD == 3;
        if (j / HELD < 2)
            assert_whole(&fixture, &ends.all[j]);
    }
    ck_assert_uint_ge(resolved, HELD / 2); // those that do not run out
    ck_assert_int_eq(ask(&fixture,
                         "SELECT COALESCE(SUM(quantity), 0) FROM hold"
                         " WHERE counter = 'stock/A'",
                         NULL) +
                         left(&fixture, "stock/A") + (int64_t)(resolved + deducted),
                     HELD);
    for (size_t j = 1; j < HELD; j += 2) // one of the three got it, and the others know
        for (size_t k = 0; k < 3; k++) {
            enum rc rc = ends.all[k * HELD + j].rc;
            ck_assert_msg(rc == RC_OK || rc == RC_RESERVATION_RESOLVED, "%s", rc_slug(rc));
        }
    fixture_assert_reconciled(&fixture);
    requests_release(&reserves);
    requests_release(&ends);
    fixture_close(&fixture);
}

START_TEST(one_instance_sells_what_is_held_once)
{
    order_reserved(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_sell_what_is_held_once)
{
    order_reserved(_i, SCOPE_CLUSTER, 2);
}
END_TEST

// ---- refunds ------------------------------------------------------------------------------------

static void order_with_all(struct fixture *fixture, const char *code)
{
    request_do(fixture, "POST /v1/orders",
               "{\"user_id\":\"ann\",\"order_id\":\"o\",\"lines\":[{\"sku\":\"A\",\"quantity\":5},"
               "{\"sku\":\"B\",\"quantity\":3}],\"code\":\"%s\",\"points\":40,\"points_earn\":16}",
               code);
}

// Refunds and cancellations of one order at once, each sent twice: nothing is given back twice.
static void give_back(int i, enum guard_scope least, size_t instances)
{
    enum { REFUNDS = 7, N = 2 * (REFUNDS + 2) };
    struct fixture fixture;
    char code[COUPON_CODE_MAX + 1], counter[COUNTER_NAME_MAX + 1];
    if (!open_scenario(&fixture, i, least, instances))
        return;
    put_product(&fixture, "A", 10);
    put_product(&fixture, "B", 10);
    put_code(&fixture, 1, code);
    request_do(&fixture, "POST /v1/points/ann/earn", "{\"points\":100}");
    order_with_all(&fixture, code);
    ck_assert_int_eq(left(&fixture, "points/ann"), 76);
    struct requests requests;
    requests_init(&requests, &fixture, N);
    for (size_t j = 0; j < N / 2; j++) {
        if (j < REFUNDS)
            request_send(&requests, j, j % instances, "POST /v1/orders/o/refunds",
                         "{\"lines\":[{\"line\":0,\"quantity\":1,\"restock\":true}],"
                         "\"points\":%d,\"code\":%s}",
                         1 + (int)j, j % 3 == 0 ? "true" : "false");
        else
            request_send(&requests, j, j % instances, "POST /v1/orders/o/cancel", "{}");
        request_repeat(&requests, j, N / 2 + j, (j + 1) % instances);
    }
    requests_settle(&requests);
    size_t done = 0;
    for (size_t j = 0; j < N / 2; j++) {
        enum rc rc = requests.all[j].rc;
        ck_assert_msg(rc == RC_OK || rc == RC_ORDER_CLOSED || rc == RC_REFUND_EXCEEDS_ORDER, "%s",
                      rc_slug(rc));
        ck_assert_int_eq(rc == RC_OK, requests.all[N / 2 + j].rc == RC_OK);
        if (rc == RC_OK)
            ck_assert_str_eq(requests.all[j].call.reply.data,
                             requests.all[N / 2 + j].call.reply.data);
        done += rc == RC_OK;
    }
    // The refunds leave a line, so one of the cancellations finds something to give back.
    ck_assert_int_eq(left(&fixture, "order/o"), 0);
    ck_assert_int_eq(left(&fixture, "stock/A"), 10);
    ck_assert_int_eq(left(&fixture, "stock/B"), 10);
    ck_assert_int_eq(left(&fixture, "points/ann"), 100);
    text_format(counter, sizeof counter, "code/%s", code);
    ck_assert_int_eq(left(&fixture, counter), 1);
    ck_assert_int_eq(ask(&fixture, "SELECT COUNT(*) FROM refund", NULL), (int64_t)done);
    ck_assert_int_eq(ask(&fixture,
                         "SELECT refunded_cents - subtotal_cents + discount_cents"
                         " FROM orders",
                         NULL),
                     0);
    ck_assert_int_eq(ask(&fixture, "SELECT SUM(refunded_cents) FROM refund", NULL),
                     ask(&fixture, "SELECT refunded_cents FROM orders", NULL));
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}

START_TEST(one_instance_gives_nothing_back_twice)
{
    give_back(_i, SCOPE_PROCESS, 1);
}
END_TEST

START_TEST(two_instances_give_nothing_back_twice)
{
    give_back(_i, SCOPE_CLUSTER, 2);
}
END_TEST

// The user has spent what the order earned: it is taken back as far as it is there.
START_TEST(earned_points_are_taken_back_as_far_as_they_are_there)
{
    struct fixture fixture;
    char code[COUPON_CODE_MAX + 1];
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    put_product(&fixture, "A", 10);
    put_product(&fixture, "B", 10);
    put_code(&fixture, 1, code);
    request_do(&fixture, "POST /v1/points/ann/earn", "{\"points\":40}");
    order_with_all(&fixture, code); // 16 points
    request_do(&fixture, "POST /v1/points/ann/spend", "{\"points\":13}");
    request_do(&fixture, "POST /v1/orders/o/refunds", // takes 10 back, of which there are 3
               "{\"lines\":[{\"line\":0,\"quantity\":5}]}");
    ck_assert_int_eq(left(&fixture, "points/ann"), 0);
    ck_assert_int_eq(ask(&fixture, "SELECT 1000 * points_taken + points_short FROM refund", NULL),
                     3007);
    request_do(&fixture, "POST /v1/orders/o/cancel", "{}"); // returns 40, and takes the other 6
    ck_assert_int_eq(left(&fixture, "points/ann"), 34);
    ck_assert_int_eq(ask(&fixture, "SELECT points_taken FROM orders", NULL), 9);
    fixture_assert_stock(&fixture, "A", 5, 2); // not restocked
    fixture_assert_stock(&fixture, "B", 10, 3);
    fixture_assert_reconciled(&fixture);
    fixture_close(&fixture);
}
END_TEST

// ---- replays ------------------------------------------------------------------------------------

// Every request is sent again when it could no longer be carried out: it gets its first answer.
START_TEST(a_repeated_request_gets_its_first_answer)
{
    enum { RESERVE, HELD_ORDER, ORDER, REFUND, CANCEL, REDEEM, N };
    struct fixture fixture;
    char code[COUPON_CODE_MAX + 1], id[ID_MAX + 1];
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, 1))
        return;
    put_product(&fixture, "A", 6);
    put_product(&fixture, "B", 4);
    put_code(&fixture, 2, code);
    struct requests requests;
    requests_init(&requests, &fixture, 2 * N);
    reserve(&requests, RESERVE, 0, 60000);
    requests_settle(&requests);
    id_of(&requests.all[RESERVE], id);
    request_send(&requests, HELD_ORDER, 0, "POST /v1/orders",
                 "{\"user_id\":\"ann\",\"reservation\":\"%s\",\"lines\":[{\"sku\":\"B\","
                 "\"quantity\":1}],\"points_earn\":5}",
                 id);
    request_send(&requests, ORDER, 0, "POST /v1/orders",
                 "{\"user_id\":\"ann\",\"order_id\":\"o\",\"lines\":[{\"sku\":\"A\","
                 "\"quantity\":5}],\"code\":\"%s\"}",
                 code);
    requests_settle(&requests);
    request_send(&requests, REFUND, 0, "POST /v1/orders/o/refunds",
                 "{\"lines\":[{\"line\":0,\"quantity\":2,\"restock\":true}]}");
    requests_settle(&requests);
    request_send(&requests, CANCEL, 0, "POST /v1/orders/o/cancel", "{}");
    request_send(&requests, REDEEM, 0, "POST /v1/coupons/redeem",
                 "{\"code\":\"%s\",\"user_id\":\"ann\"}", code);
    requests_settle(&requests);
    ck_assert_uint_eq(requests_count(&requests, RC_OK), 2 * N); // N of them were not sent
    for (size_t j = HELD_ORDER; j < N; j++)
        request_repeat(&requests, j, N + j, 0);
    requests_settle(&requests);
    for (size_t j = HELD_ORDER; j < N; j++) {
        ck_assert_msg(requests.all[N + j].rc == RC_OK, "%zu: %s", j,
                      rc_slug(requests.all[N + j].rc));
        ck_assert(requests.all[N + j].call.operation.outcome.replayed);
        ck_assert_str_eq(requests.all[N + j].call.reply.data, requests.all[j].call.reply.data);
    }
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}
END_TEST

// A refund that is repeated, of which nothing is left, and one that the database refuses stand in
// one batch. The first has its answer, with legs that no lane of the batch stands for; the other
// fails.
START_TEST(a_replay_outlives_the_failure_of_its_batch)
{
    static const char *const triggers[] = {
        [DB_SQLITE] = "CREATE TRIGGER refuse BEFORE INSERT ON refund WHEN NEW.reason = 'bad'"
                      " BEGIN SELECT RAISE(ABORT, 'bad'); END",
        [DB_MYSQL] = "CREATE TRIGGER refuse BEFORE INSERT ON refund FOR EACH ROW"
                     " IF NEW.reason = 'bad' THEN SIGNAL SQLSTATE '45000'; END IF"};
    enum { FIRST, BLOCKER, AGAIN, BAD, N };
    static const char refunds[] = "POST /v1/orders/o/refunds";
    static const char all_of_a[] = "{\"lines\":[{\"line\":0,\"quantity\":5,\"restock\":true}]}";
    struct fixture fixture;
    struct gate gate;
    if (!open_gated(&fixture, &gate, _i))
        return;
    put_product(&fixture, "A", 5);
    put_product(&fixture, "B", 3);
    request_do(&fixture, "POST /v1/orders",
               "{\"user_id\":\"ann\",\"order_id\":\"o\",\"lines\":[{\"sku\":\"A\",\"quantity\":5},"
               "{\"sku\":\"B\",\"quantity\":3}]}");
    ck_assert_int_eq(db_exec(fixture.scratch.db, triggers[scenario_at(_i).engine], NULL, 0, NULL),
                     RC_OK);
    struct requests requests;
    requests_init(&requests, &fixture, N);
    request_send(&requests, FIRST, 0, refunds, all_of_a);
    requests_settle(&requests);
    gate_close(&gate);
    request_make(&requests, BLOCKER, refunds, "{\"lines\":[{\"line\":1,\"quantity\":4}]}");
    request_submit(&requests, BLOCKER, 0);
    gate_wait_for_arrival(&gate);
    text_copy(requests.all[AGAIN].key, sizeof requests.all[AGAIN].key, requests.all[FIRST].key);
    request_make(&requests, AGAIN, refunds, all_of_a);
    request_make(&requests, BAD, refunds,
                 "{\"lines\":[{\"line\":1,\"quantity\":1,\"restock\":true}],\"reason\":\"bad\"}");
    request_submit(&requests, AGAIN, 0);
    request_submit(&requests, BAD, 0);
    gate_open(&gate);
    requests_settle(&requests);
    ck_assert_int_eq(requests.all[BLOCKER].rc, RC_REFUND_EXCEEDS_ORDER);
    ck_assert_int_eq(requests.all[BAD].rc, RC_INTERNAL);
    ck_assert_int_eq(requests.all[AGAIN].rc, RC_OK);
    ck_assert_str_eq(requests.all[AGAIN].call.reply.data, requests.all[FIRST].call.reply.data);
    fixture_assert_stock(&fixture, "B", 0, 2);
    ck_assert_int_eq(left(&fixture, "order/o"), 3);
    fixture_assert_reconciled(&fixture);
    requests_release(&requests);
    fixture_close(&fixture);
}
END_TEST

// COMMIT is executed, and its answer is lost: the order counts once, with all that belongs to it.
START_TEST(an_order_whose_answer_was_lost_counts_once)
{
    struct lost_answer lost;
    char code[COUPON_CODE_MAX + 1];
    if (!lost_answer_open(&lost, _i))
        return;
    struct fixture *fixture = &lost.fixture;
    put_product(fixture, "A", 10);
    put_code(fixture, 1, code);
    request_do(fixture, "POST /v1/points/ann/earn", "{\"points\":10}");
    struct requests requests;
    requests_init(&requests, fixture, 1);
    request_make(&requests, 0, "POST /v1/orders",
                 "{\"user_id\":\"ann\",\"lines\":[{\"sku\":\"A\",\"quantity\":4}],"
                 "\"code\":\"%s\",\"points\":4}",
                 code);
    struct call *call = &requests.all[0].call;
    struct volley volley;
    volley_init(&volley, 1);
    *volley_operation(&volley, 0) = call->operation;
    volley.shots[0].job.more_links = call->job.more_links;
    lost_answer_submit(&lost, &volley, "stock/A", 2);
    const struct outcome *outcome = &volley_operation(&volley, 0)->outcome;
    ck_assert_int_eq(outcome->rc, RC_OK);
    ck_assert(outcome->replayed);
    assert_whole(fixture, &requests.all[0]);
    fixture_assert_stock(fixture, "A", 6, 2);
    ck_assert_int_eq(left(fixture, "points/ann"), 6);
    fixture_assert_reconciled(fixture);
    volley_release(&volley);
    requests_release(&requests);
    fixture_close(fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("orders");
    TCase *every = suite_case(suite, "every strategy", 120);
    tcase_add_loop_test(every, one_instance_sells_what_is_there, 0, scenarios());
    tcase_add_loop_test(every, two_instances_sell_what_is_there, 0, scenarios());
    tcase_add_loop_test(every, a_refused_order_leaves_nothing, 0, scenarios());
    tcase_add_loop_test(every, orders_of_one_name, 0, scenarios());
    tcase_add_loop_test(every, an_order_without_price_is_refused_alone, 0, scenarios());
    tcase_add_loop_test(every, one_instance_redeems_a_code_as_often_as_it_may, 0, scenarios());
    tcase_add_loop_test(every, two_instances_redeem_a_code_as_often_as_it_may, 0, scenarios());
    tcase_add_loop_test(every, a_redemption_is_rolled_back_once, 0, scenarios());
    tcase_add_loop_test(every, one_instance_sells_what_is_held_once, 0, scenarios());
    tcase_add_loop_test(every, two_instances_sell_what_is_held_once, 0, scenarios());
    tcase_add_loop_test(every, one_instance_gives_nothing_back_twice, 0, scenarios());
    tcase_add_loop_test(every, two_instances_give_nothing_back_twice, 0, scenarios());
    tcase_add_loop_test(every, earned_points_are_taken_back_as_far_as_they_are_there, 0,
                        scenarios());
    tcase_add_loop_test(every, a_repeated_request_gets_its_first_answer, 0, scenarios());
    tcase_add_loop_test(every, a_replay_outlives_the_failure_of_its_batch, 0, scenarios());
    tcase_add_loop_test(every, an_order_whose_answer_was_lost_counts_once, 0, scenarios());
    return suite_run(suite);
}
