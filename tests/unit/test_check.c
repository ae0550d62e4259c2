// The checker: it accepts a healthy run of a small shop. Then each test breaks one rule, as little
// as possible: exactly that rule must report it, and show the requests and rows that prove it. Also
// the ledger: fetched page by page from a fake service, saved and loaded.
#include "base/text.h"
#include "check/check.h"
#include "control/http.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define KNOWN(number)                                                                              \
    {                                                                                              \
        (number), true                                                                             \
    }

enum {
    STOCK,
    COUPON,
    LOTTERY,
    GOLD,
    SILVER,
    ANN,
    BOB,
    TEE,
    MUG,
    EVE,
    CODE,
    HOLD_A,
    ORDER,
    HOLD_B, // the last: a test takes it away
    N_COUNTERS
};

struct shop {
    struct history_counter counters[N_COUNTERS];
    struct attempt_leg taker, held_a, held_b, sold_a, placed[3], cancelled[3];
    struct attempt attempts[64];
    struct ledger_row rows[64];
    struct ledger_final finals[N_COUNTERS];
    struct history history;
    struct ledger ledger;
    struct verdict verdict;
};

static struct attempt *add_attempt(struct shop *shop, struct attempt attempt)
{
    attempt.user = attempt.user != NULL ? attempt.user : "";
    attempt.detail = attempt.detail != NULL ? attempt.detail : "";
    attempt.key = attempt.key != NULL ? attempt.key : "";
    attempt.invoke_ns *= MS;
    attempt.complete_ns =
        attempt.outcome == OUTCOME_INFO ? HISTORY_NEVER : attempt.complete_ns * MS;
    attempt.op = (int64_t)shop->history.n_attempts;
    shop->attempts[shop->history.n_attempts] = attempt;
    return &shop->attempts[shop->history.n_attempts++];
}

static struct ledger_row *add_row(struct shop *shop, struct ledger_row row)
{
    row.strategy = row.strategy != NULL ? row.strategy : "redis-lock";
    shop->rows[shop->ledger.n_rows] = row;
    return &shop->rows[shop->ledger.n_rows++];
}

static void open_counters(struct shop *shop)
{
    shop->counters[STOCK] = (struct history_counter){"stock/s", COUNTER_STOCK, 1, 20, 0, 0, NULL};
    shop->counters[COUPON] = (struct history_counter){"coupon/c", COUNTER_COUPON, 1, 3, 3, 1, NULL};
    shop->counters[LOTTERY] =
        (struct history_counter){"lottery/l", COUNTER_LOTTERY, 1, 3, 0, 1, NULL};
    shop->counters[GOLD] =
        (struct history_counter){"prize/l/gold", COUNTER_PRIZE, 1, 2, 2, 0, NULL};
    shop->counters[SILVER] =
        (struct history_counter){"prize/l/silver", COUNTER_PRIZE, 1, 1, 1, 0, NULL};
    shop->counters[ANN] = (struct history_counter){"points/ann", COUNTER_POINTS, 1, 10, 0, 0, NULL};
    shop->counters[BOB] = (struct history_counter){"points/bob", COUNTER_POINTS, 1, 1, 0, 0, NULL};
    shop->counters[TEE] = (struct history_counter){"stock/t", COUNTER_STOCK, 1, 2, 0, 0, NULL};
    shop->counters[HOLD_A] = (struct history_counter){"hold/t/A/0", COUNTER_HOLD, 0, 0, 0, 0, NULL};
    shop->counters[HOLD_B] = (struct history_counter){"hold/t/B/0", COUNTER_HOLD, 0, 0, 0, 0, NULL};
    shop->counters[MUG] = (struct history_counter){"stock/m", COUNTER_STOCK, 1, 1, 0, 0, NULL};
    shop->counters[EVE] = (struct history_counter){"points/eve", COUNTER_POINTS, 1, 5, 0, 0, NULL};
    shop->counters[CODE] = (struct history_counter){"code/C", COUNTER_CODE, 0, 0, 2, 0, "eve"};
    shop->counters[ORDER] = (struct history_counter){"order/r-50", COUNTER_ORDER, 0, 0, 0, 0, NULL};
    for (size_t i = 0; i < CODE; i++)
        add_row(shop,
                (struct ledger_row){i, 1, shop->counters[i].remaining, shop->counters[i].remaining,
                                    0, 0, "", "", "opening", "admin", 0});
}

#define ATTEMPT(...) add_attempt(shop, (struct attempt){__VA_ARGS__})
#define DEDUCT .kind = KIND_DEDUCT, .counter = STOCK, .outcome = OUTCOME_OK, .status = 200
#define ISSUE .kind = KIND_ISSUE, .counter = COUPON, .outcome = OUTCOME_OK, .status = 201
#define DRAW .kind = KIND_DRAW, .counter = LOTTERY, .outcome = OUTCOME_OK, .status = 200
#define EARN .kind = KIND_EARN, .counter = ANN, .outcome = OUTCOME_OK, .status = 200
#define SPEND .kind = KIND_SPEND, .counter = BOB, .outcome = OUTCOME_OK, .status = 200
#define TRANSFER                                                                                   \
    .kind = KIND_TRANSFER, .counter = ANN, .outcome = OUTCOME_OK, .status = 200,                   \
    .more = &shop->taker, .n_more = 1
#define RESERVE                                                                                    \
    .kind = KIND_RESERVE, .counter = TEE, .outcome = OUTCOME_OK, .status = 201, .quantity = 1,     \
    .n_more = 1
#define CONFIRM                                                                                    \
    .kind = KIND_CONFIRM, .counter = TEE, .outcome = OUTCOME_OK, .status = 200, .n_more = 1
#define ORDER_OK .counter = ORDER, .outcome = OUTCOME_OK, .quantity = 1, .n_more = 3
#define CODE_OK .counter = CODE, .outcome = OUTCOME_OK, .user = "eve"
#define READ .kind = KIND_READ, .outcome = OUTCOME_OK, .status = 200
#define REFUSED .outcome = OUTCOME_FAIL, .status = 409
#define UNKNOWN .outcome = OUTCOME_INFO, .status = 0, .detail = "timeout"
#define FROM(from_ms, to_ms) .invoke_ns = (from_ms), .complete_ns = (to_ms)
#define SAW(at_version, left) SAW_VERSION(at_version), .remaining = KNOWN(left)
#define SAW_VERSION(at_version) .version = KNOWN(at_version)

// 20 units; 2 + 3 + 4 + 1 are sold.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static void sell_stock(struct shop *shop)
{
    ATTEMPT(DEDUCT, .key = "r-1", .user = "u1", .quantity = 2, FROM(10, 20), SAW(2, 18));
    ATTEMPT(DEDUCT, .key = "r-2", .user = "u2", .quantity = 3, UNKNOWN, FROM(15, 0));
    ATTEMPT(READ, .counter = STOCK, FROM(28, 33), SAW(3, 15));
    ATTEMPT(DEDUCT, .key = "r-4", .user = "u4", .quantity = 4, FROM(30, 38), SAW(4, 11));
    ATTEMPT(DEDUCT, .key = "r-2", .user = "u2", .quantity = 3, .attempt = 1, .replayed = true,
            FROM(40, 50), SAW(3, 15));
    ATTEMPT(DEDUCT, .key = "r-5", .user = "u5", .quantity = 12, REFUSED, .detail = "out-of-stock",
            FROM(66, 70), SAW(4, 11));
    ATTEMPT(DEDUCT, .key = "r-6", .user = "u6", .quantity = 1, UNKNOWN, FROM(67, 0));
    ATTEMPT(DEDUCT, .key = "r-7", .user = "u7", .quantity = 1, .outcome = OUTCOME_FAIL,
            .status = 503, .detail = "lock-busy", FROM(70, 75));
    ATTEMPT(DEDUCT, .key = "r-8", .user = "u8", .quantity = 1, UNKNOWN, FROM(80, 0));
    ATTEMPT(DEDUCT, .key = "r-1", .user = "u1", .quantity = 2, .attempt = 1, .replayed = true,
            FROM(11, 90), SAW(2, 18));
    add_row(shop, (struct ledger_row){STOCK, 2, -2, 18, 0, 5, "r-1", "u1", "deduct", NULL, 0});
    add_row(shop, (struct ledger_row){STOCK, 3, -3, 15, 0, 5, "r-2", "u2", "deduct", NULL, 0});
    add_row(shop, (struct ledger_row){STOCK, 4, -4, 11, 0, 6, "r-4", "u4", "deduct", NULL, 0});
    add_row(shop, (struct ledger_row){STOCK, 5, -1, 10, 0, 6, "r-6", "u6", "deduct", NULL, 0});
    shop->finals[STOCK] = (struct ledger_final){5, 10, true};
}

static void issue_coupons(struct shop *shop)
{
    ATTEMPT(ISSUE, .key = "r-10", .user = "u1", .detail = "A", FROM(10, 20), SAW(2, 2));
    ATTEMPT(ISSUE, .key = "r-11", .user = "u2", .detail = "B", FROM(12, 22), SAW(3, 1));
    ATTEMPT(ISSUE, .key = "r-12", .user = "u1", REFUSED, .detail = "limit-reached", FROM(23, 30),
            SAW(3, 1));
    ATTEMPT(ISSUE, .key = "r-13", .user = "u3", .detail = "C", FROM(24, 40), SAW(4, 0));
    ATTEMPT(ISSUE, .key = "r-14", .user = "u4", REFUSED, .detail = "coupon-exhausted", FROM(35, 45),
            SAW(4, 0));
    add_row(shop, (struct ledger_row){COUPON, 2, -1, 2, 0, 0, "r-10", "u1", "issue", NULL, 0});
    add_row(shop, (struct ledger_row){COUPON, 3, -1, 1, 0, 0, "r-11", "u2", "issue", NULL, 0});
    add_row(shop, (struct ledger_row){COUPON, 4, -1, 0, 0, 0, "r-13", "u3", "issue", NULL, 0});
    shop->finals[COUPON] = (struct ledger_final){4, 0, true};
}

static void draw_prizes(struct shop *shop)
{
    ATTEMPT(DRAW, .key = "r-20", .user = "u1", .detail = "gold", FROM(10, 20), SAW_VERSION(2));
    ATTEMPT(DRAW, .key = "r-21", .user = "u2", FROM(12, 22), SAW_VERSION(3));
    ATTEMPT(DRAW, .key = "r-22", .user = "u2", REFUSED, .detail = "already-drawn", FROM(30, 33),
            SAW(3, 2));
    ATTEMPT(DRAW, .key = "r-23", .user = "u3", UNKNOWN, FROM(25, 0));
    add_row(shop, (struct ledger_row){LOTTERY, 2, -1, 2, 0, 0, "r-20", "u1", "draw", NULL, 0});
    add_row(shop, (struct ledger_row){LOTTERY, 3, 0, 2, 0, 0, "r-21", "u2", "draw", NULL, 0});
    add_row(shop, (struct ledger_row){GOLD, 2, -1, 1, 1, 0, "r-20", "u1", "draw", NULL, 0});
    shop->finals[LOTTERY] = (struct ledger_final){3, 2, true};
    shop->finals[GOLD] = (struct ledger_final){0, 1, true};
    shop->finals[SILVER] = (struct ledger_final){0, 1, true};
}

