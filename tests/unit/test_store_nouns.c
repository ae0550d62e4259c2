// Products, campaigns and lotteries with their counters and ledger rows, on both engines.
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"
#include "store/tables/order.h"
#include "store/tables/product.h"

#include "base/text.h"
#include "scratch.h"
#include "store/reconcile/reconcile.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS 60000 // no sweeper runs

#define ADD(test) tcase_add_loop_test(tests, test, DB_SQLITE, DB_MYSQL + 1)

static void print_finding(void *arg, const struct finding *finding)
{
    (void)arg;
    fprintf(stderr, "%s: %s: %s\n", finding->check, finding->where, finding->what);
}

// After every test, reconciliation must be clean.
static void close_clean(struct scratch *scratch)
{
    struct reconciliation summary = {.findings = -1};
    enum rc rc = reconcile_run(scratch->db, SWEEP_MS, print_finding, NULL, &summary);
    ck_assert_msg(rc == RC_OK, "%s", db_error(scratch->db));
    ck_assert_int_eq(summary.findings, 0);
    scratch_close(scratch);
}

struct rows {
    size_t n;
    struct ledger_row rows[16];
};

static enum rc keep_row(void *arg, const struct ledger_row *row)
{
    struct rows *rows = arg;
    ck_assert_uint_lt(rows->n, ARRAY_LENGTH(rows->rows));
    rows->rows[rows->n++] = *row;
    return RC_OK;
}

// The last of a counter's `n` ledger rows.
static struct ledger_row last_row(struct db *db, const char *counter, size_t n)
{
    struct rows rows = {.n = 0};
    ck_assert_int_eq(ledger_page(db, counter, 0, 16, keep_row, &rows), RC_OK);
    ck_assert_uint_eq(rows.n, n);
    return rows.rows[n - 1];
}

static struct counter load_counter(struct db *db, const char *name)
{
    struct counter counter;
    int64_t now_ms;
    text_copy(counter.name, sizeof counter.name, name);
    ck_assert_int_eq(counter_load(db, &counter, 1, false, &now_ms), RC_OK);
    return counter;
}

static void execute(struct db *db, const char *sql)
{
    ck_assert_msg(db_exec(db, sql, NULL, 0, NULL) == RC_OK, "%s: %s", sql, db_error(db));
}

static int64_t number(struct db *db, const char *sql)
{
    int64_t result = -1;
    ck_assert_msg(db_query_int(db, sql, NULL, 0, &result) == RC_OK, "%s: %s", sql, db_error(db));
    return result;
}

// Changes a counter and writes a ledger row with this key, as an operation does.
static void move(struct db *db, const char *name, int64_t delta, const char *key, int64_t leg,
                 const char *user, const char *reason)
{
    struct counter before = load_counter(db, name);
    struct counter_change change = {
        .before = before, .remaining = before.remaining + delta, .version = before.version + 1};
    struct ledger_row row = {.version = change.version,
                             .delta = delta,
                             .remaining = change.remaining,
                             .leg = leg,
                             .created_at_ms = 1};
    text_copy(row.counter, sizeof row.counter, name);
    text_copy(row.request_key, sizeof row.request_key, key);
    text_copy(row.user_id, sizeof row.user_id, user);
    text_copy(row.reason, sizeof row.reason, reason);
    text_copy(row.strategy, sizeof row.strategy, "row-lock");
    ck_assert_int_eq(counter_save(db, RULE_LOCKED, 0, &change, 1), RC_OK);
    ck_assert_int_eq(ledger_insert(db, &row, 1), RC_OK);
}

// ---- products -----------------------------------------------------------------------------------

static struct product make_product(const char *sku, const char *title, int64_t price_cents,
                                   int64_t remaining)
{
    struct product product = {.price_cents = price_cents, .remaining = remaining};
    text_copy(product.sku, sizeof product.sku, sku);
    text_copy(product.title, sizeof product.title, title);
    return product;
}

