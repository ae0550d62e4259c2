// Reconciliation on both engines: a small shop that is clean, and then, one at a time, a single
// defect and exactly the findings that report it.
#include "store/reconcile/reconcile.h"

#include "base/clock.h"
#include "base/text.h"
#include "commands/commands.h"
#include "config/config.h"
#include "scratch.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/reconcile/compensation.h"
#include "store/reconcile/json.h"
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"
#include "store/tables/product.h"

#include "suite.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS 1000

static void execute(struct db *db, const char *sql)
{
    ck_assert_msg(db_exec(db, sql, NULL, 0, NULL) == RC_OK, "%s: %s", sql, db_error(db));
}

// Changes a counter and writes its ledger row, as an operation does.
static void move(struct db *db, const char *counter, int version, int delta, int remaining,
                 const char *key, int leg, const char *user, const char *reason)
{
    char sql[512];
    snprintf(sql, sizeof sql, "UPDATE counter SET remaining = %d, version = %d WHERE name = '%s'",
             remaining, version, counter);
    execute(db, sql);
    snprintf(
        sql, sizeof sql,
        "INSERT INTO ledger (counter, version, delta, remaining, request_key, leg, fingerprint,"
        " user_id, reason, strategy, token, created_at)"
        " VALUES ('%s', %d, %d, %d, '%s', %d, 0, '%s', '%s', 'redis-lock', %d, 1)",
        counter, version, delta, remaining, key, leg, user, reason, 10 * version);
    execute(db, sql);
}

// The reservations of the shop. The first is held, the others have ended.
#define HELD "AAAAAAAAAAAAAAAAAAAA"
#define SOLD "BBBBBBBBBBBBBBBBBBBB"
#define DUE "CCCCCCCCCCCCCCCCCCCC"
#define FREED "DDDDDDDDDDDDDDDDDDDD"
#define NEVER "9000000000000"

static void open_reservations(struct db *db)
{
    execute(db, "INSERT INTO counter VALUES ('hold/R/" HELD "/0', 0, 0, 0),"
                " ('hold/R/" SOLD "/0', 0, 0, 0), ('hold/R/" DUE "/0', 0, 0, 0),"
                " ('hold/R/" FREED "/12', 0, 0, 0)");
    move(db, "stock/R", 2, -3, 7, "r2", 0, "u1", "reserve");
    move(db, "hold/R/" HELD "/0", 1, 3, 3, "r2", 1, "u1", "reserve");
    move(db, "stock/R", 3, -3, 4, "r3", 0, "u1", "reserve");
    move(db, "hold/R/" SOLD "/0", 1, 3, 3, "r3", 1, "u1", "reserve");
    move(db, "stock/R", 4, 1, 5, "r4", 0, "u1", "confirm");
    move(db, "hold/R/" SOLD "/0", 2, -3, 0, "r4", 1, "u1", "confirm");
    move(db, "stock/R", 5, -2, 3, "r5", 0, "u1", "reserve");
    move(db, "hold/R/" DUE "/0", 1, 2, 2, "r5", 1, "u1", "reserve");
    move(db, "stock/R", 6, 2, 5, "expire " DUE " 0", 0, "", "expire");
    move(db, "hold/R/" DUE "/0", 2, -2, 0, "expire " DUE " 0", 1, "", "expire");
    move(db, "stock/R", 7, -1, 4, "r7", 0, "u1", "reserve");
    move(db, "hold/R/" FREED "/12", 1, 1, 1, "r7", 1, "u1", "reserve");
    move(db, "stock/R", 8, 1, 5, "r8", 0, "u1", "release");
    move(db, "hold/R/" FREED "/12", 2, -1, 0, "r8", 1, "u1", "release");
    execute(db, "UPDATE ledger SET created_at = 100 WHERE reason = 'expire'");
    execute(db, "UPDATE ledger SET created_at = 99 WHERE reason IN ('confirm', 'release')");
    execute(db, "INSERT INTO reservation VALUES ('" HELD "', 'u1', NULL, 'held', '', " NEVER ", 1),"
                " ('" SOLD "', 'u1', NULL, 'confirmed', '', 100, 1),"
                " ('" DUE "', 'u1', NULL, 'expired', '', 100, 1),"
                " ('" FREED "', 'u1', NULL, 'released', '', 100, 1)");
    execute(db, "INSERT INTO hold VALUES ('stock/R', " NEVER ", '" HELD "', 0, 3)");
}

