// The checker has no blind spots: every change of every member of a history or a ledger is found,
// unless it is listed with the reason why it rightly is not.
//
// The members come from the tables with which the checker reads its files. A correct run is
// generated, one member of one line is changed, and the checker must refuse the file as damaged or
// report a violation. Each change is made in every run that has a place for it, at a random one;
// three quarters of the runs must have one.
//
// A member without a change in the table below fails the test, and so does a listed change that is
// always found, or whose reason is missing from loadtest/checking.md.
#include "base/text.h"
#include "check/check.h"

#include "generated_run.h"
#include "suite.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEEDS 20
#define OPERATIONS 1000

// The types of lines; COUNTER is an element of `counters` in the history's head.
enum lines {
    HEAD,
    COUNTER,
    ATTEMPT,
    CLOSING,
    LEDGER_HEAD,
    FINAL,
    ROW,
    LEDGER_CLOSING,
    LINES_COUNT,
};

// A generated run and what the places of changes depend on.
struct world {
    uint64_t random;
    struct generated_run run;
    json_t **history, **ledger; // the lines
    size_t finals;              // lines of the ledger
    bool has_row[OPERATIONS], has_lost[OPERATIONS], has_first[OPERATIONS];
    int requests[OPERATIONS], successes[OPERATIONS];
};

static struct world worlds[SEEDS];

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text != NULL ? text : "";
}

static bool is(const json_t *line, const char *name, const char *text)
{
    return strcmp(text_of(line, name), text) == 0;
}

static json_int_t number_of(const json_t *line, const char *name)
{
    return json_integer_value(json_object_get(line, name));
}

static json_t **parse(const struct generated_file *file)
{
    json_t **lines = calloc(file->n, sizeof *lines);
    for (size_t i = 0; i < file->n; i++)
        ck_assert_ptr_nonnull(lines[i] = json_loads(file->lines[i], 0, NULL));
    return lines;
}

static void open_world(struct world *world, uint64_t seed)
{
    world->random = seed;
    generated_run_init(&world->run, seed);
    world->history = parse(&world->run.history);
    world->ledger = parse(&world->run.ledger);
    for (size_t i = 1; i + 1 < world->run.history.n; i++) {
        const json_t *line = world->history[i];
        json_int_t op = number_of(line, "op");
        world->requests[op]++;
        world->successes[op] += is(line, "outcome", "ok");
        world->has_lost[op] |= is(line, "outcome", "info");
        world->has_first[op] |=
            is(line, "outcome", "ok") && json_object_get(line, "replayed") == NULL;
    }
    for (size_t i = 0; i < world->run.ledger.n; i++) {
        const char *key = text_of(world->ledger[i], "key");
        world->finals += json_object_get(world->ledger[i], "final") != NULL;
        if (strncmp(key, "run-", strlen("run-")) == 0)
            world->has_row[strtol(key + strlen("run-"), NULL, 10)] = true;
    }
}

static void close_world(struct world *world)
{
    for (size_t i = 0; i < world->run.history.n; i++)
        json_decref(world->history[i]);
    for (size_t i = 0; i < world->run.ledger.n; i++)
        json_decref(world->ledger[i]);
    free(world->history);
    free(world->ledger);
    generated_run_release(&world->run);
}

static void open_worlds(void)
{
    for (size_t i = 0; i < SEEDS; i++)
        open_world(&worlds[i], i + 1);
}

static void close_worlds(void)
{
    for (size_t i = 0; i < SEEDS; i++)
        close_world(&worlds[i]);
}

// ---- the judgement ------------------------------------------------------------------------------

enum judgement { HOLDS, BROKEN, DAMAGED };

static FILE *write_file(const struct generated_file *file)
{
    FILE *out = fdopen(memfd_create("mutated", MFD_CLOEXEC), "w+");
    ck_assert_ptr_nonnull(out);
    for (size_t i = 0; i < file->n; i++)
        (void)fprintf(out, "%s\n", file->lines[i]);
    rewind(out);
    return out;
}

static enum judgement judge(const struct generated_run *run, struct verdict *ret_verdict,
                            char *ret_error)
{
    struct history history = {0};
    struct ledger ledger = {0};
    enum judgement judgement = DAMAGED;
    FILE *history_file = write_file(&run->history), *ledger_file = write_file(&run->ledger);
    if (history_read_file(fileno(history_file), &history, ret_error) &&
        ledger_load(fileno(ledger_file), &history.head, &ledger, ret_error)) {
        check_history(&history, &ledger, &(struct check_options){0}, ret_verdict);
        ck_assert(ret_verdict->done);
        judgement = ret_verdict->violations > 0 ? BROKEN : HOLDS;
    }
    history_release(&history);
    ledger_release(&ledger);
    (void)fclose(history_file);
    (void)fclose(ledger_file);
    return judgement;
}

// The judgement of the run with one line replaced. Takes ownership of the text.
static enum judgement judge_line(struct world *world, bool in_ledger, size_t line, char *text)
{
    struct generated_file *file = in_ledger ? &world->run.ledger : &world->run.history;
    struct verdict verdict = {0};
    char error[HISTORY_ERROR_MAX], *original = file->lines[line];
    file->lines[line] = text;
    enum judgement judgement = judge(&world->run, &verdict, error);
    file->lines[line] = original;
    free(text);
    verdict_release(&verdict);
    return judgement;
}

START_TEST(the_generated_runs_hold)
{
    for (size_t i = 0; i < SEEDS; i++) {
        struct verdict verdict = {0};
        char error[HISTORY_ERROR_MAX] = "";
        struct buffer text CLEANUP(buffer_release) = {0};
        enum judgement judgement = judge(&worlds[i].run, &verdict, error);
        verdict_write_text(&verdict, &text);
        ck_assert_msg(judgement == HOLDS, "seed %zu: %s\n%s", i, error, text.data);
        for (size_t rule = 0; rule < verdict.n_invariants; rule++)
            ck_assert_msg(verdict.invariants[rule].looked_at > 0, "seed %zu: %s is not exercised",
                          i, verdict.invariants[rule].slug);
        verdict_release(&verdict);
    }
}
END_TEST

// ---- places -------------------------------------------------------------------------------------

typedef bool place(const struct world *world, const json_t *line);

#define PLACE(name, condition)                                                                     \
    static bool name(const struct world *world, const json_t *line)                                \
    {                                                                                              \
        (void)world;                                                                               \
        return condition;                                                                          \
    }

#define OP number_of(line, "op")
#define HAS(name) (json_object_get(line, name) != NULL)