START_TEST(a_product_is_created_then_changed)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct product put =
        make_product("SKU-1", "Caf\xc3\xa9 \xf0\x9f\x98\x80 'quoted' \\", 1999, 10);
    struct product got;
    bool created = false;
    ck_assert_int_eq(product_get(scratch.db, "SKU-1", &got), RC_NOT_FOUND);
    ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert(created);
    ck_assert_str_eq(got.title, put.title);
    ck_assert_int_eq(got.price_cents, 1999);
    ck_assert_int_eq(got.remaining, 10);
    ck_assert_int_eq(got.version, 1);
    struct ledger_row row = last_row(scratch.db, "stock/SKU-1", 1);
    ck_assert_str_eq(row.reason, "opening");
    ck_assert_str_eq(row.strategy, "admin");
    ck_assert_str_eq(row.request_key, "");
    ck_assert_int_eq(row.delta, 10);
    ck_assert_int_eq(row.remaining, 10);
    ck_assert_int_gt(row.created_at_ms, INT64_C(1600000000000));

    // The same quantity without title and price: both stay, and so does the version.
    put = make_product("SKU-1", "", PRICE_NONE, 10);
    ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert(!created);
    ck_assert_str_eq(got.title, "Caf\xc3\xa9 \xf0\x9f\x98\x80 'quoted' \\");
    ck_assert_int_eq(got.price_cents, 1999);
    ck_assert_int_eq(got.version, 1);

    put = make_product("SKU-1", "New", 5, 7);
    ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert_str_eq(got.title, "New");
    ck_assert_int_eq(got.price_cents, 5);
    ck_assert_int_eq(got.remaining, 7);
    ck_assert_int_eq(got.version, 2);
    row = last_row(scratch.db, "stock/SKU-1", 2);
    ck_assert_str_eq(row.reason, "adjust");
    ck_assert_int_eq(row.delta, -3);
    close_clean(&scratch);
}
END_TEST

START_TEST(a_title_may_have_the_maximal_length)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct product put = make_product("007", "", PRICE_NONE, 0), got;
    bool created;
    memset(put.title, 'x', PRODUCT_TITLE_MAX);
    ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert_int_eq(product_get(scratch.db, "007", &got), RC_OK);
    ck_assert_uint_eq(strlen(got.title), PRODUCT_TITLE_MAX);
    ck_assert_int_eq(got.price_cents, PRICE_NONE);
    ck_assert_int_eq(product_get(scratch.db, "7", &got), RC_NOT_FOUND);
    close_clean(&scratch);
}
END_TEST

START_TEST(a_put_leaves_the_fence_alone)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct product put = make_product("A", "", PRICE_NONE, 1), got;
    bool created;
    ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    execute(scratch.db, "UPDATE counter SET fence = 41 WHERE name = 'stock/A'");
    put.remaining = 2;
    ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert_int_eq(load_counter(scratch.db, "stock/A").fence, 41);
    close_clean(&scratch);
}
END_TEST

struct skus {
    char text[128];
};

static enum rc join_sku(void *arg, const struct product *product)
{
    struct skus *skus = arg;
    size_t used = strlen(skus->text);
    ck_assert(text_format(skus->text + used, sizeof skus->text - used, "%s ", product->sku));
    return RC_OK;
}

START_TEST(products_are_paged_in_byte_order)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    static const char *const skus[] = {"b", "B", "a", "_", "10", "9"};
    struct product got;
    bool created;
    for (size_t i = 0; i < ARRAY_LENGTH(skus); i++) {
        struct product put = make_product(skus[i], "", PRICE_NONE, 1);
        ck_assert_int_eq(product_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    }
    struct skus page = {""};
    ck_assert_int_eq(product_page(scratch.db, "", 4, join_sku, &page), RC_OK);
    ck_assert_str_eq(page.text, "10 9 B _ ");
    page = (struct skus){""};
    ck_assert_int_eq(product_page(scratch.db, "_", 4, join_sku, &page), RC_OK);
    ck_assert_str_eq(page.text, "a b ");
    close_clean(&scratch);
}
END_TEST