// A clean shop without constraints:
//
//   stock/S      10, then 9, 8, 7 (versions 1 to 4)
//   campaign C   5 in all, 2 a user; u1 has 2 coupons, u2 has 1 (versions 2 to 4)
//   lottery L    3 gold, 4 silver, 2 draws a user; u1 won gold (version 2) and drew a blank (3),
//                u2 won silver (4)
//   points       a earned 5 for order o1 (version 1) and gave 2 of them to b (2)
//   stock/R      10; 3 held; 2 of 3 confirmed; 2 expired and 1 released (versions 2 to 8)
static void open_shop(struct scratch *scratch, enum db_engine engine)
{
    struct product product = {.sku = "S", .price_cents = PRICE_NONE, .remaining = 10};
    struct product reserved = {.sku = "R", .price_cents = PRICE_NONE, .remaining = 10};
    struct campaign campaign = {.campaign = "C", .total = 5, .per_user_limit = 2};
    struct lottery lottery = {.lottery = "L",
                              .draws_per_user = 2,
                              .blank_weight = 1,
                              .n_prizes = 2,
                              .prizes = {{.prize = "gold", .quantity = 3, .weight = 1},
                                         {.prize = "silver", .quantity = 4, .weight = 1}}};
    bool created;
    char error[MIGRATE_ERROR_MAX];
    scratch_open(scratch, engine);
    struct db *db = scratch->db;
    ck_assert_int_eq(product_put(db, &product, NULL, &created, &product), RC_OK);
    ck_assert_int_eq(product_put(db, &reserved, NULL, &created, &reserved), RC_OK);
    ck_assert_int_eq(campaign_put(db, &campaign, NULL, &created, &campaign), RC_OK);
    ck_assert_int_eq(lottery_put(db, &lottery, NULL, &created, &lottery), RC_OK);

    move(db, "stock/S", 2, -1, 9, "s2", 0, "u1", "deduct");
    move(db, "stock/S", 3, -1, 8, "s3", 0, "u1", "deduct");
    move(db, "stock/S", 4, -1, 7, "s4", 0, "u2", "deduct");

    move(db, "coupon/C", 2, -1, 4, "c2", 0, "u1", "issue");
    move(db, "coupon/C", 3, -1, 3, "c3", 0, "u1", "issue");
    move(db, "coupon/C", 4, -1, 2, "c4", 0, "u2", "issue");
    execute(db, "INSERT INTO coupon VALUES ('C', 'u1', 1, 'code-2', 2, 1)");
    execute(db, "INSERT INTO coupon VALUES ('C', 'u1', 2, 'code-3', 3, 1)");
    execute(db, "INSERT INTO coupon VALUES ('C', 'u2', 1, 'code-4', 4, 1)");

    move(db, "lottery/L", 2, -1, 6, "d2", 0, "u1", "draw");
    move(db, "prize/L/gold", 2, -1, 2, "d2", 1, "u1", "draw");
    move(db, "lottery/L", 3, 0, 6, "d3", 0, "u1", "draw");
    move(db, "lottery/L", 4, -1, 5, "d4", 0, "u2", "draw");
    move(db, "prize/L/silver", 2, -1, 3, "d4", 1, "u2", "draw");
    execute(db, "INSERT INTO draw VALUES ('L', 'u1', 1, 'gold', 2, 1)");
    execute(db, "INSERT INTO draw VALUES ('L', 'u1', 2, NULL, 3, 1)");
    execute(db, "INSERT INTO draw VALUES ('L', 'u2', 1, 'silver', 4, 1)");

    execute(db, "INSERT INTO counter VALUES ('points/a', 0, 0, 0), ('points/b', 0, 0, 0)");
    move(db, "points/a", 1, 5, 5, "p1", 0, "a", "earn");
    move(db, "points/a", 2, -2, 3, "p2", 0, "a", "transfer");
    move(db, "points/b", 1, 2, 2, "p2", 1, "a", "transfer");
    execute(db, "UPDATE ledger SET order_id = 'o1' WHERE request_key = 'p1'");
    execute(db, "INSERT INTO earned VALUES ('a', 'o1', 1, 1)");
    open_reservations(db);

    ck_assert_msg(migrate_lab(db, true, error) == RC_OK, "%s", error);
}

struct seen {
    size_t n;
    struct finding findings[16];
};

static void keep_finding(void *arg, const struct finding *finding)
{
    struct seen *seen = arg;
    ck_assert_uint_lt(seen->n, ARRAY_LENGTH(seen->findings));
    seen->findings[seen->n++] = *finding;
}

static struct reconciliation reconcile(struct db *db, struct seen *seen)
{
    struct reconciliation summary = {.findings = -1};
    seen->n = 0;
    enum rc rc = reconcile_run(db, SWEEP_MS, keep_finding, seen, &summary);
    ck_assert_msg(rc == RC_OK, "%s", db_error(db));
    ck_assert(!db_in_transaction(db));
    ck_assert_int_eq(summary.findings, (int64_t)seen->n);
    return summary;
}

static int reconcile_command(struct store *store, char *word)
{
    struct config config = {.reservation_sweep_ms = SWEEP_MS};
    return command_reconcile(&config, store, word != NULL, &word);
}

START_TEST(a_shop_whose_books_agree_is_clean)
{
    struct scratch scratch;
    struct seen seen;
    if (!scratch_available((enum db_engine)_i))
        return;
    open_shop(&scratch, (enum db_engine)_i);
    struct reconciliation summary = reconcile(scratch.db, &seen);
    ck_assert_int_eq(summary.findings, 0);
    ck_assert_int_eq(summary.counters, 12);
    ck_assert_int_eq(summary.ledger_rows, 4 + 4 + 4 + 2 + 2 + 2 + 1 + 8 + 7);
    ck_assert_int_eq(summary.coupons, 3);
    ck_assert_int_eq(summary.draws, 3);
    ck_assert_int_gt(summary.started_at_ms, INT64_C(1600000000000));
    ck_assert_int_ge(summary.took_ms, 0);
    ck_assert_int_eq(reconcile_command(scratch.store, NULL), 0);
    ck_assert_int_eq(reconcile_command(scratch.store, "--json"), 0);
    scratch_close(&scratch);
}
END_TEST

