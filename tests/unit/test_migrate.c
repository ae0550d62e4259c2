// Migrations on both engines: the compiled-in files, and small lists of the test's own, some of
// which fail on purpose.
#include "store/migrate/migrate.h"

#include "base/clock.h"
#include "base/text.h"
#include "commands/commands.h"
#include "config/config.h"
#include "scratch.h"
#include "store/migrate/text.h"
#include "store/migrate/track.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <string.h>

#define ADD(test) tcase_add_loop_test(tests, test, DB_SQLITE, DB_MYSQL + 1)

static const struct migration two[] = {
    {1, "0001_one", "-- up\nCREATE TABLE one (n BIGINT NOT NULL);\n-- down\nDROP TABLE one;\n"},
    {2, "0002_two", "-- up\nCREATE TABLE two (n BIGINT NOT NULL);\n-- down\nDROP TABLE two;\n"},
    {0, NULL, NULL},
};

static const struct migration first_only[] = {
    {1, "0001_one", "-- up\nCREATE TABLE one (n BIGINT NOT NULL);\n-- down\nDROP TABLE one;\n"},
    {0, NULL, NULL},
};

static const struct migration edited[] = {
    {1, "0001_one", "-- up\nCREATE TABLE one (m BIGINT NOT NULL);\n-- down\nDROP TABLE one;\n"},
    {0, NULL, NULL},
};

static const struct migration second_only[] = {
    {2, "0002_two", "-- up\nCREATE TABLE two (n BIGINT NOT NULL);\n-- down\nDROP TABLE two;\n"},
    {0, NULL, NULL},
};

static const struct migration breaks_half_way[] = {
    {1, "0001_one",
     "-- up\nCREATE TABLE one (n BIGINT NOT NULL);\nCREATE NONSENSE;\n-- down\nDROP TABLE one;\n"},
    {0, NULL, NULL},
};

static char error[MIGRATE_ERROR_MAX];

static struct track track_of(struct db *db, const struct migration *known)
{
    error[0] = '\0';
    return (struct track){db, "test", known, clock_now_ns(), error};
}

static void execute(struct db *db, const char *sql)
{
    ck_assert_msg(db_exec(db, sql, NULL, 0, NULL) == RC_OK, "%s: %s", sql, db_error(db));
}

static bool works(struct db *db, const char *sql)
{
    return db_exec(db, sql, NULL, 0, NULL) == RC_OK;
}

static int64_t number(struct db *db, const char *sql)
{
    int64_t result = -1;
    ck_assert_msg(db_query_int(db, sql, NULL, 0, &result) == RC_OK, "%s: %s", sql, db_error(db));
    return result;
}

// ---- the text -----------------------------------------------------------------------------------

static const char sample[] = "-- what it is; and why\n"
                             "lost\n"
                             "-- up\n"
                             "CREATE TABLE t (a INT) /*! ENGINE=InnoDB */\n"
                             "--sqlite: WITHOUT ROWID\n"
                             "--mysql: COMMENT 'x'\n"
                             "-- a remark; with a semicolon\n"
                             ";\n"
                             "-- down\n"
                             "DROP TABLE t;";

static void check_script(enum migration_part part, bool sqlite, const char *expected)
{
    struct buffer script CLEANUP(buffer_release) = {0};
    migration_script(sample, part, sqlite, &script);
    ck_assert_str_eq(script.data, expected);
}

START_TEST(a_file_is_read_for_each_engine)
{
    check_script(MIGRATION_UP, true, "CREATE TABLE t (a INT)  \n WITHOUT ROWID\n;\n");
    check_script(MIGRATION_UP, false,
                 "CREATE TABLE t (a INT) /*! ENGINE=InnoDB */\n COMMENT 'x'\n;\n");
    check_script(MIGRATION_DOWN, true, "DROP TABLE t;\n");
}
END_TEST

START_TEST(a_checksum_sees_every_edit)
{
    char before[MIGRATION_CHECKSUM_SIZE], after[MIGRATION_CHECKSUM_SIZE];
    migration_checksum("CREATE TABLE t (a INT);", before);
    migration_checksum("CREATE TABLE t (b INT);", after);
    ck_assert_uint_eq(strlen(before), 16);
    ck_assert_str_ne(before, after);
}
END_TEST

// ---- up and down --------------------------------------------------------------------------------