// Requests.
PLACE(anywhere, line != NULL)
PLACE(got, is(line, "kind", "read"))
PLACE(change, !got(world, line))
PLACE(ok, is(line, "outcome", "ok"))
PLACE(sold, ok(world, line) && change(world, line))
PLACE(deducted, sold(world, line) && is(line, "kind", "deduct"))
PLACE(issued, sold(world, line) && is(line, "kind", "issue"))
PLACE(issued_once, issued(world, line) && world->successes[OP] == 1)
PLACE(issued_twice, issued(world, line) && world->successes[OP] == 2)
PLACE(drawn, sold(world, line) && is(line, "kind", "draw"))
PLACE(won, drawn(world, line) && HAS("detail"))
PLACE(won_gold, won(world, line) && is(line, "detail", "gold"))
PLACE(blank, drawn(world, line) && !HAS("detail"))
PLACE(earned, sold(world, line) && is(line, "kind", "earn"))
PLACE(spent, sold(world, line) && is(line, "kind", "spend"))
PLACE(moved, sold(world, line) && is(line, "kind", "transfer"))
PLACE(reserved, sold(world, line) && is(line, "kind", "reserve"))
PLACE(reserved_twice, reserved(world, line) && world->successes[OP] == 2)
PLACE(confirmed, sold(world, line) && is(line, "kind", "confirm"))
PLACE(extended, sold(world, line) && is(line, "kind", "extend"))
PLACE(confirmed_part, confirmed(world, line) && HAS("quantity"))
PLACE(confirmed_whole, confirmed(world, line) && !HAS("quantity"))
PLACE(redeemed, sold(world, line) && is(line, "kind", "redeem"))
PLACE(rolled_back, sold(world, line) && is(line, "kind", "rollback"))
PLACE(refused, number_of(line, "status") == 409)
PLACE(not_enough, refused(world, line) && is(line, "detail", "not-enough-points"))
PLACE(not_moved, not_enough(world, line) && is(line, "kind", "transfer"))
PLACE(out_of_stock, refused(world, line) && is(line, "detail", "out-of-stock"))
PLACE(some_left, out_of_stock(world, line) && number_of(line, "remaining") > 0)
PLACE(limit_reached, refused(world, line) && is(line, "detail", "limit-reached"))
PLACE(limit_early, limit_reached(world, line) && number_of(line, "remaining") > 0)
PLACE(user_refused, limit_reached(world, line) || is(line, "detail", "already-drawn"))
PLACE(busy, number_of(line, "status") == 503)
PLACE(busy_alone, busy(world, line) && world->requests[OP] == 1)
PLACE(lost, number_of(line, "status") == 0)
PLACE(lost_alone, lost(world, line) && world->requests[OP] == 1)
PLACE(lost_kept, lost_alone(world, line) && world->has_row[OP])
PLACE(lost_kept_deduct, lost_kept(world, line) && is(line, "kind", "deduct"))
PLACE(lost_kept_transfer, lost_kept(world, line) && is(line, "kind", "transfer"))
PLACE(lost_kept_earn, lost_kept(world, line) && is(line, "kind", "earn"))
PLACE(lost_idle, lost_alone(world, line) && !world->has_row[OP])
PLACE(lost_idle_issue, lost_idle(world, line) && is(line, "kind", "issue"))
PLACE(lost_idle_deduct, lost_idle(world, line) && is(line, "kind", "deduct"))
PLACE(lost_idle_transfer, lost_idle(world, line) && is(line, "kind", "transfer"))
PLACE(repeated, change(world, line) && number_of(line, "attempt") == 1)
PLACE(replay, HAS("replayed"))
PLACE(replay_of_first, replay(world, line) && world->has_first[OP])
PLACE(replay_of_lost, replay(world, line) && !world->has_first[OP])
PLACE(first, sold(world, line) && !HAS("replayed") && !world->has_lost[OP])
PLACE(sold_alone, sold(world, line) && world->requests[OP] == 1)
PLACE(replayed_later, first(world, line) && world->successes[OP] == 2)
PLACE(product, is(line, "counter", "stock/shirt") || is(line, "counter", "stock/mug"))
PLACE(product_state, product(world, line) && (got(world, line) || refused(world, line)))
PLACE(state, (got(world, line) || refused(world, line)) && HAS("version"))
PLACE(alone, HAS("version") && world->requests[OP] == 1)

// The counter of the first further leg.
static const char *further(const json_t *line)
{
    const char *name =
        json_string_value(json_array_get(json_array_get(json_object_get(line, "more"), 0), 0));
    return name != NULL ? name : "";
}

// Whether the hold that the reservation has made is ended by its next row, of an expiry or not.
static bool is_ended(const struct world *world, const json_t *line, bool by_expiry)
{
    for (size_t i = 0; reserved(world, line) && i < world->run.ledger.n; i++) {
        const json_t *row = world->ledger[i];
        if (is(row, "counter", further(line)) && number_of(row, "version") == 2 &&
            number_of(row, "remaining") == 0)
            return is(row, "reason", "expire") == by_expiry;
    }
    return false;
}

PLACE(confirmed_in_time, is_ended(world, line, false) && world->successes[OP] == 1)
PLACE(expired_in_time, is_ended(world, line, true) && world->successes[OP] == 1)

// Whether another answer tells a later (or an earlier) version of the counter, that this one could
// be moved behind (or before).
static bool told(const struct world *world, const json_t *line, bool later)
{
    for (size_t i = 1; alone(world, line) && i + 1 < world->run.history.n; i++) {
        const json_t *other = world->history[i];
        json_int_t difference = number_of(other, "version") - number_of(line, "version");
        if (alone(world, other) && is(other, "counter", text_of(line, "counter")) &&
            (later ? difference > 0 : difference < 0))
            return true;
    }
    return false;
}

PLACE(not_last, told(world, line, true))
PLACE(not_first, told(world, line, false))

// Whether the other product was never in the state that this line tells.
static bool tells_product(const struct world *world, const json_t *line)
{
    bool told_by_other = false;
    for (size_t i = 0; i < world->run.ledger.n; i++) {
        const json_t *row = world->ledger[i];
        told_by_other |=
            is(row, "counter", is(line, "counter", "stock/mug") ? "stock/shirt" : "stock/mug") &&
            number_of(row, "version") == number_of(line, "version") &&
            number_of(row, "remaining") == number_of(line, "remaining");
    }
    return product_state(world, line) && !told_by_other;
}

// Rows of the ledger.
PLACE(ours, strncmp(text_of(line, "key"), "run-", 4) == 0)
PLACE(expiry, is(line, "reason", "expire"))
PLACE(of_hold, strncmp(text_of(line, "counter"), "hold/", 5) == 0)
PLACE(ended,
      of_hold(world, line) && number_of(line, "version") == 2 && number_of(line, "remaining") == 0)
PLACE(ended_by_client, ended(world, line) && !expiry(world, line))
PLACE(ended_by_expiry, ended(world, line) && expiry(world, line))
PLACE(expiry_known, of_hold(world, line) && expiry(world, line))
PLACE(opening, is(line, "key", ""))
PLACE(our_product, ours(world, line) && product(world, line))
PLACE(our_prize, ours(world, line) && strncmp(text_of(line, "counter"), "prize/", 6) == 0)
PLACE(our_single, ours(world, line) && (is(line, "reason", "earn") || is(line, "reason", "spend")))
PLACE(our_giver, is(line, "reason", "transfer") && number_of(line, "leg") == 0)
PLACE(our_taker, is(line, "reason", "transfer") && number_of(line, "leg") == 1)
PLACE(of_draw, ours(world, line) && is(line, "reason", "draw"))
PLACE(of_win, of_draw(world, line) && number_of(line, "delta") == -1)
PLACE(our_lottery, of_draw(world, line) && number_of(line, "leg") == 0)
PLACE(of_mug, ours(world, line) && is(line, "counter", "stock/mug"))
PLACE(of_redemption, ours(world, line) && is(line, "reason", "redeem"))
PLACE(of_rollback, ours(world, line) && is(line, "reason", "rollback"))
PLACE(first_use, of_redemption(world, line) && number_of(line, "version") == 1)
PLACE(final_shirt, is(line, "final", "stock/shirt"))
PLACE(no_prize, HAS("version"))
PLACE(a_prize, !no_prize(world, line))