static void move_points(struct shop *shop)
{
    shop->taker = (struct attempt_leg){BOB, 4, KNOWN(2), KNOWN(5), NULL};
    ATTEMPT(EARN, .key = "r-30", .user = "ann", .quantity = 2, FROM(10, 20), SAW(2, 12));
    ATTEMPT(TRANSFER, .key = "r-31", .user = "ann", .quantity = 4, FROM(25, 30), SAW(3, 8));
    ATTEMPT(SPEND, .key = "r-32", .user = "bob", .quantity = 9, REFUSED,
            .detail = "not-enough-points", FROM(35, 40), SAW(2, 5));
    add_row(shop, (struct ledger_row){ANN, 2, 2, 12, 0, 0, "r-30", "ann", "earn", NULL, 0});
    add_row(shop, (struct ledger_row){ANN, 3, -4, 8, 0, 0, "r-31", "ann", "transfer", NULL, 0});
    add_row(shop, (struct ledger_row){BOB, 2, 4, 5, 1, 0, "r-31", "ann", "transfer", NULL, 0});
    shop->finals[ANN] = (struct ledger_final){3, 8, true};
    shop->finals[BOB] = (struct ledger_final){2, 5, true};
}

// 2 units, both reserved; A is confirmed, B expires.
static void hold_tees(struct shop *shop)
{
    shop->held_a = (struct attempt_leg){.counter = HOLD_A, .amount = 1};
    shop->held_b = (struct attempt_leg){.counter = HOLD_B, .amount = 1};
    shop->sold_a = (struct attempt_leg){.counter = HOLD_A, .amount = -1};
    ATTEMPT(RESERVE, .key = "r-40", .user = "u1", .detail = "A", .more = &shop->held_a,
            .expires_at_ms = KNOWN(1500), FROM(10, 20), SAW(2, 1));
    ATTEMPT(RESERVE, .key = "r-41", .user = "u2", .detail = "B", .more = &shop->held_b,
            .expires_at_ms = KNOWN(1000), FROM(12, 22), SAW(3, 0));
    ATTEMPT(DEDUCT, .counter = TEE, .key = "r-42", .user = "u3", .quantity = 1, REFUSED,
            .detail = "out-of-stock", FROM(30, 35), SAW(3, 0));
    ATTEMPT(CONFIRM, .key = "r-43", .user = "u1", .more = &shop->sold_a, FROM(40, 45), SAW(4, 0));
    add_row(shop, (struct ledger_row){TEE, 2, -1, 1, 0, 0, "r-40", "u1", "reserve", NULL, 500});
    add_row(shop, (struct ledger_row){HOLD_A, 1, 1, 1, 1, 0, "r-40", "u1", "reserve", NULL, 500});
    add_row(shop, (struct ledger_row){TEE, 3, -1, 0, 0, 0, "r-41", "u2", "reserve", NULL, 500});
    add_row(shop, (struct ledger_row){HOLD_B, 1, 1, 1, 1, 0, "r-41", "u2", "reserve", NULL, 500});
    add_row(shop, (struct ledger_row){TEE, 4, 0, 0, 0, 0, "r-43", "u1", "confirm", NULL, 900});
    add_row(shop, (struct ledger_row){HOLD_A, 2, -1, 0, 1, 0, "r-43", "u1", "confirm", NULL, 900});
    add_row(shop, (struct ledger_row){TEE, 5, 1, 1, 0, 0, "expire B 0", "", "expire", NULL, 1000});
    add_row(shop,
            (struct ledger_row){HOLD_B, 2, -1, 0, 1, 0, "expire B 0", "", "expire", NULL, 1000});
    shop->finals[TEE] = (struct ledger_final){5, 1, true};
    shop->finals[HOLD_A] = shop->finals[HOLD_B] = (struct ledger_final){2, 0, true};
}

// One mug for two points, with a code that has two uses; then the order is cancelled.
static void order_mug(struct shop *shop)
{
    shop->placed[0] = (struct attempt_leg){MUG, -1, KNOWN(2), KNOWN(0), NULL};
    shop->placed[1] = (struct attempt_leg){CODE, -1, KNOWN(1), KNOWN(1), NULL};
    shop->placed[2] = (struct attempt_leg){EVE, -2, KNOWN(2), KNOWN(3), NULL};
    shop->cancelled[0] = (struct attempt_leg){MUG, 1, KNOWN(3), KNOWN(1), NULL};
    shop->cancelled[1] = (struct attempt_leg){EVE, 2, KNOWN(3), KNOWN(5), NULL};
    shop->cancelled[2] = (struct attempt_leg){CODE, 1, KNOWN(2), KNOWN(2), NULL};
    ATTEMPT(ORDER_OK, .kind = KIND_ORDER, .status = 201, .key = "r-50", .user = "eve",
            .more = shop->placed, FROM(60, 65), SAW(1, 1));
    ATTEMPT(ORDER_OK, .kind = KIND_CANCEL, .status = 200, .key = "r-51", .user = "eve",
            .more = shop->cancelled, FROM(70, 75), SAW(2, 0));
    add_row(shop, (struct ledger_row){ORDER, 1, 1, 1, 0, 0, "r-50", "eve", "order", NULL, 1100});
    add_row(shop, (struct ledger_row){MUG, 2, -1, 0, 1, 0, "r-50", "eve", "order", NULL, 1100});
    add_row(shop, (struct ledger_row){CODE, 1, 1, 1, 2, 0, "r-50", "eve", "order", NULL, 1100});
    add_row(shop, (struct ledger_row){EVE, 2, -2, 3, 3, 0, "r-50", "eve", "order", NULL, 1100});
    add_row(shop, (struct ledger_row){ORDER, 2, -1, 0, 0, 0, "r-51", "eve", "cancel", NULL, 1200});
    add_row(shop, (struct ledger_row){MUG, 3, 1, 1, 1, 0, "r-51", "eve", "cancel", NULL, 1200});
    add_row(shop, (struct ledger_row){EVE, 3, 2, 5, 2, 0, "r-51", "eve", "cancel", NULL, 1200});
    add_row(shop, (struct ledger_row){CODE, 2, 1, 2, 3, 0, "r-51", "eve", "cancel", NULL, 1200});
    shop->finals[ORDER] = (struct ledger_final){2, 0, true};
    shop->finals[MUG] = (struct ledger_final){3, 1, true};
    shop->finals[EVE] = (struct ledger_final){3, 5, true};
}

// A use of the code without an order, at its version 2 or later.
static void redeem(struct shop *shop, const char *key, const char *redemption)
{
    struct ledger_final *code = &shop->finals[CODE];
    *code = (struct ledger_final){code->version + 1, code->remaining - 1, true};
    int64_t from_ms = 80 + 10 * code->version;
    ATTEMPT(CODE_OK, .kind = KIND_REDEEM, .status = 201, .key = key, .detail = redemption,
            FROM(from_ms, from_ms + 5), SAW(code->version, code->remaining));
    add_row(shop, (struct ledger_row){CODE, code->version, -1, code->remaining, 0, 0, key, "eve",
                                      "redeem", NULL, 1300});
}

// Gives a use back. redemption NULL: no answer came.
static void roll_back(struct shop *shop, const char *key, const char *redemption)
{
    struct ledger_final *code = &shop->finals[CODE];
    *code = (struct ledger_final){code->version + 1, code->remaining + 1, true};
    int64_t from_ms = 80 + 10 * code->version;
    if (redemption != NULL)
        ATTEMPT(CODE_OK, .kind = KIND_ROLLBACK, .status = 200, .key = key, .detail = redemption,
                FROM(from_ms, from_ms + 5), SAW(code->version, code->remaining));
    else
        ATTEMPT(CODE_OK, .kind = KIND_ROLLBACK, .key = key, UNKNOWN, FROM(from_ms, 0));
    add_row(shop, (struct ledger_row){CODE, code->version, 1, code->remaining, 0, 0, key, "eve",
                                      "rollback", NULL, 1300});
}

static void use_code(struct shop *shop)
{
    shop->finals[CODE] = (struct ledger_final){2, 2, true};
    redeem(shop, "r-60", "C:3");
    roll_back(shop, "r-61", "C:3");
}
#pragma GCC diagnostic pop

// A healthy run, in which every rule has something to check.
static struct shop *new_shop(void)
{
    struct shop *shop = calloc(1, sizeof *shop);
    ck_assert_ptr_nonnull(shop);
    shop->history.head = (struct history_head){.run = "r",
                                               .targets = {"http://127.0.0.1:8080"},
                                               .n_targets = 1,
                                               .counters = shop->counters,
                                               .n_counters = N_COUNTERS};
    shop->history.attempts = shop->attempts;
    shop->history.whole = true;
    shop->ledger.rows = shop->rows;
    shop->ledger.finals = shop->finals;
    open_counters(shop);
    sell_stock(shop);
    issue_coupons(shop);
    draw_prizes(shop);
    move_points(shop);
    hold_tees(shop);
    order_mug(shop);
    use_code(shop);
    return shop;
}

static void free_shop(struct shop *shop)
{
    verdict_release(&shop->verdict);
    free(shop);
}

static struct attempt *attempt_of(struct shop *shop, const char *key, int64_t number)
{
    for (size_t i = 0; i < shop->history.n_attempts; i++) {
        if (strcmp(shop->attempts[i].key, key) == 0 && shop->attempts[i].attempt == number)
            return &shop->attempts[i];
    }
    ck_abort_msg("no attempt %s", key);
    return NULL;
}

static struct attempt *reading_of(struct shop *shop)
{
    for (size_t i = 0; i < shop->history.n_attempts; i++) {
        if (shop->attempts[i].kind == KIND_READ)
            return &shop->attempts[i];
    }
    return NULL;
}

static struct ledger_row *row_of(struct shop *shop, size_t counter, int64_t version)
{
    for (size_t i = 0; i < shop->ledger.n_rows; i++) {
        if (shop->rows[i].counter == counter && shop->rows[i].version == version)
            return &shop->rows[i];
    }
    ck_abort_msg("no row of version %lld", (long long)version);
    return NULL;
}

static void check_with(struct shop *shop, bool allow_foreign)
{
    struct check_options options = {.allow_foreign = allow_foreign};
    verdict_release(&shop->verdict);
    check_history(&shop->history, &shop->ledger, &options, &shop->verdict);
    ck_assert_msg(shop->verdict.done, "%s", shop->verdict.why_not);
}

static void print_verdict(const struct verdict *verdict)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    verdict_write_text(verdict, &text);
    printf("%s\n", text.data);
}

// Exactly these invariants are broken: slugs with spaces between them.
static void expect_broken(struct shop *shop, const char *slugs)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    buffer_append_text(&text, "");
    for (size_t i = 0; i < shop->verdict.n_invariants; i++) {
        if (shop->verdict.invariants[i].violations > 0)
            buffer_format(&text, "%s%s", text.length > 0 ? " " : "",
                          shop->verdict.invariants[i].slug);
    }
    const char *broken = text.data;
    if (strcmp(broken, slugs) != 0)
        print_verdict(&shop->verdict);
    ck_assert_str_eq(broken, slugs);
}

