// The rule order-across-counters: transfers between accounts that no single counter shows to be
// wrong. Each test makes the smallest run that breaks the rule, and exactly that rule must report
// it. And the search for cycles under it: random graphs, compared with a search that is too simple
// to be wrong.
#include "base/text.h"
#include "check/check.h"
#include "check/graph.h"
#include "run/seeded.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define ROOM 32

enum { ANN, BOB, EVE, ACCOUNTS };

// Accounts, and the operations on them in the order in which the service took them.
struct bank {
    struct history_counter counters[ACCOUNTS];
    struct attempt attempts[ROOM];
    struct attempt_leg takers[ROOM];
    char keys[ROOM][8];
    struct ledger_row rows[2 * ROOM];
    struct ledger_final finals[ACCOUNTS];
    struct history history;
    struct ledger ledger;
    struct verdict verdict;
};

static struct bank *new_bank(void)
{
    static const char *const names[] = {"points/ann", "points/bob", "points/eve"};
    struct bank *bank = calloc(1, sizeof *bank);
    ck_assert_ptr_nonnull(bank);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        bank->counters[i].kind = COUNTER_POINTS;
        (void)text_copy(bank->counters[i].name, sizeof bank->counters[i].name, names[i]);
        bank->counters[i].version = 1;
        bank->counters[i].remaining = 100;
        bank->finals[i] = (struct ledger_final){1, 100, true};
    }
    bank->history = (struct history){.head = {.run = "r",
                                              .targets = {"http://a:1"},
                                              .n_targets = 1,
                                              .counters = bank->counters,
                                              .n_counters = ACCOUNTS},
                                     .attempts = bank->attempts,
                                     .whole = true};
    bank->ledger.rows = bank->rows;
    bank->ledger.finals = bank->finals;
    return bank;
}

static struct attempt *add_attempt(struct bank *bank, enum attempt_kind kind, size_t account,
                                   int64_t from_ms, int64_t to_ms)
{
    size_t n = bank->history.n_attempts++;
    (void)text_format(bank->keys[n], sizeof bank->keys[n], "r-%zu", n);
    bank->attempts[n] = (struct attempt){
        .op = (int64_t)n,
        .kind = kind,
        .counter = account,
        .outcome = OUTCOME_OK,
        .status = 200,
        .invoke_ns = from_ms * MS,
        .complete_ns = to_ms * MS,
        .key = bank->keys[n],
        .user = "u",
        .detail = "",
        .version = {bank->finals[account].version, true},
        .remaining = {bank->finals[account].remaining, true},
    };
    return &bank->attempts[n];
}

static void post(struct bank *bank, const struct attempt *attempt, size_t account, int64_t points,
                 int64_t leg)
{
    struct ledger_final *state = &bank->finals[account];
    state->version++;
    state->remaining += points;
    bank->rows[bank->ledger.n_rows++] =
        (struct ledger_row){.counter = account,
                            .version = state->version,
                            .delta = points,
                            .remaining = state->remaining,
                            .leg = leg,
                            .key = attempt->key,
                            .user = attempt->user,
                            .reason = attempt_kind_name(attempt->kind),
                            .strategy = "conditional"};
}

// One point.
static void transfer(struct bank *bank, size_t giver, size_t taker, int64_t from_ms, int64_t to_ms)
{
    struct attempt *attempt = add_attempt(bank, KIND_TRANSFER, giver, from_ms, to_ms);
    struct attempt_leg *leg = &bank->takers[bank->history.n_attempts - 1];
    post(bank, attempt, giver, -1, 0);
    post(bank, attempt, taker, 1, 1);
    *leg = (struct attempt_leg){
        .counter = taker,
        .amount = 1,
        .version = {bank->finals[taker].version, true},
        .remaining = {bank->finals[taker].remaining, true},
    };
    attempt->quantity = 1;
    attempt->version.value = bank->finals[giver].version;
    attempt->remaining.value = bank->finals[giver].remaining;
    attempt->more = leg;
    attempt->n_more = 1;
}

static void get(struct bank *bank, size_t account, int64_t from_ms, int64_t to_ms)
{
    add_attempt(bank, KIND_READ, account, from_ms, to_ms)->key = "";
}

