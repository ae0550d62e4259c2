// The embedded engine: one file, WAL, synchronous=FULL. A commit is on disk when it returns.
//
// SQLite allows one writer at a time. The writing threads of this process queue on a mutex of the
// store, because SQLite itself waits by sleeping and retrying. Between processes (`holdfast
// reconcile` beside `serve`) SQLite's busy timeout applies.
//
// Each connection caches its prepared statements by their text. What breaks it: texts that vary
// without bound, so callers run one statement a row instead of building lists.
#include "store/db/engine.h"

#include "base/clock.h"
#include "base/text.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 5000
#define CACHED_STATEMENTS 96
#define STEPS_BETWEEN_CHECKS 10000 // SQLite instructions between two looks at `cancelled`

struct sqlite_store {
    struct store store;
    char path[1024];
    pthread_mutex_t writer;
};

struct sqlite_db {
    struct db db;
    struct sqlite_store *owner;
    sqlite3 *handle; // NULL: not open
    bool writing;    // holds owner->writer
    bool limited;    // waits at most busy_ms for owner->writer, else without limit
    int64_t busy_ms; // how long to wait for other processes
    size_t n_cached;
    struct {
        char *sql;
        sqlite3_stmt *statement;
    } cached[CACHED_STATEMENTS];
};

struct sqlite_row {
    struct db_row row;
    sqlite3_stmt *statement;
};

static int64_t row_number(const struct db_row *row, size_t column)
{
    return sqlite3_column_int64(((const struct sqlite_row *)row)->statement, (int)column);
}

static const char *row_text(const struct db_row *row, size_t column)
{
    const unsigned char *text =
        sqlite3_column_text(((const struct sqlite_row *)row)->statement, (int)column);
    return text != NULL ? (const char *)text : "";
}

static bool row_is_null(const struct db_row *row, size_t column)
{
    return sqlite3_column_type(((const struct sqlite_row *)row)->statement, (int)column) ==
           SQLITE_NULL;
}

static const struct db_row_ops row_ops = {row_number, row_text, row_is_null};

// Copies SQLite's error text and maps its code to a result.
static enum rc failed(struct sqlite_db *sqlite, int code)
{
    text_copy(sqlite->db.error, sizeof sqlite->db.error,
              sqlite->handle != NULL ? sqlite3_errmsg(sqlite->handle) : sqlite3_errstr(code));
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return RC_CONFLICT;
    case SQLITE_CONSTRAINT:
        return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
                       code == SQLITE_CONSTRAINT_ROWID
                   ? RC_DUPLICATE
                   : RC_INTERNAL;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_INTERRUPT:
        return RC_BACKEND_UNAVAILABLE;
    case SQLITE_NOMEM:
        return RC_NO_MEMORY;
    default:
        return RC_INTERNAL;
    }
}

static void drop_statements(struct sqlite_db *sqlite)
{
    for (size_t i = 0; i < sqlite->n_cached; i++) {
        sqlite3_finalize(sqlite->cached[i].statement);
        free(sqlite->cached[i].sql);
    }
    sqlite->n_cached = 0;
}

static void close_handle(struct sqlite_db *sqlite)
{
    drop_statements(sqlite);
    sqlite3_close(sqlite->handle);
    sqlite->handle = NULL;
}

static int is_cancelled(void *arg)
{
    struct sqlite_db *sqlite = arg;
    return atomic_load(&sqlite->db.cancelled);
}

static enum rc open_handle(struct sqlite_db *sqlite)
{
    if (sqlite->handle != NULL)
        return RC_OK;
    int code =
        sqlite3_open_v2(sqlite->owner->path, &sqlite->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(sqlite->handle, 1);
        sqlite3_busy_timeout(sqlite->handle, (int)sqlite->busy_ms);
        sqlite3_progress_handler(sqlite->handle, STEPS_BETWEEN_CHECKS, is_cancelled, sqlite);
        code = sqlite3_exec(sqlite->handle,
                            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
                            NULL, NULL, NULL);
    }
    if (code == SQLITE_OK)
        return RC_OK;
    enum rc rc = failed(sqlite, code);
    close_handle(sqlite);
    return rc == RC_CONFLICT ? RC_BACKEND_UNAVAILABLE : rc;
}

