// Administrators' changes under conditions, and lists in pages, on both engines. What a change does
// to each noun is tested in test_store_nouns.c.
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"
#include "store/tables/product.h"

#include "base/text.h"
#include "scratch.h"
#include "store/reconcile/reconcile.h"
#include "store/tables/ledger.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <string.h>

#define SWEEP_MS 60000 // no sweeper runs

#define ADD(test) tcase_add_loop_test(tests, test, DB_SQLITE, DB_MYSQL + 1)

static const struct precondition exists = {.kind = PRECONDITION_MATCH, .any = true};
static const struct precondition is_new = {.kind = PRECONDITION_NO_MATCH, .any = true};

static struct precondition at(int64_t version)
{
    return (struct precondition){.kind = PRECONDITION_MATCH, .n = 1, .versions = {version}};
}

static void on_finding(void *arg, const struct finding *finding)
{
    (void)arg;
    ck_abort_msg("%s: %s: %s", finding->check, finding->where, finding->what);
}

static void close_clean(struct scratch *scratch)
{
    struct reconciliation summary;
    ck_assert_int_eq(reconcile_run(scratch->db, SWEEP_MS, on_finding, NULL, &summary), RC_OK);
    scratch_close(scratch);
}

static enum rc put_product(struct db *db, const char *sku, const char *title, int64_t remaining,
                           const struct precondition *condition, struct product *ret_product)
{
    struct product put = {.price_cents = PRICE_NONE, .remaining = remaining};
    bool created;
    text_copy(put.sku, sizeof put.sku, sku);
    text_copy(put.title, sizeof put.title, title);
    return product_put(db, &put, condition, &created, ret_product);
}

static enum rc put_campaign(struct db *db, const char *name, int64_t total,
                            const struct precondition *condition)
{
    struct campaign put = {.total = total, .per_user_limit = 1};
    bool created;
    text_copy(put.campaign, sizeof put.campaign, name);
    return campaign_put(db, &put, condition, &created, &put);
}

static enum rc put_lottery(struct db *db, const char *name, size_t n_prizes,
                           const struct precondition *condition)
{
    static struct lottery got;
    struct lottery put = {.draws_per_user = 1, .blank_weight = 1, .n_prizes = n_prizes};
    bool created;
    text_copy(put.lottery, sizeof put.lottery, name);
    for (size_t i = 0; i < n_prizes; i++) {
        put.prizes[i].quantity = put.prizes[i].weight = (int64_t)i + 1;
        text_format(put.prizes[i].prize, sizeof put.prizes[i].prize, "p%zu", i);
    }
    return lottery_put(db, &put, condition, &created, &got);
}

static int64_t number(struct db *db, const char *sql)
{
    int64_t result = -1;
    ck_assert_msg(db_query_int(db, sql, NULL, 0, &result) == RC_OK, "%s: %s", sql, db_error(db));
    return result;
}

START_TEST(a_change_whose_condition_fails_changes_nothing)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    struct product product;
    const struct precondition v1 = at(1), v2 = at(2);
    const enum rc mismatch = RC_VERSION_MISMATCH;
    for (int pass = 0; pass < 2; pass++) { // nothing exists, then all has version 2
        const struct precondition *holds = pass == 0 ? &is_new : &v2;
        const struct precondition *fails[] = {&v1, pass == 0 ? &exists : &is_new};
        int64_t rows = number(db, "SELECT COUNT(*) FROM ledger");
        for (size_t i = 0; i < ARRAY_LENGTH(fails); i++) {
            ck_assert_int_eq(put_product(db, "A", "x", 9, fails[i], &product), mismatch);
            ck_assert_int_eq(put_campaign(db, "A", 9, fails[i]), mismatch);
            ck_assert_int_eq(put_lottery(db, "A", 9, fails[i]), mismatch);
        }
        ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM ledger"), rows);
        ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM product"), pass);
        ck_assert_int_eq(put_product(db, "A", "", 1 + pass, holds, &product), RC_OK);
        ck_assert_int_eq(put_campaign(db, "A", 1 + pass, holds), RC_OK);
        ck_assert_int_eq(put_lottery(db, "A", 1 + (size_t)pass, holds), RC_OK);
        if (pass == 0) {
            ck_assert_int_eq(put_product(db, "A", "", 3, &v1, &product), RC_OK);
            ck_assert_int_eq(put_campaign(db, "A", 3, &exists), RC_OK);
            ck_assert_int_eq(put_lottery(db, "A", 3, &v1), RC_OK);
        }
    }
    ck_assert_int_eq(product.version, 3);
    ck_assert_int_eq(product.remaining, 2);
    close_clean(&scratch);
}
END_TEST

