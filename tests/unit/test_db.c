// The interface of both database engines: what each result means, deferred inserts, cancelling; and
// the parsing of database URLs.
#include "base/clock.h"
#include "base/text.h"
#include "scratch.h"
#include "store/tables/counter.h"
#include "store/tables/probe.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int64_t number_of_counters(struct db *db)
{
    int64_t n = -1;
    ck_assert_int_eq(db_query_int(db, "SELECT COUNT(*) FROM counter", NULL, 0, &n), RC_OK);
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

START_TEST(the_time_is_right_to_the_millisecond)
{
    if (!open_engine(_i))
        return;
    char sql[128];
    text_format(sql, sizeof sql, "SELECT %s", db_now_ms_sql(scratch.db));
    for (int i = 0; i < 50; i++) {
        int64_t before_ms = clock_wall_ms(), now_ms = 0;
        ck_assert_int_eq(db_query_int(scratch.db, sql, NULL, 0, &now_ms), RC_OK);
        ck_assert_int_ge(now_ms, before_ms);
        ck_assert_int_le(now_ms, clock_wall_ms());
        while (clock_wall_ms() == before_ms) // each millisecond is another fraction of a day
            continue;
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
    ck_assert_int_eq(number_of_counters(other), 0); // still its own snapshot
    db_rollback(other);
    ck_assert_int_eq(number_of_counters(other), 1);
    db_free(other);
    store_close(store);
    scratch_close(&scratch);
}
END_TEST

static enum rc save_and_load(enum update_rule rule, uint64_t token,
                             const struct counter_change *changes, struct counter *after, size_t n)
{
    int64_t now_ms;
    enum rc rc = counter_save_before_load(scratch.db, rule, token, changes, n);
    return rc == RC_OK ? counter_load(scratch.db, after, n, false, &now_ms) : rc;
}

// Each rule's demand, for one counter and for several in one statement; alone and read again.
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
            struct counter after[2] = {0};
            for (size_t j = 0; j < n; j++) {
                struct counter *before = &changes[j].before;
                text_format(before->name, sizeof before->name, "c%zu-%zu-%zu", i, n, j);
                ck_assert_int_eq(counter_insert(scratch.db, before->name, 5), RC_OK);
                text_copy(after[j].name, sizeof after[j].name, before->name);
                struct db_value fence[] = {db_int(cases[i].fence), db_text(before->name)};
                ck_assert_int_eq(db_exec(scratch.db, "UPDATE counter SET fence = ? WHERE name = ?",
                                         fence, 2, NULL),
                                 RC_OK);
                // Of two counters, only the last one fails its demand.
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

            ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
            rc = save_and_load(cases[i].rule, (uint64_t)cases[i].token, changes, after, n);
            ck_assert_msg(rc == cases[i].expected, "case %zu with %zu counters, read again: %s", i,
                          n, rc_slug(rc));
            bool adds = cases[i].rule == RULE_CONDITIONAL;
            int64_t written =
                adds ? 5 + cases[i].remaining - cases[i].remaining_read : cases[i].remaining;
            if (rc == RC_OK)
                ck_assert_int_eq(after[n - 1].remaining, written);
            db_rollback(scratch.db);
        }
    }
    scratch_close(&scratch);
}
END_TEST