// Whether another row of the counter, with a version that differs by 1, has such a token.
static bool has_neighbour(const struct world *world, const json_t *line, int step, bool same)
{
    for (size_t i = 0; i < world->run.ledger.n; i++) {
        const json_t *row = world->ledger[i];
        if (is(row, "counter", text_of(line, "counter")) && number_of(row, "token") > 0 &&
            number_of(row, "version") == number_of(line, "version") + step &&
            (!same || number_of(row, "token") == number_of(line, "token")))
            return true;
    }
    return false;
}

PLACE(token_after, number_of(line, "token") > 0 && has_neighbour(world, line, -1, false))
PLACE(token_before, number_of(line, "token") > 0 && has_neighbour(world, line, 1, false))
PLACE(token_shared, number_of(line, "token") > 0 && has_neighbour(world, line, 1, true))
PLACE(token_last, number_of(line, "token") > 0 && !has_neighbour(world, line, 1, false))

// Counters of the head.
PLACE(with_total, HAS("total"))
PLACE(with_limit, HAS("per_user_limit"))
PLACE(a_code, HAS("owner"))

// ---- changes ------------------------------------------------------------------------------------

enum how {
    ADD,
    INT,
    TEXT,
    TRUE_OR_FALSE,
    NULL_VALUE,
    REMOVE,
    OTHER_PRODUCT,
    OTHER_ACCOUNT, // one that the line does not name
    OTHER_CODE,    // the code of another coupon
    ALL_LEFT,      // what the line says that remained
    BEGIN_LATE,    // the whole interval after all others
    FINISH_EARLY   // the whole interval before all others
};

struct mutation {
    enum lines lines;
    const char *member;
    place *where;
    enum how how;
    json_int_t number; // ADD, INT, TRUE_OR_FALSE
    const char *text;  // TEXT
    const char *why;   // why it is rightly not found; NULL: it must be found
    size_t element;    // of `more`: of its first leg
};

// The elements of a leg.
enum { LEG_COUNTER, LEG_AMOUNT, LEG_VERSION, LEG_REMAINING };

// The reasons, as in loadtest/checking.md.
#define NAMES_ONLY "it only names the request or the run"
#define WIDER "a longer interval allows more orders"
#define NO_EFFECT "nothing was changed or reported that it could disagree with"
#define SAME_PROMISE "it promises the same as before"
#define MAY_BE_FIRST "the request without an answer may have had no effect"
#define OWN_RETRY "the service may have found the row of its own first try"
#define NOT_IN_LEDGER "the ledger does not have it"
#define STILL_RIGHT "the refusal is right for a larger quantity too"
#define BEFORE_RUN "rows from before the run are not judged"
#define LAST_TOKEN "the next lock holder's token is not known"
#define NOT_TOLD "no answer tells it"
#define NO_TIME "only the times of holds are judged"
#define CUT_SHORT "the history is read as one that was cut short"

#define BIG 1000000000000