#define PUTTERS 4
#define PUTS 25

static void *put_many(void *arg)
{
    struct db *db;
    if (db_new(arg, &db) != RC_OK)
        return "no connection";
    for (int i = 0; i < PUTS; i++) {
        struct product put = make_product("SKU-1", "", PRICE_NONE, i + 1), got;
        bool created;
        if (product_put(db, &put, NULL, &created, &got) != RC_OK)
            return "a put failed";
    }
    db_free(db);
    return NULL;
}

START_TEST(concurrent_puts_lose_nothing)
{
    struct scratch scratch;
    pthread_t threads[PUTTERS];
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    for (int i = 0; i < PUTTERS; i++)
        pthread_create(&threads[i], NULL, put_many, scratch.store);
    for (int i = 0; i < PUTTERS; i++) {
        void *why;
        pthread_join(threads[i], &why);
        ck_assert_msg(why == NULL, "%s", (const char *)why);
    }
    ck_assert_int_ge(load_counter(scratch.db, "stock/SKU-1").version, PUTS);
    close_clean(&scratch);
}
END_TEST

// ---- campaigns ----------------------------------------------------------------------------------

static enum rc put_campaign(struct db *db, int64_t total, int64_t limit, bool *ret_created,
                            struct campaign *ret_campaign)
{
    struct campaign put = {.campaign = "SPRING", .total = total, .per_user_limit = limit};
    return campaign_put(db, &put, NULL, ret_created, ret_campaign);
}

static struct coupon issue(struct db *db, const char *user, int64_t slot, const char *code)
{
    struct coupon coupon = {.slot = slot, .created_at_ms = 77};
    move(db, "coupon/SPRING", -1, code, 0, user, "issue");
    coupon.version = load_counter(db, "coupon/SPRING").version;
    text_copy(coupon.campaign, sizeof coupon.campaign, "SPRING");
    text_copy(coupon.user_id, sizeof coupon.user_id, user);
    text_copy(coupon.code, sizeof coupon.code, code);
    ck_assert_int_eq(coupon_insert(db, &coupon, 1), RC_OK);
    return coupon;
}

START_TEST(a_campaign_keeps_what_was_issued)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct campaign got;
    bool created = false;
    ck_assert_int_eq(campaign_get(scratch.db, "SPRING", &got), RC_NOT_FOUND);
    ck_assert_int_eq(put_campaign(scratch.db, 5, 1, &created, &got), RC_OK);
    ck_assert(created);
    ck_assert_int_eq(got.remaining, 5);
    ck_assert_int_eq(got.version, 1);
    issue(scratch.db, "u1", 1, "C1");
    issue(scratch.db, "u2", 1, "C2");

    ck_assert_int_eq(put_campaign(scratch.db, 5, 1, &created, &got), RC_OK); // nothing new
    ck_assert(!created);
    ck_assert_int_eq(got.version, 3);
    ck_assert_int_eq(put_campaign(scratch.db, 1, 1, &created, &got), RC_INVALID_FIELD);
    ck_assert_int_eq(load_counter(scratch.db, "coupon/SPRING").version, 3);

    ck_assert_int_eq(put_campaign(scratch.db, 2, 1, &created, &got), RC_OK);
    ck_assert_int_eq(got.remaining, 0);
    ck_assert_int_eq(got.version, 4);
    ck_assert_int_eq(last_row(scratch.db, "coupon/SPRING", 4).delta, -3);

    // A new limit alone raises the version too.
    ck_assert_int_eq(put_campaign(scratch.db, 2, 3, &created, &got), RC_OK);
    ck_assert_int_eq(got.version, 5);
    ck_assert_int_eq(last_row(scratch.db, "coupon/SPRING", 5).delta, 0);
    ck_assert_int_eq(campaign_get(scratch.db, "SPRING", &got), RC_OK);
    ck_assert_int_eq(got.total, 2);
    ck_assert_int_eq(got.per_user_limit, 3);
    ck_assert_int_eq(got.remaining, 0);
    ck_assert_int_eq(got.version, 5);
    close_clean(&scratch);
}
END_TEST