// Whatever the others get: the same, for some of them the same, or each its own.
START_TEST(each_row_of_a_save_gets_its_own_values)
{
    static const int64_t deltas[][5] = {
        {-1, -1, -1, -1, -1}, {-1, -1, -2, -1, -1}, {-3, -1, -1, 4, -1},
        {-1, -2, -3, -4, -5}, {-2, -2, -1, -1, 0},
    };
    enum { N = ARRAY_LENGTH(deltas[0]) };
    if (!open_engine(_i))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(deltas); i++) {
        for (int rule = 0; rule < RULE_COUNT; rule++) {
            struct counter_change changes[N] = {0};
            struct counter after[N];
            int64_t now_ms;
            for (size_t j = 0; j < N; j++) {
                struct counter *before = &changes[j].before;
                text_format(before->name, sizeof before->name, "c%zu-%d-%zu", i, rule, j);
                before->remaining = 5 + (int64_t)j;
                before->version = 1;
                ck_assert_int_eq(counter_insert(scratch.db, before->name, before->remaining),
                                 RC_OK);
                changes[j].remaining = before->remaining + deltas[i][j];
                changes[j].version = 2 + (int64_t)(j % 2);
                after[j] = *before;
            }
            ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
            ck_assert_int_eq(counter_save(scratch.db, (enum update_rule)rule, 7, changes, N),
                             RC_OK);
            ck_assert_int_eq(db_commit(scratch.db), RC_OK);
            ck_assert_int_eq(counter_load(scratch.db, after, N, false, &now_ms), RC_OK);
            for (size_t j = 0; j < N; j++) {
                ck_assert_int_eq(after[j].remaining, changes[j].remaining);
                ck_assert_int_eq(after[j].version, changes[j].version);
                ck_assert_int_eq(after[j].fence, rule == RULE_FENCED ? 7 : 0);
            }
        }
    }
    scratch_close(&scratch);
}
END_TEST

static enum rc count_row(void *arg, const struct db_row *row)
{
    (void)row;
    ++*(int *)arg;
    return RC_OK;
}

// A conflict is not taken for the query's result, and the query's rows are not left for the next.
START_TEST(a_statement_and_its_query_succeed_or_fail_together)
{
    static const char add[] = "UPDATE counter SET remaining = remaining + 1 WHERE name <> 'none'";
    static const char fail[] = "UPDATE counter SET name = 'one' WHERE name = 'two'";
    static const char read[] = "SELECT name FROM counter WHERE remaining = 6";
    if (!open_engine(_i))
        return;
    ck_assert_int_eq(counter_insert(scratch.db, "one", 5), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 5), RC_OK);
    for (int64_t expected = 1; expected <= 3; expected++) {
        int n_rows = 0;
        ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
        enum rc rc = db_exec_rows(scratch.db, add, NULL, 0, expected, DB_WITH_QUERY);
        if (rc == RC_OK)
            rc = db_query(scratch.db, read, NULL, 0, count_row, &n_rows);
        ck_assert_int_eq(rc, expected == 2 ? RC_OK : RC_CONFLICT);
        ck_assert_int_eq(n_rows, expected == 2 ? 2 : 0);
        ck_assert_int_eq(number_of_counters(scratch.db), 2);
        db_rollback(scratch.db);

        ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
        rc = db_exec_rows(scratch.db, fail, NULL, 0, expected, DB_WITH_QUERY);
        if (rc == RC_OK)
            rc = db_query(scratch.db, read, NULL, 0, count_row, &n_rows);
        ck_assert_int_eq(rc, RC_DUPLICATE);
        db_rollback(scratch.db);
        ck_assert_int_eq(number_of_counters(scratch.db), 2);
    }
    // Outside a transaction, and rolled back without a query.
    ck_assert_int_eq(db_exec_rows(scratch.db, add, NULL, 0, 3, DB_WITH_QUERY), RC_CONFLICT);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(db_exec_rows(scratch.db, add, NULL, 0, 2, DB_WITH_QUERY), RC_OK);
    db_rollback(scratch.db);
    int n_rows = 0;
    ck_assert_int_eq(db_query(scratch.db, read, NULL, 0, count_row, &n_rows), RC_OK);
    ck_assert_int_eq(n_rows, 2);
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

// Starts an endless statement and cancels it after this time. (The test's own timeout is a minute.)
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
    // Every later call fails too.
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_SNAPSHOT), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_eq(db_query(scratch.db, "SELECT 1", NULL, 0, NULL, NULL), RC_BACKEND_UNAVAILABLE);
    db_free(scratch.db);
    ck_assert_int_eq(db_new(scratch.store, &scratch.db), RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
}

static enum rc refuse_row(void *arg, const struct db_row *row)
{
    ++*(int *)arg;
    return db_row_int(row, 0) == 1 ? RC_LIMIT_REACHED : RC_INTERNAL;
}

