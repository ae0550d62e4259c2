// A COMMIT whose connection is lost: it may have been executed, or may still be. Until its
// transaction has ended, no caller may be told that nothing happened, and no caller may be refused.
// Once it has ended, the ledger has the answer, even if another instance wrote the row.
//
// The second transaction of the first instance is the victim. The first transaction holds the lane
// until all operations that shall share the second are queued.
#include "fixture.h"
#include "gate.h"
#include "proxy.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/tables/campaign.h"
#include "store/tables/ledger.h"
#include "store/tables/product.h"

#include "guard/strategy/registry.h"
#include "suite.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SHORT_NS (2 * NS_PER_S)
#define LONG_NS (10 * NS_PER_S)

static const char *const names[] = {"conditional", "optimistic", "row-lock"};

struct moment {
    struct fixture fixture;
    struct volley opener, volley;
    struct gate together; // holds the opener after its COMMIT
    atomic_int n_commits;
    void (*strike)(struct moment *moment); // called before the second COMMIT is sent
    struct db *backup;                     // its table lock delays a COMMIT in the server
    struct operation *duplicates;          // sent to the second instance
    size_t n_duplicates;
};

static void pause_moment(void *arg, const struct paused *paused)
{
    struct moment *moment = arg;
    gate_pause(&moment->together, paused);
    if (paused->point == PAUSE_IN_COMMIT && atomic_fetch_add(&moment->n_commits, 1) == 1)
        moment->strike(moment);
}

static bool open_moment(struct moment *moment, const char *strategy,
                        void (*strike)(struct moment *moment))
{
    *moment = (struct moment){.strike = strike};
    gate_init(&moment->together, PAUSE_AFTER_COMMIT, SIZE_MAX);
    struct fixture_options options = {.strategy = strategy_find(strategy),
                                      .engine = DB_MYSQL,
                                      .instances = 2,
                                      .max_batch = 64,
                                      .through_proxy = true,
                                      .hooks = {{pause_moment, moment}}};
    if (!fixture_open(&moment->fixture, &options))
        return false;
    volley_init(&moment->opener, 1);
    return true;
}

static void close_moment(struct moment *moment)
{
    fixture_assert_reconciled(&moment->fixture);
    volley_release(&moment->volley);
    volley_release(&moment->opener);
    fixture_close(&moment->fixture);
}

static void fill(struct operation *operation, enum operation_kind kind, const char *counter,
                 int64_t quantity)
{
    operation->kind = kind;
    operation->leg.amount = quantity;
    text_copy(operation->leg.counter, sizeof operation->leg.counter, counter);
}

static void submit_opener(struct moment *moment, enum operation_kind kind, const char *counter)
{
    fill(volley_operation(&moment->opener, 0), kind, counter, 1);
    volley_submit(&moment->opener, moment->fixture.instances[0].engine, 0);
    gate_wait_for_arrival(&moment->together);
}

static void submit(struct moment *moment, size_t i, int64_t deadline_ns)
{
    moment->volley.deadline_ns = deadline_ns;
    volley_submit(&moment->volley, moment->fixture.instances[0].engine, i);
}

static int64_t resolved(struct moment *moment)
{
    return fixture_counted(&moment->fixture, 0, "holdfast_unknown_commits_resolved_total");
}

// ---- COMMIT in flight ---------------------------------------------------------------------------

static void exec(struct db *db, const char *sql)
{
    enum rc rc = db_exec(db, sql, NULL, 0, NULL);
    ck_assert_msg(rc == RC_OK, "%s: %s", sql, db_error(db));
}

static enum rc take_number(void *arg, const struct db_row *row)
{
    *(int64_t *)arg = db_row_int(row, 0);
    return RC_OK;
}

// Waits until the server executes a statement that matches the pattern.
static void await_statement(struct moment *moment, const char *pattern)
{
    struct scratch *scratch = &moment->fixture.scratch;
    struct db_value params[] = {db_text(scratch->database), db_text(pattern)};
    int64_t n = 0;
    for (int i = 0; i < 500 && n == 0; i++) {
        clock_sleep_ns(10 * NS_PER_MS);
        ck_assert_int_eq(db_query(scratch->db,
                                  "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE db = ?"
                                  " AND info LIKE ? AND id <> CONNECTION_ID()",
                                  params, ARRAY_LENGTH(params), take_number, &n),
                         RC_OK);
    }
    ck_assert_msg(n > 0, "no connection executes %s", pattern);
}

