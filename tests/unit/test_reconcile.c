// Reconciliation on both engines: a small shop that is clean, and then, one at a time, a single
// defect and exactly the findings that report it.
#include "store/reconcile/reconcile.h"

#include "base/text.h"
#include "commands/commands.h"
#include "scratch.h"
#include "store/migrate/migrate.h"
#include "store/reconcile/json.h"
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"
#include "store/tables/product.h"

#include "suite.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

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

// A clean shop without constraints:
//
//   stock/S      10, then 9, 8, 7 (versions 1 to 4)
//   campaign C   5 in all, 2 a user; u1 has 2 coupons, u2 has 1 (versions 2 to 4)
//   lottery L    3 gold, 4 silver, 2 draws a user; u1 won gold (version 2) and drew a blank (3),
//                u2 won silver (4)
//   points       a earned 5 for order o1 (version 1) and gave 2 of them to b (2)
static void open_shop(struct scratch *scratch, enum db_engine engine)
{
    struct product product = {.sku = "S", .price_cents = PRICE_NONE, .remaining = 10};
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
    enum rc rc = reconcile_run(db, keep_finding, seen, &summary);
    ck_assert_msg(rc == RC_OK, "%s", db_error(db));
    ck_assert(!db_in_transaction(db));
    ck_assert_int_eq(summary.findings, (int64_t)seen->n);
    return summary;
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
    ck_assert_int_eq(summary.counters, 7);
    ck_assert_int_eq(summary.ledger_rows, 4 + 4 + 4 + 2 + 2 + 2 + 1);
    ck_assert_int_eq(summary.coupons, 3);
    ck_assert_int_eq(summary.draws, 3);
    ck_assert_int_gt(summary.started_at_ms, INT64_C(1600000000000));
    ck_assert_int_ge(summary.took_ms, 0);
    ck_assert_int_eq(command_reconcile(scratch.store, false), 0);
    ck_assert_int_eq(command_reconcile(scratch.store, true), 0);
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
    {"a product is gone", {"DELETE FROM product"}, {{"counter-without-noun", "stock/S", 1, 0}}},
    {"a ledger without its counter",
     {"DELETE FROM product", "DELETE FROM counter WHERE name = 'stock/S'"},
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
};

static void check_case(size_t at, const struct seen *seen)
{
    const struct expected *expected = cases[at].findings;
    for (size_t i = 0; i < seen->n; i++) {
        const struct finding *found = &seen->findings[i];
        ck_assert_msg(
            expected[i].check != NULL && strcmp(found->check, expected[i].check) == 0 &&
                strcmp(found->where, expected[i].where) == 0 &&
                found->expected == expected[i].expected && found->found == expected[i].found,
            "%s: found %s: %s: %s", cases[at].what, found->check, found->where, found->what);
    }
    ck_assert_msg(expected[seen->n].check == NULL, "%s: %s was not found", cases[at].what,
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
    check_case(at, &seen);
    ck_assert_int_eq(command_reconcile(scratch.store, true), seen.n == 0 ? 0 : 1);
    scratch_close(&scratch);
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
    ck_assert_int_eq(reconcile_run(scratch.db, change_meanwhile, &scratch, &summary), RC_OK);
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
    ck_assert_int_eq(reconcile_run(scratch.db, keep_finding, &seen, &summary),
                     RC_BACKEND_UNAVAILABLE);
    ck_assert_str_ne(db_error(scratch.db), "");
    ck_assert_int_eq(command_reconcile(scratch.store, false), 2);
    ck_assert_int_eq(command_reconcile(scratch.store, true), 2);
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
    tcase_add_loop_test(tests, each_defect_is_found_and_nothing_else, 0,
                        2 * (int)ARRAY_LENGTH(cases));
    tcase_add_loop_test(tests, it_sees_one_moment, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, a_failed_run_is_reported, DB_SQLITE, DB_MYSQL + 1);
    tcase_add_loop_test(tests, a_report_is_json_of_bounded_length, 0, 2);
    tcase_add_test(tests, an_incomplete_report_says_so);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