START_TEST(an_empty_shop_is_clean)
{
    struct scratch scratch;
    struct seen seen;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    ck_assert_int_eq(reconcile(scratch.db, &seen).findings, 0);
    scratch_close(&scratch);
}
END_TEST

struct expected {
    const char *check, *where;
    int64_t expected, found;
};

#define LEDGER_COLUMNS                                                                             \
    "counter, version, delta, remaining, request_key, leg, fingerprint, user_id, order_id,"        \
    " reason, strategy, token, created_at"
#define COPY_OF_S4(version, delta, remaining, key)                                                 \
    "INSERT INTO ledger (" LEDGER_COLUMNS ") SELECT counter, " version ", " delta ", " remaining   \
    ", " key ", leg, fingerprint, user_id, order_id, reason, strategy, token, created_at"          \
    " FROM ledger WHERE request_key = 's4'"

static const struct {
    const char *what;
    const char *plant[5];
    struct expected findings[4]; // in the order in which they are reported
} cases[] = {
    {"a counter that was changed by hand",
     {"UPDATE counter SET remaining = 8 WHERE name = 'stock/S'"},
     {{"last-remaining", "stock/S", 7, 8}}},
    {"a counter whose version went on without the ledger",
     {"UPDATE counter SET version = 5 WHERE name = 'stock/S'"},
     {{"last-version", "stock/S", 4, 5}}},
    {"the last ledger row is lost",
     {"DELETE FROM ledger WHERE request_key = 's4'"},
     {{"last-version", "stock/S", 3, 4}, {"last-remaining", "stock/S", 8, 7}}},
    {"a ledger row in the middle is lost",
     {"DELETE FROM ledger WHERE request_key = 's3'"},
     {{"version-gap", "stock/S version 4", 3, 4}, {"ledger-sum", "stock/S", 8, 7}}},
    {"the opening row is lost",
     {"DELETE FROM ledger WHERE counter = 'stock/S' AND version = 1"},
     {{"version-gap", "stock/S version 2", 1, 2}, {"ledger-sum", "stock/S", -3, 7}}},
    // Two sales from the same read: the lost update of the naive rule.
    {"one version is sold twice",
     {COPY_OF_S4("version", "delta", "remaining", "'s4b'")},
     {{"version-duplicate", "stock/S version 4", 0, 1}, {"ledger-sum", "stock/S", 6, 7}}},
    {"one version is sold twice, in the middle",
     {"INSERT INTO ledger (" LEDGER_COLUMNS ") SELECT counter, version, -2, 7, 's3b', leg,"
      " fingerprint, user_id, order_id, reason, strategy, token, created_at"
      " FROM ledger WHERE request_key = 's3'"},
     {{"version-duplicate", "stock/S version 3", 0, 1}, {"ledger-sum", "stock/S", 5, 7}}},
    {"a row disagrees with the chain",
     {"UPDATE ledger SET remaining = 5 WHERE request_key = 's4'",
      "UPDATE counter SET remaining = 5 WHERE name = 'stock/S'"},
     {{"balance", "stock/S version 4", 7, 5}, {"ledger-sum", "stock/S", 7, 5}}},
    {"a row in the middle disagrees with the chain",
     {"UPDATE ledger SET remaining = 5 WHERE request_key = 's3'"},
     {{"balance", "stock/S version 3", 8, 5}}},
    {"more sold than there was",
     {"UPDATE counter SET remaining = -2, version = 5 WHERE name = 'stock/S'",
      COPY_OF_S4("5", "-9", "-2", "'s5'")},
     {{"ledger-negative", "stock/S version 5", 0, -2}, {"counter-negative", "stock/S", 0, -2}}},
    {"a fencing token decreased",
     {"UPDATE ledger SET token = 29 WHERE request_key = 's4'"},
     {{"token-decrease", "stock/S version 4 redis-lock", 30, 29}}},
    {"tokens of two strategies are not compared, and 0 is no token",
     {"UPDATE ledger SET token = 5, strategy = 'zookeeper-lock' WHERE request_key = 's4'",
      "UPDATE ledger SET token = 0 WHERE request_key = 's3'"},
     {{NULL, NULL, 0, 0}}},
    {"a token decreases, with another strategy's in between",
     {"UPDATE ledger SET token = 15, strategy = 'zookeeper-lock' WHERE request_key = 's3'",
      "UPDATE ledger SET token = 19 WHERE request_key = 's4'"},
     {{"token-decrease", "stock/S version 4 redis-lock", 20, 19}}},
    {"a counter without a ledger",
     {"INSERT INTO counter VALUES ('stock/NEW', 5, 1, 0)"},
     {{"counter-without-ledger", "stock/NEW", 1, 0}, {"counter-without-noun", "stock/NEW", 1, 0}}},
    {"a product is gone",
     {"DELETE FROM product WHERE sku = 'S'"},
     {{"counter-without-noun", "stock/S", 1, 0}}},
    {"a ledger without its counter",
     {"DELETE FROM product WHERE sku = 'S'", "DELETE FROM counter WHERE name = 'stock/S'"},
     {{"ledger-without-counter", "stock/S", 1, 0}}},
    {"a product without a counter",
     {"INSERT INTO product (sku) VALUES ('GHOST')"},
     {{"noun-without-counter", "stock/GHOST", 1, 0}}},
    {"a campaign without a counter",
     {"INSERT INTO campaign (campaign, total, per_user_limit, limit_version)"
      " VALUES ('GHOST', 1, 1, 1)"},
     {{"noun-without-counter", "coupon/GHOST", 1, 0}}},
    {"a prize without a counter",
     {"INSERT INTO prize VALUES ('L', 'ghost', 0, 1)"},
     {{"noun-without-counter", "prize/L/ghost", 1, 0}}},
    {"one request was executed twice",
     {"UPDATE ledger SET request_key = 's3' WHERE request_key = 's4'"},
     {{"request-duplicate", "request s3 leg 0", 1, 2}}},

    {"a coupon more than the counter says",
     {"UPDATE campaign SET total = 4"},
     {{"coupon-count", "campaign C", 2, 3}}},
    {"a coupon is gone",
     {"DELETE FROM coupon WHERE code = 'code-3'"},
     {{"coupon-count", "campaign C", 3, 2},
      {"ledger-without-coupon", "coupon/C user u1 version 3", 1, 0}}},
    {"a user has more coupons than the limit, the newest issued under that limit",
     {"UPDATE campaign SET per_user_limit = 1, limit_version = 2"},
     {{"coupon-limit", "campaign C user u1", 1, 2}}},
    {"a limit that was lowered after the coupons were issued",
     {"UPDATE campaign SET per_user_limit = 1, limit_version = 5"},
     {{NULL, NULL, 0, 0}}},
    {"two coupons in one slot",
     {"UPDATE coupon SET slot = 1 WHERE code = 'code-3'"},
     {{"coupon-slot-duplicate", "campaign C user u1 slot 1", 1, 2}}},
    {"one code for two coupons",
     {"UPDATE coupon SET code = 'code-2' WHERE code = 'code-4'"},
     {{"coupon-code-duplicate", "code code-2", 1, 2}}},
    {"a coupon that no ledger row issued",
     {"UPDATE ledger SET reason = 'adjust' WHERE request_key = 'c4'"},
     {{"coupon-without-ledger", "campaign C user u2 version 4", 1, 0}}},
    {"a coupon for another user than the ledger's",
     {"UPDATE coupon SET user_id = 'u3' WHERE code = 'code-4'"},
     {{"coupon-without-ledger", "campaign C user u3 version 4", 1, 0},
      {"ledger-without-coupon", "coupon/C user u2 version 4", 1, 0}}},

    {"the lottery does not count its prizes",
     {"UPDATE counter SET remaining = 6 WHERE name = 'lottery/L'",
      "UPDATE ledger SET remaining = 6, delta = 0 WHERE request_key = 'd4' AND leg = 0"},
     {{"lottery-sum", "lottery L", 5, 6}}},
    {"a lottery without a prize has something left",
     {"INSERT INTO lottery VALUES ('M', 1, 1, 1)",
      "INSERT INTO counter VALUES ('lottery/M', 2, 1, 0)",
      "INSERT INTO ledger VALUES ('lottery/M', 1, 2, 2, NULL, 0, 0, NULL, NULL, 'opening', 'admin',"
      " 0, 1)"},
     {{"lottery-sum", "lottery M", 0, 2}}},
    {"a prize was won less often than its counter says",
     {"UPDATE prize SET quantity = 4 WHERE prize = 'gold'"},
     {{"prize-count", "lottery L prize gold", 2, 1}}},
    {"a prize was won that its counter never gave",
     {"UPDATE draw SET prize = 'gold' WHERE version = 3"},
     {{"prize-count", "lottery L prize gold", 1, 2},
      {"draw-without-prize-leg", "lottery L user u1 version 3", 1, 0}}},
    {"a user drew more often than the limit, the last time under that limit",
     {"UPDATE lottery SET draws_per_user = 1, limit_version = 1"},
     {{"draw-limit", "lottery L user u1", 1, 2}}},
    {"a limit of draws that was lowered later",
     {"UPDATE lottery SET draws_per_user = 1, limit_version = 5"},
     {{NULL, NULL, 0, 0}}},
    {"two draws in one slot",
     {"UPDATE draw SET slot = 1 WHERE version = 3"},
     {{"draw-slot-duplicate", "lottery L user u1 slot 1", 1, 2}}},
    {"a draw that no ledger row made",
     {"UPDATE ledger SET reason = 'adjust' WHERE request_key = 'd3'"},
     {{"draw-without-ledger", "lottery L user u1 version 3", 1, 0}}},
    {"a ledger row without its draw",
     {"DELETE FROM draw WHERE version = 3"},
     {{"ledger-without-draw", "lottery/L user u1 version 3", 1, 0}}},
    {"a prize was taken under another request",
     {"UPDATE ledger SET request_key = 'other' WHERE request_key = 'd2' AND leg = 1"},
     {{"legs-missing", "request other reason draw", 2, 1},
      {"draw-without-prize-leg", "lottery L user u1 version 2", 1, 0}}},

    {"a transfer took points and gave none",
     {"DELETE FROM ledger WHERE counter = 'points/b'",
      "DELETE FROM counter WHERE name = 'points/b'"},
     {{"legs-missing", "request p2 reason transfer", 2, 1}, {"transfer-sum", "request p2", 0, -2}}},
    {"a transfer gave points and took none",
     {"DELETE FROM ledger WHERE request_key = 'p2' AND leg = 0",
      "UPDATE counter SET remaining = 5, version = 1 WHERE name = 'points/a'"},
     {{"legs-missing", "request p2 reason transfer", 2, 1}, {"transfer-sum", "request p2", 0, 2}}},
    {"a transfer gave more than it took",
     {"UPDATE ledger SET delta = 4, remaining = 4 WHERE counter = 'points/b'",
      "UPDATE counter SET remaining = 4 WHERE name = 'points/b'"},
     {{"transfer-sum", "request p2", 0, 2}}},
    {"an order earned its points twice",
     {"INSERT INTO ledger (" LEDGER_COLUMNS ") SELECT counter, 3, 5, 8, 'p3', leg, fingerprint,"
      " user_id, order_id, reason, strategy, 30, created_at"
      " FROM ledger WHERE request_key = 'p1'",
      "UPDATE counter SET remaining = 8, version = 3 WHERE name = 'points/a'"},
     {{"earned-twice", "points/a order o1", 1, 2}}},
    {"an earning that no ledger row made",
     {"UPDATE earned SET version = 7"},
     {{"earned-without-ledger", "user a order o1 version 7", 1, 0}}},
    {"an earning that is not on record",
     {"DELETE FROM earned"},
     {{"ledger-without-earned", "points/a order o1 version 1", 1, 0}}},

    {"a hold records another quantity than its counter",
     {"UPDATE hold SET quantity = 2"},
     {{"hold-sum", "stock/R reservation " HELD " line 0", 2, 3}}},
    {"a hold without its counter",
     {"DELETE FROM ledger WHERE counter = 'hold/R/" HELD "/0'",
      "DELETE FROM counter WHERE name = 'hold/R/" HELD "/0'"},
     {{"hold-sum", "stock/R reservation " HELD " line 0", 3, 0},
      {"movement-sum", "request r2 reason reserve", 0, -3}}},
    {"a hold that is not on record",
     {"DELETE FROM hold"},
     {{"hold-without-record", "hold/R/" HELD "/0", 1, 0}}},
    {"a hold of another line",
     {"UPDATE hold SET line = 1"},
     {{"hold-sum", "stock/R reservation " HELD " line 1", 3, 0},
      {"hold-without-record", "hold/R/" HELD "/0", 1, 0}}},
    {"an extension that the hold did not get",
     {"UPDATE reservation SET expires_at = expires_at + 1 WHERE state = 'held'"},
     {{"hold-without-record", "hold/R/" HELD "/0", 1, 0}}},
    {"an open hold of a reservation that was released",
     {"UPDATE reservation SET state = 'released' WHERE state = 'held'"},
     {{"hold-of-resolved", "reservation " HELD, 0, 1}}},
    {"an open hold of no reservation",
     {"DELETE FROM reservation WHERE state = 'held'"},
     {{"hold-without-record", "hold/R/" HELD "/0", 1, 0},
      {"hold-of-resolved", "reservation " HELD, 0, 1}}},
    {"an open hold of a reservation whose other lines have expired",
     {"UPDATE reservation SET state = 'expired' WHERE state = 'held'"},
     {{NULL, NULL, 0, 0}}},
    {"one hold was emptied twice",
     {"INSERT INTO ledger VALUES ('hold/R/" SOLD
      "/0', 3, -2, -2, 'r9', 0, 0, NULL, NULL, 'confirm', 'admin', 0, 99)",
      "INSERT INTO ledger VALUES ('hold/R/" SOLD
      "/0', 4, 2, 0, NULL, 0, 0, NULL, NULL, 'adjust', 'admin', 0, 99)",
      "UPDATE counter SET version = 4 WHERE name = 'hold/R/" SOLD "/0'"},
     {{"ledger-negative", "hold/R/" SOLD "/0 version 3", 0, -2},
      {"resolved-twice", "hold/R/" SOLD "/0", 1, 2}}},
    {"a confirmed reservation whose record says held",
     {"UPDATE reservation SET state = 'held' WHERE state = 'confirmed'"},
     {{"resolved-unlike", "hold/R/" SOLD "/0 reason confirm", 1, 0}}},
    {"a confirmed reservation whose record says released",
     {"UPDATE reservation SET state = 'released' WHERE state = 'confirmed'"},
     {{"resolved-unlike", "hold/R/" SOLD "/0 reason confirm", 1, 0}}},
    {"an expired reservation whose record says confirmed",
     {"UPDATE reservation SET state = 'confirmed' WHERE state = 'expired'"},
     {{"resolved-unlike", "hold/R/" DUE "/0 reason expire", 1, 0}}},
    {"a hold of a line of two digits whose reservation is gone",
     {"DELETE FROM reservation WHERE state = 'released'"},
     {{"resolved-unlike", "hold/R/" FREED "/12 reason release", 1, 0}}},
    {"a hold that expired a millisecond early",
     {"UPDATE ledger SET created_at = 99 WHERE reason = 'expire'"},
     {{"expired-early", "hold/R/" DUE "/0", 100, 99}}},
    {"a hold that was confirmed when it had expired",
     {"UPDATE ledger SET created_at = 100 WHERE reason = 'confirm'"},
     {{"confirmed-late", "hold/R/" SOLD "/0 reason confirm", 100, 100}}},
    {"a hold that was released when it had expired",
     {"UPDATE ledger SET created_at = 101 WHERE reason = 'release'"},
     {{"confirmed-late", "hold/R/" FREED "/12 reason release", 100, 101}}},
    {"a hold that was not swept",
     {"UPDATE hold SET expires_at = 100",
      "UPDATE reservation SET expires_at = 100 WHERE state = 'held'"},
     {{"expired-unswept", "stock/R", 0, 1}}},
    {"a release that gave back too much",
     {"UPDATE ledger SET delta = 2, remaining = 6 WHERE request_key = 'r8' AND leg = 0",
      "UPDATE counter SET remaining = 6 WHERE name = 'stock/R'"},
     {{"movement-sum", "request r8 reason release", 0, 1}}},
    {"a confirmation that gave back more than was held",
     {"UPDATE ledger SET delta = 4 WHERE request_key = 'r4' AND leg = 0",
      "UPDATE ledger SET remaining = remaining + 3 WHERE counter = 'stock/R' AND version >= 4",
      "UPDATE counter SET remaining = 8 WHERE name = 'stock/R'"},
     {{"movement-sum", "request r4 reason confirm", 0, 1}}},
};