// Exactly this rule is broken, or none if it is empty, with such a sentence and so many events.
static void expect(struct bank *bank, const char *slug, const char *sentence, size_t n_events)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    check_history(&bank->history, &bank->ledger, &(struct check_options){0}, &bank->verdict);
    const struct verdict *verdict = &bank->verdict;
    ck_assert(verdict->done);
    verdict_write_text(verdict, &text);
    for (size_t i = 0; i < verdict->n_invariants; i++) {
        bool broken = strcmp(verdict->invariants[i].slug, slug) == 0;
        ck_assert_msg((verdict->invariants[i].violations > 0) == broken, "%s", text.data);
    }
    // What one counter disproves, order-across-counters does not claim.
    for (size_t i = 0; i < verdict->n_invariants; i++) {
        if (strcmp(verdict->invariants[i].slug, "order-across-counters") == 0)
            ck_assert_int_eq(verdict->invariants[i].looked_at == 0,
                             strcmp(slug, "real-time-order") == 0);
    }
    if (slug[0] != '\0') {
        ck_assert_str_eq(verdict->shown[0].sentence, sentence);
        ck_assert_msg(verdict->shown[0].n_events == n_events, "%s", text.data);
    }
    verdict_release(&bank->verdict);
    free(bank);
}

START_TEST(a_legal_order_is_accepted)
{
    struct bank *bank = new_bank();
    transfer(bank, ANN, BOB, 10, 40);
    transfer(bank, BOB, ANN, 15, 30);
    get(bank, ANN, 20, 50);
    get(bank, BOB, 20, 50);
    transfer(bank, BOB, EVE, 16, 60);
    get(bank, EVE, 17, 61);
    expect(bank, "", "", 0);
}
END_TEST

// Two transfers at the same time: one is first on one account, the other on the other.
START_TEST(two_accounts_in_opposite_orders)
{
    struct bank *bank = new_bank();
    transfer(bank, ANN, BOB, 10, 40);
    transfer(bank, ANN, BOB, 10, 40);
    transfer(bank, ANN, BOB, 10, 40);
    bank->rows[3].key = "r-2"; // of bob
    bank->rows[5].key = "r-1";
    struct attempt_leg first = bank->takers[1];
    bank->takers[1] = bank->takers[2];
    bank->takers[2] = first;
    expect(bank, "order-across-counters",
           "2 operations have no common order: r-2 is before r-1 on points/bob (versions 3, 4);"
           " r-1 is before r-2 on points/ann (versions 3, 4).",
           6);
}
END_TEST

// A reader sees the transfer in one account, then the other account without it.
START_TEST(half_a_transfer_is_seen)
{
    struct bank *bank = new_bank();
    get(bank, BOB, 30, 31);
    transfer(bank, ANN, BOB, 10, 40);
    get(bank, ANN, 20, 21);
    get(bank, EVE, 22, 23); // other answers come between
    get(bank, EVE, 24, 25);
    expect(bank, "order-across-counters",
           "3 operations have no common order: r-1 is before reading 2 on points/ann (versions 2,"
           " 2); reading 2 was answered before reading 0 was sent; reading 0 is before r-1 on"
           " points/bob (versions 1, 2).",
           5);
}
END_TEST

// The same at the same time is no violation.
START_TEST(readings_at_the_same_time_may_differ)
{
    struct bank *bank = new_bank();
    get(bank, BOB, 20, 31);
    transfer(bank, ANN, BOB, 10, 40);
    get(bank, ANN, 20, 21);
    expect(bank, "", "", 0);
}
END_TEST

// A reading stays before the transfer, although an administrator's change came between.
START_TEST(an_administrator_comes_between)
{
    struct bank *bank = new_bank();
    const struct attempt without_user = {.kind = KIND_EARN, .key = "", .user = ""};
    get(bank, BOB, 30, 31);
    post(bank, &without_user, BOB, 1, 0);
    transfer(bank, ANN, BOB, 10, 40);
    get(bank, ANN, 20, 21);
    check_history(&bank->history, &bank->ledger, &(struct check_options){.allow_foreign = true},
                  &bank->verdict);
    ck_assert_int_eq(bank->verdict.violations, 1);
    ck_assert_str_eq(bank->verdict.shown[0].invariant, "order-across-counters");
    verdict_release(&bank->verdict);
    free(bank);
}
END_TEST