// The first violation shown has these events, in this order: what their `who` begins with.
static void expect_events(const struct shop *shop, size_t n, const char *const *who)
{
    ck_assert_uint_gt(shop->verdict.n_shown, 0);
    const struct violation *violation = &shop->verdict.shown[0];
    if (violation->n_events != n)
        print_verdict(&shop->verdict);
    ck_assert_uint_eq(violation->n_events, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(strncmp(violation->events[i].who, who[i], strlen(who[i])) == 0, "%s",
                      violation->events[i].who);
}

#define EXPECT(slugs, ...)                                                                         \
    do {                                                                                           \
        const char *const who[] = {__VA_ARGS__};                                                   \
        check_with(shop, false);                                                                   \
        expect_broken(shop, slugs);                                                                \
        expect_events(shop, ARRAY_LENGTH(who), who);                                               \
        free_shop(shop);                                                                           \
    } while (0)

#define EXPECT_HEALTHY(allow_foreign)                                                              \
    do {                                                                                           \
        check_with(shop, allow_foreign);                                                           \
        expect_broken(shop, "");                                                                   \
        ck_assert_int_eq(shop->verdict.violations, 0);                                             \
    } while (0)

// Exactly these invariants are broken, whatever the violations show.
#define EXPECT_BROKEN(slugs)                                                                       \
    do {                                                                                           \
        check_with(shop, false);                                                                   \
        expect_broken(shop, slugs);                                                                \
        free_shop(shop);                                                                           \
    } while (0)

START_TEST(a_healthy_run_is_accepted)
{
    struct shop *shop = new_shop();
    EXPECT_HEALTHY(false);
    const struct verdict *verdict = &shop->verdict;
    for (size_t i = 0; i < verdict->n_invariants; i++)
        ck_assert_msg(verdict->invariants[i].looked_at > 0, "%s", verdict->invariants[i].slug);
    ck_assert_uint_eq(verdict->n_invariants, 24);
    ck_assert_int_eq(verdict->attempts, 30);
    ck_assert_int_eq(verdict->operations, 28);
    ck_assert_int_eq(verdict->reads, 1);
    ck_assert_int_eq(verdict->replays, 2);
    ck_assert_int_eq(verdict->refusals, 6);
    ck_assert_int_eq(verdict->unknown, 4);
    ck_assert_int_eq(verdict->ledger_rows, 31);
    free_shop(shop);
}
END_TEST

START_TEST(the_order_of_the_file_does_not_matter)
{
    struct shop *shop = new_shop();
    for (size_t i = 0, j = shop->history.n_attempts - 1; i < j; i++, j--) {
        struct attempt attempt = shop->attempts[i];
        shop->attempts[i] = shop->attempts[j];
        shop->attempts[j] = attempt;
    }
    for (size_t i = 0, j = shop->ledger.n_rows - 1; i < j; i++, j--) {
        struct ledger_row row = shop->rows[i];
        shop->rows[i] = shop->rows[j];
        shop->rows[j] = row;
    }
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

// ---- holds --------------------------------------------------------------------------------------

START_TEST(a_hold_that_is_confirmed_at_its_end)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-40", 0)->expires_at_ms.value = 900;
    EXPECT("expiry-exact", "r-40 at", "r-43 at", "ledger hold/t/A/0 version 1",
           "ledger hold/t/A/0 version 2");
}
END_TEST

START_TEST(a_hold_that_expires_early)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-41", 0)->expires_at_ms.value = 1001;
    EXPECT("expiry-exact", "r-41 at", "ledger hold/t/B/0 version 1", "ledger hold/t/B/0 version 2");
}
END_TEST

// At 900 ms it was known that A had been confirmed, and B was due since 899.
START_TEST(a_refusal_while_a_hold_is_due)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-41", 0)->expires_at_ms.value = 899;
    attempt_of(shop, "r-42", 0)->invoke_ns = 50 * MS;
    attempt_of(shop, "r-42", 0)->complete_ns = 60 * MS;
    attempt_of(shop, "r-42", 0)->version.value = 4;
    EXPECT("no-phantom-sold-out", "r-41 at", "r-42 at", "ledger hold/t/B/0 version 1");
}
END_TEST

// The same before any operation had told that time.
START_TEST(a_refusal_before_a_hold_is_known_to_be_due)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-41", 0)->expires_at_ms.value = 899;
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

START_TEST(an_extension_counts_from_its_own_version)
{
    struct shop *shop = new_shop();
    struct attempt *extend = attempt_of(shop, "r-43", 0);
    extend->kind = KIND_EXTEND;
    extend->expires_at_ms = (struct maybe)KNOWN(5000);
    shop->sold_a.amount = 0;
    row_of(shop, TEE, 4)->reason = row_of(shop, HOLD_A, 2)->reason = "extend";
    row_of(shop, HOLD_A, 2)->delta = 0;
    row_of(shop, HOLD_A, 2)->remaining = shop->finals[HOLD_A].remaining = 1;
    EXPECT_HEALTHY(false);
    row_of(shop, TEE, 4)->created_at_ms = row_of(shop, HOLD_A, 2)->created_at_ms = 1500;
    EXPECT("expiry-exact", "r-40 at", "r-43 at", "ledger hold/t/A/0 version 1",
           "ledger hold/t/A/0 version 2");
}
END_TEST

// The service resolves B twice, each time with rows that add up.
START_TEST(a_hold_that_is_resolved_twice)
{
    struct shop *shop = new_shop();
    add_row(shop, (struct ledger_row){TEE, 6, 0, 1, 0, 0, "expire B 1", "", "expire", NULL, 1001});
    add_row(shop,
            (struct ledger_row){HOLD_B, 3, 0, 0, 1, 0, "expire B 1", "", "expire", NULL, 1001});
    shop->finals[TEE].version = 6;
    shop->finals[HOLD_B].version = 3;
    EXPECT("holds-resolve-once", "ledger hold/t/B/0 version 2", "ledger hold/t/B/0 version 3");
}
END_TEST

START_TEST(a_hold_that_is_not_emptied)
{
    struct shop *shop = new_shop();
    row_of(shop, HOLD_B, 2)->delta = 0;
    row_of(shop, HOLD_B, 2)->remaining = shop->finals[HOLD_B].remaining = 1;
    EXPECT_BROKEN("holds-conserved holds-resolve-once");
}
END_TEST

START_TEST(an_expiry_that_makes_units)
{
    struct shop *shop = new_shop();
    row_of(shop, TEE, 5)->delta = row_of(shop, TEE, 5)->remaining = shop->finals[TEE].remaining = 2;
    EXPECT("holds-conserved", "ledger stock/t version 5", "ledger hold/t/B/0 version 2");
}
END_TEST

// A part of A goes back to the stock: at most what was held.
START_TEST(a_part_of_a_hold_that_is_confirmed)
{
    for (int64_t back = 1; back <= 2; back++) {
        struct shop *shop = new_shop();
        attempt_of(shop, "r-43", 0)->quantity = row_of(shop, TEE, 4)->delta = back;
        attempt_of(shop, "r-43", 0)->remaining.value = row_of(shop, TEE, 4)->remaining = back;
        row_of(shop, TEE, 5)->remaining = shop->finals[TEE].remaining = back + 1;
        if (back == 1) {
            EXPECT_HEALTHY(false);
            free_shop(shop);
        } else {
            EXPECT("holds-resolve-once", "r-40 at", "r-43 at", "ledger hold/t/A/0 version 1",
                   "ledger hold/t/A/0 version 2");
        }
    }
}
END_TEST

// Other units go back than the client asked for.
START_TEST(a_part_that_was_not_asked_for)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-43", 0)->quantity = 1;
    EXPECT("nothing-lost", "r-43 at", "ledger stock/t version 4");
}
END_TEST

// The last row of the expiry is missing: no hold of this run has expired.
START_TEST(an_expiry_without_a_hold)
{
    struct shop *shop = new_shop();
    row_of(shop, TEE, 5)->key = "expire Z 0";
    row_of(shop, HOLD_B, 2)->key = "expire Y 0";
    EXPECT_BROKEN("nothing-from-nowhere operations-whole holds-resolve-once");
}
END_TEST