struct seen {
    int n;
    struct migration_status statuses[8];
};

static void keep_status(void *arg, const struct migration_status *status)
{
    struct seen *seen = arg;
    seen->statuses[seen->n++] = *status;
}

START_TEST(up_applies_in_order_and_down_takes_back_the_newest)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    struct track track = track_of(db, two);
    int applied = -1, pending = -1;

    ck_assert_int_eq(track_up(&track, 1, &applied), RC_OK);
    ck_assert_int_eq(applied, 1);
    ck_assert(works(db, "INSERT INTO one (n) VALUES (1)"));
    ck_assert(!works(db, "INSERT INTO two (n) VALUES (1)"));
    ck_assert_int_eq(track_check(&track, &pending, &applied), RC_OK);
    ck_assert_int_eq(pending, 1);
    ck_assert_int_eq(applied, 1);

    ck_assert_int_eq(track_up(&track, 9, &applied), RC_OK);
    ck_assert_int_eq(applied, 1);
    ck_assert_int_eq(track_up(&track, 9, &applied), RC_OK);
    ck_assert_int_eq(applied, 0);
    ck_assert(works(db, "INSERT INTO two (n) VALUES (1)"));

    ck_assert_int_eq(track_down(&track, 1), RC_OK);
    ck_assert(works(db, "INSERT INTO one (n) VALUES (1)"));
    ck_assert(!works(db, "INSERT INTO two (n) VALUES (1)"));
    ck_assert_int_eq(track_up(&track, 9, &applied), RC_OK);
    ck_assert_int_eq(track_down(&track, 9), RC_OK);
    ck_assert(!works(db, "INSERT INTO one (n) VALUES (1)"));
    ck_assert_int_eq(track_down(&track, 1), RC_OK);
    scratch_close(&scratch);
}
END_TEST

START_TEST(status_merges_what_is_known_with_what_was_applied)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct seen seen = {.n = 0};
    struct track track = track_of(scratch.db, two);
    ck_assert_int_eq(track_up(&track, 1, NULL), RC_OK);
    execute(scratch.db,
            "INSERT INTO schema_migrations (track, version, name, checksum, started_at, applied_at)"
            " VALUES ('test', 7, '0007_newer', 'x', 1, 1)");
    ck_assert_int_eq(track_status(&track, keep_status, &seen), RC_OK);
    ck_assert_int_eq(seen.n, 3);
    ck_assert_str_eq(seen.statuses[0].name, "0001_one");
    ck_assert_int_eq(seen.statuses[0].state, MIGRATION_APPLIED);
    ck_assert_int_gt(seen.statuses[0].applied_at_ms, INT64_C(1600000000000));
    ck_assert_str_eq(seen.statuses[1].name, "0002_two");
    ck_assert_int_eq(seen.statuses[1].state, MIGRATION_PENDING);
    ck_assert_str_eq(seen.statuses[2].name, "0007_newer");
    ck_assert_int_eq(seen.statuses[2].state, MIGRATION_UNKNOWN);
    scratch_close(&scratch);
}
END_TEST

START_TEST(an_edited_migration_is_refused)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct track track = track_of(scratch.db, first_only);
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_OK);
    track.known = edited;
    int pending, applied;
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_SCHEMA);
    ck_assert_ptr_nonnull(strstr(error, "0001_one was edited"));
    ck_assert_int_eq(track_down(&track, 1), RC_SCHEMA);
    ck_assert_int_eq(track_check(&track, &pending, &applied), RC_SCHEMA);
    scratch_close(&scratch);
}
END_TEST

START_TEST(a_newer_program_s_migration_is_refused)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct track track = track_of(scratch.db, two);
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_OK);
    track.known = first_only;
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_SCHEMA);
    ck_assert_ptr_nonnull(strstr(error, "0002_two"));
    ck_assert_ptr_nonnull(strstr(error, "newer version"));
    ck_assert_int_eq(track_down(&track, 1), RC_SCHEMA);
    ck_assert(works(scratch.db, "INSERT INTO two (n) VALUES (1)"));
    scratch_close(&scratch);
}
END_TEST

START_TEST(an_older_migration_cannot_be_inserted)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct track track = track_of(scratch.db, second_only);
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_OK);
    track.known = two;
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_SCHEMA);
    ck_assert_ptr_nonnull(strstr(error, "0001_one is missing"));
    scratch_close(&scratch);
}
END_TEST