static const struct mutation mutations[] = {
    // The head.
    {HEAD, "holdfast_history", anywhere, INT, .number = 2},
    {HEAD, "run", anywhere, TEXT, .text = "other"},
    {HEAD, "scenario", anywhere, TEXT, .text = "other", .why = NAMES_ONLY},
    {HEAD, "started_at_ms", anywhere, ADD, .number = 1, .why = NAMES_ONLY},
    {HEAD, "targets", anywhere, .how = REMOVE},
    {HEAD, "counters", anywhere, .how = REMOVE},
    {COUNTER, "name", anywhere, TEXT, .text = "stock/other"},
    {COUNTER, "kind", anywhere, TEXT, .text = "other"},
    {COUNTER, "version", anywhere, ADD, .number = 1},
    {COUNTER, "version", anywhere, ADD, .number = -1},
    {COUNTER, "version", anywhere, INT, .number = -1},
    {COUNTER, "remaining", anywhere, ADD, .number = 1},
    {COUNTER, "remaining", anywhere, ADD, .number = -1},
    {COUNTER, "remaining", anywhere, INT, .number = -1},
    {COUNTER, "total", with_total, ADD, .number = 1},
    {COUNTER, "total", with_total, ADD, .number = -1},
    {COUNTER, "total", with_total, INT, .number = -1},
    {COUNTER, "per_user_limit", with_limit, ADD, .number = 1},
    {COUNTER, "per_user_limit", with_limit, ADD, .number = -1},
    {COUNTER, "per_user_limit", with_limit, INT, .number = -1},
    {COUNTER, "owner", a_code, TEXT, .text = "stranger"},
    {COUNTER, "owner", a_code, .how = REMOVE},
    {COUNTER, "total", a_code, ADD, .number = 1},
    {COUNTER, "total", a_code, ADD, .number = -1},
    {COUNTER, "version", a_code, ADD, .number = 1},
    {COUNTER, "remaining", a_code, ADD, .number = 1},
    // Requests.
    {ATTEMPT, "op", anywhere, ADD, .number = 1},
    {ATTEMPT, "attempt", repeated, INT, .number = 0},
    {ATTEMPT, "attempt", anywhere, ADD, .number = 7, .why = NAMES_ONLY},
    {ATTEMPT, "kind", deducted, TEXT, .text = "issue"},
    {ATTEMPT, "kind", issued, TEXT, .text = "draw"},
    {ATTEMPT, "kind", drawn, TEXT, .text = "deduct"},
    {ATTEMPT, "kind", sold, TEXT, .text = "read"},
    {ATTEMPT, "kind", refused, TEXT, .text = "read"},
    {ATTEMPT, "kind", got, TEXT, .text = "deduct"},
    {ATTEMPT, "kind", anywhere, TEXT, .text = "other"},
    {ATTEMPT, "kind", earned, TEXT, .text = "spend"},
    {ATTEMPT, "kind", spent, TEXT, .text = "earn"},
    {ATTEMPT, "kind", spent, TEXT, .text = "transfer"},
    {ATTEMPT, "kind", moved, TEXT, .text = "spend"},
    {ATTEMPT, "kind", lost_kept_earn, TEXT, .text = "spend"},
    {ATTEMPT, "kind", lost_idle_issue, TEXT, .text = "read", .why = NO_EFFECT},
    {ATTEMPT, "counter", deducted, .how = OTHER_PRODUCT},
    {ATTEMPT, "counter", tells_product, .how = OTHER_PRODUCT},
    {ATTEMPT, "counter", lost_kept_deduct, .how = OTHER_PRODUCT},
    {ATTEMPT, "counter", change, .how = REMOVE},
    {ATTEMPT, "counter", got, .how = REMOVE},
    {ATTEMPT, "counter", issued, TEXT, .text = "stock/mug"},
    {ATTEMPT, "counter", lost_idle_deduct, .how = OTHER_PRODUCT, .why = NO_EFFECT},
    {ATTEMPT, "counter", earned, .how = OTHER_ACCOUNT},
    {ATTEMPT, "counter", moved, .how = OTHER_ACCOUNT},
    {ATTEMPT, "counter", moved, TEXT, .text = "stock/mug"},
    {ATTEMPT, "counter", lost_kept_transfer, .how = OTHER_ACCOUNT},
    {ATTEMPT, "counter", lost_idle_transfer, .how = OTHER_ACCOUNT, .why = NO_EFFECT},
    {ATTEMPT, "target", anywhere, INT, .number = 2},
    {ATTEMPT, "target", anywhere, INT, .number = 0, .why = NAMES_ONLY},
    {ATTEMPT, "key", anywhere, TEXT, .text = "run-999"},
    {ATTEMPT, "key", anywhere, TEXT, .text = "other-1"},
    {ATTEMPT, "key", change, .how = REMOVE},
    {ATTEMPT, "key", got, .how = REMOVE, .why = NO_EFFECT},
    {ATTEMPT, "user", sold, TEXT, .text = "stranger"},
    {ATTEMPT, "user", user_refused, TEXT, .text = "stranger"},
    {ATTEMPT, "user", lost_kept, TEXT, .text = "stranger"},
    {ATTEMPT, "user", repeated, TEXT, .text = "stranger"},
    {ATTEMPT, "user", change, .how = REMOVE},
    {ATTEMPT, "user", out_of_stock, TEXT, .text = "stranger", .why = NO_EFFECT},
    {ATTEMPT, "user", got, TEXT, .text = "stranger", .why = NO_EFFECT},
    {ATTEMPT, "user", lost_idle, TEXT, .text = "stranger", .why = NO_EFFECT},
    {ATTEMPT, "quantity", deducted, ADD, .number = 1},
    {ATTEMPT, "quantity", deducted, .how = REMOVE},
    {ATTEMPT, "quantity", lost_kept_deduct, ADD, .number = 1},
    {ATTEMPT, "quantity", some_left, .how = ALL_LEFT},
    {ATTEMPT, "quantity", got, INT, .number = 1},
    {ATTEMPT, "quantity", issued, INT, .number = 1},
    {ATTEMPT, "quantity", earned, ADD, .number = 1},
    {ATTEMPT, "quantity", spent, ADD, .number = -1},
    {ATTEMPT, "quantity", moved, ADD, .number = 1},
    {ATTEMPT, "quantity", not_moved, ADD, .number = 1},
    {ATTEMPT, "quantity", out_of_stock, ADD, .number = 1, .why = STILL_RIGHT},
    {ATTEMPT, "quantity", lost_idle_deduct, ADD, .number = 1, .why = NO_EFFECT},
    {ATTEMPT, "invoke_ns", ok, INT, .number = BIG},
    {ATTEMPT, "invoke_ns", anywhere, ADD, .number = -BIG},
    {ATTEMPT, "invoke_ns", not_last, .how = BEGIN_LATE},
    {ATTEMPT, "invoke_ns", anywhere, ADD, .number = -1, .why = WIDER},
    {ATTEMPT, "complete_ns", ok, .how = NULL_VALUE},
    {ATTEMPT, "complete_ns", refused, .how = NULL_VALUE},
    {ATTEMPT, "complete_ns", ok, INT, .number = 1},
    {ATTEMPT, "complete_ns", lost, INT, .number = BIG},
    {ATTEMPT, "complete_ns", not_first, .how = FINISH_EARLY},
    {ATTEMPT, "complete_ns", ok, ADD, .number = 1, .why = WIDER},
    {ATTEMPT, "outcome", ok, TEXT, .text = "fail"},
    {ATTEMPT, "outcome", ok, TEXT, .text = "info"},
    {ATTEMPT, "outcome", refused, TEXT, .text = "ok"},
    {ATTEMPT, "outcome", busy, TEXT, .text = "info"},
    {ATTEMPT, "outcome", lost, TEXT, .text = "ok"},
    {ATTEMPT, "outcome", lost, TEXT, .text = "fail"},
    {ATTEMPT, "status", ok, ADD, .number = 2},
    {ATTEMPT, "status", ok, INT, .number = 0},
    {ATTEMPT, "status", ok, INT, .number = 409},
    {ATTEMPT, "status", refused, INT, .number = 0},
    {ATTEMPT, "status", refused, INT, .number = 404},
    {ATTEMPT, "status", refused, INT, .number = 200},
    {ATTEMPT, "status", busy, INT, .number = 500},
    {ATTEMPT, "status", busy, INT, .number = 409},
    {ATTEMPT, "status", lost, INT, .number = 200},
    {ATTEMPT, "status", lost, INT, .number = 404},
    {ATTEMPT, "status", busy, INT, .number = 429, .why = SAME_PROMISE},
    {ATTEMPT, "status", lost, INT, .number = 500, .why = SAME_PROMISE},
    {ATTEMPT, "version", sold, ADD, .number = 1},
    {ATTEMPT, "version", sold, ADD, .number = -1},
    {ATTEMPT, "version", product_state, ADD, .number = 1},
    {ATTEMPT, "version", product_state, ADD, .number = -1},
    {ATTEMPT, "version", state, INT, .number = BIG},
    {ATTEMPT, "version", state, INT, .number = -1},
    {ATTEMPT, "version", sold, INT, .number = -1},
    {ATTEMPT, "version", sold, .how = REMOVE},
    {ATTEMPT, "version", state, .how = REMOVE},
    {ATTEMPT, "version", lost, INT, .number = 1, .why = SAME_PROMISE},
    {ATTEMPT, "remaining", deducted, ADD, .number = 1},
    {ATTEMPT, "remaining", issued, ADD, .number = -1},
    {ATTEMPT, "remaining", drawn, INT, .number = -1},
    {ATTEMPT, "remaining", deducted, INT, .number = -1},
    {ATTEMPT, "remaining", state, ADD, .number = 1},
    {ATTEMPT, "remaining", state, ADD, .number = -1},
    {ATTEMPT, "remaining", state, INT, .number = -1},
    {ATTEMPT, "remaining", state, INT, .number = INT64_MIN},
    {ATTEMPT, "remaining", deducted, .how = REMOVE},
    {ATTEMPT, "remaining", issued, .how = REMOVE},
    {ATTEMPT, "remaining", state, .how = REMOVE},
    {ATTEMPT, "replayed", replay_of_first, .how = REMOVE},
    {ATTEMPT, "replayed", state, TRUE_OR_FALSE, .number = 1},
    {ATTEMPT, "replayed", lost, TRUE_OR_FALSE, .number = 1},
    {ATTEMPT, "replayed", first, TRUE_OR_FALSE, .number = 1, .why = OWN_RETRY},
    {ATTEMPT, "replayed", replay_of_lost, .how = REMOVE, .why = MAY_BE_FIRST},
    {ATTEMPT, "detail", issued, .how = REMOVE},
    {ATTEMPT, "detail", issued, .how = OTHER_CODE},
    {ATTEMPT, "detail", issued_twice, TEXT, .text = "code-999"},
    {ATTEMPT, "detail", won_gold, TEXT, .text = "silver"},
    {ATTEMPT, "detail", won, TEXT, .text = "other"},
    {ATTEMPT, "detail", won, .how = REMOVE},
    {ATTEMPT, "detail", blank, TEXT, .text = "gold"},
    {ATTEMPT, "detail", deducted, TEXT, .text = "gold"},
    {ATTEMPT, "detail", got, TEXT, .text = "gold"},
    {ATTEMPT, "detail", refused, TEXT, .text = "other"},
    {ATTEMPT, "detail", refused, .how = REMOVE},
    {ATTEMPT, "detail", out_of_stock, TEXT, .text = "coupon-exhausted"},
    {ATTEMPT, "detail", limit_early, TEXT, .text = "coupon-exhausted"},
    {ATTEMPT, "detail", busy, TEXT, .text = "other"},
    {ATTEMPT, "detail", issued_once, TEXT, .text = "code-999", .why = NOT_IN_LEDGER},
    {ATTEMPT, "detail", busy, TEXT, .text = "overloaded", .why = SAME_PROMISE},
    {ATTEMPT, "detail", lost, TEXT, .text = "other", .why = SAME_PROMISE},
    {ATTEMPT, "detail", not_enough, TEXT, .text = "out-of-stock"},
    {ATTEMPT, "detail", moved, TEXT, .text = "gold"},
    {ATTEMPT, "more", moved, .how = REMOVE},
    {ATTEMPT, "more", moved, .how = OTHER_ACCOUNT, .element = LEG_COUNTER},
    {ATTEMPT, "more", moved, TEXT, .text = "stock/mug", .element = LEG_COUNTER},
    {ATTEMPT, "more", moved, TEXT, .text = "points/other", .element = LEG_COUNTER},
    {ATTEMPT, "more", lost_kept_transfer, .how = OTHER_ACCOUNT, .element = LEG_COUNTER},
    {ATTEMPT, "more", moved, ADD, .number = 1, .element = LEG_AMOUNT},
    {ATTEMPT, "more", not_moved, ADD, .number = -1, .element = LEG_AMOUNT},
    {ATTEMPT, "more", lost_kept_transfer, .how = NULL_VALUE, .element = LEG_AMOUNT},
    {ATTEMPT, "more", moved, ADD, .number = 1, .element = LEG_VERSION},
    {ATTEMPT, "more", moved, ADD, .number = -1, .element = LEG_VERSION},
    {ATTEMPT, "more", moved, .how = NULL_VALUE, .element = LEG_VERSION},
    {ATTEMPT, "more", not_moved, INT, .number = BIG, .element = LEG_VERSION},
    {ATTEMPT, "more", moved, ADD, .number = 1, .element = LEG_REMAINING},
    {ATTEMPT, "more", moved, ADD, .number = -1, .element = LEG_REMAINING},
    {ATTEMPT, "more", moved, .how = NULL_VALUE, .element = LEG_REMAINING},
    {ATTEMPT, "more", lost_idle_transfer, .how = OTHER_ACCOUNT, .why = NO_EFFECT},
    {ATTEMPT, "more", lost_idle_transfer, INT, .number = 1, .why = SAME_PROMISE,
     .element = LEG_VERSION},
    {ATTEMPT, "more", not_moved, INT, .number = 1, .why = SAME_PROMISE, .element = LEG_REMAINING},
    {ATTEMPT, "more", reserved, .how = REMOVE},
    {ATTEMPT, "more", reserved, TEXT, .text = "hold/tee/other/0", .element = LEG_COUNTER},
    {ATTEMPT, "more", reserved, ADD, .number = 1, .element = LEG_AMOUNT},
    {ATTEMPT, "more", confirmed, ADD, .number = 1, .element = LEG_AMOUNT},
    {ATTEMPT, "more", extended, ADD, .number = 1, .element = LEG_AMOUNT},
    {ATTEMPT, "quantity", confirmed_part, ADD, .number = 1},
    {ATTEMPT, "quantity", confirmed_part, .how = REMOVE},
    {ATTEMPT, "quantity", confirmed_whole, INT, .number = 1},
    {ATTEMPT, "kind", redeemed, TEXT, .text = "rollback"},
    {ATTEMPT, "kind", rolled_back, TEXT, .text = "redeem"},
    {ATTEMPT, "user", redeemed, TEXT, .text = "stranger"},
    {ATTEMPT, "counter", redeemed, TEXT, .text = "code/other"},
    {ATTEMPT, "detail", redeemed, .how = REMOVE},
    {ATTEMPT, "detail", redeemed, TEXT, .text = "C1:999"},
    {ATTEMPT, "detail", redeemed, TEXT, .text = "other:1"},
    {ATTEMPT, "detail", rolled_back, .how = REMOVE},
    {ATTEMPT, "detail", rolled_back, TEXT, .text = "C1:999"},
    {ATTEMPT, "detail", rolled_back, TEXT, .text = "C1"},
    {ATTEMPT, "version", redeemed, ADD, .number = 1},
    {ATTEMPT, "remaining", redeemed, ADD, .number = 1},
    {ATTEMPT, "remaining", rolled_back, ADD, .number = 1},
    {ATTEMPT, "kind", reserved, TEXT, .text = "deduct"},
    {ATTEMPT, "kind", confirmed, TEXT, .text = "extend"},
    {ATTEMPT, "detail", reserved, .how = REMOVE},
    {ATTEMPT, "expires_at_ms", reserved, .how = REMOVE},
    {ATTEMPT, "expires_at_ms", extended, .how = REMOVE},
    {ATTEMPT, "expires_at_ms", reserved_twice, ADD, .number = 1},
    {ATTEMPT, "expires_at_ms", confirmed_in_time, INT, .number = 1},
    {ATTEMPT, "expires_at_ms", expired_in_time, INT, .number = BIG},
    {ATTEMPT, "expires_at_ms", deducted, INT, .number = 1},
    {CLOSING, "end", anywhere, TRUE_OR_FALSE, .number = 0},
    {CLOSING, "attempts", anywhere, ADD, .number = 1},
    {CLOSING, "attempts", anywhere, ADD, .number = -1},
    // The ledger.
    {LEDGER_HEAD, "holdfast_ledger", anywhere, INT, .number = 2},
    {LEDGER_HEAD, "run", anywhere, TEXT, .text = "other"},
    {FINAL, "final", anywhere, TEXT, .text = "stock/other"},
    {FINAL, "final", final_shirt, .how = OTHER_PRODUCT},
    {FINAL, "version", no_prize, ADD, .number = 1},
    {FINAL, "version", no_prize, ADD, .number = -1},
    {FINAL, "version", no_prize, INT, .number = -1},
    {FINAL, "version", a_prize, INT, .number = 1},
    {FINAL, "remaining", anywhere, ADD, .number = 1},
    {FINAL, "remaining", anywhere, ADD, .number = -1},
    {FINAL, "remaining", anywhere, INT, .number = -1},
    {ROW, "counter", our_product, .how = OTHER_PRODUCT},
    {ROW, "counter", ours, TEXT, .text = "stock/other"},
    {ROW, "counter", our_taker, .how = OTHER_ACCOUNT},
    {ROW, "version", ours, ADD, .number = 1},
    {ROW, "version", ours, ADD, .number = -1},
    {ROW, "version", ours, INT, .number = -1},
    {ROW, "delta", ours, ADD, .number = 1},
    {ROW, "delta", ours, ADD, .number = -1},
    {ROW, "delta", ours, INT, .number = INT64_MIN},
    {ROW, "remaining", ours, ADD, .number = 1},
    {ROW, "remaining", ours, ADD, .number = -1},
    {ROW, "remaining", ours, INT, .number = -1},
    {ROW, "leg", our_product, INT, .number = 1},
    {ROW, "leg", our_lottery, INT, .number = 1},
    {ROW, "leg", our_prize, INT, .number = 0},
    {ROW, "leg", our_prize, INT, .number = 2},
    {ROW, "leg", our_single, INT, .number = 1},
    {ROW, "leg", our_giver, INT, .number = 1},
    {ROW, "leg", our_giver, INT, .number = 2},
    {ROW, "leg", our_taker, INT, .number = 0},
    {ROW, "leg", our_taker, INT, .number = 2},
    {ROW, "token", ours, INT, .number = -1},
    {ROW, "token", token_after, INT, .number = 1},
    {ROW, "token", token_before, INT, .number = BIG},
    {ROW, "token", token_last, INT, .number = BIG, .why = LAST_TOKEN},
    {ROW, "key", ours, TEXT, .text = ""},
    {ROW, "key", ours, TEXT, .text = "run-999"},
    {ROW, "key", ours, TEXT, .text = "other-1"},
    {ROW, "user", ours, TEXT, .text = ""},
    {ROW, "user", ours, TEXT, .text = "stranger"},
    {ROW, "reason", ours, TEXT, .text = "adjust"},
    {ROW, "reason", our_prize, TEXT, .text = "issue"},
    {ROW, "reason", our_taker, TEXT, .text = "earn"},
    {ROW, "strategy", of_win, TEXT, .text = "other"},
    {ROW, "strategy", our_giver, TEXT, .text = "other"},
    {ROW, "strategy", our_taker, TEXT, .text = "other"},
    {ROW, "strategy", our_single, TEXT, .text = "other", .why = NOT_TOLD},
    {ROW, "strategy", token_shared, TEXT, .text = "other"},
    {ROW, "strategy", of_mug, TEXT, .text = "other", .why = NOT_TOLD},
    {ROW, "delta", first_use, ADD, .number = 1},
    {ROW, "remaining", first_use, ADD, .number = 1},
    {ROW, "user", of_redemption, TEXT, .text = "stranger"},
    {ROW, "user", of_rollback, TEXT, .text = "stranger"},
    {ROW, "reason", of_redemption, TEXT, .text = "rollback"},
    {ROW, "reason", of_redemption, TEXT, .text = "order"},
    {ROW, "reason", of_rollback, TEXT, .text = "cancel"},
    {ROW, "delta", of_rollback, ADD, .number = 1},
    {ROW, "created_at_ms", ended_by_client, INT, .number = BIG},
    {ROW, "created_at_ms", ended_by_expiry, INT, .number = 1},
    {ROW, "created_at_ms", our_product, ADD, .number = 1, .why = NO_TIME},
    {ROW, "leg", expiry_known, INT, .number = 9},
    {ROW, "key", expiry_known, TEXT, .text = "other-1"},
    {ROW, "user", expiry_known, TEXT, .text = "stranger"},
    {ROW, "reason", expiry_known, TEXT, .text = "release"},
    {ROW, "delta", expiry, ADD, .number = 1},
    {ROW, "version", opening, INT, .number = 0, .why = BEFORE_RUN},
    {ROW, "remaining", opening, ADD, .number = 1, .why = BEFORE_RUN},
    {LEDGER_CLOSING, "end", anywhere, TRUE_OR_FALSE, .number = 0},
    {LEDGER_CLOSING, "rows", anywhere, ADD, .number = 1},
    {LEDGER_CLOSING, "rows", anywhere, ADD, .number = -1},
};