static void await_version(struct moment *moment, int64_t version)
{
    struct product stands = {0};
    for (int i = 0; i < 500 && stands.version != version; i++) {
        clock_sleep_ns(10 * NS_PER_MS);
        ck_assert_int_eq(product_get(moment->fixture.scratch.db, "A", &stands), RC_OK);
    }
    ck_assert_int_eq(stands.version, version);
}

static void hold_in_the_network(struct moment *moment)
{
    proxy_freeze(moment->fixture.proxy);
}

static void release_the_network(struct moment *moment)
{
    proxy_thaw(moment->fixture.proxy);
}

// The ledger's INSERT precedes COMMIT in the same packet.
static void hold_in_the_server(struct moment *moment)
{
    exec(moment->backup, "LOCK TABLES ledger READ");
}

static void release_the_server(struct moment *moment)
{
    exec(moment->backup, "UNLOCK TABLES");
}

// Freezes the connection instead of closing it: a server that sees its client leave might end the
// statement's wait.
static void lose_the_client(struct moment *moment)
{
    await_statement(moment, "INSERT INTO ledger%");
    proxy_freeze(moment->fixture.proxy);
}

struct delay {
    void (*hold)(struct moment *moment), (*wait)(struct moment *moment),
        (*release)(struct moment *);
};

static const struct delay delays[] = {
    {hold_in_the_network, NULL, release_the_network},
    {hold_in_the_server, lose_the_client, release_the_server},
};

enum { RESTOCKED, BOUGHT, REFUSED, N };

// The product is sold out. A restock, a deduction of that unit and a deduction of more share a
// transaction, and its COMMIT is delayed. The restock's deadline passes first. Run again without
// it, the deduction would be refused, and nothing that a refusal reads is locked.
START_TEST(a_commit_in_flight_is_never_denied)
{
    const struct delay *delay = &delays[(size_t)_i % ARRAY_LENGTH(delays)];
    struct moment moment;
    if (!open_moment(&moment, names[(size_t)_i / ARRAY_LENGTH(delays)], delay->hold))
        return;
    struct fixture *fixture = &moment.fixture;
    ck_assert_int_eq(db_new(fixture->scratch.store, &moment.backup), RC_OK);
    fixture_put_product(fixture, "A", 1);
    submit_opener(&moment, OPERATION_DEDUCT, "stock/A");
    volley_init(&moment.volley, N);
    fill(volley_operation(&moment.volley, RESTOCKED), OPERATION_RESTOCK, "stock/A", 1);
    fill(volley_operation(&moment.volley, BOUGHT), OPERATION_DEDUCT, "stock/A", 1);
    fill(volley_operation(&moment.volley, REFUSED), OPERATION_DEDUCT, "stock/A", 5);
    for (size_t i = 0; i < N; i++)
        submit(&moment, i, i == RESTOCKED ? SHORT_NS : LONG_NS);
    gate_open(&moment.together);
    if (delay->wait != NULL)
        delay->wait(&moment);
    volley_wait(&moment.volley);
    delay->release(&moment);
    for (size_t i = 0; i < N; i++)
        ck_assert_msg(volley_operation(&moment.volley, i)->outcome.rc == RC_OUTCOME_UNKNOWN,
                      "operation %zu was answered %s", i,
                      rc_slug(volley_operation(&moment.volley, i)->outcome.rc));
    ck_assert_int_eq(resolved(&moment), 0);
    await_version(&moment, 4); // the COMMIT was executed
    for (size_t i = 0; i < N; i++) {
        struct operation again = *volley_operation(&moment.volley, i);
        enum rc rc = submit_and_wait(fixture->instances[1].engine, &again);
        ck_assert_int_eq(rc, i == REFUSED ? RC_OUT_OF_STOCK : RC_OK);
        ck_assert_int_eq(again.outcome.replayed, i != REFUSED);
        ck_assert_int_eq(again.outcome.version, i == RESTOCKED ? 3 : 4);
    }
    db_free(moment.backup);
    close_moment(&moment);
}
END_TEST