// A refusal tells the state of its first leg.
START_TEST(a_refusal_reads_as_well)
{
    struct bank *bank = new_bank();
    bank->counters[BOB].remaining = bank->finals[BOB].remaining = 0;
    struct attempt *refused = add_attempt(bank, KIND_SPEND, BOB, 30, 31);
    refused->outcome = OUTCOME_FAIL;
    refused->status = 409;
    refused->quantity = 1;
    refused->detail = "not-enough-points";
    transfer(bank, ANN, BOB, 10, 40);
    get(bank, ANN, 20, 21);
    expect(bank, "order-across-counters",
           "3 operations have no common order: r-1 is before reading 2 on points/ann (versions 2,"
           " 2); reading 2 was answered before refusal 0 was sent; refusal 0 is before r-1 on"
           " points/bob (versions 1, 2).",
           5);
}
END_TEST

// Each account alone is in order, and so is each pair of operations.
START_TEST(a_circle_over_three_accounts)
{
    struct bank *bank = new_bank();
    transfer(bank, ANN, BOB, 10, 40);
    transfer(bank, BOB, EVE, 10, 40);
    transfer(bank, EVE, ANN, 10, 40);
    // The third one is first on ann.
    bank->rows[0].key = "r-2"; // the rows of ann: r-0 gives, r-2 takes
    bank->rows[0].delta = 1;
    bank->rows[0].remaining = 101;
    bank->rows[0].leg = 1;
    bank->rows[5].key = "r-0";
    bank->rows[5].delta = -1;
    bank->rows[5].remaining = 100;
    bank->rows[5].leg = 0;
    bank->attempts[0].version.value = 3;
    bank->attempts[0].remaining.value = 100;
    bank->takers[2].version.value = 2;
    bank->takers[2].remaining.value = 101;
    expect(bank, "order-across-counters",
           "3 operations have no common order: r-0 is before r-1 on points/bob (versions 2, 3);"
           " r-1 is before r-2 on points/eve (versions 2, 3);"
           " r-2 is before r-0 on points/ann (versions 2, 3).",
           9);
}
END_TEST

// The cycle on one counter is reported by the rule for one counter only.
START_TEST(one_account_is_for_real_time_order)
{
    struct bank *bank = new_bank();
    transfer(bank, ANN, BOB, 50, 60);
    transfer(bank, ANN, EVE, 10, 20);
    expect(bank, "real-time-order",
           "points/ann: the request that wrote version 3 was answered at 20.000 ms, but the request"
           " that wrote the earlier version 2 was sent only at 50.000 ms.",
           4);
}
END_TEST

// Of a long detour only the short cycle is shown.
START_TEST(the_fewest_operations_are_shown)
{
    struct bank *bank = new_bank();
    get(bank, BOB, 30, 31); // before the transfer to bob
    for (int64_t i = 0; i < 10; i++)
        transfer(bank, ANN, i == 0 ? BOB : EVE, 10, 40);
    get(bank, ANN, 20, 21);                   // after all transfers from ann
    struct attempt first = bank->attempts[1]; // the file begins in the middle of the transfers
    bank->attempts[1] = bank->attempts[5];
    bank->attempts[5] = first;
    check_history(&bank->history, &bank->ledger, &(struct check_options){0}, &bank->verdict);
    ck_assert_int_eq(bank->verdict.violations, 1);
    ck_assert_int_eq(strncmp(bank->verdict.shown[0].sentence, "3 operations ", 13), 0);
    verdict_release(&bank->verdict);
    free(bank);
}
END_TEST

// ---- graphs -------------------------------------------------------------------------------------

#define NODES 12
#define GRAPHS 3000
#define FAR 1000

struct drawing {
    bool edge[NODES][NODES];
    size_t path[NODES][NODES]; // the fewest counted nodes that are entered on the way
    uint32_t n, n_counted;
    int cycles;
};

static void add_edges(void *arg, struct graph *graph)
{
    const struct drawing *drawing = arg;
    for (uint32_t i = 0; i < drawing->n; i++) {
        for (uint32_t j = 0; j < drawing->n; j++) {
            if (drawing->edge[i][j])
                graph_add(graph, i, j);
        }
    }
}

static void check_cycle(void *arg, const uint32_t *nodes, size_t n)
{
    struct drawing *drawing = arg;
    size_t counted = 0;
    for (size_t i = 0; i < n; i++) {
        ck_assert(drawing->edge[nodes[i]][nodes[(i + 1) % n]]);
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(nodes[i], nodes[j]);
        counted += nodes[i] < drawing->n_counted;
    }
    ck_assert_uint_gt(counted, 0);
    size_t fewest = SIZE_MAX; // of all cycles in this part
    for (uint32_t i = 0; i < drawing->n; i++) {
        if (drawing->path[i][nodes[0]] < FAR && drawing->path[nodes[0]][i] < FAR &&
            drawing->path[i][i] < fewest)
            fewest = drawing->path[i][i];
    }
    ck_assert_uint_le(counted, fewest > 2 ? fewest : 2);
    drawing->cycles++;
}