START_TEST(a_lowered_limit_takes_nothing_back)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct campaign got;
    bool created;
    ck_assert_int_eq(put_campaign(scratch.db, 9, 3, &created, &got), RC_OK);
    issue(scratch.db, "u1", 1, "C1");
    issue(scratch.db, "u1", 2, "C2");
    ck_assert_int_eq(put_campaign(scratch.db, 9, 1, &created, &got), RC_OK);
    issue(scratch.db, "u2", 1, "C3");
    close_clean(&scratch);
}
END_TEST

START_TEST(coupons_are_found_and_counted)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct campaign campaign;
    struct coupon coupon, again;
    bool created;
    ck_assert_int_eq(put_campaign(scratch.db, 9, 3, &created, &campaign), RC_OK);
    issue(scratch.db, "zoe", 1, "C1");
    coupon = issue(scratch.db, "zoe", 2, "C2");
    issue(scratch.db, "amy", 1, "C3");
    static const char *const users[] = {"zoe", "nobody", "Amy", "amy", "zoe"};
    static const char *const campaigns[] = {"SPRING", "SPRING", "SPRING", "SPRING", "AUTUMN"};
    int64_t used[] = {9, 9, 9, 9, 9}, limits[] = {9, 9};
    ck_assert_int_eq(coupon_count(scratch.db, campaigns, users, 5, used), RC_OK);
    ck_assert_int_eq(used[0], 2);
    ck_assert_int_eq(used[1], 0);
    ck_assert_int_eq(used[2], 0);
    ck_assert_int_eq(used[3], 1);
    ck_assert_int_eq(used[4], 0);
    ck_assert_int_eq(campaign_limits(scratch.db, campaigns, 1, limits), RC_OK);
    ck_assert_int_eq(limits[0], 3);
    static const char *const one_missing[] = {"AUTUMN", "SPRING"};
    ck_assert_int_eq(campaign_limits(scratch.db, one_missing, 2, limits), RC_NOT_FOUND);
    ck_assert_int_eq(coupon_find(scratch.db, "SPRING", "zoe", coupon.version, &again), RC_OK);
    ck_assert_str_eq(again.code, "C2");
    ck_assert_str_eq(again.campaign, "SPRING");
    ck_assert_str_eq(again.user_id, "zoe");
    ck_assert_int_eq(again.slot, 2);
    ck_assert_int_eq(again.version, coupon.version);
    ck_assert_int_eq(again.created_at_ms, 77);
    ck_assert_int_eq(coupon_find(scratch.db, "SPRING", "amy", coupon.version, &again),
                     RC_NOT_FOUND);
    // A slot and a code are unique.
    text_copy(coupon.code, sizeof coupon.code, "C9");
    ck_assert_int_eq(coupon_insert(scratch.db, &coupon, 1), RC_DUPLICATE);
    text_copy(coupon.code, sizeof coupon.code, "C1");
    coupon.slot = 3;
    ck_assert_int_eq(coupon_insert(scratch.db, &coupon, 1), RC_DUPLICATE);
    close_clean(&scratch);
}
END_TEST

// More users than fit into one list, in no particular order.
START_TEST(many_users_are_counted)
{
    enum { USERS = 600 };
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    static char names[USERS][16];
    static struct draw draws[USERS];
    const char *users[USERS], *lotteries[USERS];
    int64_t used[USERS];
    size_t n = 0;
    for (size_t i = 0; i < USERS; i++) {
        snprintf(names[i], sizeof names[i], "u%zu", (i * 7919) % USERS);
        users[i] = names[i];
        lotteries[i] = "L";
        if (i % 3 == 0)
            continue;
        draws[n] = (struct draw){.lottery = "L", .slot = 1, .version = (int64_t)i, .prize = "p"};
        text_copy(draws[n++].user_id, USER_ID_MAX + 1, names[i]);
    }
    ck_assert_int_eq(draw_insert(scratch.db, draws, n), RC_OK);
    ck_assert_int_eq(draw_count(scratch.db, lotteries, users, USERS, used), RC_OK);
    for (size_t i = 0; i < USERS; i++)
        ck_assert_int_eq(used[i], i % 3 != 0);
    scratch_close(&scratch);
}
END_TEST