static bool in_ledger(enum lines lines)
{
    return lines >= LEDGER_HEAD;
}

// The lines of this type: from (included) to end (excluded).
static void find_lines(const struct world *world, enum lines lines, size_t *ret_from,
                       size_t *ret_end)
{
    size_t n = in_ledger(lines) ? world->run.ledger.n : world->run.history.n;
    size_t finals = world->finals;
    size_t bounds[LINES_COUNT][2] = {
        [HEAD] = {0, 1},
        [COUNTER] = {0, 1},
        [ATTEMPT] = {1, n - 1},
        [CLOSING] = {n - 1, n},
        [LEDGER_HEAD] = {0, 1},
        [FINAL] = {1, 1 + finals},
        [ROW] = {1 + finals, n - 1},
        [LEDGER_CLOSING] = {n - 1, n},
    };
    *ret_from = bounds[lines][0];
    *ret_end = bounds[lines][1];
}

static json_t *line_of(const struct world *world, enum lines lines, size_t line)
{
    return in_ledger(lines) ? world->ledger[line] : world->history[line];
}

// A line where the change may be made, at random, or SIZE_MAX. Of a COUNTER the element is chosen
// too.
static size_t find_place(struct world *world, enum lines lines, place *where, size_t *ret_element)
{
    size_t from, end;
    find_lines(world, lines, &from, &end);
    const json_t *counters = json_object_get(world->history[0], "counters");
    size_t n = lines == COUNTER ? json_array_size(counters) : end - from;
    size_t start = generated_below(&world->random, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = (start + i) % n;
        *ret_element = at;
        if (lines == COUNTER ? where(world, json_array_get(counters, at))
                             : where(world, line_of(world, lines, from + at)))
            return lines == COUNTER ? 0 : from + at;
    }
    return SIZE_MAX;
}

