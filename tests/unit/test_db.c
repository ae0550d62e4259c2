// The table of functions over both database engines: what each result means, late inserts, lost
// connections; and the addresses of databases.
#include "base/clock.h"
#include "base/text.h"
#include "proxy.h"
#include "scratch.h"
#include "store/counter.h"
#include "store/mysql_connection.h"

#include "suite.h"

#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct scratch scratch;

// The engine of the i-th run; false to skip it.
static bool open_engine(int i)
{
    enum db_engine engine = i == 0 ? DB_SQLITE : DB_MYSQL;
    if (!scratch_available(engine))
        return false;
    scratch_open(&scratch, engine);
    return true;
}

static enum rc keep_int(void *arg, const struct db_row *row)
{
    *(int64_t *)arg = db_row_int(row, 0);
    return RC_OK;
}

static int64_t number_of_counters(struct db *db)
{
    int64_t n = -1;
    ck_assert_int_eq(db_query(db, "SELECT COUNT(*) FROM counter", NULL, 0, keep_int, &n), RC_OK);
    return n;
}

START_TEST(values_come_back_as_they_went_in)
{
    if (!open_engine(_i))
        return;
    static const char *const names[] = {"a", "A", "a ", "it's", "back\\slash", "\"q\"", "007", "?"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        ck_assert_int_eq(counter_insert(scratch.db, names[i], INT64_C(4611686018427387904)), RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), ARRAY_LENGTH(names));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct counter counter = {0};
        int64_t now_ms;
        text_copy(counter.name, sizeof counter.name, names[i]);
        ck_assert_int_eq(counter_load(scratch.db, &counter, 1, false, &now_ms), RC_OK);
        ck_assert_int_eq(counter.version, 1);
        ck_assert_int_eq(counter.remaining, INT64_C(4611686018427387904));
        ck_assert_int_gt(now_ms, INT64_C(1600000000000));
    }
    scratch_close(&scratch);
}
END_TEST

START_TEST(a_duplicate_leaves_the_transaction_to_be_rolled_back)
{
    if (!open_engine(_i))
        return;
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_DUPLICATE);
    ck_assert(db_in_transaction(scratch.db));
    db_rollback(scratch.db);
    ck_assert_int_eq(number_of_counters(scratch.db), 1);
    scratch_close(&scratch);
}
END_TEST

START_TEST(late_inserts_are_all_there_or_none)
{
    if (!open_engine(_i))
        return;
    struct counter_change change = {
        .before = {.name = "one", .remaining = 5, .version = 1}, .remaining = 4, .version = 2};
    ck_assert_int_eq(counter_insert(scratch.db, "one", 5), RC_OK);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(counter_save(scratch.db, RULE_VERSION, 0, &change, 1), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1), RC_OK);
    enum rc rc = counter_insert(scratch.db, "one", 1);
    if (rc == RC_OK)
        rc = db_commit(scratch.db);
    else
        db_rollback(scratch.db);
    ck_assert_int_eq(rc, RC_DUPLICATE);
    ck_assert(!db_in_transaction(scratch.db));
    ck_assert_int_eq(number_of_counters(scratch.db), 1);
    int64_t now_ms;
    ck_assert_int_eq(counter_load(scratch.db, &change.before, 1, false, &now_ms), RC_OK);
    ck_assert_int_eq(change.before.version, 1);

    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "three", 1), RC_OK);
    ck_assert_int_eq(db_commit(scratch.db), RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), 3);
    scratch_close(&scratch);
}
END_TEST

START_TEST(what_was_not_committed_is_not_seen)
{
    if (!open_engine(_i))
        return;
    struct store *store = scratch_second_store(&scratch);
    struct db *other;
    ck_assert_int_eq(db_new(store, &other), RC_OK);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    ck_assert_int_eq(number_of_counters(other), 0);
    ck_assert_int_eq(db_begin(other, DB_BEGIN_SNAPSHOT), RC_OK);
    ck_assert_int_eq(number_of_counters(other), 0);
    ck_assert_int_eq(db_commit(scratch.db), RC_OK);
    ck_assert_int_eq(number_of_counters(other), 0); // still its own moment
    db_rollback(other);
    ck_assert_int_eq(number_of_counters(other), 1);
    db_free(other);
    store_close(store);
    scratch_close(&scratch);
}
END_TEST