// ---- lotteries ----------------------------------------------------------------------------------

static struct lottery make_lottery(int64_t draws_per_user, int64_t blank_weight)
{
    return (struct lottery){
        .lottery = "WHEEL", .draws_per_user = draws_per_user, .blank_weight = blank_weight};
}

static void add_prize(struct lottery *lottery, const char *prize, int64_t quantity, int64_t weight)
{
    struct prize *added = &lottery->prizes[lottery->n_prizes++];
    added->quantity = quantity;
    added->weight = weight;
    text_copy(added->prize, sizeof added->prize, prize);
}

// An empty prize is the blank.
static int64_t draw(struct db *db, const char *user, int64_t slot, const char *prize,
                    const char *key)
{
    struct draw made = {.slot = slot, .created_at_ms = 77};
    move(db, "lottery/WHEEL", prize[0] != '\0' ? -1 : 0, key, 0, user, "draw");
    if (prize[0] != '\0') {
        char counter[COUNTER_NAME_MAX + 1];
        text_format(counter, sizeof counter, "prize/WHEEL/%s", prize);
        move(db, counter, -1, key, 1, user, "draw");
    }
    made.version = load_counter(db, "lottery/WHEEL").version;
    text_copy(made.lottery, sizeof made.lottery, "WHEEL");
    text_copy(made.user_id, sizeof made.user_id, user);
    text_copy(made.prize, sizeof made.prize, prize);
    ck_assert_int_eq(draw_insert(db, &made, 1), RC_OK);
    return made.version;
}

START_TEST(a_lottery_counts_each_prize_and_all_of_them)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct lottery put = make_lottery(1, 90), got;
    bool created = false;
    add_prize(&put, "silver", 10, 9);
    add_prize(&put, "gold", 2, 1);
    ck_assert_int_eq(lottery_get(scratch.db, "WHEEL", &got), RC_NOT_FOUND);
    ck_assert_int_eq(lottery_load(scratch.db, "WHEEL", &got), RC_NOT_FOUND);
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert(created);
    for (int pass = 0; pass < 2; pass++) { // what put returns, then what get returns
        ck_assert_str_eq(got.lottery, "WHEEL");
        ck_assert_int_eq(got.draws_per_user, 1);
        ck_assert_int_eq(got.blank_weight, 90);
        ck_assert_int_eq(got.remaining, 12);
        ck_assert_int_eq(got.version, 1);
        ck_assert_uint_eq(got.n_prizes, 2);
        ck_assert_str_eq(got.prizes[0].prize, "gold");
        ck_assert_int_eq(got.prizes[0].quantity, 2);
        ck_assert_int_eq(got.prizes[0].weight, 1);
        ck_assert_str_eq(got.prizes[0].counter.name, "prize/WHEEL/gold");
        ck_assert_int_eq(got.prizes[0].counter.remaining, 2);
        ck_assert_int_eq(got.prizes[0].counter.version, 1);
        ck_assert_str_eq(got.prizes[1].prize, "silver");
        ck_assert_int_eq(lottery_get(scratch.db, "WHEEL", &got), RC_OK);
    }
    struct ledger_row newest_1 = last_row(scratch.db, "lottery/WHEEL", 1);
    ck_assert_str_eq(newest_1.reason, "opening");
    ck_assert_int_eq(last_row(scratch.db, "lottery/WHEEL", 1).delta, 12);
    ck_assert_int_eq(last_row(scratch.db, "prize/WHEEL/gold", 1).delta, 2);

    struct lottery loaded = {.remaining = 5, .version = 6};
    ck_assert_int_eq(lottery_load(scratch.db, "WHEEL", &loaded), RC_OK);
    ck_assert_int_eq(loaded.remaining, 5);
    ck_assert_int_eq(loaded.version, 6);
    ck_assert_uint_eq(loaded.n_prizes, 2);
    close_clean(&scratch);
}
END_TEST