static void check_findings(const char *what, const struct expected *expected,
                           const struct seen *seen)
{
    for (size_t i = 0; i < seen->n; i++) {
        const struct finding *found = &seen->findings[i];
        ck_assert_msg(expected[i].check != NULL && strcmp(found->check, expected[i].check) == 0 &&
                          strcmp(found->where, expected[i].where) == 0 &&
                          found->expected == expected[i].expected &&
                          found->found == expected[i].found,
                      "%s: found %s: %s: %s", what, found->check, found->where, found->what);
    }
    ck_assert_msg(expected[seen->n].check == NULL, "%s: %s was not found", what,
                  expected[seen->n].check);
}

// Even runs: SQLite; odd runs: MySQL.
START_TEST(each_defect_is_found_and_nothing_else)
{
    struct scratch scratch;
    struct seen seen;
    size_t at = (size_t)_i / 2;
    enum db_engine engine = _i % 2 == 0 ? DB_SQLITE : DB_MYSQL;
    if (!scratch_available(engine))
        return;
    open_shop(&scratch, engine);
    for (size_t i = 0; i < ARRAY_LENGTH(cases[at].plant) && cases[at].plant[i] != NULL; i++)
        execute(scratch.db, cases[at].plant[i]);
    reconcile(scratch.db, &seen);
    check_findings(cases[at].what, cases[at].findings, &seen);
    ck_assert_int_eq(reconcile_command(scratch.store, "--json"), seen.n == 0 ? 0 : 1);
    scratch_close(&scratch);
}
END_TEST