static const char *other_code(const struct world *world, const json_t *line)
{
    for (size_t i = 1; i + 1 < world->run.history.n; i++) {
        const json_t *other = world->history[i];
        if (issued(world, other) && number_of(other, "op") != OP)
            return text_of(other, "detail");
    }
    ck_abort_msg("there is only one code");
    return NULL;
}

// An account that is neither the line's counter nor that of its further leg.
static const char *other_account(const json_t *line)
{
    static const char *const accounts[] = {"points/ann", "points/bob", "points/eve"};
    const char *taker = further(line);
    for (size_t i = 0; i < ARRAY_LENGTH(accounts); i++) {
        if (!is(line, "counter", accounts[i]) && strcmp(taker, accounts[i]) != 0)
            return accounts[i];
    }
    ck_abort_msg("all accounts are named");
    return NULL;
}

static json_t *new_value(const struct world *world, const struct mutation *mutation,
                         const json_t *line)
{
    switch (mutation->how) {
    case ADD:
        return json_integer(number_of(line, mutation->member) + mutation->number);
    case INT:
        return json_integer(mutation->number);
    case TEXT:
        return json_string(mutation->text);
    case TRUE_OR_FALSE:
        return json_boolean(mutation->number != 0);
    case OTHER_PRODUCT:
        return json_string(is(line, mutation->member, "stock/mug") ? "stock/shirt" : "stock/mug");
    case OTHER_ACCOUNT:
        return json_string(other_account(line));
    case OTHER_CODE:
        return json_string(other_code(world, line));
    case ALL_LEFT:
        return json_integer(number_of(line, "remaining"));
    default:
        return json_null();
    }
}