// The second row of the query would be an error of its own.
START_TEST(the_row_function_s_result_ends_the_query)
{
    int rows = 0;
    if (!open_engine(_i))
        return;
    const char *sql = _i == 0 ? "SELECT 1 UNION ALL SELECT abs(-9223372036854775807 - 1)"
                              : "SELECT 1 UNION ALL SELECT 2";
    ck_assert_int_eq(db_query(scratch.db, sql, NULL, 0, refuse_row, &rows), RC_LIMIT_REACHED);
    ck_assert_int_eq(rows, 1);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    scratch_close(&scratch);
}
END_TEST

static enum rc keep_name(void *arg, const struct db_row *row)
{
    char(*names)[64] = arg;
    while ((*names)[0] != '\0')
        names++;
    ck_assert(text_copy(*names, sizeof *names, db_row_text(row, 0)));
    return RC_OK;
}

// Once work has met a missing table, whichever it is, probes see it until it is back.
START_TEST(a_probe_reaches_every_table)
{
    char names[64][64] = {{0}}, sql[128];
    if (!open_engine(0))
        return;
    struct db *db = scratch.db;
    ck_assert_int_eq(db_query(db,
                              "SELECT name FROM sqlite_master WHERE type = 'table'"
                              " AND name <> 'schema_migrations'",
                              NULL, 0, keep_name, names),
                     RC_OK);
    for (size_t i = 0; names[i][0] != '\0'; i++) {
        text_format(sql, sizeof sql, "ALTER TABLE %s RENAME TO away", names[i]);
        ck_assert_int_eq(db_exec(db, sql, NULL, 0, NULL), RC_OK);
        text_format(sql, sizeof sql, "DELETE FROM %s WHERE 1 = 0", names[i]);
        ck_assert_int_eq(db_exec(db, sql, NULL, 0, NULL), RC_BACKEND_UNAVAILABLE);
        for (int probes = 0; probes < 3; probes++)
            ck_assert_msg(probe_run(db) == RC_BACKEND_UNAVAILABLE, "%s", names[i]);
        text_format(sql, sizeof sql, "ALTER TABLE away RENAME TO %s", names[i]);
        ck_assert_int_eq(db_exec(db, sql, NULL, 0, NULL), RC_OK);
        for (int probes = 0; probes < 2; probes++)
            (void)!probe_run(db);
        ck_assert_msg(probe_run(db) == RC_OK, "%s: %s", names[i], db_error(db));
    }
    scratch_close(&scratch);
}
END_TEST

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

// Deletes one of the three files of an SQLite database while a transaction is open.
START_TEST(a_commit_into_a_deleted_file_is_not_acknowledged)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct db *other;
    char path[128];
    scratch_open(&scratch, DB_SQLITE);
    text_format(path, sizeof path, "%s/test.db%s", scratch.folder, suffixes[_i]);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1), RC_OK);
    ck_assert_int_eq(db_commit(scratch.db), RC_OUTCOME_UNKNOWN);
    ck_assert(!db_in_transaction(scratch.db));
    ck_assert_int_eq(db_fault(scratch.db), DB_FAULT_MISSING);
    // Nothing is begun, read or created after that, by this handle or a new one.
    ck_assert_int_eq(db_new(scratch.store, &other), RC_OK);
    struct db *handles[] = {scratch.db, other};
    for (size_t i = 0; i < ARRAY_LENGTH(handles); i++) {
        ck_assert_int_eq(db_begin(handles[i], DB_BEGIN_WRITE), RC_BACKEND_UNAVAILABLE);
        ck_assert_int_eq(db_query(handles[i], "SELECT 1 FROM counter", NULL, 0, NULL, NULL),
                         RC_BACKEND_UNAVAILABLE);
        ck_assert_int_eq(probe_run(handles[i]), RC_BACKEND_UNAVAILABLE);
    }
    ck_assert_int_ne(access(path, F_OK), 0);
    db_free(other);
    scratch_close(&scratch);
}
END_TEST