// A reservation without an answer: its hold is not known, but its expiry may be its own.
START_TEST(an_expiry_of_a_hold_that_no_client_knows)
{
    struct shop *shop = new_shop();
    struct attempt *reserve = attempt_of(shop, "r-41", 0);
    *reserve = (struct attempt){.op = reserve->op,
                                .kind = KIND_RESERVE,
                                .counter = TEE,
                                .quantity = 1,
                                .outcome = OUTCOME_INFO,
                                .key = "r-41",
                                .user = "u2",
                                .detail = "timeout",
                                .invoke_ns = reserve->invoke_ns,
                                .complete_ns = HISTORY_NEVER};
    shop->history.head.n_counters = HOLD_B;
    size_t n = 0;
    for (size_t i = 0; i < shop->ledger.n_rows; i++) {
        if (shop->rows[i].counter != HOLD_B)
            shop->rows[n++] = shop->rows[i];
    }
    shop->ledger.n_rows = n;
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

// ---- orders -------------------------------------------------------------------------------------

START_TEST(an_order_that_returns_too_many_points)
{
    struct shop *shop = new_shop();
    row_of(shop, EVE, 3)->delta = shop->cancelled[1].amount = 3;
    row_of(shop, EVE, 3)->remaining = shop->cancelled[1].remaining.value = 6;
    shop->finals[EVE].remaining = 6;
    EXPECT("refund-bounded", "r-50 at", "r-51 at", "ledger order/r-50 version 1",
           "ledger order/r-50 version 2");
}
END_TEST

START_TEST(an_order_that_is_refunded_after_its_end)
{
    struct shop *shop = new_shop();
    ATTEMPT(.kind = KIND_REFUND, .counter = ORDER, .outcome = OUTCOME_OK, .status = 200,
            .key = "r-52", .user = "eve", .quantity = 1, FROM(80, 85), SAW(3, -1));
    add_row(shop, (struct ledger_row){ORDER, 3, -1, -1, 0, 0, "r-52", "eve", "refund", NULL, 1300});
    shop->finals[ORDER] = (struct ledger_final){3, -1, true};
    EXPECT_BROKEN("no-oversell refund-bounded");
}
END_TEST

START_TEST(an_order_without_one_of_its_legs)
{
    struct shop *shop = new_shop();
    row_of(shop, MUG, 2)->delta = 0;
    row_of(shop, MUG, 2)->remaining = shop->placed[0].remaining.value = 1;
    shop->placed[0].amount = 0;
    row_of(shop, MUG, 3)->remaining = shop->cancelled[0].remaining.value = 2;
    shop->finals[MUG].remaining = 2;
    EXPECT_BROKEN("holds-conserved refund-bounded");
}
END_TEST

// ---- codes --------------------------------------------------------------------------------------

START_TEST(a_code_that_is_used_within_its_campaign)
{
    struct shop *shop = new_shop();
    redeem(shop, "r-62", "C:5");
    redeem(shop, "r-63", "C:6");
    roll_back(shop, "r-64", NULL);
    roll_back(shop, "r-65", "C:5");
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

START_TEST(a_code_that_is_used_too_often)
{
    struct shop *shop = new_shop();
    redeem(shop, "r-62", "C:5");
    redeem(shop, "r-63", "C:6");
    redeem(shop, "r-64", "C:7");
    EXPECT_BROKEN("no-oversell redeem-caps");
}
END_TEST

// The first use gives the code one more use than its campaign grants, and all later rows add up.
START_TEST(a_code_that_grants_too_many_uses)
{
    struct shop *shop = new_shop();
    row_of(shop, CODE, 1)->delta++;
    for (int64_t version = 1; version <= 4; version++)
        row_of(shop, CODE, version)->remaining++;
    shop->placed[1].remaining.value++;
    shop->cancelled[2].remaining.value++;
    attempt_of(shop, "r-60", 0)->remaining.value++;
    attempt_of(shop, "r-61", 0)->remaining.value++;
    shop->finals[CODE].remaining++;
    EXPECT("redeem-caps", "r-50 at", "ledger code/C version 1");
}
END_TEST

START_TEST(a_code_of_another_user)
{
    struct shop *shop = new_shop();
    shop->counters[CODE].owner = "ann";
    EXPECT("redeem-caps", "r-50 at", "ledger code/C version 1");
}
END_TEST

START_TEST(a_redemption_that_is_rolled_back_twice)
{
    struct shop *shop = new_shop();
    redeem(shop, "r-62", "C:5");
    roll_back(shop, "r-63", "C:3");
    EXPECT("redeem-caps", "r-62 at", "r-63 at", "ledger code/C version 5",
           "ledger code/C version 6");
}
END_TEST

// Version 1 is the use of an order, which was cancelled; version 2 is the cancellation.
START_TEST(a_rollback_of_no_redemption)
{
    static const char *const names[] = {"C:1", "C:2", "C:6", "C:0", "C:9", "C", "D:5"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct shop *shop = new_shop();
        redeem(shop, "r-62", "C:5");
        roll_back(shop, "r-63", names[i]);
        EXPECT_BROKEN("redeem-caps");
    }
}
END_TEST

// No answer tells what it gives back, but there is nothing.
START_TEST(a_rollback_of_nothing)
{
    struct shop *shop = new_shop();
    roll_back(shop, "r-62", NULL);
    EXPECT_BROKEN("redeem-caps");
}
END_TEST

START_TEST(a_redemption_of_another_name)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-60", 0)->detail = "C:1";
    EXPECT("redeem-caps", "r-51 at", "r-60 at", "ledger code/C version 2",
           "ledger code/C version 3");
}
END_TEST

// The cancellation has given it back. Now a refund does, while a redemption has a use.
START_TEST(an_order_whose_code_comes_back_twice)
{
    struct shop *shop = new_shop();
    struct attempt_leg back = {CODE, 1, KNOWN(6), KNOWN(2), NULL};
    redeem(shop, "r-62", "C:5");
    ATTEMPT(.kind = KIND_REFUND, .counter = ORDER, .outcome = OUTCOME_OK, .status = 200,
            .key = "r-63", .user = "eve", .more = &back, .n_more = 1, FROM(140, 145), SAW(3, 0));
    add_row(shop, (struct ledger_row){ORDER, 3, 0, 0, 0, 0, "r-63", "eve", "refund", NULL, 1400});
    add_row(shop, (struct ledger_row){CODE, 6, 1, 2, 1, 0, "r-63", "eve", "refund", NULL, 1400});
    shop->finals[ORDER] = (struct ledger_final){3, 0, true};
    shop->finals[CODE] = (struct ledger_final){6, 2, true};
    EXPECT_BROKEN("refund-bounded redeem-caps");
}
END_TEST

// ---- versions -----------------------------------------------------------------------------------

START_TEST(a_missing_version)
{
    struct shop *shop = new_shop();
    row_of(shop, STOCK, 5)->version = 6;
    shop->finals[STOCK].version = 6;
    EXPECT("versions-without-gap", "r-4 at", "r-6 at", "ledger stock/s version 4",
           "ledger stock/s version 6");
}
END_TEST

START_TEST(a_version_twice)
{
    struct shop *shop = new_shop();
    add_row(shop, (struct ledger_row){LOTTERY, 3, 0, 2, 0, 0, "r-23", "u3", "draw", NULL, 0});
    check_with(shop, false);
    ck_assert_str_eq(shop->verdict.shown[0].sentence,
                     "lottery/l: version 3 exists 2 times: one writer has overwritten another."
                     " r-21 and r-23 both read version 2.");
    EXPECT("versions-without-gap", "r-21 at", "r-23 at", "ledger lottery/l version 3",
           "ledger lottery/l version 3");
}
END_TEST

START_TEST(a_ledger_that_ends_too_early)
{
    struct shop *shop = new_shop();
    shop->finals[STOCK].version = 6;
    EXPECT("versions-without-gap", "r-6 at", "ledger stock/s version 5");
    shop = new_shop();
    shop->finals[STOCK].version = 4;
    EXPECT("versions-without-gap", "r-6 at", "ledger stock/s version 5");
}
END_TEST

START_TEST(a_version_from_before_the_run)
{
    struct shop *shop = new_shop();
    add_row(shop, (struct ledger_row){STOCK, 1, -1, 19, 0, 0, "r-8", "u8", "deduct", NULL, 0});
    EXPECT("versions-without-gap", "r-8 at", "ledger stock/s version 1");
}
END_TEST

// ---- presence -----------------------------------------------------------------------------------

START_TEST(a_lost_success)
{
    struct shop *shop = new_shop();
    struct attempt *lost = attempt_of(shop, "r-8", 0);
    lost->outcome = OUTCOME_OK;
    lost->status = 200;
    lost->complete_ns = 90 * MS;
    lost->detail = "";
    lost->version = (struct maybe)KNOWN(6);
    lost->remaining = (struct maybe)KNOWN(9);
    EXPECT("nothing-lost", "r-8 at http://127.0.0.1:8080");
}
END_TEST

START_TEST(a_success_with_other_numbers)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-4", 0)->remaining.value = 17;
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
    shop = new_shop();
    attempt_of(shop, "r-4", 0)->version.value = 5;
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
    shop = new_shop();
    attempt_of(shop, "r-4", 0)->quantity = 3;
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
    shop = new_shop();
    row_of(shop, STOCK, 4)->user = "u9";
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
    shop = new_shop();
    row_of(shop, STOCK, 4)->reason = "restock";
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
    shop = new_shop();
    attempt_of(shop, "r-4", 0)->counter = COUPON;
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
    shop = new_shop();
    attempt_of(shop, "r-21", 0)->detail = "silver";
    EXPECT("nothing-lost", "r-21 at", "ledger lottery/l version 3");
}
END_TEST

START_TEST(a_change_that_nobody_asked_for)
{
    struct shop *shop = new_shop();
    shop->finals[STOCK] = (struct ledger_final){6, 9, true};
    struct ledger_row *row =
        add_row(shop, (struct ledger_row){STOCK, 6, -1, 9, 0, 6, "r-99", "u9", "deduct", NULL, 0});
    shop->history.whole = false; // the request may be missing
    EXPECT_HEALTHY(false);
    row->key = "s-99";
    EXPECT_HEALTHY(true);
    shop->history.whole = true;
    EXPECT_HEALTHY(true);
    row->key = "";
    EXPECT_HEALTHY(true);
    check_with(shop, false);
    expect_broken(shop, "nothing-from-nowhere");
    row->key = "s-99";
    check_with(shop, false);
    expect_broken(shop, "nothing-from-nowhere");
    row->key = "r-99";
    check_with(shop, true);
    expect_broken(shop, "nothing-from-nowhere");
    EXPECT("nothing-from-nowhere", "ledger stock/s version 6");
}
END_TEST

START_TEST(a_change_other_than_was_asked_for)
{
    struct shop *shop = new_shop();
    row_of(shop, STOCK, 5)->user = "u9";
    EXPECT("nothing-from-nowhere", "r-6 at", "ledger stock/s version 5");
    shop = new_shop();
    attempt_of(shop, "r-6", 0)->quantity = 2;
    EXPECT("nothing-from-nowhere", "r-6 at", "ledger stock/s version 5");
}
END_TEST

START_TEST(a_refusal_that_changed_something)
{
    struct shop *shop = new_shop();
    struct attempt *refused = attempt_of(shop, "r-6", 0);
    refused->outcome = OUTCOME_FAIL;
    refused->status = 503;
    refused->complete_ns = 99 * MS;
    shop->history.whole = false; // another attempt may be missing
    EXPECT_HEALTHY(false);
    shop->history.whole = true;
    EXPECT("refusals-changed-nothing", "r-6 at", "ledger stock/s version 5");
}
END_TEST

// ---- conservation -------------------------------------------------------------------------------

START_TEST(a_step_that_does_not_add_up)
{
    struct shop *shop = new_shop();
    row_of(shop, STOCK, 5)->remaining = shop->finals[STOCK].remaining = 11;
    check_with(shop, false);
    ck_assert_str_eq(shop->verdict.shown[0].sentence,
                     "stock/s: remaining was 11, change -1, but the row says 11 (expected 10).");
    EXPECT("conservation", "r-4 at", "r-6 at", "ledger stock/s version 4",
           "ledger stock/s version 5");
    shop = new_shop(); // the first step, from the state before the run
    shop->counters[STOCK].remaining = 19;
    EXPECT("conservation", "r-1 at", "ledger stock/s version 2");
}
END_TEST

START_TEST(an_end_that_does_not_add_up)
{
    struct shop *shop = new_shop();
    shop->finals[STOCK].remaining = 9;
    EXPECT("conservation", "r-6 at", "ledger stock/s version 5");
    shop = new_shop();
    shop->finals[SILVER].remaining = 0;
    check_with(shop, false);
    expect_broken(shop, "conservation");
    free_shop(shop);
}
END_TEST

START_TEST(less_than_nothing)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-6", 0)->quantity = 12;
    row_of(shop, STOCK, 5)->delta = -12;
    row_of(shop, STOCK, 5)->remaining = shop->finals[STOCK].remaining = -1;
    EXPECT("no-oversell", "r-4 at", "r-6 at", "ledger stock/s version 4",
           "ledger stock/s version 5");
}
END_TEST

// A lost update: two writers both read 11 and both write 10.
START_TEST(a_lost_update_oversells)
{
    struct shop *shop = new_shop();
    add_row(shop, (struct ledger_row){STOCK, 5, -1, 10, 0, 6, "r-8", "u8", "deduct", NULL, 0});
    EXPECT("versions-without-gap conservation", "r-6 at", "r-8 at", "ledger stock/s version 5",
           "ledger stock/s version 5");
    shop = new_shop(); // in the middle: the step after duplicate versions is not checked
    add_row(shop, (struct ledger_row){STOCK, 4, -1, 14, 0, 6, "r-8", "u8", "deduct", NULL, 0});
    attempt_of(shop, "r-8", 0)->invoke_ns = 20 * MS;
    row_of(shop, STOCK, 5)->remaining = shop->finals[STOCK].remaining = 13;
    check_with(shop, false);
    expect_broken(shop, "versions-without-gap conservation");
    ck_assert_int_eq(shop->verdict.violations, 2);
    free_shop(shop);
}
END_TEST