static void change_leg(const struct world *world, const struct mutation *mutation, json_t *line)
{
    json_t *leg = json_array_get(json_object_get(line, "more"), 0);
    json_int_t number = json_integer_value(json_array_get(leg, mutation->element));
    json_t *value = mutation->how == ADD ? json_integer(number + mutation->number)
                                         : new_value(world, mutation, line);
    ck_assert_int_eq(json_array_set_new(leg, mutation->element, value), 0);
}

static void change_line(const struct world *world, const struct mutation *mutation, json_t *line)
{
    if (mutation->how == REMOVE) {
        ck_assert_int_eq(json_object_del(line, mutation->member), 0);
    } else if (strcmp(mutation->member, "more") == 0) {
        change_leg(world, mutation, line);
    } else if (mutation->how == BEGIN_LATE || mutation->how == FINISH_EARLY) {
        json_int_t from = mutation->how == BEGIN_LATE ? BIG : 0;
        json_object_set_new(line, "invoke_ns", json_integer(from));
        json_object_set_new(line, "complete_ns", json_integer(from + 1));
    } else {
        json_object_set_new(line, mutation->member, new_value(world, mutation, line));
    }
}

// Whether the change was found. False in ret_placed: the run has no place for it.
static bool is_found(struct world *world, const struct mutation *mutation, bool *ret_placed)
{
    size_t element, line = find_place(world, mutation->lines, mutation->where, &element);
    *ret_placed = line != SIZE_MAX;
    if (!*ret_placed)
        return false;
    json_t *copy = json_deep_copy(line_of(world, mutation->lines, line));
    change_line(world, mutation,
                mutation->lines == COUNTER
                    ? json_array_get(json_object_get(copy, "counters"), element)
                    : copy);
    char *text = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return judge_line(world, in_ledger(mutation->lines), line, text) != HOLDS;
}

START_TEST(every_change_is_found_or_listed)
{
    int wrong = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(mutations); i++) {
        const struct mutation *mutation = &mutations[i];
        int placed = 0, found = 0;
        for (size_t seed = 0; seed < SEEDS; seed++) {
            bool is_placed;
            found += is_found(&worlds[seed], mutation, &is_placed);
            placed += is_placed;
        }
        bool right = mutation->why == NULL ? found == placed && 4 * placed >= 3 * SEEDS
                                           : placed > 0 && found < placed;
        wrong += !right;
        if (!right)
            printf("change %zu of %s (%s): %d of %d found in %d runs%s%s\n", i, mutation->member,
                   mutation->text != NULL ? mutation->text : "", found, placed, SEEDS,
                   mutation->why != NULL ? ", but listed: " : "",
                   mutation->why != NULL ? mutation->why : "");
    }
    (void)fflush(stdout);
    ck_assert_int_eq(wrong, 0);
}
END_TEST

// ---- the list is complete -----------------------------------------------------------------------

static bool is_covered(enum lines lines, const char *member)
{
    for (size_t i = 0; i < ARRAY_LENGTH(mutations); i++) {
        if (mutations[i].lines == lines && strcmp(mutations[i].member, member) == 0)
            return true;
    }
    return false;
}

// The type of line, as the tables name it, and its table.
static const struct {
    enum lines lines;
    unsigned type;
    const struct member *table;
    size_t n;
} tables[] = {
    {ATTEMPT, HISTORY_LINE_ATTEMPT, history_members, HISTORY_MEMBERS},
    {CLOSING, HISTORY_LINE_CLOSING, history_members, HISTORY_MEMBERS},
    {LEDGER_HEAD, LEDGER_LINE_HEAD, ledger_members, LEDGER_MEMBERS},
    {FINAL, LEDGER_LINE_FINAL, ledger_members, LEDGER_MEMBERS},
    {ROW, LEDGER_LINE_ROW, ledger_members, LEDGER_MEMBERS},
    {LEDGER_CLOSING, LEDGER_LINE_CLOSING, ledger_members, LEDGER_MEMBERS},
};

START_TEST(every_member_has_a_change)
{
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
        for (size_t j = 0; j < tables[i].n; j++) {
            const struct member *member = &tables[i].table[j];
            if (((member->required | member->optional) & tables[i].type) != 0)
                ck_assert_msg(is_covered(tables[i].lines, member->name), "no change of `%s`",
                              member->name);
        }
    }
    const char *name;
    json_t *head = worlds[0].history[0], *value;
    json_object_foreach(head, name, value)
        ck_assert_msg(is_covered(HEAD, name), "no change of `%s`", name);
    size_t i;
    json_t *counter;
    json_array_foreach(json_object_get(head, "counters"), i, counter)
    {
        json_object_foreach(counter, name, value)
            ck_assert_msg(is_covered(COUNTER, name), "no change of `%s`", name);
    }
}
END_TEST

START_TEST(the_page_lists_what_is_not_found)
{
    static char page[65536];
    FILE *file = fopen(CHECKING_PAGE, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(fread(page, 1, sizeof page - 1, file), sizeof page - 1);
    (void)fclose(file);
    for (size_t i = 0; i < ARRAY_LENGTH(mutations); i++) {
        const char *why = mutations[i].why;
        ck_assert_msg(why == NULL || strstr(page, why) != NULL, "not in the page: %s", why);
    }
}
END_TEST

// ---- damage of the form, from the tables --------------------------------------------------------

// What is done to a member.
enum form {
    REPEATED,
    WRONG_KIND,
    LEADING_ZERO,
    FRACTION,
    TOO_SMALL,
    TOO_LARGE,
    EMPTY,
    TOO_LONG,
    WITH_NUL,
    MISSING,
    FORMS
};

static bool form_applies(const struct member *member, unsigned type, enum form form)
{
    bool number = (member->kinds & MEMBER_INT) != 0, text = member->kinds == MEMBER_TEXT;
    switch (form) {
    case LEADING_ZERO:
    case FRACTION:
        return number;
    case TOO_SMALL:
        return number && member->min != INT64_MIN;
    case TOO_LARGE:
        return number;
    case EMPTY:
        return text && member->min > 0;
    case TOO_LONG:
    case WITH_NUL:
        return text;
    case MISSING:
        return (member->required & type) != 0;
    default:
        return true;
    }
}

// Writes what stands in the place of the value. For a number that is out of range this is the first
// one below or above.
static void write_form(const struct member *member, enum form form, const char *value,
                       struct buffer *out)
{
    bool negative = value[0] == '-';
    switch (form) {
    case WRONG_KIND:
        buffer_append_text(out, "{}");
        return;
    case LEADING_ZERO:
        buffer_format(out, "%s0%s", negative ? "-" : "", value + negative);
        return;
    case FRACTION:
        buffer_append_text(out, "1.5");
        return;
    case TOO_SMALL:
        buffer_format(out, "%lld", (long long)member->min - 1);
        return;
    case TOO_LARGE:
        buffer_format(out, "%llu", (unsigned long long)member->max + 1);
        return;
    case EMPTY:
        buffer_append_text(out, "\"\"");
        return;
    case TOO_LONG:
        buffer_format(out, "\"%0*d\"", (int)member->max + 1, 7);
        return;
    case WITH_NUL: // the value, and what a C string would not show
        buffer_format(out, "%.*s\\u0000x\"", (int)strlen(value) - 1, value);
        return;
    default:
        buffer_append_text(out, value);
        return;
    }
}

// The line with one member in this form. The caller frees.
static char *deform(const json_t *line, const struct member *member, enum form form)
{
    struct buffer out = {0};
    const char *name;
    json_t *value;
    buffer_append_text(&out, "{");
    json_object_foreach((json_t *)line, name, value)
    {
        bool chosen = strcmp(name, member->name) == 0;
        if (chosen && form == MISSING)
            continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        buffer_format(&out, "%s\"%s\":", out.length > 1 ? "," : "", name);
        if (chosen)
            write_form(member, form, text, &out);
        else
            buffer_append_text(&out, text);
        if (chosen && form == REPEATED)
            buffer_format(&out, ",\"%s\":%s", name, text);
        free(text);
    }
    buffer_append_text(&out, "}");
    return out.data;
}

static const char *wanted; // the member that has_wanted looks for

PLACE(has_wanted,
      json_object_get(line, wanted) != NULL && !json_is_null(json_object_get(line, wanted)))

static void check_forms(enum lines lines, unsigned type, const struct member *member)
{
    for (enum form form = 0; form < FORMS; form++) {
        for (size_t seed = 0; form_applies(member, type, form) && seed < SEEDS; seed++) {
            struct world *world = &worlds[seed];
            size_t element;
            wanted = member->name;
            size_t line = find_place(world, lines, has_wanted, &element);
            ck_assert_msg(line != SIZE_MAX, "seed %zu has no `%s`", seed, wanted);
            char *text = deform(line_of(world, lines, line), member, form);
            enum judgement judgement = judge_line(world, in_ledger(lines), line, text);
            ck_assert_msg(judgement == DAMAGED, "form %d of `%s` is accepted, seed %zu", (int)form,
                          wanted, seed);
        }
    }
}

START_TEST(every_wrong_form_is_damage)
{
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
        for (size_t j = 0; j < tables[i].n; j++) {
            const struct member *member = &tables[i].table[j];
            if (((member->required | member->optional) & tables[i].type) != 0)
                check_forms(tables[i].lines, tables[i].type, member);
        }
    }
}
END_TEST