// Each rule's demand, for one counter and for several in one statement.
START_TEST(a_save_whose_demand_is_not_met_is_a_conflict)
{
    if (!open_engine(_i))
        return;
    static const struct {
        enum update_rule rule;
        int64_t version_read, fence, token, remaining_read, remaining;
        enum rc expected;
    } cases[] = {
        {RULE_NAIVE, 9, 0, 0, 5, 4, RC_OK},
        {RULE_LOCKED, 9, 0, 0, 5, 4, RC_OK},
        {RULE_VERSION, 1, 0, 0, 5, 4, RC_OK},
        {RULE_VERSION, 2, 0, 0, 5, 4, RC_CONFLICT},
        {RULE_FENCED, 1, 7, 7, 5, 4, RC_OK},
        {RULE_FENCED, 1, 7, 6, 5, 4, RC_CONFLICT},
        {RULE_FENCED, 2, 7, 8, 5, 4, RC_CONFLICT},
        {RULE_CONDITIONAL, 9, 0, 0, 9, 4, RC_OK},
        {RULE_CONDITIONAL, 9, 0, 0, 9, 3, RC_CONFLICT},
        {RULE_CONDITIONAL, 9, 0, 0, 5, 6, RC_OK},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        for (size_t n = 1; n <= 2; n++) {
            struct counter_change changes[2] = {0};
            for (size_t j = 0; j < n; j++) {
                struct counter *before = &changes[j].before;
                text_format(before->name, sizeof before->name, "c%zu-%zu-%zu", i, n, j);
                ck_assert_int_eq(counter_insert(scratch.db, before->name, 5), RC_OK);
                struct db_value fence[] = {db_int(cases[i].fence), db_text(before->name)};
                ck_assert_int_eq(db_exec(scratch.db, "UPDATE counter SET fence = ? WHERE name = ?",
                                         fence, 2, NULL),
                                 RC_OK);
                // With two, only the last one fails its demand.
                bool last = j + 1 == n;
                before->version =
                    last || cases[i].rule == RULE_CONDITIONAL ? cases[i].version_read : 1;
                before->remaining = last ? cases[i].remaining_read : 5;
                changes[j].remaining = last ? cases[i].remaining : 5;
                changes[j].version = before->version + 1;
            }
            ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
            enum rc rc =
                counter_save(scratch.db, cases[i].rule, (uint64_t)cases[i].token, changes, n);
            ck_assert_msg(rc == cases[i].expected, "case %zu with %zu counters: %s", i, n,
                          rc_slug(rc));
            db_rollback(scratch.db);
        }
    }
    scratch_close(&scratch);
}
END_TEST

START_TEST(a_lost_connection_is_made_anew_where_that_is_safe)
{
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(number_of_counters(scratch.db), 0); // a read
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE),
                     RC_OK); // a transaction's first statement
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1),
                     RC_BACKEND_UNAVAILABLE); // not its second
    db_rollback(scratch.db);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    scratch_close(&scratch);
}
END_TEST

// Else what comes next is in a transaction that nobody will commit.
START_TEST(a_transaction_that_could_not_begin_has_not_begun)
{
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    struct db *db;
    ck_assert_int_eq(db_new(scratch.store, &db), RC_OK);
    db_set_deadline(db, clock_now_ns()); // no time left to connect
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_BACKEND_UNAVAILABLE);
    db_rollback(db);
    db_set_deadline(db, INT64_MAX);
    ck_assert_int_eq(counter_insert(db, "one", 1), RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), 1);
    db_free(db);
    scratch_close(&scratch);
}
END_TEST

START_TEST(a_commit_without_an_answer_is_unknown)
{
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(db_commit(scratch.db), RC_OUTCOME_UNKNOWN);
    ck_assert(!db_in_transaction(scratch.db));
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    scratch_close(&scratch);
}
END_TEST