// Acquires the process's writer mutex. SQLite's own lock comes with BEGIN IMMEDIATE or the
// statement.
static enum rc acquire_writer(struct sqlite_db *sqlite)
{
    if (sqlite->writing)
        return RC_OK;
    if (!sqlite->limited)
        pthread_mutex_lock(&sqlite->owner->writer);
    // Polls, because ThreadSanitizer does not know pthread_mutex_clocklock.
    int64_t until_ns = clock_now_ns() + sqlite->busy_ms * NS_PER_MS;
    while (sqlite->limited && pthread_mutex_trylock(&sqlite->owner->writer) != 0) {
        if (clock_now_ns() >= until_ns)
            return failed(sqlite, SQLITE_BUSY);
        clock_sleep_ns(NS_PER_MS);
    }
    sqlite->writing = true;
    return RC_OK;
}

static void release_writer(struct sqlite_db *sqlite)
{
    if (sqlite->writing)
        pthread_mutex_unlock(&sqlite->owner->writer);
    sqlite->writing = false;
}

static enum rc prepare(struct sqlite_db *sqlite, const char *sql, sqlite3_stmt **ret_statement)
{
    if (is_cancelled(sqlite))
        return failed(sqlite, SQLITE_INTERRUPT);
    enum rc rc = open_handle(sqlite);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < sqlite->n_cached; i++) {
        if (strcmp(sqlite->cached[i].sql, sql) == 0) {
            *ret_statement = sqlite->cached[i].statement;
            return RC_OK;
        }
    }
    if (sqlite->n_cached == CACHED_STATEMENTS)
        drop_statements(sqlite);
    char *copy = strdup(sql);
    if (copy == NULL)
        return RC_NO_MEMORY;
    int code =
        sqlite3_prepare_v3(sqlite->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    if (code != SQLITE_OK) {
        free(copy);
        return failed(sqlite, code);
    }
    sqlite->cached[sqlite->n_cached].sql = copy;
    sqlite->cached[sqlite->n_cached++].statement = *ret_statement;
    return RC_OK;
}

static void bind_values(sqlite3_stmt *statement, const struct db_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int at = (int)i + 1;
        if (values[i].type == DB_INT)
            sqlite3_bind_int64(statement, at, values[i].number);
        else if (values[i].type == DB_TEXT)
            sqlite3_bind_text(statement, at, values[i].text, (int)values[i].length, SQLITE_STATIC);
        else
            sqlite3_bind_null(statement, at);
    }
}

static enum rc step_all(struct sqlite_db *sqlite, sqlite3_stmt *statement, db_row_fn on_row,
                        void *arg)
{
    struct sqlite_row row = {.row.ops = &row_ops, .statement = statement};
    enum rc rc = RC_OK;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && rc == RC_OK) {
        if (on_row != NULL)
            rc = on_row(arg, &row.row);
    }
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        rc = failed(sqlite, code);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc;
}

static enum rc sqlite_query(struct db *db, const char *sql, const struct db_value *params,
                            size_t n_params, db_row_fn on_row, void *arg)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    sqlite3_stmt *statement;
    enum rc rc = prepare(sqlite, sql, &statement);
    if (rc != RC_OK)
        return rc;
    bind_values(statement, params, n_params);
    return step_all(sqlite, statement, on_row, arg);
}

static enum rc sqlite_exec(struct db *db, const char *sql, const struct db_value *params,
                           size_t n_params, int64_t *ret_affected)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    bool alone = !db->in_transaction;
    enum rc rc = alone ? acquire_writer(sqlite) : RC_OK;
    if (rc == RC_OK)
        rc = sqlite_query(db, sql, params, n_params, NULL, NULL);
    if (rc == RC_OK && ret_affected != NULL)
        *ret_affected = sqlite3_changes(sqlite->handle);
    if (alone)
        release_writer(sqlite);
    return rc;
}