// On SQLite nothing has happened. On MySQL the first table exists, and every later run reports it.
START_TEST(a_failure_half_way_is_undone_or_reported)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct track track = track_of(scratch.db, breaks_half_way);
    int applied = -1, pending;
    ck_assert_int_eq(track_up(&track, 9, &applied), RC_INTERNAL);
    ck_assert_int_eq(applied, 0);
    ck_assert_ptr_nonnull(strstr(error, "0001_one"));
    ck_assert(!db_in_transaction(scratch.db));
    if (_i == DB_SQLITE) {
        ck_assert(!works(scratch.db, "INSERT INTO one (n) VALUES (1)"));
        track.known = first_only;
        ck_assert_int_eq(track_up(&track, 9, &applied), RC_OK);
        ck_assert_int_eq(applied, 1);
    } else {
        ck_assert(works(scratch.db, "INSERT INTO one (n) VALUES (1)"));
        ck_assert_int_eq(track_up(&track, 9, NULL), RC_SCHEMA);
        ck_assert_ptr_nonnull(strstr(error, "0001_one was begun and has not ended"));
        ck_assert_int_eq(track_down(&track, 9), RC_SCHEMA);
        ck_assert_int_eq(track_check(&track, &pending, &applied), RC_SCHEMA);
    }
    scratch_close(&scratch);
}
END_TEST

// ---- spellings ----------------------------------------------------------------------------------

#define ONE "CREATE TABLE one (n BIGINT NOT NULL, t VARCHAR(40))"
#define DOWN "-- down\nDROP TABLE one;\n"
#define TWO_ROWS " INSERT INTO one (n, t) VALUES (1, 'x'), (2, 'y')"

// Each makes the table `one` with two rows, and undoes it.
static const char *const spellings[] = {
    "-- up\r\n" ONE ";\r\n" TWO_ROWS ";\r\n-- down\r\nDROP TABLE one;\r\n",
    "\xef\xbb\xbf-- up\n" ONE ";\n" TWO_ROWS ";\n" DOWN,
    "Don't read this.\n-- up \t\n" ONE ";\n" TWO_ROWS ";\n" DOWN,
    "-- up\n" ONE "; -- why; and 'who'\n" TWO_ROWS "; -- the end"
    "\n" DOWN,
    "-- up\n" ONE "; \t\n" TWO_ROWS ";  \n\n \n" DOWN,
    "-- up\n" ONE " -- it's;\n;;\n;" TWO_ROWS "; ;\n" DOWN,
    "-- up\n/* it's;\n-- down\n*/" ONE "; # why; \"\n" TWO_ROWS "; /* ; */\n" DOWN,
    "-- up\n" ONE ";" TWO_ROWS "\n-- down\nDROP TABLE one",
    "-- up\n" ONE ";\nINSERT INTO one VALUES (1, ';'), (2, 'it''s; -- not\n-- down\n;');\n" DOWN,
    "-- up\n" ONE " /*! ENGINE=InnoDB */;\n--sqlite:" TWO_ROWS "; -- why\n--mysql:" TWO_ROWS
    ";\n" DOWN,
    "-- up\n" ONE ";\nCREATE TABLE two (n BIGINT NOT NULL);\n"
    "CREATE TRIGGER twice AFTER INSERT ON two FOR EACH ROW BEGIN -- both;\n"
    "INSERT INTO one (n) VALUES (NEW.n);\nINSERT INTO one (n) VALUES (NEW.n); -- again\nEND;\n"
    "INSERT INTO two (n) VALUES (7);\n-- down\nDROP TRIGGER twice; DROP TABLE two; DROP TABLE one;\n",
};

START_TEST(spellings_mean_the_same_on_both_engines)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    for (size_t i = 0; i < ARRAY_LENGTH(spellings); i++) {
        const struct migration known[] = {{1, "0001_one", spellings[i]}, {0, NULL, NULL}};
        struct track track = track_of(scratch.db, known);
        enum rc rc = track_up(&track, 9, NULL);
        ck_assert_msg(rc == RC_OK, "up %zu: %s", i, error);
        ck_assert_int_eq(number(scratch.db, "SELECT COUNT(*) FROM one"), 2);
        rc = track_down(&track, 9);
        ck_assert_msg(rc == RC_OK, "down %zu: %s", i, error);
        ck_assert(!works(scratch.db, "INSERT INTO one (n) VALUES (1)"));
    }
    scratch_close(&scratch);
}
END_TEST

