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

#define OPERATIONS 600
#define MOMENT_NS 1000 // between two requests that the shop takes
#define USERS 8
#define LIMIT 2 // of coupons and draws for each user

#define ACCOUNTS 3
#define HOLDS_MAX 400
#define TTL_MS 25
#define CODE_USES 20
#define CODE_OWNER "u2"

// Holds and orders follow: a counter each.
enum { SHIRT, MUG, COUPON, LOTTERY, GOLD, SILVER, ANN, TEE = ANN + ACCOUNTS, CODE, COUNTERS };

// A hold or an order of tees.
struct hold {
    bool order;
    int64_t expires_at_ms;
    bool told; // some client knows it
    char user[8];
};

struct shop {
    uint64_t random;
    struct history_head head;
    struct history_counter counters[COUNTERS + HOLDS_MAX];
    int64_t version[COUNTERS + HOLDS_MAX], remaining[COUNTERS + HOLDS_MAX], token;
    struct hold holds[HOLDS_MAX];
    size_t n_holds;
    int64_t redemption; // of the code: the version of the last one that a client knows
    bool rolled_back;   // that one
    int64_t used[COUNTERS + HOLDS_MAX][USERS];
    struct ledger ledger;
    struct ledger_builder rows;
    struct buffer lines;
    int64_t attempts;
};