static enum rc sqlite_insert(struct db *db, const char *into, size_t n_columns,
                             const struct db_value *values, size_t n_rows)
{
    static const char marks[] = "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?";
    char sql[512];
    if (2 * n_columns > sizeof marks ||
        !text_format(sql, sizeof sql, "INSERT INTO %s VALUES (%.*s)", into,
                     (int)(2 * n_columns - 1), marks))
        return RC_INTERNAL;
    for (size_t i = 0; i < n_rows; i++) {
        enum rc rc = sqlite_exec(db, sql, values + i * n_columns, n_columns, NULL);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc sqlite_begin(struct db *db, enum db_begin mode)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    bool writes = mode != DB_BEGIN_SNAPSHOT;
    enum rc rc = writes ? acquire_writer(sqlite) : RC_OK;
    if (rc == RC_OK)
        rc = sqlite_query(db, writes ? "BEGIN IMMEDIATE" : "BEGIN", NULL, 0, NULL, NULL);
    // A deferred transaction takes its snapshot at its first read, so read now.
    if (rc == RC_OK && !writes)
        rc = sqlite_query(db, "SELECT COUNT(*) FROM sqlite_master", NULL, 0, NULL, NULL);
    if (rc != RC_OK)
        release_writer(sqlite);
    return rc;
}

static enum rc sqlite_commit(struct db *db)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    enum rc rc = sqlite_query(db, "COMMIT", NULL, 0, NULL, NULL);
    if (rc == RC_OK)
        release_writer(sqlite);
    // The write-ahead log may hold the commit although the sync failed.
    return rc == RC_BACKEND_UNAVAILABLE ? RC_OUTCOME_UNKNOWN : rc;
}

static void sqlite_rollback(struct db *db)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    char error[DB_ERROR_MAX];
    text_copy(error, sizeof error, db->error);
    // After some errors SQLite has rolled back by itself.
    if (sqlite->handle != NULL && !sqlite3_get_autocommit(sqlite->handle) &&
        sqlite_query(db, "ROLLBACK", NULL, 0, NULL, NULL) != RC_OK)
        close_handle(sqlite);
    text_copy(db->error, sizeof db->error, error);
    release_writer(sqlite);
}

static enum rc sqlite_script(struct db *db, const char *script)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    enum rc rc = open_handle(sqlite);
    if (rc != RC_OK)
        return rc;
    int code = sqlite3_exec(sqlite->handle, script, NULL, NULL, NULL);
    return code == SQLITE_OK ? RC_OK : failed(sqlite, code);
}

static enum rc sqlite_ping(struct db *db)
{
    enum rc rc = sqlite_query(db, "SELECT COUNT(*) FROM sqlite_master", NULL, 0, NULL, NULL);
    return rc == RC_OK ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

static void sqlite_limit_waits(struct db *db, int64_t limit_ms)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    sqlite->limited = true;
    sqlite->busy_ms = limit_ms;
    if (sqlite->handle != NULL)
        sqlite3_busy_timeout(sqlite->handle, (int)limit_ms);
}

static void sqlite_free(struct db *db)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    close_handle(sqlite);
    free(sqlite);
}

static const struct db_ops sqlite_ops = {
    .exec = sqlite_exec,
    .query = sqlite_query,
    .insert = sqlite_insert,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .script = sqlite_script,
    .ping = sqlite_ping,
    .limit_waits = sqlite_limit_waits,
    .free = sqlite_free,
};

static enum rc connect_sqlite(struct store *store, struct db **ret_db)
{
    struct sqlite_db *sqlite = calloc(1, sizeof *sqlite);
    if (sqlite == NULL)
        return RC_NO_MEMORY;
    sqlite->db = (struct db){.ops = &sqlite_ops, .store = store};
    sqlite->owner = (struct sqlite_store *)store;
    sqlite->busy_ms = BUSY_TIMEOUT_MS;
    *ret_db = &sqlite->db;
    return RC_OK;
}

static void close_store(struct store *store)
{
    struct sqlite_store *owner = (struct sqlite_store *)store;
    pthread_mutex_destroy(&owner->writer);
    free(owner);
}

enum rc db_sqlite_open(const char *path, struct store **ret_store, char *ret_error)
{
    struct sqlite_store *owner = calloc(1, sizeof *owner);
    if (owner == NULL)
        return RC_NO_MEMORY;
    if (path[0] == '\0' || strcmp(path, ":memory:") == 0 ||
        !text_copy(owner->path, sizeof owner->path, path)) {
        free(owner);
        text_copy(ret_error, DB_ERROR_MAX, "store: expected the path of a file after sqlite:");
        return RC_USAGE;
    }
    owner->store =
        (struct store){.engine = DB_SQLITE, .connect = connect_sqlite, .close = close_store};
    snprintf(owner->store.label, sizeof owner->store.label, "sqlite:%.300s", path);
    pthread_mutex_init(&owner->writer, NULL);
    *ret_store = &owner->store;
    return RC_OK;
}