START_TEST(line_ends_and_a_byte_order_mark_are_not_an_edit)
{
    char unix_ends[MIGRATION_CHECKSUM_SIZE], other[MIGRATION_CHECKSUM_SIZE];
    migration_checksum("-- up\nCREATE\n-- down\n", unix_ends);
    migration_checksum("\xef\xbb\xbf-- up\r\nCREATE\r\n-- down\r\n", other);
    ck_assert_str_eq(unix_ends, other);
    migration_checksum("-- up\nCREA\rTE\n-- down\n", other);
    ck_assert_str_ne(unix_ends, other);
}
END_TEST

// ---- one runner at a time -----------------------------------------------------------------------

#define RUNNERS 4

struct runner {
    struct store *store;
    pthread_barrier_t *barrier;
    enum rc rc;
    int applied;
};

static void *run_up(void *arg)
{
    struct runner *runner = arg;
    struct db *db;
    char why[MIGRATE_ERROR_MAX] = "";
    struct track track = {.name = "test", .known = two, .error = why};
    if (db_new(runner->store, &db) != RC_OK)
        return NULL;
    track.db = db;
    track.deadline_ns = clock_now_ns() + 20 * NS_PER_S;
    pthread_barrier_wait(runner->barrier);
    runner->rc = track_up(&track, 9, &runner->applied);
    db_free(db);
    return NULL;
}

START_TEST(many_runners_apply_each_migration_once)
{
    struct scratch scratch;
    pthread_t threads[RUNNERS];
    pthread_barrier_t barrier;
    struct runner runners[RUNNERS];
    int applied = 0;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    pthread_barrier_init(&barrier, NULL, RUNNERS);
    for (int i = 0; i < RUNNERS; i++) {
        // Every other runner has a store of its own, as in another process.
        runners[i] = (struct runner){i % 2 == 0 ? scratch.store : scratch_second_store(&scratch),
                                     &barrier, RC_INTERNAL, 0};
        pthread_create(&threads[i], NULL, run_up, &runners[i]);
    }
    for (int i = 0; i < RUNNERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(runners[i].rc, RC_OK);
        applied += runners[i].applied;
        if (i % 2 != 0)
            store_close(runners[i].store);
    }
    ck_assert_int_eq(applied, 2);
    pthread_barrier_destroy(&barrier);
    scratch_close(&scratch);
}
END_TEST

START_TEST(waiting_for_another_runner_times_out)
{
    struct scratch scratch;
    struct db *other;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct store *second = scratch_second_store(&scratch);
    ck_assert_int_eq(db_new(second, &other), RC_OK);
    if (_i == DB_SQLITE)
        ck_assert_int_eq(db_begin(other, DB_BEGIN_WRITE), RC_OK);
    else
        ck_assert_int_eq(
            number(other,
                   "SELECT GET_LOCK(CONCAT('holdfast.', LEFT(SHA2(DATABASE(), 256), 40)), 1)"),
            1);

    struct track track = track_of(scratch.db, two);
    track.deadline_ns = clock_now_ns() + 100 * NS_PER_MS;
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_LOCK_BUSY);
    ck_assert_str_ne(error, "");
    db_free(other); // the server may take a moment to notice
    track.deadline_ns = clock_now_ns() + 10 * NS_PER_S;
    ck_assert_int_eq(track_up(&track, 9, NULL), RC_OK);
    store_close(second);
    scratch_close(&scratch);
}
END_TEST

// ---- the compiled-in files ----------------------------------------------------------------------

#define LEDGER_ROW(counter, version, user, order, reason)                                          \
    "INSERT INTO ledger VALUES ('" counter "', " version ", 5, 5, NULL, 0, 0, '" user "', " order  \
    ", '" reason "', 'none', 0, 7)"
#define BYTES_128                                                                                    \
    "auth0|0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
    "8901234567890123456789012345678901"

#define SINCE_POINTS 3 // migrations: 0002 and those after it