// Duplicate versions hide from the single steps what the sum of all rows shows.
START_TEST(more_taken_than_there_was)
{
    struct shop *shop = new_shop();
    for (int64_t i = 0; i < 11; i++)
        add_row(shop, (struct ledger_row){STOCK, 5, -1, 10, 0, 6, "r-8", "u8", "deduct", NULL, 0});
    check_with(shop, true);
    for (size_t i = 0; i < shop->verdict.n_shown; i++) {
        const struct violation *shown = &shop->verdict.shown[i];
        if (strcmp(shown->invariant, "no-oversell") != 0)
            continue;
        ck_assert_str_eq(shown->sentence, "stock/s: 21 were taken, but there were only 20.");
        free_shop(shop);
        return;
    }
    ck_abort_msg("not found");
}
END_TEST

// ---- draws --------------------------------------------------------------------------------------

START_TEST(half_a_draw)
{
    struct shop *shop = new_shop(); // the prize's row is missing
    *row_of(shop, GOLD, 2) = *row_of(shop, GOLD, 1);
    shop->finals[GOLD].remaining = 2;
    EXPECT("draws-whole", "r-20 at", "ledger lottery/l version 2");
    shop = new_shop(); // the lottery's row is missing
    add_row(shop, (struct ledger_row){GOLD, 3, -1, 0, 1, 0, "r-23", "u3", "draw", NULL, 0});
    shop->finals[GOLD].remaining = 0;
    EXPECT("operations-whole draws-whole", "r-23 at", "ledger prize/l/gold version 3");
    shop = new_shop(); // the lottery's row is that of a blank
    add_row(shop, (struct ledger_row){GOLD, 3, -1, 0, 1, 0, "r-21", "u2", "draw", NULL, 0});
    shop->finals[GOLD].remaining = 0;
    EXPECT("draws-whole", "r-21 at", "ledger lottery/l version 3", "ledger prize/l/gold version 3");
    shop = new_shop(); // and no answer tells what was drawn
    add_row(shop, (struct ledger_row){LOTTERY, 4, 0, 2, 0, 0, "r-23", "u3", "draw", NULL, 0});
    add_row(shop, (struct ledger_row){GOLD, 3, -1, 0, 1, 0, "r-23", "u3", "draw", NULL, 0});
    shop->finals[LOTTERY].version = 4;
    shop->finals[GOLD].remaining = 0;
    EXPECT("draws-whole", "r-23 at", "ledger lottery/l version 4", "ledger prize/l/gold version 3");
}
END_TEST

START_TEST(another_prize_than_was_won)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-20", 0)->detail = "silver";
    EXPECT("draws-whole", "r-20 at", "ledger lottery/l version 2", "ledger prize/l/gold version 2");
}
END_TEST

// ---- legs ---------------------------------------------------------------------------------------

START_TEST(rows_of_an_operation_that_differ)
{
    struct shop *shop = new_shop();
    row_of(shop, GOLD, 2)->reason = "adjust";
    EXPECT("operations-whole", "r-20 at", "ledger lottery/l version 2",
           "ledger prize/l/gold version 2");
    shop = new_shop();
    row_of(shop, BOB, 2)->strategy = "none";
    EXPECT("operations-whole", "r-31 at", "ledger points/ann version 3",
           "ledger points/bob version 2");
    shop = new_shop();
    row_of(shop, GOLD, 2)->user = "u9";
    EXPECT("operations-whole", "r-20 at", "ledger lottery/l version 2",
           "ledger prize/l/gold version 2");
}
END_TEST

START_TEST(an_operation_without_one_of_its_legs)
{
    struct shop *shop = new_shop(); // the last leg was dropped
    *row_of(shop, BOB, 2) = *row_of(shop, BOB, 1);
    shop->finals[BOB] = (struct ledger_final){1, 1, true};
    attempt_of(shop, "r-32", 0)->version.value = 1;
    attempt_of(shop, "r-32", 0)->remaining.value = 1;
    EXPECT("operations-whole points-conserved", "r-31 at", "ledger points/ann version 3");
    shop = new_shop(); // a leg that it has not
    row_of(shop, STOCK, 5)->leg = 1;
    EXPECT("operations-whole", "r-6 at", "ledger stock/s version 5");
    shop = new_shop(); // a leg more than was asked for
    row_of(shop, STOCK, 5)->key = "r-4";
    row_of(shop, STOCK, 5)->user = "u4";
    row_of(shop, STOCK, 5)->leg = 1;
    attempt_of(shop, "r-6", 0)->key = "r-98";
    attempt_of(shop, "r-4", 0)->complete_ns = 68 * MS;
    EXPECT("operations-whole", "r-4 at", "ledger stock/s version 4", "ledger stock/s version 5");
}
END_TEST

// Without its request, an operation's kind is told by its rows.
START_TEST(a_leg_is_missing_from_a_history_cut_short)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-31", 0)->key = "r-98";
    attempt_of(shop, "r-98", 0)->outcome = OUTCOME_INFO;
    attempt_of(shop, "r-98", 0)->status = 0;
    attempt_of(shop, "r-98", 0)->complete_ns = HISTORY_NEVER;
    shop->history.whole = false;
    EXPECT_HEALTHY(false);
    row_of(shop, BOB, 2)->leg = 0;
    row_of(shop, BOB, 2)->key = "r-97";
    check_with(shop, false);
    expect_broken(shop, "operations-whole points-conserved");
    row_of(shop, BOB, 2)->key = row_of(shop, ANN, 3)->key = "s-31"; // another client's
    row_of(shop, BOB, 2)->leg = 1;
    EXPECT_HEALTHY(true);
    row_of(shop, BOB, 2)->key = "s-32"; // with legs on accounts that the run does not know
    EXPECT_HEALTHY(true);
    free_shop(shop);
}
END_TEST

START_TEST(another_leg_than_was_promised)
{
    struct shop *shop = new_shop();
    shop->taker.version.value = 1;
    EXPECT("nothing-lost", "r-31 at", "ledger points/bob version 2");
    shop = new_shop();
    shop->taker.remaining.value = 6;
    EXPECT("nothing-lost", "r-31 at", "ledger points/bob version 2");
    shop = new_shop();
    shop->taker.amount = 3;
    EXPECT("nothing-lost", "r-31 at", "ledger points/bob version 2");
    shop = new_shop();
    shop->taker.counter = STOCK;
    EXPECT("nothing-lost", "r-31 at", "ledger points/bob version 2");
    shop = new_shop();
    shop->taker.remaining = (struct maybe){0};
    EXPECT("answers-complete", "r-31 at");
    shop = new_shop();
    shop->taker.version = (struct maybe){0};
    EXPECT("answers-complete", "r-31 at");
    shop = new_shop(); // no definite answer
    attempt_of(shop, "r-31", 0)->outcome = OUTCOME_INFO;
    attempt_of(shop, "r-31", 0)->status = 0;
    attempt_of(shop, "r-31", 0)->complete_ns = HISTORY_NEVER;
    EXPECT_HEALTHY(false);
    shop->taker.amount = 3;
    EXPECT("nothing-from-nowhere", "r-31 at", "ledger points/bob version 2");
}
END_TEST

START_TEST(points_out_of_nothing)
{
    struct shop *shop = new_shop(); // the receiver gets more than the sender gives
    attempt_of(shop, "r-31", 0)->outcome = OUTCOME_INFO;
    attempt_of(shop, "r-31", 0)->status = 0;
    attempt_of(shop, "r-31", 0)->complete_ns = HISTORY_NEVER;
    shop->taker.amount = row_of(shop, BOB, 2)->delta = 5;
    row_of(shop, BOB, 2)->remaining = shop->finals[BOB].remaining = 6;
    attempt_of(shop, "r-32", 0)->remaining.value = 6;
    check_with(shop, false);
    ck_assert_str_eq(shop->verdict.shown[0].sentence,
                     "r-31 only moves points, but its changes add up to 1.");
    EXPECT("points-conserved", "r-31 at", "ledger points/ann version 3",
           "ledger points/bob version 2");
    shop = new_shop(); // an account has more than its rows say
    shop->finals[BOB].remaining = 6;
    check_with(shop, false);
    expect_broken(shop, "conservation points-conserved");
    free_shop(shop);
}
END_TEST

START_TEST(a_refusal_of_points_without_reason)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-32", 0)->quantity = 5;
    EXPECT("readings-true", "r-32 at");
    shop = new_shop();
    attempt_of(shop, "r-32", 0)->detail = "out-of-stock";
    EXPECT("answers-complete", "r-32 at");
    shop = new_shop();
    attempt_of(shop, "r-32", 0)->remaining.value = 4;
    EXPECT("readings-true", "r-31 at", "r-32 at", "ledger points/bob version 2");
}
END_TEST

// ---- readings -----------------------------------------------------------------------------------

START_TEST(a_reading_that_was_not_true)
{
    struct shop *shop = new_shop();
    reading_of(shop)->remaining.value = 14;
    EXPECT("readings-true", "r-2 at", "operation 2 at", "ledger stock/s version 3");
    shop = new_shop();
    reading_of(shop)->version.value = 9;
    EXPECT("readings-true", "operation 2 at");
    shop = new_shop(); // the state before the run
    *reading_of(shop) = (struct attempt){.kind = KIND_READ,
                                         .status = 200,
                                         .version = KNOWN(1),
                                         .remaining = KNOWN(19),
                                         .complete_ns = MS,
                                         .key = "",
                                         .user = "",
                                         .detail = ""};
    EXPECT("readings-true", "operation 0 at");
}
END_TEST

// A negative number is a number, not an absent one.
START_TEST(a_reading_of_less_than_nothing)
{
    struct shop *shop = new_shop();
    reading_of(shop)->remaining.value = -1;
    EXPECT("readings-true", "r-2 at", "operation 2 at", "ledger stock/s version 3");
    shop = new_shop();
    attempt_of(shop, "r-5", 0)->remaining.value = -1;
    EXPECT("readings-true", "r-4 at", "r-5 at", "ledger stock/s version 4");
    shop = new_shop();
    reading_of(shop)->version.value = -1;
    EXPECT("real-time-order", "operation 2 at");
    shop = new_shop();
    attempt_of(shop, "r-4", 0)->remaining.value = -1;
    EXPECT("nothing-lost", "r-4 at", "ledger stock/s version 4");
}
END_TEST

static const struct invariant *invariant_of(const struct shop *shop, const char *slug)
{
    for (size_t i = 0; i < shop->verdict.n_invariants; i++) {
        if (strcmp(shop->verdict.invariants[i].slug, slug) == 0)
            return &shop->verdict.invariants[i];
    }
    ck_abort_msg("no invariant %s", slug);
    return NULL;
}

// A reading without a number is not counted as one that is true.
START_TEST(a_reading_that_says_nothing_is_not_counted)
{
    struct shop *shop = new_shop();
    check_with(shop, false);
    int64_t all = invariant_of(shop, "readings-true")->looked_at;
    ck_assert_int_eq(all, 7);
    reading_of(shop)->remaining = (struct maybe){0};
    check_with(shop, false);
    expect_broken(shop, "answers-complete");
    ck_assert_int_eq(invariant_of(shop, "readings-true")->looked_at, all - 1);
    for (size_t i = 0; i < shop->history.n_attempts; i++) {
        if (shop->attempts[i].kind == KIND_READ || shop->attempts[i].status == 409)
            shop->attempts[i].version = (struct maybe){0};
    }
    check_with(shop, false);
    expect_broken(shop, "answers-complete");
    ck_assert_int_eq(invariant_of(shop, "readings-true")->looked_at, 0);
    ck_assert_ptr_nonnull(
        strstr(invariant_of(shop, "readings-true")->sentence, "readings 0, refusals 0."));
    free_shop(shop);
}
END_TEST