START_TEST(a_changed_lottery_keeps_what_was_won)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct lottery put = make_lottery(2, 90), got;
    bool created;
    add_prize(&put, "gold", 2, 1);
    add_prize(&put, "silver", 10, 9);
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    draw(scratch.db, "u1", 1, "gold", "k1");
    draw(scratch.db, "u2", 1, "silver", "k2");
    draw(scratch.db, "u2", 2, "", "k3");
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK); // nothing new
    ck_assert(!created);
    ck_assert_int_eq(got.version, 4);
    ck_assert_int_eq(got.remaining, 10);

    // Gold is no longer named, silver is reduced, and a third prize is added.
    put = make_lottery(1, 80);
    add_prize(&put, "silver", 4, 9);
    add_prize(&put, "bronze", 5, 3);
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_int_eq(got.version, 5);
        ck_assert_int_eq(got.remaining, 8);
        ck_assert_int_eq(got.draws_per_user, 1);
        ck_assert_int_eq(got.blank_weight, 80);
        ck_assert_uint_eq(got.n_prizes, 3);
        ck_assert_str_eq(got.prizes[0].prize, "bronze");
        ck_assert_int_eq(got.prizes[0].counter.remaining, 5);
        ck_assert_str_eq(got.prizes[1].prize, "gold");
        ck_assert_int_eq(got.prizes[1].quantity, 1);
        ck_assert_int_eq(got.prizes[1].weight, 0);
        ck_assert_int_eq(got.prizes[1].counter.remaining, 0);
        ck_assert_int_eq(got.prizes[2].quantity, 4);
        ck_assert_int_eq(got.prizes[2].counter.remaining, 3);
        ck_assert_int_eq(lottery_get(scratch.db, "WHEEL", &got), RC_OK);
    }
    ck_assert_int_eq(last_row(scratch.db, "prize/WHEEL/gold", 3).delta, -1);

    // New weights raise the lottery's version, and no prize's.
    put.prizes[0].weight = 8;
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    ck_assert_int_eq(got.version, 6);
    ck_assert_int_eq(last_row(scratch.db, "lottery/WHEEL", 6).delta, 0);
    ck_assert_int_eq(load_counter(scratch.db, "prize/WHEEL/silver").version, 3);
    ck_assert_int_eq(number(scratch.db, "SELECT limit_version FROM lottery"), 5);
    close_clean(&scratch);
}
END_TEST

START_TEST(an_invalid_lottery_changes_nothing)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct lottery put = make_lottery(1, 90), got;
    bool created;
    add_prize(&put, "gold", 2, 1);
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    draw(scratch.db, "u1", 1, "gold", "k1");
    draw(scratch.db, "u2", 1, "gold", "k2");

    struct lottery bad = make_lottery(1, 10);
    add_prize(&bad, "extra", 5, 1);
    add_prize(&bad, "gold", 1, 1); // two were won
    ck_assert_int_eq(lottery_put(scratch.db, &bad, NULL, &created, &got), RC_INVALID_FIELD);
    bad = make_lottery(1, 10);
    add_prize(&bad, "twice", 5, 1);
    add_prize(&bad, "twice", 6, 1);
    ck_assert_int_eq(lottery_put(scratch.db, &bad, NULL, &created, &got), RC_INVALID_FIELD);
    bad = make_lottery(1, 10);
    for (int i = 0; i < LOTTERY_PRIZES_MAX; i++) { // and gold is one too many
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        add_prize(&bad, name, 1, 1);
    }
    ck_assert_int_eq(lottery_put(scratch.db, &bad, NULL, &created, &got), RC_LIMIT_REACHED);
    ck_assert_int_eq(lottery_get(scratch.db, "WHEEL", &got), RC_OK);
    ck_assert_uint_eq(got.n_prizes, 1);
    ck_assert_int_eq(got.blank_weight, 90);
    ck_assert_int_eq(got.version, 3);

    bad.n_prizes--; // the maximum
    ck_assert_int_eq(lottery_put(scratch.db, &bad, NULL, &created, &got), RC_OK);
    ck_assert_int_eq(lottery_get(scratch.db, "WHEEL", &got), RC_OK);
    ck_assert_uint_eq(got.n_prizes, LOTTERY_PRIZES_MAX);
    close_clean(&scratch);
}
END_TEST