START_TEST(points_goes_up_and_down_on_data)
{
    struct scratch scratch;
    int64_t n = 0;
    int applied;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    ck_assert_int_eq(migrate_down(db, SINCE_POINTS, 1000, error), RC_OK);
    execute(db, LEDGER_ROW("points/a", "1", "a", "'o1'", "earn"));
    execute(db, LEDGER_ROW("points/a", "2", "a", "'o1'", "earn")); // no rule forbade it then
    execute(db, LEDGER_ROW("points/a", "3", "a", "NULL", "earn"));
    execute(db, LEDGER_ROW("points/b", "1", "a", "'o1'", "spend"));
    execute(db, LEDGER_ROW("stock/a", "1", "a", "'o1'", "earn"));
    ck_assert_int_eq(migrate_up(db, 1000, &applied, error), RC_OK);
    ck_assert_int_eq(applied, SINCE_POINTS);
    ck_assert_int_eq(db_query_int(db, "SELECT COUNT(*) FROM earned", NULL, 0, &n), RC_OK);
    ck_assert_int_eq(n, 1);
    ck_assert(works(db, "DELETE FROM earned WHERE user_id = 'a' AND order_id = 'o1' AND version = 1"
                        " AND created_at = 7"));
    ck_assert(
        !works(db, LEDGER_ROW("points/a", "3", "a", "NULL", "earn"))); // the key is still there
    execute(db, LEDGER_ROW("points/a", "4", BYTES_128, "'" BYTES_128 "'", "earn"));
    execute(db, "DELETE FROM ledger WHERE user_id = '" BYTES_128 "'");
    ck_assert_int_eq(migrate_down(db, SINCE_POINTS, 1000, error), RC_OK);
    ck_assert_int_eq(db_query_int(db, "SELECT COUNT(*) FROM ledger", NULL, 0, &n), RC_OK);
    ck_assert_int_eq(n, 5);
    scratch_close(&scratch);
}
END_TEST

START_TEST(the_core_schema_goes_up_and_down)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i); // migrates it
    struct db *db = scratch.db;
    struct seen seen = {.n = 0};
    int applied;
    ck_assert_int_eq(migrate_check(db, error), RC_OK);
    ck_assert_int_eq(migrate_down(db, 99, 1000, error), RC_OK);
    ck_assert_int_eq(migrate_check(db, error), RC_SCHEMA);
    ck_assert_ptr_nonnull(strstr(error, "holdfast migrate up"));
    ck_assert(!works(db, "DELETE FROM counter"));
    execute(db, "DROP TABLE schema_migrations"); // as before the first run
    ck_assert_int_eq(migrate_check(db, error), RC_SCHEMA);
    ck_assert_int_eq(migrate_status(db, keep_status, &seen, error), RC_OK);
    ck_assert_int_ge(seen.n, 1);
    ck_assert_int_eq(seen.statuses[0].state, MIGRATION_PENDING);
    ck_assert_int_eq(migrate_up(db, 1000, &applied, error), RC_OK);
    ck_assert_int_eq(applied, seen.n);
    ck_assert_int_eq(migrate_check(db, error), RC_OK);
    scratch_close(&scratch);
}
END_TEST

START_TEST(names_are_compared_byte_by_byte)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    static const char *const names[] = {"stock/A", "stock/a", "stock/a ", "007", "7"};
    struct counter counters[ARRAY_LENGTH(names)];
    int64_t now_ms;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        ck_assert_int_eq(counter_insert(scratch.db, names[i], (int64_t)i + 1), RC_OK);
    ck_assert_int_eq(counter_insert(scratch.db, names[0], 1), RC_DUPLICATE);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        text_copy(counters[0].name, sizeof counters[0].name, names[i]);
        ck_assert_int_eq(counter_load(scratch.db, counters, 1, false, &now_ms), RC_OK);
        ck_assert_int_eq(counters[0].remaining, (int64_t)i + 1);
    }
    scratch_close(&scratch);
}
END_TEST

static struct ledger_row make_row(const char *counter, int64_t version, const char *key)
{
    struct ledger_row row = {.version = version, .created_at_ms = 1};
    text_copy(row.counter, sizeof row.counter, counter);
    text_copy(row.request_key, sizeof row.request_key, key);
    text_copy(row.reason, sizeof row.reason, "deduct");
    text_copy(row.strategy, sizeof row.strategy, "none");
    return row;
}

static enum rc insert_row(struct db *db, const char *counter, int64_t version, const char *key)
{
    struct ledger_row row = make_row(counter, version, key);
    return ledger_insert(db, &row, 1);
}