START_TEST(an_answer_that_says_too_little)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-4", 0)->version = (struct maybe){0};
    EXPECT("answers-complete", "r-4 at");
    shop = new_shop();
    attempt_of(shop, "r-4", 0)->status = 202;
    EXPECT("answers-complete", "r-4 at");
    shop = new_shop();
    attempt_of(shop, "r-11", 0)->detail = "";
    EXPECT("answers-complete", "r-11 at");
    shop = new_shop();
    attempt_of(shop, "r-5", 0)->detail = "already-drawn";
    EXPECT("answers-complete", "r-5 at");
    shop = new_shop();
    attempt_of(shop, "r-14", 0)->status = 410;
    EXPECT("answers-complete", "r-14 at");
    shop = new_shop();
    reading_of(shop)->replayed = true;
    EXPECT("answers-complete", "operation 2 at");
}
END_TEST

START_TEST(a_refusal_without_reason)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-5", 0)->quantity = 11;
    EXPECT("readings-true", "r-5 at");
    shop = new_shop();
    attempt_of(shop, "r-12", 0)->user = "u9";
    EXPECT("readings-true", "r-12 at");
    shop = new_shop(); // too early: u3 gets it with version 4
    attempt_of(shop, "r-12", 0)->user = "u3";
    EXPECT("readings-true", "r-12 at");
    shop = new_shop();
    attempt_of(shop, "r-14", 0)->version.value = 3;
    attempt_of(shop, "r-14", 0)->remaining.value = 1;
    EXPECT("readings-true", "r-14 at");
    shop = new_shop();
    attempt_of(shop, "r-22", 0)->user = "u9";
    EXPECT("readings-true", "r-22 at");
}
END_TEST

// ---- real time ----------------------------------------------------------------------------------

START_TEST(a_stale_reading)
{
    struct shop *shop = new_shop();
    reading_of(shop)->invoke_ns = 39 * MS; // version 4 was answered at 38
    reading_of(shop)->complete_ns = 45 * MS;
    check_with(shop, false);
    expect_broken(shop, "real-time-order");
    const struct violation *violation = &shop->verdict.shown[0];
    ck_assert_int_eq(violation->events[0].from_ns, 30 * MS);
    ck_assert_int_eq(violation->events[0].to_ns, 38 * MS);
    ck_assert_int_eq(violation->events[1].from_ns, 39 * MS);
    ck_assert_ptr_nonnull(strstr(violation->sentence, "answered at 38.000 ms"));
    ck_assert_ptr_nonnull(strstr(violation->sentence, "sent only at 39.000 ms"));
    ck_assert_str_eq(violation->events[0].what,
                     "deduct 4 of stock/s for u4: 200, version 4, remaining 11");
    EXPECT("real-time-order", "r-4 at", "operation 2 at", "ledger stock/s version 4");
    shop = new_shop(); // older than the run
    reading_of(shop)->version.value = 0;
    EXPECT("real-time-order", "operation 2 at");
    shop = new_shop(); // reads the first version after the second was answered at 20
    reading_of(shop)->version.value = 1;
    reading_of(shop)->remaining.value = 20;
    EXPECT("real-time-order", "r-1 at", "operation 2 at", "ledger stock/s version 2");
}
END_TEST

START_TEST(a_reading_of_the_future)
{
    struct shop *shop = new_shop();
    reading_of(shop)->version.value = 4;
    reading_of(shop)->remaining.value = 11;
    EXPECT_HEALTHY(false); // at the same time as the change
    reading_of(shop)->complete_ns = 29 * MS;
    EXPECT("real-time-order", "operation 2 at", "r-4 at", "ledger stock/s version 4");
}
END_TEST

START_TEST(changes_in_the_wrong_order)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-4", 0)->invoke_ns = 1 * MS;
    attempt_of(shop, "r-4", 0)->complete_ns = 9 * MS;
    check_with(shop, false);
    expect_broken(shop, "real-time-order");
    ck_assert_ptr_nonnull(strstr(shop->verdict.shown[0].sentence, "wrote version 4 was answered"));
    free_shop(shop);
}
END_TEST

// The attempt of r-2 that had the effect decides whether r-2 came before r-4.
START_TEST(an_operation_begins_with_the_try_that_had_the_effect)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-2", 1)->replayed = false;
    EXPECT("real-time-order", "operation 2 at", "r-2 try 2 at", "ledger stock/s version 3");
    shop = new_shop(); // the first attempt is missing: its start is unknown
    attempt_of(shop, "r-2", 0)->key = "r-98";
    shop->history.whole = false;
    EXPECT_HEALTHY(false);
    shop->history.whole = true;
    check_with(shop, false);
    expect_broken(shop, "real-time-order");
    free_shop(shop);
}
END_TEST

// Readings of one version may come in any order.
START_TEST(readers_of_one_version_have_no_order)
{
    struct shop *shop = new_shop();
    add_attempt(shop, (struct attempt){.kind = KIND_READ,
                                       .status = 200,
                                       .version = KNOWN(5),
                                       .remaining = KNOWN(10),
                                       .invoke_ns = 200,
                                       .complete_ns = 210});
    add_attempt(shop, (struct attempt){.kind = KIND_READ,
                                       .status = 200,
                                       .version = KNOWN(5),
                                       .remaining = KNOWN(10),
                                       .invoke_ns = 180,
                                       .complete_ns = 190});
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

// ---- tokens -------------------------------------------------------------------------------------

START_TEST(a_token_that_falls)
{
    struct shop *shop = new_shop();
    row_of(shop, STOCK, 4)->token = 4;
    EXPECT("fencing-tokens", "r-2 at", "r-4 at", "ledger stock/s version 3",
           "ledger stock/s version 4");
    shop = new_shop(); // smaller than a token from before the run
    row_of(shop, STOCK, 1)->token = 9;
    check_with(shop, false);
    expect_broken(shop, "fencing-tokens");
    ck_assert_int_eq(shop->verdict.violations, 4);
    free_shop(shop);
    shop = new_shop();
    row_of(shop, COUPON, 3)->token = -1;
    EXPECT("fencing-tokens", "r-11 at", "ledger coupon/c version 3");
    shop = new_shop(); // changes without a token may come between
    row_of(shop, STOCK, 3)->token = 0;
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

START_TEST(a_token_of_two_strategies)
{
    struct shop *shop = new_shop();
    row_of(shop, STOCK, 5)->strategy = "lock-table";
    EXPECT("fencing-tokens", "r-4 at", "r-6 at", "ledger stock/s version 4",
           "ledger stock/s version 5");
}
END_TEST

// ---- keys ---------------------------------------------------------------------------------------

START_TEST(two_effects_of_one_key)
{
    struct shop *shop = new_shop();
    add_row(shop, (struct ledger_row){STOCK, 6, -1, 9, 0, 6, "r-6", "u6", "deduct", NULL, 0});
    shop->finals[STOCK] = (struct ledger_final){6, 9, true};
    EXPECT("one-key-one-effect", "r-6 at", "ledger stock/s version 5", "ledger stock/s version 6");
}
END_TEST

static struct shop *answered_twice(void)
{
    struct shop *shop = new_shop();
    struct attempt *first = attempt_of(shop, "r-2", 0);
    first->outcome = OUTCOME_OK;
    first->status = 200;
    first->detail = "";
    first->complete_ns = 27 * MS;
    first->version = (struct maybe)KNOWN(3);
    first->remaining = (struct maybe)KNOWN(15);
    return shop;
}

START_TEST(two_requests_under_one_key)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-2", 1)->quantity = 4;
    check_with(shop, false);
    expect_broken(shop, "nothing-lost one-key-one-effect");
    free_shop(shop);
    shop = new_shop();
    attempt_of(shop, "r-2", 1)->attempt = 0;
    EXPECT("one-key-one-effect", "r-2 at", "r-2 at");
}
END_TEST

// A transfer is sent again, and its leg differs.
START_TEST(a_repeated_request_has_the_same_legs)
{
    const struct attempt_leg leg = {BOB, 4, KNOWN(2), KNOWN(5), NULL};
    const struct {
        struct attempt_leg leg;
        const char *broken;
    } repeats[] = {{leg, ""},
                   {{BOB, 5, KNOWN(2), KNOWN(5), NULL}, "one-key-one-effect"},
                   {{GOLD, 4, KNOWN(2), KNOWN(5), NULL}, "one-key-one-effect"},
                   {{BOB, 4, KNOWN(3), KNOWN(5), NULL}, "identical-replays"},
                   {{BOB, 4, KNOWN(2), KNOWN(6), NULL}, "identical-replays"}};
    for (size_t i = 0; i < ARRAY_LENGTH(repeats); i++) {
        struct shop *shop = new_shop();
        struct attempt again = *attempt_of(shop, "r-31", 0);
        again.attempt = 1;
        again.replayed = true;
        again.invoke_ns = 50;
        again.complete_ns = 60;
        again.more = &repeats[i].leg;
        add_attempt(shop, again);
        check_with(shop, false);
        expect_broken(shop, repeats[i].broken);
        free_shop(shop);
    }
}
END_TEST

// A COMMIT without an answer: the service looks the key up, finds its own row, and answers with it.
START_TEST(an_only_answer_may_be_a_replay)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-4", 0)->replayed = true;
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

START_TEST(two_first_answers)
{
    struct shop *shop = answered_twice();
    EXPECT_HEALTHY(false);
    attempt_of(shop, "r-2", 1)->replayed = false;
    EXPECT("one-key-one-effect", "r-2 at", "r-2 try 2 at");
}
END_TEST

START_TEST(a_replay_that_differs)
{
    struct shop *shop = answered_twice();
    attempt_of(shop, "r-2", 1)->remaining.value = 14;
    EXPECT("identical-replays", "r-2 at", "r-2 try 2 at");
    shop = answered_twice();
    attempt_of(shop, "r-2", 1)->version.value = 4;
    EXPECT("identical-replays", "r-2 at", "r-2 try 2 at");
    shop = answered_twice();
    attempt_of(shop, "r-2", 1)->status = 201;
    EXPECT("answers-complete identical-replays", "r-2 try 2 at");
    shop = answered_twice();
    attempt_of(shop, "r-2", 1)->detail = "X";
    EXPECT("answers-complete identical-replays", "r-2 try 2 at");
}
END_TEST

START_TEST(a_refusal_after_success)
{
    struct shop *shop = new_shop();
    struct attempt again = *attempt_of(shop, "r-12", 0);
    again.key = "r-13";
    again.user = "u3";
    again.attempt = 1;
    again.version.value = 4;
    again.remaining.value = 0;
    again.invoke_ns = 38; // r-13 is answered at 40: this request may have come first
    again.complete_ns = 60;
    struct attempt *refused = add_attempt(shop, again);
    EXPECT_HEALTHY(false);
    refused->invoke_ns = 41 * MS;
    EXPECT("identical-replays", "r-13 at", "r-13 try 2 at");
}
END_TEST

START_TEST(one_code_for_two_coupons)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-11", 0)->detail = "A";
    EXPECT("unique-codes", "r-10 at", "r-11 at");
}
END_TEST