// The server greets, and says nothing to our login; nobody watches the deadline.
START_TEST(a_login_without_an_answer_has_an_end)
{
    if (!scratch_available(DB_MYSQL))
        return;
    char address[128];
    scratch_open(&scratch, DB_MYSQL);
    scratch_address(&scratch, address, sizeof address);
    struct proxy *proxy = proxy_start(address);
    struct store *store = scratch_store_through(&scratch, proxy_address(proxy));
    struct db *db;
    ck_assert_int_eq(db_new(store, &db), RC_OK);
    if (_i == 0)
        db_limit_waits(db, 1000);
    else
        db_allow_long_statements(db);
    proxy_swallow_requests(proxy, true);
    int64_t from_ns = clock_now_ns();
    ck_assert_int_eq(db_query(db, "SELECT 1", NULL, 0, NULL, NULL), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_lt(clock_now_ns() - from_ns, (_i == 0 ? 3 : 12) * NS_PER_S);
    db_free(db);
    store_close(store);
    proxy_stop(proxy);
    scratch_close(&scratch);
}
END_TEST

static int64_t number(struct db *db, const char *sql)
{
    int64_t found = -1;
    enum rc rc = db_query(db, sql, NULL, 0, keep_int, &found);
    ck_assert_msg(rc == RC_OK, "%s: %s", sql, db_error(db));
    return found;
}

static void exec(struct db *db, const char *sql)
{
    enum rc rc = db_exec(db, sql, NULL, 0, NULL);
    ck_assert_msg(rc == RC_OK, "%s: %s", sql, db_error(db));
}

// A primary that became a replica keeps its connections, which would not take a write ever again.
// The error is the server's own; it is raised by a trigger, because who makes the whole server
// read-only holds up every other test that writes.
START_TEST(a_connection_that_became_read_only_is_given_up)
{
    static const unsigned numbers[] = {1290, 1836};
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    struct store *store = scratch_second_store(&scratch);
    struct db *db;
    char sql[160];
    ck_assert_int_eq(db_new(store, &db), RC_OK);
    ck_assert(text_format(sql, sizeof sql,
                          "CREATE TRIGGER demoted BEFORE INSERT ON counter FOR EACH ROW"
                          " SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %u",
                          numbers[_i]));
    exec(scratch.db, sql);

    int64_t old = number(db, "SELECT CONNECTION_ID()");
    ck_assert_int_eq(counter_insert(db, "one", 1), RC_BACKEND_UNAVAILABLE);
    int64_t next = number(db, "SELECT CONNECTION_ID()");
    ck_assert_int_ne(next, old);
    ck_assert_uint_eq(store_reconnects(store), 1);

    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK); // a transaction's second statement
    ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM counter FOR UPDATE"), 0);
    ck_assert_int_eq(counter_insert(db, "one", 1), RC_BACKEND_UNAVAILABLE);
    db_rollback(db);
    ck_assert_int_ne(number(db, "SELECT CONNECTION_ID()"), next);

    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE_LATE), RC_OK); // with COMMIT
    ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM counter FOR UPDATE"), 0);
    ck_assert_int_eq(counter_insert(db, "one", 1), RC_OK);
    ck_assert_int_eq(db_commit(db), RC_OUTCOME_UNKNOWN);
    ck_assert_uint_eq(store_reconnects(store), 2);

    exec(scratch.db, "DROP TRIGGER demoted");
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_insert(db, "one", 1), RC_OK);
    ck_assert_int_eq(db_commit(db), RC_OK);
    ck_assert_uint_eq(store_reconnects(store), 3);
    ck_assert_int_eq(number_of_counters(scratch.db), 1);
    db_free(db);
    store_close(store);
    scratch_close(&scratch);
}
END_TEST

// An hour and the same hour again, when summer time ends. Only a server whose own zone has one can
// take the one for the other; on any other the session's zone is all there is to see.
START_TEST(the_clock_of_the_database_has_no_summer_time)
{
    static const int64_t autumn_s[] = {1792888200, 1792891800}; // 02:30 in Berlin, twice
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    for (size_t i = 0; i < ARRAY_LENGTH(autumn_s); i++) {
        char sql[128];
        ck_assert(text_format(sql, sizeof sql, "SET SESSION timestamp = %" PRId64, autumn_s[i]));
        exec(scratch.db, sql);
        ck_assert(text_format(sql, sizeof sql, "SELECT %s", db_now_ms_sql(scratch.db)));
        ck_assert_int_eq(number(scratch.db, sql), autumn_s[i] * 1000);
    }
    ck_assert_int_eq(number(scratch.db, "SELECT @@SESSION.time_zone = '+00:00'"), 1);
    scratch_close(&scratch);
}
END_TEST

START_TEST(a_statement_without_memory_does_not_spoil_the_next)
{
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    struct mysql_db *mysql = (struct mysql_db *)scratch.db;
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
    mysql->late.failed = true; // as if there had been none
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_NO_MEMORY);
    db_rollback(scratch.db);
    mysql->sql.failed = true;
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    mysql->sql.failed = true;
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1), RC_OK);
    mysql->sql.failed = true;
    ck_assert_int_eq(db_commit(scratch.db), RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), 2);
    scratch_close(&scratch);
}
END_TEST

struct waiter {
    struct db *db;
    const char *sql;
    enum rc rc;
};