static bool can_break_everything(struct db *db)
{
    int broken = 0, refused = 0;
    broken += works(db, "UPDATE counter SET remaining = -1 WHERE name = 'stock/A'");
    broken += insert_row(db, "stock/A", 1, "other") == RC_OK;
    broken += insert_row(db, "stock/A", 2, "key") == RC_OK;
    broken += works(db, "INSERT INTO coupon VALUES ('C', 'u', 1, 'code-2', 2, 1)");
    broken += works(db, "INSERT INTO coupon VALUES ('C', 'v', 1, 'code-1', 3, 1)");
    broken += works(db, "INSERT INTO draw VALUES ('L', 'u', 1, NULL, 3, 1)");
    refused = 6 - broken;
    ck_assert_msg(broken == 0 || refused == 0, "%d of 6 constraints hold", refused);
    return refused == 0;
}

static void repair_everything(struct db *db)
{
    execute(db, "UPDATE counter SET remaining = 5 WHERE name = 'stock/A'");
    execute(db, "DELETE FROM ledger WHERE request_key = 'other' OR version = 2");
    execute(db, "DELETE FROM coupon WHERE version > 1");
    execute(db, "DELETE FROM draw WHERE version > 1");
}

START_TEST(the_lab_drops_the_constraints_and_restores_them)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    struct db *db = scratch.db;
    bool off = true;
    ck_assert_int_eq(counter_insert(db, "stock/A", 5), RC_OK);
    ck_assert_int_eq(insert_row(db, "stock/A", 1, "key"), RC_OK);
    execute(db, "INSERT INTO coupon VALUES ('C', 'u', 1, 'code-1', 1, 1)");
    execute(db, "INSERT INTO draw VALUES ('L', 'u', 1, NULL, 1, 1)");
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(migrate_constraints_are_off(db, &off, error), RC_OK);
        ck_assert(!off);
        ck_assert(!can_break_everything(db));
        ck_assert_msg(migrate_lab(db, true, error) == RC_OK, "%s", error);
        ck_assert_int_eq(migrate_lab(db, true, error), RC_OK);
        ck_assert_int_eq(migrate_constraints_are_off(db, &off, error), RC_OK);
        ck_assert(off);
        ck_assert_int_eq(migrate_check(db, error), RC_OK);
        ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM ledger WHERE request_key = 'key'"), 1);
        ck_assert(can_break_everything(db));
        ck_assert_int_eq(migrate_lab(db, false, error), RC_SCHEMA);
        ck_assert_ptr_nonnull(strstr(error, "counters below zero (1)"));
        repair_everything(db);
        ck_assert_msg(migrate_lab(db, false, error) == RC_OK, "%s", error);
        ck_assert_int_eq(migrate_lab(db, false, error), RC_OK);
    }
    ck_assert_int_eq(number(db, "SELECT COUNT(*) FROM coupon WHERE code = 'code-1'"), 1);
    ck_assert_int_eq(number(db, "SELECT remaining FROM counter WHERE name = 'stock/A'"), 5);
    scratch_close(&scratch);
}
END_TEST