// An open hold is overdue after sixty seconds, or ten times the sweeper's period if that is longer.
START_TEST(a_hold_has_time_to_be_swept)
{
    static const struct {
        int64_t sweep_ms;
        int due_s;
        size_t findings;
    } rows[] = {{1000, 45, 0},   {1000, 75, 1},       {10, 45, 0},        {10000, 75, 0},
                {10000, 120, 1}, {3600000, 35000, 0}, {3600000, 37000, 1}};
    struct scratch scratch;
    struct reconciliation summary;
    struct seen seen;
    if (!scratch_available((enum db_engine)_i))
        return;
    open_shop(&scratch, (enum db_engine)_i);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        char sql[256];
        int64_t due_ms = clock_wall_ms() - 1000 * (int64_t)rows[i].due_s;
        static const char *const set[] = {"hold", "reservation"};
        for (size_t j = 0; j < ARRAY_LENGTH(set); j++) {
            text_format(sql, sizeof sql,
                        "UPDATE %s SET expires_at = %lld WHERE reservation = '" HELD "'", set[j],
                        (long long)due_ms);
            execute(scratch.db, sql);
        }
        seen.n = 0;
        ck_assert_int_eq(reconcile_run(scratch.db, rows[i].sweep_ms, keep_finding, &seen, &summary),
                         RC_OK);
        ck_assert_msg(seen.n == rows[i].findings, "row %zu: %zu findings", i, seen.n);
        if (seen.n == 1)
            ck_assert_str_eq(seen.findings[0].check, "expired-unswept");
    }
    scratch_close(&scratch);
}
END_TEST

