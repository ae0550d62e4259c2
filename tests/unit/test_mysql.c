// Connections to MySQL: connecting, losing and dropping them, and the session's settings.
#include "base/clock.h"
#include "base/text.h"
#include "proxy.h"
#include "scratch.h"
#include "store/db/mysql_connection.h"
#include "store/db/mysql_dial.h"
#include "store/tables/counter.h"
#include "store/tables/probe.h"

#include "suite.h"

#include <check.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static struct scratch scratch;

static int64_t number(struct db *db, const char *sql)
{
    int64_t found = -1;
    enum rc rc = db_query_int(db, sql, NULL, 0, &found);
    ck_assert_msg(rc == RC_OK, "%s: %s", sql, db_error(db));
    return found;
}

static void exec(struct db *db, const char *sql)
{
    enum rc rc = db_exec(db, sql, NULL, 0, NULL);
    ck_assert_msg(rc == RC_OK, "%s: %s", sql, db_error(db));
}

static int64_t number_of_counters(struct db *db)
{
    return number(db, "SELECT COUNT(*) FROM counter");
}

START_TEST(a_lost_connection_is_made_anew_where_that_is_safe)
{
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(number_of_counters(scratch.db), 0); // a read
    scratch_cut_connections(&scratch);
    // Before a transaction's first statement, but not before its second.
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, "one", 1), RC_OK);
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(counter_insert(scratch.db, "two", 1), RC_BACKEND_UNAVAILABLE);
    db_rollback(scratch.db);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    scratch_close(&scratch);
}
END_TEST

// Otherwise the next statement would run in a transaction that is never committed.
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

static enum rc save_and_load(struct db *db, const struct counter_change *change,
                             struct counter *ret_after)
{
    int64_t now_ms;
    enum rc rc = counter_save_before_load(db, RULE_CONDITIONAL, 0, change, 1);
    *ret_after = change->before;
    return rc == RC_OK ? counter_load(db, ret_after, 1, false, &now_ms) : rc;
}

// A deferred statement is sent again with the packet that begins a transaction, and never later. It
// does not reach a COMMIT, which would be executed even if too few rows matched.
START_TEST(a_deferred_statement_is_neither_lost_nor_repeated)
{
    static const struct counter_change change = {
        .before = {.name = "one", .remaining = 5, .version = 1}, .remaining = 4, .version = 2};
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    struct store *store = scratch_second_store(&scratch);
    struct db *db;
    struct counter after;
    ck_assert_int_eq(db_new(store, &db), RC_OK);
    ck_assert_int_eq(counter_insert(db, "one", 5), RC_OK);

    scratch_cut_connections(&scratch);
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(save_and_load(db, &change, &after), RC_OK);
    ck_assert_int_eq(after.remaining, 4);
    ck_assert_int_eq(db_commit(db), RC_OK);

    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(counter_load(db, &after, 1, true, &(int64_t){0}), RC_OK);
    scratch_cut_connections(&scratch);
    ck_assert_int_eq(save_and_load(db, &change, &after), RC_BACKEND_UNAVAILABLE);
    db_rollback(db);

    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(counter_save_before_load(db, RULE_CONDITIONAL, 0, &change, 1), RC_OK);
    ck_assert_int_eq(db_commit(db), RC_INTERNAL);
    ck_assert_int_eq(db_begin(db, DB_BEGIN_WRITE_LATE), RC_OK);
    ck_assert_int_eq(counter_save_before_load(db, RULE_CONDITIONAL, 0, &change, 1), RC_OK);
    ck_assert_int_eq(counter_save_before_load(db, RULE_CONDITIONAL, 0, &change, 1), RC_INTERNAL);
    db_rollback(db);
    ck_assert_int_eq(number(db, "SELECT remaining FROM counter"), 4);
    db_free(db);
    store_close(store);
    scratch_close(&scratch);
}
END_TEST