START_TEST(draws_are_found_and_their_slots_given_once)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct lottery put = make_lottery(2, 90), got;
    struct draw found, again = {.lottery = "WHEEL", .user_id = "u1", .slot = 1, .version = 9};
    bool created;
    add_prize(&put, "gold", 2, 1);
    ck_assert_int_eq(lottery_put(scratch.db, &put, NULL, &created, &got), RC_OK);
    int64_t won = draw(scratch.db, "u1", 1, "gold", "k1");
    int64_t blank = draw(scratch.db, "u1", 2, "", "k2");
    ck_assert_int_eq(draw_find(scratch.db, "WHEEL", "u1", won, &found), RC_OK);
    ck_assert_str_eq(found.prize, "gold");
    ck_assert_int_eq(found.slot, 1);
    ck_assert_int_eq(found.created_at_ms, 77);
    ck_assert_int_eq(draw_find(scratch.db, "WHEEL", "u1", blank, &found), RC_OK);
    ck_assert_str_eq(found.prize, "");
    ck_assert_int_eq(draw_find(scratch.db, "WHEEL", "u2", won, &found), RC_NOT_FOUND);
    ck_assert_int_eq(draw_insert(scratch.db, &again, 1), RC_DUPLICATE);
    ck_assert_int_eq(draw_insert(scratch.db, NULL, 0), RC_OK);
    close_clean(&scratch);
}
END_TEST

// ---- redemptions --------------------------------------------------------------------------------

START_TEST(redemptions_are_rolled_back_together)
{
    static const struct redemption redeemed[] = {
        {.code = "A", .version = 2, .user_id = "u1"},
        {.code = "A", .version = 3, .user_id = "u2"},
        {.code = "B", .version = 2, .user_id = "u1", .order_id = "o1", .in_order = true},
    };
    const struct redemption back[] = {redeemed[2], redeemed[0], redeemed[2]};
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    ck_assert_int_eq(redemption_insert(scratch.db, redeemed, ARRAY_LENGTH(redeemed), 1), RC_OK);
    ck_assert_int_eq(redemption_roll_back(scratch.db, back, 0), RC_OK);
    ck_assert_int_eq(number(scratch.db, "SELECT COUNT(*) FROM redemption WHERE state = 'redeemed'"),
                     3);
    ck_assert_int_eq(redemption_roll_back(scratch.db, back, ARRAY_LENGTH(back)), RC_OK);
    ck_assert_int_eq(number(scratch.db, "SELECT version FROM redemption WHERE state = 'redeemed'"),
                     3);
    ck_assert_int_eq(
        number(scratch.db, "SELECT COUNT(*) FROM redemption WHERE state = 'rolled-back'"), 2);
    scratch_close(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_nouns");
    TCase *tests = tcase_create("store_nouns");
    tcase_set_timeout(tests, 60);
    ADD(a_product_is_created_then_changed);
    ADD(a_title_may_have_the_maximal_length);
    ADD(a_put_leaves_the_fence_alone);
    ADD(products_are_paged_in_byte_order);
    ADD(concurrent_puts_lose_nothing);
    ADD(a_campaign_keeps_what_was_issued);
    ADD(a_lowered_limit_takes_nothing_back);
    ADD(coupons_are_found_and_counted);
    ADD(many_users_are_counted);
    ADD(a_lottery_counts_each_prize_and_all_of_them);
    ADD(a_changed_lottery_keeps_what_was_won);
    ADD(an_invalid_lottery_changes_nothing);
    ADD(draws_are_found_and_their_slots_given_once);
    ADD(redemptions_are_rolled_back_together);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