static void *wait_for_ever(void *arg)
{
    struct waiter *waiter = arg;
    waiter->rc = db_query(waiter->db, waiter->sql, NULL, 0, NULL, NULL);
    return NULL;
}

// A statement that does not end (nor may it: the test has a minute), cancelled at this time.
static void cancel_after(const char *sql, int64_t after_ns)
{
    struct waiter waiter = {.db = scratch.db, .sql = sql};
    pthread_t thread;
    db_allow_long_statements(scratch.db);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_ever, &waiter), 0);
    clock_sleep_ns(after_ns);
    int64_t from_ns = clock_now_ns();
    db_cancel(scratch.db);
    pthread_join(thread, NULL);
    ck_assert_int_lt(clock_now_ns() - from_ns, 5 * NS_PER_S);
    ck_assert_int_eq(waiter.rc, RC_BACKEND_UNAVAILABLE);
    // For good.
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_SNAPSHOT), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_eq(db_query(scratch.db, "SELECT 1", NULL, 0, NULL, NULL), RC_BACKEND_UNAVAILABLE);
    db_free(scratch.db);
    ck_assert_int_eq(db_new(scratch.store, &scratch.db), RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
}

START_TEST(what_a_connection_waits_for_can_be_cancelled)
{
    static const char *const endless[] = {
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c",
        "SELECT SLEEP(600)"};
    if (!open_engine(_i))
        return;
    cancel_after(endless[_i], 300 * NS_PER_MS);
    // While it connects, or just before or after.
    for (int64_t after_ns = 0; after_ns < 4 * NS_PER_MS; after_ns += NS_PER_MS / 4)
        cancel_after(endless[_i], after_ns);
    scratch_close(&scratch);
}
END_TEST

START_TEST(addresses)
{
    struct mysql_url url;
    ck_assert(mysql_url_parse("u:p%40ss@db.example:3307/shop", &url));
    ck_assert_str_eq(url.user, "u");
    ck_assert_str_eq(url.password, "p@ss");
    ck_assert_str_eq(url.host, "db.example");
    ck_assert_uint_eq(url.port, 3307);
    ck_assert_str_eq(url.database, "shop");
    ck_assert(mysql_url_parse("u@[::1]/shop", &url));
    ck_assert_str_eq(url.host, "::1");
    ck_assert_uint_eq(url.port, 3306);
    static const char *const bad[] = {"",         "host",        "u@host",     "u@host/",
                                      "u@/shop",  "u@host:0/s",  "u@host:x/s", "u@host:70000/s",
                                      "u%zz@h/s", "u@[::1/shop", "u%00@h/s"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        ck_assert_msg(!mysql_url_parse(bad[i], &url), "%s", bad[i]);
    char error[DB_ERROR_MAX];
    struct store *store;
    ck_assert_int_eq(store_open("postgres://x", &store, error), RC_USAGE);
    ck_assert_int_eq(store_open("sqlite:", &store, error), RC_USAGE);
    ck_assert_int_eq(store_open("mysql://u:secret@h/s", &store, error), RC_OK);
    ck_assert_ptr_null(strstr(store_label(store), "secret"));
    store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("db");
    TCase *engines = tcase_create("both engines");
    tcase_set_timeout(engines, 60);
    tcase_add_loop_test(engines, values_come_back_as_they_went_in, 0, 2);
    tcase_add_loop_test(engines, a_duplicate_leaves_the_transaction_to_be_rolled_back, 0, 2);
    tcase_add_loop_test(engines, late_inserts_are_all_there_or_none, 0, 2);
    tcase_add_loop_test(engines, what_was_not_committed_is_not_seen, 0, 2);
    tcase_add_loop_test(engines, a_save_whose_demand_is_not_met_is_a_conflict, 0, 2);
    tcase_add_test(engines, a_lost_connection_is_made_anew_where_that_is_safe);
    tcase_add_test(engines, a_transaction_that_could_not_begin_has_not_begun);
    tcase_add_test(engines, a_commit_without_an_answer_is_unknown);
    tcase_add_loop_test(engines, a_connection_that_became_read_only_is_given_up, 0, 2);
    tcase_add_test(engines, the_clock_of_the_database_has_no_summer_time);
    tcase_add_test(engines, a_statement_without_memory_does_not_spoil_the_next);
    tcase_add_loop_test(engines, a_login_without_an_answer_has_an_end, 0, 2);
    tcase_add_loop_test(engines, what_a_connection_waits_for_can_be_cancelled, 0, 2);
    tcase_add_test(engines, addresses);
    suite_add_tcase(suite, engines);
    return suite_run(suite);
}
