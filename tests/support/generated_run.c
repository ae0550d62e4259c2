// A simulated shop, and clients that use it. The shop takes one request at a time, at a known
// moment; each client's request begins before that moment and its answer arrives after it. So the
// run is correct by construction. The load tester's own writers put it into files.
#include "generated_run.h"

#include "base/text.h"
#include "check/ledger.h"
#include "history/writer.h"
#include "run/seeded.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPERATIONS 420
#define MOMENT_NS 1000 // between two requests that the shop takes
#define USERS 8
#define LIMIT 2 // of coupons and draws for each user

#define ACCOUNTS 3

enum { SHIRT, MUG, COUPON, LOTTERY, GOLD, SILVER, ANN, COUNTERS = ANN + ACCOUNTS };

struct shop {
    uint64_t random;
    struct history_head head;
    struct history_counter counters[COUNTERS];
    int64_t version[COUNTERS], remaining[COUNTERS], token;
    int64_t used[COUNTERS][USERS];
    struct ledger ledger;
    struct ledger_builder rows;
    struct buffer lines;
    int64_t attempts;
};

// What a client asks, and what the shop answers.
struct visit {
    struct attempt attempt;
    struct attempt_leg taker; // of a transfer
    char key[32], user[8], detail[32];
    int64_t taken_ns; // when the shop takes the request
};

uint64_t generated_below(uint64_t *state, uint64_t bound)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return seeded_below(seeded_mix(*state), bound);
}

static bool chance(struct shop *shop, unsigned percent)
{
    return generated_below(&shop->random, 100) < percent;
}

// ---- the shop -----------------------------------------------------------------------------------

static void add_row(struct shop *shop, size_t counter, int64_t delta, int64_t leg,
                    const struct visit *visit)
{
    static const char *const strategies[COUNTERS] = {"redis-lock", "conditional", "lock-table",
                                                     "row-lock",   "row-lock",    "row-lock",
                                                     "optimistic", "optimistic",  "optimistic"};
    bool locked = visit != NULL && (counter == SHIRT || counter == COUPON);
    shop->version[counter]++;
    shop->remaining[counter] += delta;
    shop->token += locked && chance(shop, 40);
    const struct ledger_row row = {
        .counter = counter,
        .version = shop->version[counter],
        .delta = delta,
        .remaining = shop->remaining[counter],
        .leg = leg,
        .token = locked ? shop->token : 0,
        .key = visit != NULL ? visit->key : "",
        .user = visit != NULL ? visit->user : "",
        .reason = visit != NULL ? attempt_kind_name(visit->attempt.kind) : "opening",
        .strategy = visit != NULL ? strategies[counter] : "admin",
    };
    ck_assert(ledger_builder_add(&shop->rows, &row));
}

static void see(const struct shop *shop, struct visit *visit, int status)
{
    struct attempt *attempt = &visit->attempt;
    struct attempt_leg *taker = &visit->taker;
    attempt->status = status;
    attempt->version = (struct maybe){shop->version[attempt->counter], true};
    if (attempt->kind != KIND_DRAW || status == 409)
        attempt->remaining = (struct maybe){shop->remaining[attempt->counter], true};
    if (attempt->kind == KIND_TRANSFER && status == 200) {
        taker->version = (struct maybe){shop->version[taker->counter], true};
        taker->remaining = (struct maybe){shop->remaining[taker->counter], true};
    }
}

static void refuse(const struct shop *shop, struct visit *visit, const char *slug)
{
    text_copy(visit->detail, sizeof visit->detail, slug);
    see(shop, visit, 409);
}

static void draw(struct shop *shop, struct visit *visit)
{
    size_t prize = chance(shop, 40) ? SILVER : GOLD;
    bool won = chance(shop, 80) && shop->remaining[prize] > 0;
    if (won) {
        add_row(shop, prize, -1, 1, visit);
        text_copy(visit->detail, sizeof visit->detail, prize == GOLD ? "gold" : "silver");
    }
    add_row(shop, LOTTERY, won ? -1 : 0, 0, visit);
}

// Why the shop refuses the request, or NULL.
static const char *find_reason(const struct shop *shop, const struct visit *visit)
{
    const struct attempt *attempt = &visit->attempt;
    const struct attempt_leg leg = attempt_leg(attempt, 0);
    bool limited = counter_kind_has_limit(shop->counters[leg.counter].kind);
    if (limited && shop->used[leg.counter][visit->user[1] - '0'] == LIMIT)
        return attempt->kind == KIND_ISSUE ? "limit-reached" : "already-drawn";
    if (attempt->kind == KIND_DRAW || shop->remaining[leg.counter] + leg.amount >= 0)
        return NULL;
    return attempt->kind == KIND_DEDUCT  ? "out-of-stock"
           : attempt->kind == KIND_ISSUE ? "coupon-exhausted"
                                         : "not-enough-points";
}