// ---- compensation -------------------------------------------------------------------------------

static const struct {
    const char *what;
    const char *plant[2];
    size_t n_proposals;
    struct expected stay[3]; // history that no later change undoes
} compensated[] = {
    {"a counter that was changed by hand",
     {"UPDATE counter SET remaining = 8 WHERE name = 'stock/S'"},
     1,
     {{NULL, NULL, 0, 0}}},
    {"a counter that is behind its ledger",
     {"UPDATE counter SET remaining = 8, version = 3 WHERE name = 'stock/S'"},
     1,
     {{NULL, NULL, 0, 0}}},
    {"one version is sold twice",
     {COPY_OF_S4("version", "delta", "remaining", "'s4b'")},
     1,
     {{"version-duplicate", "stock/S version 4", 0, 1}}},
    {"a row disagrees with the chain",
     {"UPDATE ledger SET remaining = 5 WHERE request_key = 's4'",
      "UPDATE counter SET remaining = 5 WHERE name = 'stock/S'"},
     1,
     {{"balance", "stock/S version 4", 7, 5}}},
    {"the last ledger row is lost",
     {"DELETE FROM ledger WHERE request_key = 's4'"},
     0,
     {{"last-version", "stock/S", 3, 4}, {"last-remaining", "stock/S", 8, 7}}},
    {"a ledger row in the middle is lost",
     {"DELETE FROM ledger WHERE request_key = 's3'"},
     0,
     {{"version-gap", "stock/S version 4", 3, 4}, {"ledger-sum", "stock/S", 8, 7}}},
    {"a coupon more than the counter says",
     {"UPDATE campaign SET total = 4"},
     1,
     {{NULL, NULL, 0, 0}}},
    {"the lottery does not count its prizes",
     {"UPDATE counter SET remaining = 6 WHERE name = 'lottery/L'",
      "UPDATE ledger SET remaining = 6, delta = 0 WHERE request_key = 'd4' AND leg = 0"},
     1,
     {{NULL, NULL, 0, 0}}},
    {"a hold that is not on record", {"DELETE FROM hold"}, 1, {{NULL, NULL, 0, 0}}},
};