// Of a packet of several statements, the error is that of the one that failed.
START_TEST(a_deferred_statement_s_error_is_its_own)
{
    static const struct {
        unsigned number;
        enum rc rc;
    } cases[] = {{1205, RC_CONFLICT},
                 {1213, RC_CONFLICT},
                 {1290, RC_BACKEND_UNAVAILABLE},
                 {1062, RC_DUPLICATE},
                 {1644, RC_INTERNAL}};
    static const struct counter_change change = {
        .before = {.name = "one", .remaining = 5, .version = 1}, .remaining = 4, .version = 2};
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    ck_assert_int_eq(counter_insert(scratch.db, "one", 5), RC_OK);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct counter after;
        char sql[192], found[16];
        ck_assert(text_format(sql, sizeof sql,
                              "CREATE TRIGGER fails BEFORE UPDATE ON counter FOR EACH ROW SIGNAL"
                              " SQLSTATE 'HY000' SET MYSQL_ERRNO = %u",
                              cases[i].number));
        exec(scratch.db, sql);
        for (int begun = 0; begun < 2; begun++) {
            ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
            if (begun == 1)
                exec(scratch.db, "DELETE FROM counter WHERE name = 'none'");
            ck_assert_int_eq(save_and_load(scratch.db, &change, &after), cases[i].rc);
            ck_assert_int_eq(after.version, 0); // no row was read
            text_format(found, sizeof found, "%u:", cases[i].number);
            ck_assert_ptr_eq(strstr(db_error(scratch.db), found), db_error(scratch.db));
            db_rollback(scratch.db);
            ck_assert_int_eq(number(scratch.db, "SELECT remaining FROM counter"), 5);
        }
        exec(scratch.db, "DROP TRIGGER fails");
    }
    scratch_close(&scratch);
}
END_TEST

// A primary that became a replica keeps its connections, which then refuse every write. A trigger
// raises the server's own error, because making the whole server read-only would block every other
// test that writes.
START_TEST(a_connection_that_became_read_only_is_dropped)
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
    ck_assert_int_eq(db_commit(db), RC_BACKEND_UNAVAILABLE); // certain: COMMIT was not executed
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