// COMMIT waits in the server and its connection is lost. It is executed during the lookup.
START_TEST(the_lookup_waits_for_a_commit_in_the_server)
{
    struct moment moment;
    if (!open_moment(&moment, names[_i], hold_in_the_server))
        return;
    struct fixture *fixture = &moment.fixture;
    ck_assert_int_eq(db_new(fixture->scratch.store, &moment.backup), RC_OK);
    fixture_put_product(fixture, "A", 2);
    submit_opener(&moment, OPERATION_DEDUCT, "stock/A");
    volley_init(&moment.volley, 1);
    fill(volley_operation(&moment.volley, 0), OPERATION_DEDUCT, "stock/A", 1);
    submit(&moment, 0, SHORT_NS + NS_PER_S);
    gate_open(&moment.together);
    lose_the_client(&moment);
    await_statement(&moment, "%FOR UPDATE"); // the lookup
    release_the_server(&moment);
    volley_wait(&moment.volley);
    const struct outcome *outcome = &volley_operation(&moment.volley, 0)->outcome;
    ck_assert_int_eq(outcome->rc, RC_OK);
    ck_assert_int_eq(outcome->version, 3);
    ck_assert_int_eq(outcome->remaining, 0);
    ck_assert_int_eq(resolved(&moment), 1);
    db_free(moment.backup);
    close_moment(&moment);
}
END_TEST

// ---- duplicates ---------------------------------------------------------------------------------

// Breaks the connection before COMMIT is sent, so the transaction is rolled back. Before the first
// instance looks, the second executes some of the same requests.
static void send_duplicates(struct moment *moment)
{
    proxy_cut(moment->fixture.proxy);
    for (size_t i = 0; i < moment->n_duplicates; i++) {
        struct engine *engine = moment->fixture.instances[1].engine;
        ck_assert_int_eq(submit_and_wait(engine, &moment->duplicates[i]), RC_OK);
        ck_assert(!moment->duplicates[i].outcome.replayed);
    }
}

// The client's answer is what the ledger has for its key.
static void assert_in_the_ledger(struct moment *moment, const struct operation *operation)
{
    struct ledger_row row;
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    ck_assert_int_eq(ledger_find_leg(moment->fixture.scratch.db, operation->request_key, 0, &row),
                     RC_OK);
    ck_assert_int_eq(operation->outcome.version, row.version);
    ck_assert_int_eq(operation->outcome.remaining, row.remaining);
    ck_assert_int_eq(row.delta, -operation->leg.amount);
}

// Of the transaction's two operations the second instance executes the second alone, both in
// reverse order, or both in the same order, which leaves equal rows. For each operation, only one
// instance may answer that it was the first.
static const size_t orders[][2] = {{1, 1}, {1, 0}, {0, 1}};

START_TEST(a_duplicates_success_is_not_the_transactions)
{
    struct moment moment;
    const size_t *order = orders[(size_t)_i % ARRAY_LENGTH(orders)];
    if (!open_moment(&moment, names[(size_t)_i / ARRAY_LENGTH(orders)], send_duplicates))
        return;
    fixture_put_product(&moment.fixture, "A", 10);
    submit_opener(&moment, OPERATION_DEDUCT, "stock/A");
    volley_init(&moment.volley, 2);
    struct operation duplicates[2];
    for (size_t i = 0; i < 2; i++)
        fill(volley_operation(&moment.volley, i), OPERATION_DEDUCT, "stock/A", 1 + (int64_t)i);
    for (size_t i = 0; i < 2; i++)
        duplicates[i] = *volley_operation(&moment.volley, order[i]);
    moment.duplicates = duplicates;
    moment.n_duplicates = order[0] == order[1] ? 1 : 2;
    for (size_t i = 0; i < 2; i++)
        submit(&moment, i, LONG_NS);
    gate_open(&moment.together);
    volley_wait(&moment.volley);
    for (size_t i = 0; i < 2; i++) {
        const struct operation *operation = volley_operation(&moment.volley, i);
        assert_in_the_ledger(&moment, operation);
        ck_assert_int_eq(operation->outcome.replayed, i == 1 || moment.n_duplicates == 2);
    }
    ck_assert_int_eq(resolved(&moment), 1);
    await_version(&moment, 4);
    close_moment(&moment);
}
END_TEST