START_TEST(a_new_title_is_a_new_version)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    struct product product;
    ck_assert_int_eq(put_product(db, "A", "Mug", REMAINING_KEPT, NULL, &product), RC_NOT_FOUND);
    ck_assert_int_eq(put_product(db, "A", "Mug", REMAINING_MAX, NULL, &product), RC_OK);
    ck_assert_int_eq(put_product(db, "A", "Cup", REMAINING_KEPT, NULL, &product), RC_OK);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_str_eq(product.title, "Cup");
        ck_assert_int_eq(product.remaining, REMAINING_MAX);
        ck_assert_int_eq(product.version, 2);
        // What changes nothing makes no version.
        ck_assert_int_eq(put_product(db, "A", "Cup", REMAINING_KEPT, NULL, &product), RC_OK);
        ck_assert_int_eq(put_product(db, "A", "", REMAINING_MAX, NULL, &product), RC_OK);
    }
    ck_assert_int_eq(number(db, "SELECT delta FROM ledger WHERE version = 2"), 0);
    ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM ledger"), 2);
    close_clean(&scratch);
}
END_TEST

#define ADMINISTRATORS 4
#define PUTS 20

// Adds one PUTS times: reads, and puts on the condition that nothing has changed since.
static void *add_many(void *arg)
{
    struct db *db;
    if (db_new(arg, &db) != RC_OK)
        return "no connection";
    for (int i = 0; i < PUTS;) {
        struct product product;
        if (product_get(db, "A", &product) != RC_OK)
            return "a get failed";
        const struct precondition unchanged = at(product.version);
        enum rc rc = put_product(db, "A", "", product.remaining + 1, &unchanged, &product);
        if (rc == RC_OK)
            i++;
        else if (rc != RC_VERSION_MISMATCH && rc != RC_CONTENTION)
            return "a put failed";
    }
    db_free(db);
    return NULL;
}

START_TEST(no_conditional_update_is_lost)
{
    struct scratch scratch;
    pthread_t threads[ADMINISTRATORS];
    struct product product;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    ck_assert_int_eq(put_product(scratch.db, "A", "", 0, &is_new, &product), RC_OK);
    for (int i = 0; i < ADMINISTRATORS; i++)
        pthread_create(&threads[i], NULL, add_many, scratch.store);
    for (int i = 0; i < ADMINISTRATORS; i++) {
        void *why;
        pthread_join(threads[i], &why);
        ck_assert_msg(why == NULL, "%s", (const char *)why);
    }
    ck_assert_int_eq(product_get(scratch.db, "A", &product), RC_OK);
    ck_assert_int_eq(product.remaining, ADMINISTRATORS * PUTS);
    close_clean(&scratch);
}
END_TEST

#define NOUNS 3
#define ROUNDS 20

struct creator {
    struct store *store;
    pthread_barrier_t *begin;
    enum rc results[ROUNDS][NOUNS];
};

// Creates a product, a campaign and a lottery again and again, at the same moment as others do.
static void *create_many(void *arg)
{
    struct creator *creator = arg;
    struct db *db;
    struct product product;
    if (db_new(creator->store, &db) != RC_OK)
        return NULL;
    for (int i = 0; i < ROUNDS; i++) {
        char name[16];
        text_format(name, sizeof name, "n%d", i);
        pthread_barrier_wait(creator->begin);
        creator->results[i][0] = put_product(db, name, "", 5, &is_new, &product);
        creator->results[i][1] = put_campaign(db, name, 5, &is_new);
        creator->results[i][2] = put_lottery(db, name, 2, &is_new);
    }
    db_free(db);
    return creator;
}