// Fills in which node reaches which. Returns how many parts of two nodes or more there are.
static int count_parts(struct drawing *drawing)
{
    uint32_t n = drawing->n;
    int parts = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            drawing->path[i][j] = drawing->edge[i][j] ? j < drawing->n_counted : FAR;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++)
                if (drawing->path[i][k] + drawing->path[k][j] < drawing->path[i][j])
                    drawing->path[i][j] = drawing->path[i][k] + drawing->path[k][j];
    for (uint32_t i = 0; i < n; i++) {
        bool first = true, alone = true;
        for (uint32_t j = 0; j < n; j++) {
            bool together = i != j && drawing->path[i][j] < FAR && drawing->path[j][i] < FAR;
            first = first && !(together && j < i);
            alone = alone && !together;
        }
        parts += first && !alone;
    }
    return parts;
}

// The nodes that are not counted make a chain, as moments do.
static void draw(struct drawing *drawing, uint64_t *random)
{
    *drawing = (struct drawing){.n = 2 + (uint32_t)seeded_below(seeded_mix(++*random), NODES - 1)};
    drawing->n_counted = 1 + (uint32_t)seeded_below(seeded_mix(++*random), drawing->n);
    uint64_t percent = 5 + seeded_below(seeded_mix(++*random), 30);
    for (uint32_t i = 0; i < drawing->n; i++) {
        for (uint32_t j = 0; j < drawing->n; j++) {
            bool chain = i >= drawing->n_counted && j >= drawing->n_counted;
            drawing->edge[i][j] =
                i != j && (chain ? j == i + 1 : seeded_below(seeded_mix(++*random), 100) < percent);
        }
    }
}

START_TEST(cycles_are_found_in_any_graph)
{
    uint64_t random = 7;
    int cycles = 0;
    for (int i = 0; i < GRAPHS; i++) {
        struct drawing drawing;
        struct graph graph;
        draw(&drawing, &random);
        int parts = count_parts(&drawing);
        ck_assert(graph_init(&graph, drawing.n, add_edges, &drawing));
        ck_assert(graph_find_cycles(&graph, drawing.n_counted, check_cycle, &drawing));
        ck_assert_int_eq(drawing.cycles, parts);
        graph_release(&graph);
        cycles += parts;
    }
    ck_assert_int_gt(cycles, GRAPHS / 10);
}
END_TEST

static void add_long_chain(void *arg, struct graph *graph)
{
    const uint32_t *n = arg;
    for (uint32_t i = 0; i + 1 < *n; i++)
        graph_add(graph, i, i + 1);
    graph_add(graph, *n - 1, *n - 3);
}

static void count_cycle(void *arg, const uint32_t *nodes, size_t n)
{
    (void)nodes;
    *(size_t *)arg += n;
}

// Recursion would exhaust the stack.
START_TEST(a_long_chain_is_followed)
{
    uint32_t n = 3000000;
    size_t length = 0;
    struct graph graph;
    ck_assert(graph_init(&graph, n, add_long_chain, &n));
    ck_assert(graph_find_cycles(&graph, n, count_cycle, &length));
    ck_assert_uint_eq(length, 3);
    graph_release(&graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check_order");
    TCase *tests = tcase_create("check_order");
    tcase_add_test(tests, a_legal_order_is_accepted);
    tcase_add_test(tests, two_accounts_in_opposite_orders);
    tcase_add_test(tests, half_a_transfer_is_seen);
    tcase_add_test(tests, readings_at_the_same_time_may_differ);
    tcase_add_test(tests, an_administrator_comes_between);
    tcase_add_test(tests, a_refusal_reads_as_well);
    tcase_add_test(tests, a_circle_over_three_accounts);
    tcase_add_test(tests, one_account_is_for_real_time_order);
    tcase_add_test(tests, the_fewest_operations_are_shown);
    tcase_add_test(tests, cycles_are_found_in_any_graph);
    tcase_add_test(tests, a_long_chain_is_followed);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