// Each member in each type of line of its file that must not have it.
START_TEST(a_member_of_another_line_is_damage)
{
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
        for (size_t j = 0; j < tables[i].n; j++) {
            const struct member *member = &tables[i].table[j];
            if (((member->required | member->optional) & tables[i].type) != 0)
                continue;
            struct world *world = &worlds[j % SEEDS];
            size_t element, line = find_place(world, tables[i].lines, anywhere, &element);
            json_t *copy = json_deep_copy(line_of(world, tables[i].lines, line));
            json_object_set_new(copy, member->name,
                                member->kinds == MEMBER_TEXT   ? json_string("stock/mug")
                                : member->kinds == MEMBER_BOOL ? json_true()
                                                               : json_integer(1));
            char *text = json_dumps(copy, JSON_COMPACT);
            json_decref(copy);
            ck_assert_msg(judge_line(world, in_ledger(tables[i].lines), line, text) == DAMAGED,
                          "`%s` is accepted in table %zu", member->name, i);
        }
    }
}
END_TEST

// ---- whole lines --------------------------------------------------------------------------------

// A line is left out or repeated, and the closing line counts them as they are.
static const struct {
    enum lines lines;
    place *where;
    bool repeated;
    const char *why; // as above
} line_mutations[] = {
    {HEAD, anywhere, false, NULL},
    {HEAD, anywhere, true, NULL},
    {ATTEMPT, sold_alone, false, NULL},
    {ATTEMPT, replayed_later, false, OWN_RETRY},
    {ATTEMPT, lost_kept, false, NULL},
    {ATTEMPT, change, true, NULL},
    {ATTEMPT, got, false, NO_EFFECT},
    {ATTEMPT, got, true, NO_EFFECT},
    {ATTEMPT, busy_alone, false, NO_EFFECT},
    {CLOSING, anywhere, false, CUT_SHORT},
    {CLOSING, anywhere, true, NULL},
    {LEDGER_HEAD, anywhere, false, NULL},
    {FINAL, anywhere, false, NULL},
    {FINAL, anywhere, true, NULL},
    {ROW, ours, false, NULL},
    {ROW, ours, true, NULL},
    {ROW, opening, false, BEFORE_RUN},
    {LEDGER_CLOSING, anywhere, false, NULL},
    {LEDGER_CLOSING, anywhere, true, NULL},
};

// Sets the number of the closing line, unless it was left out.
static void count_again(struct world *world, enum lines lines, struct generated_file *file,
                        char *text, size_t size)
{
    bool ledger = in_ledger(lines);
    size_t finals = world->finals;
    const char *name = ledger ? "rows" : "attempts";
    if (lines != ATTEMPT && lines != ROW)
        return;
    text_format(text, size, "{\"end\":true,\"%s\":%zu}", name, file->n - 2 - (ledger ? finals : 0));
    file->lines[file->n - 1] = text;
}

static bool line_is_found(struct world *world, size_t mutation)
{
    enum lines lines = line_mutations[mutation].lines;
    bool repeated = line_mutations[mutation].repeated;
    size_t element, line = find_place(world, lines, line_mutations[mutation].where, &element);
    ck_assert_msg(line != SIZE_MAX, "no place for the change %zu of a line", mutation);
    struct generated_run changed = world->run;
    struct generated_file *file = in_ledger(lines) ? &changed.ledger : &changed.history;
    char **all = file->lines, closing[64], error[HISTORY_ERROR_MAX];
    struct verdict verdict = {0};
    file->lines = calloc(file->n + 1, sizeof *file->lines);
    size_t n = 0;
    for (size_t i = 0; i < file->n; i++) {
        for (int times = i != line ? 1 : repeated ? 2 : 0; times > 0; times--)
            file->lines[n++] = all[i];
    }
    file->n = n;
    count_again(world, lines, file, closing, sizeof closing);
    enum judgement judgement = judge(&changed, &verdict, error);
    verdict_release(&verdict);
    free(file->lines);
    return judgement != HOLDS;
}

START_TEST(every_line_is_missed_or_listed)
{
    for (size_t i = 0; i < ARRAY_LENGTH(line_mutations); i++) {
        int found = 0;
        for (size_t seed = 0; seed < SEEDS; seed++)
            found += line_is_found(&worlds[seed], i);
        bool right = line_mutations[i].why == NULL ? found == SEEDS : found < SEEDS;
        ck_assert_msg(right, "change %zu of a line: %d found", i, found);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mutations");
    TCase *tests = suite_case(suite, "mutations", 240); // thousands of checks
    tcase_add_unchecked_fixture(tests, open_worlds, close_worlds);
    tcase_add_test(tests, the_generated_runs_hold);
    tcase_add_test(tests, every_change_is_found_or_listed);
    tcase_add_test(tests, every_member_has_a_change);
    tcase_add_test(tests, the_page_lists_what_is_not_found);
    tcase_add_test(tests, every_wrong_form_is_damage);
    tcase_add_test(tests, a_member_of_another_line_is_damage);
    tcase_add_test(tests, every_line_is_missed_or_listed);
    return suite_run(suite);
}