// SQLite deletes -wal and -shm when the last connection closes, and makes new ones.
START_TEST(files_that_sqlite_removes_itself_are_not_missing)
{
    scratch_open(&scratch, DB_SQLITE);
    char path[128], away[128];
    text_format(path, sizeof path, "%s/test.db", scratch.folder);
    text_format(away, sizeof away, "%s/test.db-wal", scratch.folder);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(counter_insert(scratch.db, (const char *[]){"a", "b", "c"}[i], 1), RC_OK);
        db_free(scratch.db);
        ck_assert_int_ne(access(away, F_OK), 0);
        ck_assert_int_eq(db_new(scratch.store, &scratch.db), RC_OK);
    }
    ck_assert_int_eq(number_of_counters(scratch.db), 3);
    ck_assert_int_eq(db_fault(scratch.db), DB_FAULT_NONE);
    // The store knows its file although no connection is open.
    db_free(scratch.db);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(db_new(scratch.store, &scratch.db), RC_OK);
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_BACKEND_UNAVAILABLE);
    ck_assert_int_ne(access(path, F_OK), 0);
    scratch_close(&scratch);
}
END_TEST

START_TEST(addresses)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no scheme"},
        {"shop.db", "no scheme"},
        {"postgres://x", "unknown scheme"},
        {"sqlite://shop.db", "a relative path follows"},
        {"sqlite:", "no path"},
        {"sqlite::memory:", "in memory"},
        {"sqlite:file:shop.db", "file: addresses"},
        {"sqlite:shop.db?mode=ro", "no options"},
        {"sqlite:/var/lib/", "a folder"},
        {"mysql://u:SECRET@h", "nothing stands behind"},
        {"mysql://u:SECRET@h/shop?ssl-mode=REQUIRED", "no option 'ssl-mode'"},
        {"mysqls://u:SECRET@h/shop?tls=off", "contradicts"},
    };
    static const char *const good[] = {
        "sqlite:shop.db",
        "sqlite:///var/lib/shop.db",
        "mysql://u:SECRET@a:3306,b:3307,[::1]:1/shop?tls=verify-ca&ca=/x&connect_timeout=5",
        "mariadb://u:SECRET@127.0.0.1/shop",
        "mariadbs://u:SECRET@h/shop",
        "mysql://u:SECRET@/shop?socket=/run/mysqld/mysqld.sock",
    };
    char error[DB_ERROR_MAX];
    struct store *store;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        ck_assert_msg(store_open(bad[i].text, &store, error) == RC_USAGE, "%s", bad[i].text);
        ck_assert_msg(strstr(error, bad[i].why) != NULL && strncmp(error, "store: ", 7) == 0 &&
                          strstr(error, "sqlite:PATH") != NULL && strstr(error, "SECRET") == NULL,
                      "%s", error);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        ck_assert_msg(store_open(good[i], &store, error) == RC_OK, "%s: %s", good[i], error);
        ck_assert_ptr_null(strstr(store_label(store), "SECRET"));
        store_close(store);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("db");
    TCase *engines = tcase_create("both engines");
    tcase_set_timeout(engines, 60);
    tcase_add_loop_test(engines, values_come_back_as_they_went_in, 0, 2);
    tcase_add_loop_test(engines, the_time_is_right_to_the_millisecond, 0, 2);
    tcase_add_loop_test(engines, a_duplicate_leaves_the_transaction_to_be_rolled_back, 0, 2);
    tcase_add_loop_test(engines, late_inserts_are_all_there_or_none, 0, 2);
    tcase_add_loop_test(engines, what_was_not_committed_is_not_seen, 0, 2);
    tcase_add_loop_test(engines, a_save_whose_demand_is_not_met_is_a_conflict, 0, 2);
    tcase_add_loop_test(engines, each_row_of_a_save_gets_its_own_values, 0, 2);
    tcase_add_loop_test(engines, a_statement_and_its_query_succeed_or_fail_together, 0, 2);
    tcase_add_loop_test(engines, the_row_function_s_result_ends_the_query, 0, 2);
    tcase_add_loop_test(engines, what_a_connection_waits_for_can_be_cancelled, 0, 2);
    tcase_add_loop_test(engines, a_commit_into_a_deleted_file_is_not_acknowledged, 0, 3);
    tcase_add_test(engines, files_that_sqlite_removes_itself_are_not_missing);
    tcase_add_test(engines, a_probe_reaches_every_table);
    tcase_add_test(engines, addresses);
    suite_add_tcase(suite, engines);
    return suite_run(suite);
}