// ---- caps ---------------------------------------------------------------------------------------

START_TEST(more_than_there_are)
{
    struct shop *shop = new_shop();
    shop->counters[COUPON].total = 2;
    EXPECT("caps", "r-13 at", "ledger coupon/c version 4");
    shop = new_shop();
    shop->counters[GOLD].total = 0;
    EXPECT("caps", "r-20 at", "ledger prize/l/gold version 2");
    shop = new_shop(); // a total that the counter never had
    shop->counters[COUPON].total = 4;
    EXPECT_BROKEN("caps");
}
END_TEST

START_TEST(a_user_over_the_limit)
{
    struct shop *shop = new_shop();
    attempt_of(shop, "r-11", 0)->user = row_of(shop, COUPON, 3)->user = "u1";
    EXPECT("caps", "r-10 at", "r-11 at", "ledger coupon/c version 2", "ledger coupon/c version 3");
    shop = new_shop();
    attempt_of(shop, "r-21", 0)->user = row_of(shop, LOTTERY, 3)->user = "u1";
    attempt_of(shop, "r-22", 0)->user = "u1";
    EXPECT("caps", "r-20 at", "r-21 at", "ledger lottery/l version 2",
           "ledger lottery/l version 3");
    shop = new_shop(); // more than the limit, but from before the run
    shop->counters[COUPON].version = 4;
    shop->counters[COUPON].remaining = 0;
    for (size_t i = 0; i < shop->history.n_attempts; i++) {
        if (shop->attempts[i].kind == KIND_ISSUE)
            shop->attempts[i] = *reading_of(shop);
    }
    for (int64_t version = 2; version <= 4; version++) {
        row_of(shop, COUPON, version)->user = "u1";
        row_of(shop, COUPON, version)->key = "q-1";
        row_of(shop, COUPON, version)->token =
            10 - version; // wrong as well, but from before the run
    }
    EXPECT_HEALTHY(false);
    free_shop(shop);
}
END_TEST

// ---- the text -----------------------------------------------------------------------------------

static void check_width(const char *text, size_t most)
{
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        ck_assert_msg(length <= most, "%zu columns: %.*s", length, (int)length, line);
        line += length + (line[length] == '\n');
    }
}