struct collected {
    size_t n;
    struct proposal proposals[4];
};

// Writes the finding's proposal and reads it back.
static void collect(void *arg, const struct finding *finding)
{
    struct collected *collected = arg;
    struct buffer line CLEANUP(buffer_release) = {0};
    char error[COMPENSATION_ERROR_MAX] = "";
    compensation_write(&line, finding);
    if (line.length == 0)
        return;
    ck_assert_uint_lt(collected->n, ARRAY_LENGTH(collected->proposals));
    enum rc rc =
        compensation_parse(line.data, line.length, &collected->proposals[collected->n++], error);
    ck_assert_msg(rc == RC_OK, "%s: %s", line.data, error);
}

static void apply(struct db *db, const struct collected *collected,
                  enum compensation_result expected)
{
    for (size_t i = 0; i < collected->n; i++) {
        enum compensation_result result;
        ck_assert_int_eq(compensation_apply(db, &collected->proposals[i], &result), RC_OK);
        ck_assert_int_eq(result, expected);
        ck_assert(!db_in_transaction(db));
    }
}

START_TEST(a_proposal_brings_its_counter_back)
{
    struct scratch scratch;
    struct seen seen;
    struct collected collected = {.n = 0};
    struct reconciliation summary;
    size_t at = (size_t)_i / 2;
    enum db_engine engine = _i % 2 == 0 ? DB_SQLITE : DB_MYSQL;
    if (!scratch_available(engine))
        return;
    open_shop(&scratch, engine);
    for (size_t i = 0; i < ARRAY_LENGTH(compensated[at].plant) && compensated[at].plant[i]; i++)
        execute(scratch.db, compensated[at].plant[i]);
    ck_assert_int_eq(reconcile_run(scratch.db, SWEEP_MS, collect, &collected, &summary), RC_OK);
    ck_assert_uint_eq(collected.n, compensated[at].n_proposals);

    struct collected edited = collected;
    for (size_t i = 0; i < edited.n; i++)
        edited.proposals[i].compensation.changes[0].version++;
    apply(scratch.db, &edited, COMPENSATION_MOVED);
    edited = collected;
    for (size_t i = 0; i < edited.n; i++)
        edited.proposals[i].compensation.changes[0].remaining++;
    apply(scratch.db, &edited, COMPENSATION_MOVED);

    int64_t before = reconcile(scratch.db, &seen).ledger_rows;
    ck_assert_int_eq((int64_t)seen.n, summary.findings); // nothing has changed
    apply(scratch.db, &collected, COMPENSATION_APPLIED);
    apply(scratch.db, &collected, COMPENSATION_REPEATED);
    apply(scratch.db, &edited, COMPENSATION_KEY_USED);
    int64_t after = reconcile(scratch.db, &seen).ledger_rows;
    check_findings(compensated[at].what, compensated[at].stay, &seen);
    size_t n_changes = collected.n > 0 ? collected.proposals[0].compensation.n_changes : 0;
    ck_assert_int_eq(after - before, (int64_t)n_changes);
    scratch_close(&scratch);
}
END_TEST

#define CHANGE(version, delta)                                                                     \
    "{\"counter\":\"stock/S\",\"version\":" version ",\"remaining\":2,\"delta\":" delta            \
    ",\"ledger_delta\":0}"
#define PROPOSAL(changes)                                                                          \
    "{\"key\":\"compensate 1\",\"check\":\"a\",\"why\":\"b\",\"changes\":[" changes "]}"

START_TEST(a_line_that_is_not_a_proposal_is_refused)
{
    static const char *const lines[] = {
        "",
        "{}",
        "{\"key\":\"order-1\",\"check\":\"a\",\"why\":\"b\",\"changes\":[" CHANGE("1", "2") "]}",
        PROPOSAL(""),
        PROPOSAL(CHANGE("1", "-3")),
        PROPOSAL(CHANGE("1.5", "2")),
        PROPOSAL(CHANGE("1", "9223372036854775807")),
        PROPOSAL(CHANGE("1", "2") "," CHANGE("1", "2")),
        PROPOSAL(CHANGE("1", "2")) "x",
        PROPOSAL("{\"counter\":\"stock/S\",\"version\":1,\"delta\":1}"),
    };
    struct proposal proposal;
    char error[COMPENSATION_ERROR_MAX];
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        error[0] = '\0';
        ck_assert_msg(compensation_parse(lines[i], strlen(lines[i]), &proposal, error) == RC_USAGE,
                      "%s", lines[i]);
        ck_assert_str_ne(error, "");
    }
    const char *line = PROPOSAL(CHANGE("1", "2"));
    ck_assert_int_eq(compensation_parse(line, strlen(line), &proposal, error), RC_OK);
}
END_TEST