static void change(struct shop *shop, struct visit *visit)
{
    const struct attempt *attempt = &visit->attempt;
    shop->used[attempt->counter][visit->user[1] - '0']++;
    if (attempt->kind == KIND_DRAW) {
        draw(shop, visit);
        return;
    }
    for (size_t i = 0; i < attempt_n_legs(attempt); i++) {
        const struct attempt_leg leg = attempt_leg(attempt, i);
        add_row(shop, leg.counter, leg.amount, (int64_t)i, visit);
    }
}

// The shop takes the request: it changes the counters, or refuses.
static void take(struct shop *shop, struct visit *visit)
{
    struct attempt *attempt = &visit->attempt;
    attempt->more = &visit->taker;
    if (attempt->kind == KIND_READ) {
        see(shop, visit, 200);
        return;
    }
    const char *reason = find_reason(shop, visit);
    if (reason != NULL) {
        refuse(shop, visit, reason);
        return;
    }
    change(shop, visit);
    if (attempt->kind == KIND_ISSUE)
        text_format(visit->detail, sizeof visit->detail, "code-%lld",
                    (long long)shop->version[attempt->counter]);
    see(shop, visit, attempt->kind == KIND_ISSUE ? 201 : 200);
}

// ---- the clients --------------------------------------------------------------------------------

static void write_attempt(struct shop *shop, struct visit *visit)
{
    struct attempt *attempt = &visit->attempt;
    attempt->key = visit->key;
    attempt->user = visit->user;
    attempt->detail = visit->detail;
    attempt->more = &visit->taker;
    attempt->outcome = attempt_outcome_of(attempt->status, attempt->detail);
    attempt->invoke_ns =
        visit->taken_ns - 1 - (int64_t)generated_below(&shop->random, 3 * MOMENT_NS);
    attempt->complete_ns =
        attempt->outcome == OUTCOME_INFO
            ? HISTORY_NEVER
            : visit->taken_ns + 1 + (int64_t)generated_below(&shop->random, 3 * MOMENT_NS);
    history_line(&shop->lines, &shop->head, attempt);
    shop->attempts++;
}

// Writes the request as one without an answer, or with one that says that nothing was changed.
static void write_failed(struct shop *shop, const struct visit *visit, int status,
                         const char *detail)
{
    struct visit failed = *visit;
    failed.attempt.status = status;
    failed.attempt.version = failed.attempt.remaining = (struct maybe){0, false};
    failed.taker.version = failed.taker.remaining = (struct maybe){0, false};
    text_copy(failed.detail, sizeof failed.detail, detail);
    write_attempt(shop, &failed);
}

// One more answer to the same request, later.
static void write_replay(struct shop *shop, struct visit *visit)
{
    visit->attempt.attempt++;
    visit->attempt.replayed = visit->attempt.status != 409;
    visit->taken_ns += 4 * MOMENT_NS;
    write_attempt(shop, visit);
}

static void ask(struct shop *shop, struct visit *visit)
{
    struct attempt *attempt = &visit->attempt;
    static const struct {
        enum attempt_kind kind;
        size_t first, counters; // one of so many, from the first
    } kinds[] = {{KIND_DEDUCT, SHIRT, 2},        {KIND_DEDUCT, SHIRT, 2},
                 {KIND_ISSUE, COUPON, 1},        {KIND_DRAW, LOTTERY, 1},
                 {KIND_READ, SHIRT, 2},          {KIND_READ, ANN, ACCOUNTS},
                 {KIND_EARN, ANN, ACCOUNTS},     {KIND_SPEND, ANN, ACCOUNTS},
                 {KIND_TRANSFER, ANN, ACCOUNTS}, {KIND_TRANSFER, ANN, ACCOUNTS}};
    size_t chosen = generated_below(&shop->random, ARRAY_LENGTH(kinds));
    size_t nth = generated_below(&shop->random, kinds[chosen].counters);
    attempt->kind = kinds[chosen].kind;
    attempt->counter = kinds[chosen].first + nth;
    attempt->target = generated_below(&shop->random, 2);
    if (attempt_kind_has_quantity(attempt->kind))
        attempt->quantity = chance(shop, 10) ? 60 : 1 + (int64_t)generated_below(&shop->random, 3);
    attempt->n_more = attempt->kind == KIND_TRANSFER;
    if (attempt->kind == KIND_TRANSFER)
        visit->taker = (struct attempt_leg){
            .counter = ANN + (nth + 1 + generated_below(&shop->random, ACCOUNTS - 1)) % ACCOUNTS,
            .amount = attempt->quantity};
    text_format(visit->key, sizeof visit->key, "run-%lld", (long long)attempt->op);
    text_format(visit->user, sizeof visit->user, "u%d", (int)generated_below(&shop->random, USERS));
}