// The hour that is repeated when summer time ends. Only a server in a zone with summer time can
// confuse the two; on any other server the test can only check the session's zone.
// What the server's error numbers mean. A trigger raises each of them.
START_TEST(error_numbers)
{
    static const struct {
        unsigned number;
        const char *text;
        enum rc rc;
        enum db_fault fault;
    } cases[] = {
        {1205, "lock wait timeout", RC_CONFLICT, DB_FAULT_NONE},
        {1213, "deadlock", RC_CONFLICT, DB_FAULT_NONE},
        {1644, "error 28", RC_INTERNAL, DB_FAULT_NONE}, // a number without a meaning
        {1021, "Disk full", RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {1114, "The table is full", RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {3, "Error writing file (Errcode: 28 \"No space left on device\")", RC_BACKEND_UNAVAILABLE,
         DB_FAULT_FULL},
        {1026, "Error writing file (errno: 28)", RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {1026, "Error writing file (errno: 5)", RC_BACKEND_UNAVAILABLE, DB_FAULT_NONE},
        {1030, "Got error 28 from storage engine", RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {1030, "Got error 122 from storage engine", RC_BACKEND_UNAVAILABLE, DB_FAULT_NONE},
        {1030, "Got error 145 from storage engine", RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},
        {1290, "--read-only", RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY},
        {1142, "INSERT command denied", RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED},
        {1146, "The table does not exist", RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING},
        {1712, "The index is corrupted", RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},
    };
    if (!scratch_available(DB_MYSQL))
        return;
    scratch_open(&scratch, DB_MYSQL);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct store *store = scratch_second_store(&scratch);
        struct db *db;
        char sql[256];
        ck_assert_int_eq(db_new(store, &db), RC_OK);
        ck_assert(text_format(sql, sizeof sql,
                              "CREATE TRIGGER fails BEFORE INSERT ON counter FOR EACH ROW SIGNAL"
                              " SQLSTATE 'HY000' SET MYSQL_ERRNO = %u, MESSAGE_TEXT = '%s'",
                              cases[i].number, cases[i].text));
        exec(scratch.db, sql);
        enum rc rc = counter_insert(db, "one", 1);
        ck_assert_msg(rc == cases[i].rc && db_fault(db) == cases[i].fault, "case %zu: %s, %s", i,
                      rc_slug(rc), db_fault_word(db_fault(db)));
        ck_assert_uint_eq(store_faults(store, cases[i].fault), cases[i].fault != DB_FAULT_NONE);
        exec(scratch.db, "DROP TRIGGER fails");
        // Work has failed since the last probe: one probe is not enough.
        if (cases[i].fault != DB_FAULT_NONE)
            ck_assert_int_eq(probe_run(db), RC_BACKEND_UNAVAILABLE);
        ck_assert_int_eq(probe_run(db), RC_OK);
        ck_assert_int_eq(db_fault(db), DB_FAULT_NONE);
        db_free(db);
        store_close(store);
    }
    scratch_close(&scratch);
}
END_TEST

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
    mysql->late.failed = true; // as if an allocation had failed
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
    ck_assert_int_eq(db_begin(scratch.db, DB_BEGIN_WRITE_LATE), RC_OK);
    mysql->ahead.failed = true;
    ck_assert_int_eq(db_exec_rows(scratch.db, "DELETE FROM counter", NULL, 0, 2, DB_WITH_QUERY),
                     RC_OK);
    ck_assert_int_eq(number_of_counters(scratch.db), 0);
    db_rollback(scratch.db);
    scratch_close(&scratch);
}
END_TEST

// The server greets and then does not answer the login. No thread calls db_expire.
START_TEST(a_login_without_an_answer_times_out)
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

#define WAITING 8

// A listening socket whose backlog is full, because no connection is accepted.
struct queue {
    int listener;
    struct sockaddr_in address;
    int waiting[WAITING];
};

static void queue_open(struct queue *queue)
{
    socklen_t size = sizeof queue->address;
    struct sockaddr *address = (struct sockaddr *)&queue->address;
    queue->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    queue->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(queue->listener, address, size), 0);
    ck_assert_int_eq(listen(queue->listener, 0), 0);
    ck_assert_int_eq(getsockname(queue->listener, address, &size), 0);
    for (size_t i = 0; i < WAITING; i++) {
        queue->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(queue->waiting[i], address, size);
    }
}

// Accepts connections after a while and never answers them.
static void *accept_later(void *arg)
{
    const struct queue *queue = arg;
    clock_sleep_ns(300 * NS_PER_MS);
    while (accept4(queue->listener, NULL, NULL, SOCK_CLOEXEC) >= 0)
        continue;
    return NULL;
}

// The server accepts after the deadline, and stays silent.
START_TEST(a_connection_accepted_after_the_deadline_times_out)
{
    struct queue queue;
    pthread_t thread;
    queue_open(&queue);
    ck_assert_int_eq(pthread_create(&thread, NULL, accept_later, &queue), 0);
    struct address address = {.user = "u", .password = "p", .path = "d", .n_hosts = 1};
    struct address_host *host = &address.hosts[0];
    *host = (struct address_host){"127.0.0.1", ntohs(queue.address.sin_port)};
    MYSQL *handle = mysql_init(NULL);
    int64_t from_ns = clock_now_ns();
    ck_assert(!mysql_dial(handle, &address, host, from_ns + 100 * NS_PER_MS));
    int64_t took_ns = clock_now_ns() - from_ns;
    mysql_close(handle);
    ck_assert_int_ge(took_ns, 300 * NS_PER_MS); // not accepted before
    ck_assert_int_lt(took_ns, 8 * NS_PER_S);
    shutdown(queue.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < WAITING; i++)
        close(queue.waiting[i]);
    close(queue.listener);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mysql");
    TCase *connections = tcase_create("connections");
    tcase_set_timeout(connections, 60);
    tcase_add_test(connections, a_lost_connection_is_made_anew_where_that_is_safe);
    tcase_add_test(connections, a_transaction_that_could_not_begin_has_not_begun);
    tcase_add_test(connections, a_commit_without_an_answer_is_unknown);
    tcase_add_test(connections, a_deferred_statement_is_neither_lost_nor_repeated);
    tcase_add_test(connections, a_deferred_statement_s_error_is_its_own);
    tcase_add_loop_test(connections, a_connection_that_became_read_only_is_dropped, 0, 2);
    tcase_add_test(connections, error_numbers);
    tcase_add_test(connections, the_clock_of_the_database_has_no_summer_time);
    tcase_add_test(connections, a_statement_without_memory_does_not_spoil_the_next);
    tcase_add_loop_test(connections, a_login_without_an_answer_times_out, 0, 2);
    tcase_add_test(connections, a_connection_accepted_after_the_deadline_times_out);
    suite_add_tcase(suite, connections);
    return suite_run(suite);
}
