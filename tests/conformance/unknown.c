// A COMMIT whose connection is lost: was it carried out, or will it be? Until its transaction has
// ended nobody may be told that nothing happened, nor be refused. And once it has, what the ledger
// says is the answer, also where somebody else has written it.
//
// The second transaction of the first instance is the one that suffers: the first holds the lane
// until all operations that are to share the second are there.
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
    struct gate together; // holds the opener when it has committed
    atomic_int n_commits;
    void (*strike)(struct moment *moment); // when the second COMMIT is about to be sent
    struct db *backup;                     // whose table lock keeps a COMMIT in the server
    struct operation *twins;               // sent to the second instance
    size_t n_twins;
};

static void pause_moment(void *arg, enum pause_point point, enum endpoint endpoint)
{
    struct moment *moment = arg;
    gate_pause(&moment->together, point, endpoint);
    if (point == PAUSE_IN_COMMIT && atomic_fetch_add(&moment->n_commits, 1) == 1)
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
    operation->quantity = quantity;
    text_copy(operation->counter, sizeof operation->counter, counter);
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

// ---- still in somebody's hands ------------------------------------------------------------------

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

// Until the server is at such a statement.
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
    ck_assert_msg(n > 0, "nobody asks %s", pattern);
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

static void keep_in_the_network(struct moment *moment)
{
    proxy_freeze(moment->fixture.proxy);
}

static void let_the_network_go(struct moment *moment)
{
    proxy_thaw(moment->fixture.proxy);
}

// The ledger's rows go in front of COMMIT, in one packet.
static void keep_in_the_server(struct moment *moment)
{
    exec(moment->backup, "LOCK TABLES ledger READ");
}

static void let_the_server_go(struct moment *moment)
{
    exec(moment->backup, "UNLOCK TABLES");
}

// The server must not see that its client gives up: it might end the wait for that.
static void lose_the_client(struct moment *moment)
{
    await_statement(moment, "INSERT INTO ledger%");
    proxy_freeze(moment->fixture.proxy);
}

struct hands {
    void (*keep)(struct moment *moment), (*wait)(struct moment *moment), (*let_go)(struct moment *);
};

static const struct hands hands[] = {
    {keep_in_the_network, NULL, let_the_network_go},
    {keep_in_the_server, lose_the_client, let_the_server_go},
};

enum { RESTOCKED, BOUGHT, REFUSED, N };

// Nothing is there; a restock and who buys it share a transaction with somebody who wants more, and
// its COMMIT is kept back. The restock's time is up first: alone, the buyer would be refused, and
// nothing that a refusal reads is locked.
START_TEST(a_commit_that_may_still_happen_is_never_denied)
{
    const struct hands *in = &hands[(size_t)_i % ARRAY_LENGTH(hands)];
    struct moment moment;
    if (!open_moment(&moment, names[(size_t)_i / ARRAY_LENGTH(hands)], in->keep))
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
    if (in->wait != NULL)
        in->wait(&moment);
    volley_wait(&moment.volley);
    in->let_go(&moment);
    for (size_t i = 0; i < N; i++)
        ck_assert_msg(volley_operation(&moment.volley, i)->outcome.rc == RC_OUTCOME_UNKNOWN,
                      "%zu was told %s", i,
                      rc_slug(volley_operation(&moment.volley, i)->outcome.rc));
    ck_assert_int_eq(resolved(&moment), 0);
    await_version(&moment, 4); // it has happened
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

// It waits in the server, its client is gone; then it happens while it is being looked up.
START_TEST(a_commit_that_waits_in_the_server_is_waited_for)
{
    struct moment moment;
    if (!open_moment(&moment, names[_i], keep_in_the_server))
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
    await_statement(&moment, "%FOR UPDATE"); // who asks what became of it
    let_the_server_go(&moment);
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

// ---- twins --------------------------------------------------------------------------------------

// The transaction goes down with its connection, COMMIT unsent, and the second instance does some
// of the same requests before anybody looks.
static void send_twins(struct moment *moment)
{
    proxy_cut(moment->fixture.proxy);
    for (size_t i = 0; i < moment->n_twins; i++) {
        struct engine *engine = moment->fixture.instances[1].engine;
        ck_assert_int_eq(submit_and_wait(engine, &moment->twins[i]), RC_OK);
        ck_assert(!moment->twins[i].outcome.replayed);
    }
}

// What the client was told is what the ledger says of its key.
static void assert_in_the_ledger(struct moment *moment, const struct operation *operation)
{
    struct ledger_row row;
    ck_assert_int_eq(operation->outcome.rc, RC_OK);
    ck_assert_int_eq(ledger_find_leg(moment->fixture.scratch.db, operation->request_key, 0, &row),
                     RC_OK);
    ck_assert_int_eq(operation->outcome.version, row.version);
    ck_assert_int_eq(operation->outcome.remaining, row.remaining);
    ck_assert_int_eq(row.delta, -operation->quantity);
}

// Of two operations in the transaction, somebody else does the second alone, or both: in the other
// order, or in the same, with the same rows to show for it. Only one is told that it was first.
static const size_t orders[][2] = {{1, 1}, {1, 0}, {0, 1}};

START_TEST(a_twins_success_is_not_the_transactions)
{
    struct moment moment;
    const size_t *order = orders[(size_t)_i % ARRAY_LENGTH(orders)];
    if (!open_moment(&moment, names[(size_t)_i / ARRAY_LENGTH(orders)], send_twins))
        return;
    fixture_put_product(&moment.fixture, "A", 10);
    submit_opener(&moment, OPERATION_DEDUCT, "stock/A");
    volley_init(&moment.volley, 2);
    struct operation twins[2];
    for (size_t i = 0; i < 2; i++)
        fill(volley_operation(&moment.volley, i), OPERATION_DEDUCT, "stock/A", 1 + (int64_t)i);
    for (size_t i = 0; i < 2; i++)
        twins[i] = *volley_operation(&moment.volley, order[i]);
    moment.twins = twins;
    moment.n_twins = order[0] == order[1] ? 1 : 2;
    for (size_t i = 0; i < 2; i++)
        submit(&moment, i, LONG_NS);
    gate_open(&moment.together);
    volley_wait(&moment.volley);
    for (size_t i = 0; i < 2; i++) {
        const struct operation *operation = volley_operation(&moment.volley, i);
        assert_in_the_ledger(&moment, operation);
        ck_assert_int_eq(operation->outcome.replayed, i == 1 || moment.n_twins == 2);
    }
    ck_assert_int_eq(resolved(&moment), 1);
    await_version(&moment, 4);
    close_moment(&moment);
}
END_TEST

// The same user's coupon at the same version, but with another code.
START_TEST(a_twins_coupon_is_the_one_that_counts)
{
    struct moment moment;
    if (!open_moment(&moment, names[_i], send_twins))
        return;
    struct campaign put = {.campaign = "C", .total = 10, .per_user_limit = 1}, stands;
    bool created;
    ck_assert_int_eq(campaign_put(moment.fixture.scratch.db, &put, &created, &stands), RC_OK);
    text_copy(volley_operation(&moment.opener, 0)->user_id, ID_MAX + 1, "opener");
    submit_opener(&moment, OPERATION_ISSUE, "coupon/C");
    volley_init(&moment.volley, 1);
    struct operation *operation = volley_operation(&moment.volley, 0), twin;
    fill(operation, OPERATION_ISSUE, "coupon/C", 1);
    text_copy(operation->user_id, sizeof operation->user_id, "twin");
    twin = *operation;
    twin.entropy[0]++;
    moment.twins = &twin;
    moment.n_twins = 1;
    submit(&moment, 0, LONG_NS);
    gate_open(&moment.together);
    volley_wait(&moment.volley);
    assert_in_the_ledger(&moment, operation);
    ck_assert(operation->outcome.replayed);
    ck_assert_str_eq(operation->outcome.code, twin.outcome.code);
    ck_assert_int_eq(operation->outcome.version, 3);
    close_moment(&moment);
}
END_TEST

// ---- what was only read -------------------------------------------------------------------------

static void never(struct moment *moment)
{
    (void)moment;
}

// A row that can be seen may still be lost with the server: whoever is answered with it waits for
// a commit behind it. Where that is kept in the server, nobody is told that the request succeeded.
START_TEST(a_replay_is_answered_behind_a_commit)
{
    struct moment moment;
    if (!open_moment(&moment, names[_i], never))
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
    exec(moment.backup, "LOCK TABLES lock_row READ"); // where there is nothing else to write
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
    TCase *pending = tcase_create("still in somebody's hands");
    tcase_set_timeout(pending, 60);
    tcase_add_loop_test(pending, a_commit_that_may_still_happen_is_never_denied, 0,
                        n * (int)ARRAY_LENGTH(hands));
    tcase_add_loop_test(pending, a_commit_that_waits_in_the_server_is_waited_for, 0, n);
    suite_add_tcase(suite, pending);
    TCase *twins = tcase_create("twins");
    tcase_set_timeout(twins, 60);
    tcase_add_loop_test(twins, a_twins_success_is_not_the_transactions, 0,
                        n * (int)ARRAY_LENGTH(orders));
    tcase_add_loop_test(twins, a_twins_coupon_is_the_one_that_counts, 0, n);
    suite_add_tcase(suite, twins);
    TCase *read = tcase_create("what was only read");
    tcase_set_timeout(read, 60);
    tcase_add_loop_test(read, a_replay_is_answered_behind_a_commit, 0, n);
    suite_add_tcase(suite, read);
    return suite_run(suite);
}