// What a client asks, and what the shop answers.
struct visit {
    struct attempt attempt;
    struct attempt_leg taker; // of a transfer; the hold of a reservation and its next steps; the
                              // stock of an order and its next steps
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

// The clock of the shop's database.
static int64_t now_ms(const struct visit *visit)
{
    return visit->taken_ns / MOMENT_NS;
}

static struct hold *hold_of(struct shop *shop, const struct visit *visit)
{
    return &shop->holds[visit->taker.counter - COUNTERS];
}

static void add_row(struct shop *shop, size_t counter, int64_t delta, int64_t leg,
                    const struct visit *visit)
{
    static const char *const strategies[COUNTERS] = {
        "redis-lock", "conditional", "lock-table", "row-lock",    "row-lock", "row-lock",
        "optimistic", "optimistic",  "optimistic", "conditional", "row-lock"};
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
        .strategy = visit != NULL ? strategies[counter < COUNTERS ? counter : TEE] : "admin",
        .created_at_ms = visit != NULL ? now_ms(visit) : 0,
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
    if (attempt->n_more > 0 && visit->taker.counter < COUNTERS && status != 409) {
        taker->version = (struct maybe){shop->version[taker->counter], true};
        taker->remaining = (struct maybe){shop->remaining[taker->counter], true};
    }
}

static void refuse(const struct shop *shop, struct visit *visit, const char *slug)
{
    text_copy(visit->detail, sizeof visit->detail, slug);
    see(shop, visit, 409);
    bool order = visit->attempt.kind == KIND_ORDER;
    if (!order && strncmp(slug, "reservation-", strlen("reservation-")) != 0)
        return;
    visit->attempt.version = visit->attempt.remaining = (struct maybe){0, false};
    visit->taker.version = (struct maybe){order ? shop->version[TEE] : 0, order};
    visit->taker.remaining = (struct maybe){order ? shop->remaining[TEE] : 0, order};
}

// Gives back what is held by holds that are due.
static void expire(struct shop *shop, int64_t taken_ns)
{
    for (size_t i = 0; i < shop->n_holds; i++) {
        int64_t held = shop->remaining[COUNTERS + i];
        struct visit visit = {.attempt.kind = KIND_EXPIRE, .taken_ns = taken_ns};
        if (held == 0 || shop->holds[i].order || shop->holds[i].expires_at_ms > now_ms(&visit))
            continue;
        text_format(visit.key, sizeof visit.key, "expire R%zu 0", i);
        add_row(shop, TEE, held, 0, &visit);
        add_row(shop, COUNTERS + i, -held, 1, &visit);
    }
}

static void begin_hold(struct shop *shop, struct visit *visit)
{
    size_t n = shop->n_holds++;
    struct history_counter *counter = &shop->counters[COUNTERS + n];
    ck_assert_uint_lt(n, HOLDS_MAX);
    counter->kind = COUNTER_HOLD;
    text_format(counter->name, sizeof counter->name, "hold/tee/R%zu/0", n);
    visit->taker = (struct attempt_leg){.counter = COUNTERS + n, .amount = visit->attempt.quantity};
    visit->attempt.n_more = 1;
    text_format(visit->detail, sizeof visit->detail, "R%zu", n);
    text_copy(shop->holds[n].user, sizeof shop->holds[n].user, visit->user);
}

// Sets when the hold expires: after a reservation or an extension.
static void set_term(struct shop *shop, struct visit *visit)
{
    int64_t expires_at_ms = now_ms(visit) + TTL_MS;
    hold_of(shop, visit)->expires_at_ms = expires_at_ms;
    visit->attempt.expires_at_ms = (struct maybe){expires_at_ms, true};
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
    if (attempt->kind == KIND_ORDER)
        return shop->remaining[TEE] < attempt->quantity ? "out-of-stock" : NULL;
    if (attempt->kind == KIND_REDEEM)
        return shop->version[CODE] > 0 && shop->remaining[CODE] == 0 ? "coupon-redeemed" : NULL;
    if (attempt->kind == KIND_ROLLBACK)
        return shop->rolled_back ? "already-rolled-back" : NULL;
    if (attempt->kind == KIND_CANCEL || attempt->kind == KIND_REFUND)
        return shop->remaining[attempt->counter] == 0 ? "order-closed" : NULL;
    if (visit->attempt.n_more > 0 && visit->taker.counter >= COUNTERS)
        return shop->remaining[visit->taker.counter] > 0 ? NULL
               : now_ms(visit) >= shop->holds[visit->taker.counter - COUNTERS].expires_at_ms
                   ? "reservation-expired"
                   : "reservation-resolved";
    bool limited = counter_kind_has_limit(shop->counters[leg.counter].kind);
    if (limited && shop->used[leg.counter][visit->user[1] - '0'] == LIMIT)
        return attempt->kind == KIND_ISSUE ? "limit-reached" : "already-drawn";
    if (attempt->kind == KIND_DRAW || shop->remaining[leg.counter] + leg.amount >= 0)
        return NULL;
    return attempt->kind == KIND_DEDUCT || attempt->kind == KIND_RESERVE ? "out-of-stock"
           : attempt->kind == KIND_ISSUE                                 ? "coupon-exhausted"
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
    if (attempt->kind == KIND_RESERVE)
        begin_hold(shop, visit);
    for (size_t i = 0; i < attempt_n_legs(attempt); i++) {
        const struct attempt_leg leg = attempt_leg(attempt, i);
        bool opens = leg.counter == CODE && shop->version[CODE] == 0;
        add_row(shop, leg.counter, leg.amount + (opens ? CODE_USES : 0), (int64_t)i, visit);
    }
    shop->rolled_back |= attempt->kind == KIND_ROLLBACK;
    if (attempt_kind_expires(attempt->kind))
        set_term(shop, visit);
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
    if (attempt->counter == CODE)
        text_format(
            visit->detail, sizeof visit->detail, "C1:%lld",
            (long long)(attempt->kind == KIND_REDEEM ? shop->version[CODE] : shop->redemption));
    bool creates = attempt->kind == KIND_ISSUE || attempt->kind == KIND_RESERVE ||
                   attempt->kind == KIND_ORDER || attempt->kind == KIND_REDEEM;
    see(shop, visit, creates ? 201 : 200);
}

// ---- the clients --------------------------------------------------------------------------------

static void write_attempt(struct shop *shop, struct visit *visit)
{
    struct attempt *attempt = &visit->attempt;
    attempt->key = visit->key;
    attempt->user = visit->user;
    attempt->detail = visit->detail;
    attempt->more = &visit->taker;
    attempt->outcome = attempt_outcome_of(attempt->status, attempt->detail, false);
    if (attempt->kind == KIND_RESERVE && attempt->outcome == OUTCOME_OK)
        hold_of(shop, visit)->told = true;
    if (attempt->kind == KIND_REDEEM && attempt->outcome == OUTCOME_OK) {
        shop->redemption = attempt->version.value;
        shop->rolled_back = false;
    }
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
    failed.attempt.expires_at_ms = (struct maybe){0, false};
    if (attempt_kind_opens(failed.attempt.kind))
        failed.attempt.n_more = 0;
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

// One more step with a hold that its client knows. False if there is none.
static bool ask_of_hold(struct shop *shop, struct visit *visit)
{
    static const enum attempt_kind kinds[] = {KIND_CONFIRM, KIND_RELEASE, KIND_EXTEND};
    size_t recent = shop->n_holds < 6 ? shop->n_holds : 6;
    size_t n = recent > 0 ? shop->n_holds - 1 - generated_below(&shop->random, recent) : 0;
    if (recent == 0 || !shop->holds[n].told || shop->holds[n].order)
        return false;
    struct attempt *attempt = &visit->attempt;
    int64_t held = 0; // what was reserved
    for (size_t i = 0; i < shop->ledger.n_rows && held == 0; i++) {
        if (shop->ledger.rows[i].counter == COUNTERS + n)
            held = shop->ledger.rows[i].delta;
    }
    attempt->kind = kinds[generated_below(&shop->random, ARRAY_LENGTH(kinds))];
    attempt->counter = TEE;
    attempt->quantity = attempt->kind == KIND_RELEASE                       ? held
                        : attempt->kind == KIND_CONFIRM && chance(shop, 50) ? held / 2
                                                                            : 0;
    attempt->n_more = 1;
    visit->taker = (struct attempt_leg){.counter = COUNTERS + n,
                                        .amount = attempt->kind == KIND_EXTEND ? 0 : -held};
    text_copy(visit->user, sizeof visit->user, shop->holds[n].user);
    return true;
}

// An order, or a cancellation or a refund of a recent one.
static void ask_of_order(struct shop *shop, struct visit *visit)
{
    struct attempt *attempt = &visit->attempt;
    size_t n = shop->n_holds;
    for (size_t i = n; i-- > 0 && n == shop->n_holds && chance(shop, 80);)
        n = shop->holds[i].order && shop->version[COUNTERS + i] > 0 ? i : n;
    bool old = n < shop->n_holds, cancel = chance(shop, 50);
    int64_t left = old ? shop->remaining[COUNTERS + n] : 0;
    attempt->kind = !old ? KIND_ORDER : cancel ? KIND_CANCEL : KIND_REFUND;
    attempt->counter = COUNTERS + n;
    attempt->quantity = left == 0 ? 1 + (int64_t)generated_below(&shop->random, 3)
                        : cancel  ? left
                                  : 1;
    attempt->n_more = attempt->kind != KIND_REFUND;
    visit->taker = (struct attempt_leg){.counter = TEE,
                                        .amount = old ? attempt->quantity : -attempt->quantity};
    struct hold *order = &shop->holds[n];
    text_format(visit->user, sizeof visit->user, old ? "%.7s" : "u1", order->user);
    if (old)
        return;
    ck_assert_uint_lt(++shop->n_holds, HOLDS_MAX);
    *order = (struct hold){.order = true, .told = true, .user = "u1"};
    shop->counters[COUNTERS + n].kind = COUNTER_ORDER;
    text_format(shop->counters[COUNTERS + n].name, sizeof shop->counters[0].name, "order/%s",
                visit->key);
}

static void ask(struct shop *shop, struct visit *visit)
{
    struct attempt *attempt = &visit->attempt;
    static const struct {
        enum attempt_kind kind;
        size_t first, counters; // one of so many, from the first
    } kinds[] = {
        {KIND_DEDUCT, SHIRT, 2},        {KIND_DEDUCT, SHIRT, 2},        {KIND_ISSUE, COUPON, 1},
        {KIND_DRAW, LOTTERY, 1},        {KIND_READ, SHIRT, 2},          {KIND_READ, ANN, ACCOUNTS},
        {KIND_EARN, ANN, ACCOUNTS},     {KIND_EARN, ANN, ACCOUNTS},     {KIND_SPEND, ANN, ACCOUNTS},
        {KIND_TRANSFER, ANN, ACCOUNTS}, {KIND_TRANSFER, ANN, ACCOUNTS}, {KIND_RESERVE, TEE, 1},
        {KIND_RESERVE, TEE, 1},         {KIND_DEDUCT, TEE, 1},          {KIND_REDEEM, CODE, 1}};
    text_format(visit->key, sizeof visit->key, "run-%lld", (long long)attempt->op);
    attempt->target = generated_below(&shop->random, 2);
    if (chance(shop, 20) && ask_of_hold(shop, visit))
        return;
    if (chance(shop, 8)) {
        ask_of_order(shop, visit);
        return;
    }
    if (shop->redemption > 0 && chance(shop, 3)) {
        attempt->kind = KIND_ROLLBACK;
        attempt->counter = CODE;
        text_copy(visit->user, sizeof visit->user, CODE_OWNER);
        return;
    }
    size_t chosen = generated_below(&shop->random, ARRAY_LENGTH(kinds));
    size_t nth = generated_below(&shop->random, kinds[chosen].counters);
    attempt->kind = kinds[chosen].kind;
    attempt->counter = kinds[chosen].first + nth;
    if (attempt_kind_has_quantity(attempt->kind))
        attempt->quantity = chance(shop, 10) ? 60 : 1 + (int64_t)generated_below(&shop->random, 3);
    attempt->n_more = attempt->kind == KIND_TRANSFER;
    if (attempt->kind == KIND_TRANSFER)
        visit->taker = (struct attempt_leg){
            .counter = ANN + (nth + 1 + generated_below(&shop->random, ACCOUNTS - 1)) % ACCOUNTS,
            .amount = attempt->quantity};
    text_format(visit->user, sizeof visit->user, "u%d", (int)generated_below(&shop->random, USERS));
    if (attempt->kind == KIND_REDEEM)
        text_copy(visit->user, sizeof visit->user, CODE_OWNER);
}

static void operate(struct shop *shop, int64_t n)
{
    struct visit visit = {.attempt.op = n, .taken_ns = (n + 10) * MOMENT_NS};
    expire(shop, visit.taken_ns);
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
    if (changes && visit.attempt.status != 409 && chance(shop, 35)) {
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
        [SHIRT] = {"stock/shirt", COUNTER_STOCK, 1, 60, 0, 0, NULL},
        [MUG] = {"stock/mug", COUNTER_STOCK, 1, 35, 0, 0, NULL},
        [COUPON] = {"coupon/c", COUNTER_COUPON, 1, 15, 15, LIMIT, NULL},
        [LOTTERY] = {"lottery/l", COUNTER_LOTTERY, 1, 7, 0, LIMIT, NULL},
        [GOLD] = {"prize/l/gold", COUNTER_PRIZE, 1, 3, 3, 0, NULL},
        [SILVER] = {"prize/l/silver", COUNTER_PRIZE, 1, 4, 4, 0, NULL},
        [ANN] = {"points/ann", COUNTER_POINTS, 1, 20, 0, 0, NULL},
        [ANN + 1] = {"points/bob", COUNTER_POINTS, 1, 10, 0, 0, NULL},
        [ANN + 2] = {"points/eve", COUNTER_POINTS, 1, 5, 0, 0, NULL},
        [TEE] = {"stock/tee", COUNTER_STOCK, 1, 59, 0, 0, NULL},
        [CODE] = {"code/C1", COUNTER_CODE, 0, 0, CODE_USES, 0, CODE_OWNER},
    };
    memcpy(shop->counters, counters, sizeof counters);
    for (size_t i = COUNTERS; i < COUNTERS + HOLDS_MAX; i++)
        shop->counters[i].kind = COUNTER_HOLD;
    shop->head = (struct history_head){.run = "run",
                                       .scenario = "mixed",
                                       .started_at_ms = 1750000000123,
                                       .targets = {"http://a:1", "http://b:1"},
                                       .n_targets = 2,
                                       .counters = shop->counters,
                                       .n_counters = COUNTERS + HOLDS_MAX};
    shop->token = 5;
    ck_assert(ledger_builder_init(&shop->rows, &shop->ledger, COUNTERS + HOLDS_MAX));
    for (size_t i = 0; i < CODE; i++)
        add_row(shop, i, shop->counters[i].remaining, 0, NULL);
}

// Takes the file's content, which ends with a line feed.
static void split(FILE *file, struct generated_file *ret_file)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    *ret_file = (struct generated_file){.lines = calloc(4500, sizeof *ret_file->lines)};
    rewind(file);
    while ((length = getline(&line, &size, file)) > 0) {
        line[length - 1] = '\0';
        ck_assert_uint_lt(ret_file->n, 4500);
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

// Leaves out the holds that no client knows: no request asks the service for them.
static void forget_untold(struct shop *shop)
{
    size_t place[COUNTERS + HOLDS_MAX], n = 0, n_rows = 0;
    for (size_t i = 0; i < COUNTERS + shop->n_holds; i++) {
        bool known = i < COUNTERS || shop->holds[i - COUNTERS].told;
        place[i] = known ? n : SIZE_MAX;
        if (!known)
            continue;
        shop->counters[n] = shop->counters[i];
        shop->version[n] = shop->version[i];
        shop->remaining[n++] = shop->remaining[i];
    }
    for (size_t i = 0; i < shop->ledger.n_rows; i++) {
        struct ledger_row row = shop->ledger.rows[i];
        row.counter = place[row.counter];
        if (row.counter != SIZE_MAX)
            shop->ledger.rows[n_rows++] = row;
    }
    shop->ledger.n_rows = n_rows;
    shop->head.n_counters = n;
}

static void save_ledger(struct shop *shop, struct generated_file *ret_file)
{
    forget_untold(shop);
    char error[HISTORY_ERROR_MAX] = "";
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < shop->head.n_counters; i++)
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