// The duplicate issues a coupon to the same user at the same version, but with another code.
START_TEST(a_duplicates_coupon_is_the_answer)
{
    struct moment moment;
    if (!open_moment(&moment, names[_i], send_duplicates))
        return;
    struct campaign put = {.campaign = "C", .total = 10, .per_user_limit = 1}, stands;
    bool created;
    ck_assert_int_eq(campaign_put(moment.fixture.scratch.db, &put, NULL, &created, &stands), RC_OK);
    text_copy(volley_operation(&moment.opener, 0)->user_id, USER_ID_MAX + 1, "opener");
    submit_opener(&moment, OPERATION_ISSUE, "coupon/C");
    volley_init(&moment.volley, 1);
    struct operation *operation = volley_operation(&moment.volley, 0), duplicate;
    fill(operation, OPERATION_ISSUE, "coupon/C", 1);
    text_copy(operation->user_id, sizeof operation->user_id, "duplicate");
    duplicate = *operation;
    duplicate.entropy[0]++;
    moment.duplicates = &duplicate;
    moment.n_duplicates = 1;
    submit(&moment, 0, LONG_NS);
    gate_open(&moment.together);
    volley_wait(&moment.volley);
    assert_in_the_ledger(&moment, operation);
    ck_assert(operation->outcome.replayed);
    ck_assert_str_eq(operation->outcome.code, duplicate.outcome.code);
    ck_assert_int_eq(operation->outcome.version, 3);
    close_moment(&moment);
}
END_TEST

// ---- reads --------------------------------------------------------------------------------------

static void do_nothing(struct moment *moment)
{
    (void)moment;
}

// A row can be visible before it is durable. So a replay is answered only after a later commit.
// While that commit is delayed in the server, the replay must not be answered as a success.
START_TEST(a_replay_is_answered_behind_a_commit)
{
    struct moment moment;
    if (!open_moment(&moment, names[_i], do_nothing))
        return;
    struct fixture *fixture = &moment.fixture;
    ck_assert_int_eq(db_new(fixture->scratch.store, &moment.backup), RC_OK);
    fixture_put_product(fixture, "A", 2);
    volley_init(&moment.volley, 1);
    struct operation *operation = volley_operation(&moment.volley, 0);
    fill(operation, OPERATION_DEDUCT, "stock/A", 1);
    struct operation first = *operation;
    ck_assert_int_eq(submit_and_wait(fixture->instances[1].engine, &first), RC_OK);
    gate_open(&moment.together);
    exec(
        moment.backup,
        "LOCK TABLES lock_row READ"); // the table that the proving commit writes when it has no other change
    submit(&moment, 0, SHORT_NS);
    volley_wait(&moment.volley);
    ck_assert_int_eq(operation->outcome.rc, RC_OUTCOME_UNKNOWN);
    exec(moment.backup, "UNLOCK TABLES");
    struct operation again = first;
    ck_assert_int_eq(submit_and_wait(fixture->instances[0].engine, &again), RC_OK);
    ck_assert(again.outcome.replayed);
    ck_assert_int_eq(again.outcome.version, first.outcome.version);
    db_free(moment.backup);
    close_moment(&moment);
}
END_TEST

int main(void)
{
    int n = (int)ARRAY_LENGTH(names);
    Suite *suite = suite_create("unknown outcomes");
    TCase *pending = suite_case(suite, "COMMIT in flight", 60);
    tcase_add_loop_test(pending, a_commit_in_flight_is_never_denied, 0,
                        n * (int)ARRAY_LENGTH(delays));
    tcase_add_loop_test(pending, the_lookup_waits_for_a_commit_in_the_server, 0, n);
    TCase *duplicates = suite_case(suite, "duplicates", 60);
    tcase_add_loop_test(duplicates, a_duplicates_success_is_not_the_transactions, 0,
                        n * (int)ARRAY_LENGTH(orders));
    tcase_add_loop_test(duplicates, a_duplicates_coupon_is_the_answer, 0, n);
    TCase *read = suite_case(suite, "reads", 60);
    tcase_add_loop_test(read, a_replay_is_answered_behind_a_commit, 0, n);
    return suite_run(suite);
}