START_TEST(one_of_many_creates)
{
    struct scratch scratch;
    pthread_t threads[ADMINISTRATORS];
    pthread_barrier_t begin;
    static struct creator creators[ADMINISTRATORS];
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    pthread_barrier_init(&begin, NULL, ADMINISTRATORS);
    for (int i = 0; i < ADMINISTRATORS; i++) {
        creators[i] = (struct creator){.store = scratch.store, .begin = &begin};
        pthread_create(&threads[i], NULL, create_many, &creators[i]);
    }
    for (int i = 0; i < ADMINISTRATORS; i++) {
        void *ended;
        pthread_join(threads[i], &ended);
        ck_assert_ptr_nonnull(ended);
    }
    for (int at = 0; at < ROUNDS * NOUNS; at++) {
        int won = 0, lost = 0;
        for (int i = 0; i < ADMINISTRATORS; i++) {
            won += creators[i].results[at / NOUNS][at % NOUNS] == RC_OK;
            lost += creators[i].results[at / NOUNS][at % NOUNS] == RC_VERSION_MISMATCH;
        }
        ck_assert_msg(won == 1 && lost == ADMINISTRATORS - 1, "%d: %d won, %d lost", at, won, lost);
    }
    ck_assert_int_eq(number(scratch.db, "SELECT MAX(version) FROM ledger"), 1);
    pthread_barrier_destroy(&begin);
    close_clean(&scratch);
}
END_TEST

static enum rc add_campaign(void *arg, const struct campaign *campaign)
{
    buffer_format(arg, "%s %d/%d v%d, ", campaign->campaign, (int)campaign->remaining,
                  (int)campaign->total, (int)campaign->version);
    return RC_OK;
}

static enum rc add_lottery(void *arg, const struct lottery *lottery)
{
    buffer_format(arg, "%s %d v%d", lottery->lottery, (int)lottery->remaining,
                  (int)lottery->version);
    for (size_t i = 0; i < lottery->n_prizes; i++)
        buffer_format(arg, " %s=%d", lottery->prizes[i].prize,
                      (int)lottery->prizes[i].counter.remaining);
    buffer_append_text(arg, ", ");
    return RC_OK;
}

START_TEST(campaigns_and_lotteries_are_paged_in_byte_order)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    static const char *const names[] = {"b", "B", "a", "_", "10"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        ck_assert_int_eq(put_campaign(db, names[i], (int64_t)i, NULL), RC_OK);
        ck_assert_int_eq(put_lottery(db, names[i], i % 3, NULL), RC_OK);
    }
    static const struct {
        const char *after;
        int64_t limit;
        const char *campaigns, *lotteries;
    } pages[] = {
        {"", 9, "10 4/4 v1, B 1/1 v1, _ 3/3 v1, a 2/2 v1, b 0/0 v1, ",
         "10 1 v1 p0=1, B 1 v1 p0=1, _ 0 v1, a 3 v1 p0=1 p1=2, b 0 v1, "},
        {"", 2, "10 4/4 v1, B 1/1 v1, ", "10 1 v1 p0=1, B 1 v1 p0=1, "},
        {"B", 2, "_ 3/3 v1, a 2/2 v1, ", "_ 0 v1, a 3 v1 p0=1 p1=2, "},
        {"C", 1, "_ 3/3 v1, ", "_ 0 v1, "},
        {"b", 2, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(pages); i++) {
        struct buffer campaigns = {0}, lotteries = {0};
        buffer_append_text(&campaigns, "");
        buffer_append_text(&lotteries, "");
        ck_assert_int_eq(
            campaign_page(db, pages[i].after, pages[i].limit, add_campaign, &campaigns), RC_OK);
        ck_assert_int_eq(lottery_page(db, pages[i].after, pages[i].limit, add_lottery, &lotteries),
                         RC_OK);
        ck_assert_str_eq(campaigns.data, pages[i].campaigns);
        ck_assert_str_eq(lotteries.data, pages[i].lotteries);
        buffer_release(&campaigns);
        buffer_release(&lotteries);
    }
    close_clean(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin");
    TCase *tests = tcase_create("admin");
    ADD(a_change_whose_condition_fails_changes_nothing);
    ADD(a_new_title_is_a_new_version);
    ADD(no_conditional_update_is_lost);
    ADD(one_of_many_creates);
    ADD(campaigns_and_lotteries_are_paged_in_byte_order);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