START_TEST(the_verdict_is_readable)
{
    struct shop *shop = new_shop();
    struct buffer text CLEANUP(buffer_release) = {0};
    reading_of(shop)->invoke_ns = 39 * MS;
    reading_of(shop)->complete_ns = 45 * MS;
    check_with(shop, false);
    verdict_write_text(&shop->verdict, &text);
    static const char *const pieces[] = {
        "28 operations in 30 requests",
        "\n  holds   no-oversell               No more taken than there was: units taken 13",
        " issued 3 of 3, prizes won 1 of 3, points taken",
        "\n  BROKEN  real-time-order           ",
        "\nreal-time-order\n  stock/s: the request that wrote version 4 was answered at 38.000 ms",
        "\n             30.000 ms  [===================] ",
        "          [===============]  45.000 ms\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++)
        ck_assert_msg(strstr(text.data, pieces[i]) != NULL, "no %s in\n%s", pieces[i], text.data);
    check_width(text.data, 100);
    free_shop(shop);
}
END_TEST

// A ledger row brings the request that wrote it, with the time that the client saw. A row whose key
// no client sent stands alone.
START_TEST(a_row_is_shown_with_its_request)
{
    struct shop *shop = new_shop();
    struct buffer text CLEANUP(buffer_release) = {0};
    struct attempt *late = attempt_of(shop, "r-8", 0);
    *late = (struct attempt){.kind = KIND_DEDUCT,
                             .status = 200,
                             .quantity = 1,
                             .invoke_ns = late->invoke_ns,
                             .complete_ns = 87 * MS,
                             .version = KNOWN(5),
                             .remaining = KNOWN(10),
                             .key = "r-8",
                             .user = "u8",
                             .detail = ""};
    add_row(shop, (struct ledger_row){STOCK, 5, -1, 10, 0, 6, "r-8", "u8", "deduct", NULL, 0});
    check_with(shop, false);
    verdict_write_text(&shop->verdict, &text);
    ck_assert_msg(
        strstr(text.data,
               "\n    r-6 at http://127.0.0.1:8080"
               "\n      deduct 1 of stock/s for u6: no answer timeout"
               "\n             67.000 ms  [======================================>  no answer"
               "\n    r-8 at http://127.0.0.1:8080"
               "\n      deduct 1 of stock/s for u8: 200, version 5, remaining 10"
               "\n             80.000 ms                           [=============]  87.000 ms"
               "\n    ledger stock/s version 5\n      deduct by r-6 for u6: -1,") != NULL,
        "%s", text.data);
    free_shop(shop);

    shop = new_shop();
    add_row(shop, (struct ledger_row){STOCK, 6, -1, 8, 0, 6, "stranger", "", "deduct", NULL, 0});
    shop->finals[STOCK] = (struct ledger_final){6, 8, true};
    check_with(shop, true);
    expect_broken(shop, "conservation");
    static const char *const who[] = {"r-6 at", "ledger stock/s version 5",
                                      "ledger stock/s version 6"};
    expect_events(shop, ARRAY_LENGTH(who), who);
    const struct event *events = shop->verdict.shown[0].events;
    ck_assert_int_eq(events[0].operation, events[1].operation);
    ck_assert_int_ne(events[0].operation, events[2].operation);
    free_shop(shop);

    shop = new_shop(); // no client tells what the stranger has read
    add_row(shop, (struct ledger_row){STOCK, 5, -1, 10, 0, 6, "stranger", "", "deduct", NULL, 0});
    check_with(shop, true);
    expect_broken(shop, "versions-without-gap conservation");
    ck_assert_str_eq(shop->verdict.shown[0].sentence,
                     "stock/s: version 5 exists 2 times: one writer has overwritten another.");
    free_shop(shop);
}
END_TEST

// Ten thousand violations are counted, and three are shown.
START_TEST(many_violations_are_shown_few)
{
    struct shop *shop = new_shop();
    struct buffer text CLEANUP(buffer_release) = {0};
    for (int64_t version = 6; version < 16; version++)
        add_row(shop,
                (struct ledger_row){STOCK, version, 0, 10, 0, 0, "", "", "adjust", "admin", 0});
    shop->finals[STOCK].version = 15;
    check_with(shop, false);
    expect_broken(shop, "nothing-from-nowhere");
    ck_assert_int_eq(shop->verdict.violations, 10);
    ck_assert_uint_eq(shop->verdict.n_shown, 3);
    verdict_write_text(&shop->verdict, &text);
    ck_assert_ptr_nonnull(strstr(text.data, "\n10 violations in all"));
    check_width(text.data, 100);
    free_shop(shop);
}
END_TEST

// ---- the ledger: a fake service with these rows -------------------------------------------------

#define PLAYED_ROWS 3500

struct http {
    int64_t versions[PLAYED_ROWS]; // of the only counter's rows
    int64_t final;
    int moves; // how often the counter still changes
    int calls;
};

static json_t *play_page(const struct http *http, const char *path)
{
    long long after = 0;
    int limit = 0, n = 0;
    ck_assert_int_eq(
        sscanf(path, "/v1/ledger?counter=stock/s&after_version=%lld&limit=%d", &after, &limit), 2);
    ck_assert_int_eq(limit, 1000);
    json_t *rows = json_array();
    for (size_t i = 0; i < PLAYED_ROWS && n < limit; i++) {
        if (http->versions[i] <= after)
            continue;
        n++;
        char key[32];
        snprintf(key, sizeof key, "r-%zu", i);
        json_array_append_new(
            rows, json_pack("{s:I, s:i, s:I, s:s, s:s, s:i, s:n, s:n, s:s, s:i, s:i}", "version",
                            (json_int_t)http->versions[i], "delta", -1, "remaining", (json_int_t)i,
                            "reason", "deduct", "request_key", key, "leg", 0, "user_id", "order_id",
                            "strategy", "conditional", "token", 0, "created_at_ms", 1));
    }
    return json_pack("{s:o}", "rows", rows);
}

bool http_call(struct http *http, const char *method, const char *path, const json_t *body,
               json_t **ret_json, char *ret_error)
{
    (void)body;
    ck_assert_str_eq(method, "GET");
    http->calls++;
    if (strncmp(path, "/v1/ledger", 10) == 0) {
        *ret_json = play_page(http, path);
        return true;
    }
    ck_assert_str_eq(path, "/v1/stock/s");
    if (http->final == 0) {
        text_format(ret_error, HISTORY_ERROR_MAX, "GET %s was answered with 404.", path);
        return false;
    }
    *ret_json = json_pack("{s:I, s:i}", "version", (json_int_t)http->final, "remaining", 7);
    http->final += http->moves > 0;
    http->moves -= http->moves > 0;
    return true;
}

// A fake service with each version once, and the head of its history.
static struct http *new_http(struct history_head *head, struct history_counter *counter)
{
    struct http *http = calloc(1, sizeof *http);
    ck_assert_ptr_nonnull(http);
    for (size_t i = 0; i < PLAYED_ROWS; i++)
        http->versions[i] = (int64_t)i + 1;
    http->final = PLAYED_ROWS;
    *counter = (struct history_counter){.name = "stock/s", .kind = COUNTER_STOCK};
    *head = (struct history_head){.run = "r", .counters = counter, .n_counters = 1};
    return http;
}

START_TEST(a_ledger_is_fetched_page_by_page)
{
    struct history_head head;
    struct history_counter counter;
    struct ledger ledger;
    char error[HISTORY_ERROR_MAX] = "";
    struct http *http = new_http(&head, &counter);
    ck_assert_msg(ledger_fetch(http, &head, &ledger, error), "%s", error);
    ck_assert_uint_eq(ledger.n_rows, PLAYED_ROWS);
    for (size_t i = 0; i < PLAYED_ROWS; i++)
        ck_assert_int_eq(ledger.rows[i].version, http->versions[i]);
    ck_assert_str_eq(ledger.rows[17].key, "r-17");
    ck_assert_str_eq(ledger.rows[17].user, "");
    ck_assert_int_eq(ledger.finals[0].version, PLAYED_ROWS);
    ck_assert_int_eq(ledger.finals[0].remaining, 7);
    ledger_release(&ledger);
    free(http);
}
END_TEST

// Duplicate versions across every page boundary, and one version that fills more than a page.
START_TEST(no_row_hides_at_a_page_end)
{
    for (int same = 2; same <= 1000; same *= 10) {
        struct history_head head;
        struct history_counter counter;
        struct ledger ledger;
        char error[HISTORY_ERROR_MAX] = "";
        struct http *http = new_http(&head, &counter);
        for (size_t i = 0; i < PLAYED_ROWS; i++)
            http->versions[i] = (int64_t)((i + 1) / (size_t)same) + 1;
        ck_assert_msg(ledger_fetch(http, &head, &ledger, error), "%s", error);
        ck_assert_uint_eq(ledger.n_rows, PLAYED_ROWS);
        ledger_release(&ledger);
        for (size_t i = 0; i < PLAYED_ROWS; i++)
            http->versions[i] = 2;
        ck_assert_msg(ledger_fetch(http, &head, &ledger, error), "%s", error);
        ck_assert_uint_ge(ledger.n_rows, 1000);
        ledger_release(&ledger);
        free(http);
    }
}
END_TEST

START_TEST(a_counter_that_moves_is_read_again)
{
    struct history_head head;
    struct history_counter counter;
    struct ledger ledger;
    char error[HISTORY_ERROR_MAX] = "";
    struct http *http = new_http(&head, &counter);
    http->moves = 2;
    ck_assert_msg(ledger_fetch(http, &head, &ledger, error), "%s", error);
    ck_assert_uint_eq(ledger.n_rows, PLAYED_ROWS);
    ck_assert_int_eq(ledger.finals[0].version, PLAYED_ROWS + 2);
    ledger_release(&ledger);
    http->moves = 1000;
    ck_assert(!ledger_fetch(http, &head, &ledger, error));
    ck_assert_str_eq(error, "The ledger of stock/s cannot be read: it keeps changing; stop the "
                            "other clients that write to it.");
    http->final = 0;
    ck_assert(!ledger_fetch(http, &head, &ledger, error));
    ck_assert_str_eq(error, "GET /v1/stock/s was answered with 404.");
    free(http);
}
END_TEST

START_TEST(a_saved_ledger_comes_back)
{
    struct shop *shop = new_shop();
    struct ledger loaded;
    char error[HISTORY_ERROR_MAX] = "";
    shop->rows[5].key = "r-\"\\";
    shop->finals[STOCK].remaining = -1; // the shop oversold
    FILE *file = tmpfile();
    ck_assert(ledger_save(&shop->ledger, &shop->history.head, file, error));
    rewind(file);
    ck_assert_msg(ledger_load(fileno(file), &shop->history.head, &loaded, error), "%s", error);
    ck_assert_uint_eq(loaded.n_rows, shop->ledger.n_rows);
    for (size_t i = 0; i < loaded.n_rows; i++) {
        const struct ledger_row *one = &loaded.rows[i], *two = &shop->rows[i];
        ck_assert(one->counter == two->counter && one->version == two->version &&
                  one->delta == two->delta && one->remaining == two->remaining &&
                  one->leg == two->leg && one->token == two->token &&
                  one->created_at_ms == two->created_at_ms);
        ck_assert_str_eq(one->key, two->key);
        ck_assert_str_eq(one->user, two->user);
        ck_assert_str_eq(one->reason, two->reason);
        ck_assert_str_eq(one->strategy, two->strategy);
    }
    for (size_t i = 0; i < N_COUNTERS; i++) {
        ck_assert_int_eq(loaded.finals[i].version, shop->finals[i].version);
        ck_assert_int_eq(loaded.finals[i].remaining, shop->finals[i].remaining);
    }
    ledger_release(&loaded);
    fclose(file);
    free_shop(shop);
}
END_TEST

#define HEAD "{\"holdfast_ledger\":1,\"run\":\"r\"}\n"
#define FINAL "{\"final\":\"stock/s\",\"version\":1,\"remaining\":7}\n"
#define ROW(leg)                                                                                   \
    "{\"counter\":\"stock/s\",\"version\":1,\"delta\":7,\"remaining\":7,\"leg\":" leg              \
    ",\"token\":0,\"created_at_ms\":1,\"key\":\"\",\"user\":\"\",\"reason\":\"opening\",\"strategy\":\"admin\"}\n"
#define END "{\"end\":true,\"rows\":1}\n"

START_TEST(a_wrong_ledger_is_refused_by_line)
{
    static const struct {
        const char *text, *error; // NULL: it is valid
    } files[] = {
        {HEAD FINAL ROW("0") END, NULL},
        {"", "line 1: the closing line is missing: this ledger was cut short"},
        {"{\"holdfast_ledger\":2,\"run\":\"r\"}\n", "line 1: unknown format of the ledger"},
        {"{\"holdfast_ledger\":1,\"run\":\"q\"}\n", "line 1: this ledger belongs to another run"},
        {HEAD ROW("0") END, "line 4: a counter's final values are missing"},
        {HEAD FINAL ROW("0"), "line 4: the closing line is missing: this ledger was cut short"},
        {HEAD FINAL ROW("65") END, "line 3: `leg` must be within its range"},
        {HEAD FINAL ROW("null") END, "line 3: `leg` must be a whole number"},
        {HEAD FINAL ROW("00") END, "line 3: not a JSON object"},
        {HEAD FINAL ROW("0,\"leg\":0") END, "line 3: `leg` must be present only once"},
        {HEAD FINAL ROW("0,\"run\":\"r\"") END, "line 3: `run` must be absent from such a line"},
        {HEAD FINAL FINAL ROW("0") END, "line 3: this counter's final values were given before"},
        {HEAD "{\"final\":\"stock/s\",\"remaining\":7}\n",
         "line 2: `version` must be present exactly if the counter is no prize"},
        {HEAD FINAL END, "line 3: the closing line gives another number of rows"},
        {HEAD FINAL ROW("0") END ROW("0"), "line 5: there is more after the closing line"},
        {HEAD "{\"final\":\"stock/x\",\"version\":1,\"remaining\":7}\n",
         "line 2: this counter is not in the history's head"},
        {HEAD "{\"final\":\"sto\n", "line 2: not a JSON object"},
    };
    struct history_counter counter = {.name = "stock/s", .kind = COUNTER_STOCK};
    struct history_head head = {.run = "r", .counters = &counter, .n_counters = 1};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        FILE *file = tmpfile();
        struct ledger ledger;
        char error[HISTORY_ERROR_MAX] = "";
        fputs(files[i].text, file);
        rewind(file);
        bool loaded = ledger_load(fileno(file), &head, &ledger, error);
        ck_assert_msg(loaded == (files[i].error == NULL), "%s", files[i].text);
        ck_assert_str_eq(error, files[i].error != NULL ? files[i].error : "");
        if (loaded)
            ledger_release(&ledger);
        fclose(file);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *tests = tcase_create("check");
    tcase_add_test(tests, a_healthy_run_is_accepted);
    tcase_add_test(tests, the_order_of_the_file_does_not_matter);
    tcase_add_test(tests, an_order_that_returns_too_many_points);
    tcase_add_test(tests, an_order_that_is_refunded_after_its_end);
    tcase_add_test(tests, an_order_without_one_of_its_legs);
    tcase_add_test(tests, a_hold_that_is_confirmed_at_its_end);
    tcase_add_test(tests, a_hold_that_expires_early);
    tcase_add_test(tests, a_refusal_while_a_hold_is_due);
    tcase_add_test(tests, a_refusal_before_a_hold_is_known_to_be_due);
    tcase_add_test(tests, an_extension_counts_from_its_own_version);
    tcase_add_test(tests, a_hold_that_is_resolved_twice);
    tcase_add_test(tests, a_hold_that_is_not_emptied);
    tcase_add_test(tests, an_expiry_that_makes_units);
    tcase_add_test(tests, a_part_of_a_hold_that_is_confirmed);
    tcase_add_test(tests, a_part_that_was_not_asked_for);
    tcase_add_test(tests, an_expiry_without_a_hold);
    tcase_add_test(tests, an_expiry_of_a_hold_that_no_client_knows);
    tcase_add_test(tests, a_code_that_is_used_within_its_campaign);
    tcase_add_test(tests, a_code_that_is_used_too_often);
    tcase_add_test(tests, a_code_that_grants_too_many_uses);
    tcase_add_test(tests, a_code_of_another_user);
    tcase_add_test(tests, a_redemption_that_is_rolled_back_twice);
    tcase_add_test(tests, a_rollback_of_no_redemption);
    tcase_add_test(tests, a_rollback_of_nothing);
    tcase_add_test(tests, a_redemption_of_another_name);
    tcase_add_test(tests, an_order_whose_code_comes_back_twice);
    tcase_add_test(tests, a_missing_version);
    tcase_add_test(tests, a_version_twice);
    tcase_add_test(tests, a_ledger_that_ends_too_early);
    tcase_add_test(tests, a_version_from_before_the_run);
    tcase_add_test(tests, a_lost_success);
    tcase_add_test(tests, a_success_with_other_numbers);
    tcase_add_test(tests, a_change_that_nobody_asked_for);
    tcase_add_test(tests, a_change_other_than_was_asked_for);
    tcase_add_test(tests, a_refusal_that_changed_something);
    tcase_add_test(tests, a_step_that_does_not_add_up);
    tcase_add_test(tests, an_end_that_does_not_add_up);
    tcase_add_test(tests, less_than_nothing);
    tcase_add_test(tests, a_lost_update_oversells);
    tcase_add_test(tests, more_taken_than_there_was);
    tcase_add_test(tests, half_a_draw);
    tcase_add_test(tests, another_prize_than_was_won);
    tcase_add_test(tests, rows_of_an_operation_that_differ);
    tcase_add_test(tests, an_operation_without_one_of_its_legs);
    tcase_add_test(tests, a_leg_is_missing_from_a_history_cut_short);
    tcase_add_test(tests, another_leg_than_was_promised);
    tcase_add_test(tests, points_out_of_nothing);
    tcase_add_test(tests, a_refusal_of_points_without_reason);
    tcase_add_test(tests, a_reading_that_was_not_true);
    tcase_add_test(tests, a_reading_of_less_than_nothing);
    tcase_add_test(tests, a_reading_that_says_nothing_is_not_counted);
    tcase_add_test(tests, an_answer_that_says_too_little);
    tcase_add_test(tests, a_refusal_without_reason);
    tcase_add_test(tests, a_stale_reading);
    tcase_add_test(tests, a_reading_of_the_future);
    tcase_add_test(tests, changes_in_the_wrong_order);
    tcase_add_test(tests, an_operation_begins_with_the_try_that_had_the_effect);
    tcase_add_test(tests, readers_of_one_version_have_no_order);
    tcase_add_test(tests, a_token_that_falls);
    tcase_add_test(tests, a_token_of_two_strategies);
    tcase_add_test(tests, two_effects_of_one_key);
    tcase_add_test(tests, two_requests_under_one_key);
    tcase_add_test(tests, a_repeated_request_has_the_same_legs);
    tcase_add_test(tests, an_only_answer_may_be_a_replay);
    tcase_add_test(tests, two_first_answers);
    tcase_add_test(tests, a_replay_that_differs);
    tcase_add_test(tests, a_refusal_after_success);
    tcase_add_test(tests, one_code_for_two_coupons);
    tcase_add_test(tests, more_than_there_are);
    tcase_add_test(tests, a_user_over_the_limit);
    tcase_add_test(tests, the_verdict_is_readable);
    tcase_add_test(tests, a_row_is_shown_with_its_request);
    tcase_add_test(tests, many_violations_are_shown_few);
    tcase_add_test(tests, a_ledger_is_fetched_page_by_page);
    tcase_add_test(tests, no_row_hides_at_a_page_end);
    tcase_add_test(tests, a_counter_that_moves_is_read_again);
    tcase_add_test(tests, a_saved_ledger_comes_back);
    tcase_add_test(tests, a_wrong_ledger_is_refused_by_line);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