static void operate(struct shop *shop, int64_t n)
{
    struct visit visit = {.attempt.op = n, .taken_ns = (n + 10) * MOMENT_NS};
    ask(shop, &visit);
    bool changes = attempt_kind_changes(visit.attempt.kind);
    if (changes && chance(shop, 10)) {
        write_failed(shop, &visit, 0, "timeout");
        return;
    }
    if (changes && chance(shop, 10)) {
        write_failed(shop, &visit, 503, "lock-busy");
        if (chance(shop, 50))
            return;
        visit.attempt.attempt++;
    }
    take(shop, &visit);
    if (changes && visit.attempt.status != 409 && chance(shop, 25)) {
        write_failed(shop, &visit, 0, "timeout"); // its answer is lost
        if (chance(shop, 50))
            write_replay(shop, &visit);
        return;
    }
    write_attempt(shop, &visit);
    if (changes && visit.attempt.status != 409 && chance(shop, 70))
        write_replay(shop, &visit); // a duplicate
}

// ---- the files ----------------------------------------------------------------------------------

static void open_shop(struct shop *shop)
{
    static const struct history_counter counters[COUNTERS] = {
        [SHIRT] = {"stock/shirt", COUNTER_STOCK, 1, 60, 0, 0},
        [MUG] = {"stock/mug", COUNTER_STOCK, 1, 35, 0, 0},
        [COUPON] = {"coupon/c", COUNTER_COUPON, 1, 13, 13, LIMIT},
        [LOTTERY] = {"lottery/l", COUNTER_LOTTERY, 1, 7, 0, LIMIT},
        [GOLD] = {"prize/l/gold", COUNTER_PRIZE, 1, 3, 3, 0},
        [SILVER] = {"prize/l/silver", COUNTER_PRIZE, 1, 4, 4, 0},
        [ANN] = {"points/ann", COUNTER_POINTS, 1, 20, 0, 0},
        [ANN + 1] = {"points/bob", COUNTER_POINTS, 1, 10, 0, 0},
        [ANN + 2] = {"points/eve", COUNTER_POINTS, 1, 5, 0, 0},
    };
    memcpy(shop->counters, counters, sizeof counters);
    shop->head = (struct history_head){.run = "run",
                                       .scenario = "mixed",
                                       .started_at_ms = 1750000000123,
                                       .targets = {"http://a:1", "http://b:1"},
                                       .n_targets = 2,
                                       .counters = shop->counters,
                                       .n_counters = COUNTERS};
    shop->token = 5;
    ck_assert(ledger_builder_init(&shop->rows, &shop->ledger, COUNTERS));
    for (size_t i = 0; i < COUNTERS; i++)
        add_row(shop, i, shop->counters[i].remaining, 0, NULL);
}

// Takes the file's content, which ends with a line feed.
static void split(FILE *file, struct generated_file *ret_file)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    *ret_file = (struct generated_file){.lines = calloc(2000, sizeof *ret_file->lines)};
    rewind(file);
    while ((length = getline(&line, &size, file)) > 0) {
        line[length - 1] = '\0';
        ck_assert_uint_lt(ret_file->n, 2000);
        ret_file->lines[ret_file->n++] = strdup(line);
    }
    free(line);
    (void)fclose(file);
}

static void save_history(struct shop *shop, struct generated_file *ret_file)
{
    char error[HISTORY_ERROR_MAX] = "";
    struct history_writer *writer = NULL;
    ck_assert_msg(history_create(NULL, &shop->head, &writer, error), "%s", error);
    history_flush(writer, &shop->lines);
    ck_assert_msg(history_finish(writer, shop->attempts, error), "%s", error);
    FILE *file = fdopen(dup(history_descriptor(writer)), "r");
    ck_assert_ptr_nonnull(file);
    split(file, ret_file);
    history_free(writer);
}

static void save_ledger(struct shop *shop, struct generated_file *ret_file)
{
    char error[HISTORY_ERROR_MAX] = "";
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < COUNTERS; i++)
        shop->ledger.finals[i] = (struct ledger_final){shop->version[i], shop->remaining[i], true};
    ck_assert_msg(ledger_save(&shop->ledger, &shop->head, file, error), "%s", error);
    split(file, ret_file);
}

void generated_run_init(struct generated_run *run, uint64_t seed)
{
    struct shop *shop = calloc(1, sizeof *shop);
    ck_assert_ptr_nonnull(shop);
    shop->random = seed;
    open_shop(shop);
    for (int64_t n = 0; n < OPERATIONS; n++)
        operate(shop, n);
    save_history(shop, &run->history);
    save_ledger(shop, &run->ledger);
    ledger_release(&shop->ledger);
    buffer_release(&shop->lines);
    free(shop);
}

static void release(struct generated_file *file)
{
    for (size_t i = 0; i < file->n; i++)
        free(file->lines[i]);
    free(file->lines);
}

void generated_run_release(struct generated_run *run)
{
    release(&run->history);
    release(&run->ledger);
}