START_TEST(each_violation_keeps_the_constraints_off_with_a_sentence)
{
    static const struct {
        const char *plant, *sentence;
    } violations[] = {
        {"INSERT INTO counter VALUES ('stock/B', -1, 1, 0)", "counters below zero"},
        {"INSERT INTO ledger SELECT counter, version, delta, remaining, NULL, leg, fingerprint,"
         " user_id, order_id, reason, strategy, token, created_at FROM ledger",
         "versions that are in the ledger more than once"},
        {"INSERT INTO ledger SELECT counter, 2, delta, remaining, request_key, leg, fingerprint,"
         " user_id, order_id, reason, strategy, token, created_at FROM ledger",
         "requests that were executed more than once"},
        {"INSERT INTO coupon VALUES ('C', 'u', 1, 'code-2', 2, 1)", "coupons for the same slot"},
        {"INSERT INTO coupon VALUES ('C', 'v', 1, 'code-1', 2, 1)", "coupon codes that"},
        {"INSERT INTO draw VALUES ('L', 'u', 1, NULL, 2, 1)", "draws for the same slot"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(violations); i++) {
        struct scratch scratch;
        if (!scratch_available((enum db_engine)_i))
            return;
        scratch_open(&scratch, (enum db_engine)_i);
        ck_assert_int_eq(insert_row(scratch.db, "stock/A", 1, "key"), RC_OK);
        execute(scratch.db, "INSERT INTO coupon VALUES ('C', 'u', 1, 'code-1', 1, 1)");
        execute(scratch.db, "INSERT INTO draw VALUES ('L', 'u', 1, NULL, 1, 1)");
        ck_assert_msg(migrate_lab(scratch.db, true, error) == RC_OK, "%s", error);
        execute(scratch.db, violations[i].plant);
        ck_assert_int_eq(migrate_lab(scratch.db, false, error), RC_SCHEMA);
        ck_assert_msg(strstr(error, violations[i].sentence) != NULL, "%s", error);
        scratch_close(&scratch);
    }
}
END_TEST

START_TEST(the_core_schema_stays_while_the_constraints_are_off)
{
    struct scratch scratch;
    int applied = -1;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    ck_assert_int_eq(migrate_lab(scratch.db, true, error), RC_OK);
    ck_assert_int_eq(migrate_down(scratch.db, 1, 1000, error), RC_SCHEMA);
    ck_assert_ptr_nonnull(strstr(error, "constraints are off"));
    ck_assert_int_eq(migrate_up(scratch.db, 1000, &applied, error), RC_OK); // nothing is pending
    ck_assert_int_eq(applied, 0);
    execute(scratch.db, "DELETE FROM schema_migrations WHERE track = 'core'");
    ck_assert_int_eq(migrate_up(scratch.db, 1000, &applied, error), RC_SCHEMA);
    ck_assert_ptr_nonnull(strstr(error, "constraints are off"));
    scratch_close(&scratch);
}
END_TEST

static int command(struct store *store, const char *first, const char *second)
{
    char words[2][16];
    char *argv[] = {words[0], words[1], NULL};
    text_copy(words[0], sizeof words[0], first);
    if (second != NULL)
        text_copy(words[1], sizeof words[1], second);
    return command_migrate(NULL, store, second != NULL ? 2 : 1, argv);
}

START_TEST(the_command_answers_with_exit_codes)
{
    struct scratch scratch;
    if (!scratch_available((enum db_engine)_i))
        return;
    scratch_open(&scratch, (enum db_engine)_i);
    ck_assert_int_eq(command(scratch.store, "status", NULL), 0);
    ck_assert_int_eq(command(scratch.store, "belts-off", NULL), 0);
    ck_assert_int_eq(command(scratch.store, "down", NULL), 2);
    ck_assert_int_eq(command(scratch.store, "belts-on", NULL), 0);
    ck_assert_int_eq(command(scratch.store, "down", "0"), 2);
    ck_assert_int_eq(command(scratch.store, "down", "99"), 0);
    ck_assert_int_eq(command(scratch.store, "status", "--json"), 1);
    ck_assert_int_eq(
        command_reconcile(&(struct config){.reservation_sweep_ms = 1000}, scratch.store, 0, NULL),
        2);
    ck_assert_int_eq(command(scratch.store, "up", NULL), 0);
    ck_assert_int_eq(command(scratch.store, "sideways", NULL), 2);
    ck_assert_int_eq(command(scratch.store, "up", "now"), 2);
    scratch_close(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migrate");
    TCase *tests = tcase_create("migrate");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_file_is_read_for_each_engine);
    tcase_add_test(tests, a_checksum_sees_every_edit);
    ADD(up_applies_in_order_and_down_takes_back_the_newest);
    ADD(status_merges_what_is_known_with_what_was_applied);
    ADD(an_edited_migration_is_refused);
    ADD(a_newer_program_s_migration_is_refused);
    ADD(an_older_migration_cannot_be_inserted);
    ADD(a_failure_half_way_is_undone_or_reported);
    ADD(spellings_mean_the_same_on_both_engines);
    tcase_add_test(tests, line_ends_and_a_byte_order_mark_are_not_an_edit);
    ADD(many_runners_apply_each_migration_once);
    ADD(waiting_for_another_runner_times_out);
    ADD(the_core_schema_goes_up_and_down);
    ADD(points_goes_up_and_down_on_data);
    ADD(names_are_compared_byte_by_byte);
    ADD(the_lab_drops_the_constraints_and_restores_them);
    ADD(each_violation_keeps_the_constraints_off_with_a_sentence);
    ADD(the_core_schema_stays_while_the_constraints_are_off);
    ADD(the_command_answers_with_exit_codes);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