// Commits changes while the reconciliation runs, which its snapshot must not show.
static void change_meanwhile(void *arg, const struct finding *finding)
{
    struct scratch *scratch = arg;
    struct db *other;
    (void)finding;
    ck_assert_int_eq(db_new(scratch->store, &other), RC_OK);
    execute(other, "UPDATE counter SET remaining = 1 WHERE name = 'coupon/C'");
    execute(other, "DELETE FROM draw");
    db_free(other);
}

START_TEST(it_sees_one_moment)
{
    struct scratch scratch;
    struct reconciliation summary;
    if (!scratch_available((enum db_engine)_i))
        return;
    open_shop(&scratch, (enum db_engine)_i);
    // The ledger is scanned first, so a finding there calls us before the queries run.
    execute(scratch.db, "UPDATE ledger SET token = 19 WHERE request_key = 's3'");
    ck_assert_int_eq(reconcile_run(scratch.db, SWEEP_MS, change_meanwhile, &scratch, &summary),
                     RC_OK);
    ck_assert_int_eq(summary.findings, 1);
    struct seen seen;
    ck_assert_int_gt(reconcile(scratch.db, &seen).findings, 1);
    scratch_close(&scratch);
}
END_TEST

START_TEST(a_failed_run_is_reported)
{
    struct scratch scratch;
    struct reconciliation summary;
    struct seen seen = {.n = 0};
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    execute(scratch.db, "DROP TABLE draw");
    ck_assert_int_eq(reconcile_run(scratch.db, SWEEP_MS, keep_finding, &seen, &summary),
                     RC_BACKEND_UNAVAILABLE);
    ck_assert_str_ne(db_error(scratch.db), "");
    ck_assert_int_eq(reconcile_command(scratch.store, NULL), 2);
    ck_assert_int_eq(reconcile_command(scratch.store, "--json"), 2);
    scratch_close(&scratch);
}
END_TEST

// Writes three findings, of which two may be shown, with a name that is not valid text. The buffer
// may be emptied in between.
static void write_json(struct buffer *out, bool emptied, struct buffer *whole)
{
    struct reconcile_json json = {.out = out, .shown_max = 2};
    struct finding finding = {.check = "balance",
                              .where = "stock/\"\xe4\x01",
                              .what = "one sentence",
                              .expected = INT64_MIN,
                              .found = 3};
    struct reconciliation summary = {.findings = 3, .ledger_rows = 7};
    reconcile_json_begin(&json);
    for (int i = 0; i < 3; i++) {
        reconcile_json_finding(&json, &finding);
        if (emptied && out->length > 0) {
            buffer_append(whole, out->data, out->length);
            buffer_clear(out);
        }
    }
    reconcile_json_end(&json, &summary);
    buffer_append(whole, out->data, out->length);
}

START_TEST(a_report_is_json_of_bounded_length)
{
    struct buffer out = {0}, whole = {0};
    write_json(&out, _i == 1, &whole);
    json_t *report = json_loads(whole.data, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(report != NULL, "%s", whole.data);
    json_t *findings = json_object_get(report, "findings");
    ck_assert_uint_eq(json_array_size(findings), 2);
    json_t *last = json_array_get(findings, 1);
    ck_assert_str_eq(json_string_value(json_object_get(last, "where")), "stock/\"?\x01");
    ck_assert(json_integer_value(json_object_get(last, "expected")) == INT64_MIN);
    ck_assert_int_eq(json_integer_value(json_object_get(report, "finding_count")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(report, "findings_shown")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(report, "ledger_rows")), 7);
    ck_assert(json_is_true(json_object_get(report, "complete")));
    ck_assert(json_is_false(json_object_get(report, "clean")));
    json_decref(report);
    buffer_release(&out);
    buffer_release(&whole);
}
END_TEST

START_TEST(an_incomplete_report_says_so)
{
    struct buffer out = {0};
    struct reconcile_json json = {.out = &out, .shown_max = 2};
    reconcile_json_begin(&json);
    reconcile_json_end(&json, NULL);
    ck_assert_str_eq(out.data, "{\"findings\":[],\"complete\":false}");
    buffer_release(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reconcile");
    TCase *tests = tcase_create("reconcile");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_shop_whose_books_agree_is_clean, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, an_empty_shop_is_clean, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, a_hold_has_time_to_be_swept, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, each_defect_is_found_and_nothing_else, 0,
                        2 * (int)ARRAY_LENGTH(cases));
    tcase_add_loop_test(tests, a_proposal_brings_its_counter_back, 0,
                        2 * (int)ARRAY_LENGTH(compensated));
    tcase_add_test(tests, a_line_that_is_not_a_proposal_is_refused);
    tcase_add_loop_test(tests, it_sees_one_moment, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, a_failed_run_is_reported, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, a_report_is_json_of_bounded_length, 0, 2);
    tcase_add_test(tests, an_incomplete_report_says_so);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
