// The embedded engine: one file, WAL, synchronous=FULL. A commit is on disk when it returns.
//
// SQLite allows one writer at a time. The writing threads of this process queue on a mutex of the
// store, because SQLite itself waits by sleeping and retrying. Between processes (`holdfast
// reconcile` beside `serve`) SQLite's busy timeout applies.
//
// Only a store that has claimed the file (store_claim) may create it, with its first connection,
// and put it into WAL mode. Before a transaction, and again after its COMMIT, the files are
// compared with those that were opened first: a change to a file that was deleted or replaced must
// not be acknowledged (sqlite_files.c). Once a statement has found the file corrupt, no later one
// runs, because writing to it may spoil more of it.
//
// Each connection caches its prepared statements by their text. What breaks it: texts that vary
// without bound, so callers run one statement a row instead of building lists.
#include "base/clock.h"
#include "base/text.h"
#include "store/db/sqlite_connection.h"
#include "store/db/sqlite_files.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 5000

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
    sqlite3_stmt *statement = ((const struct sqlite_row *)row)->statement;
    return (int)column >= sqlite3_data_count(statement) ||
           sqlite3_column_type(statement, (int)column) == SQLITE_NULL;
}

static const struct db_row_ops row_ops = {row_number, row_text, row_is_null};

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
            return sqlite_connection_failed(sqlite, SQLITE_BUSY);
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
    enum rc rc = sqlite_connection_ensure(sqlite);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < sqlite->n_cached; i++) {
        if (strcmp(sqlite->cached[i].sql, sql) == 0) {
            *ret_statement = sqlite->cached[i].statement;
            return RC_OK;
        }
    }
    if (sqlite->n_cached == CACHED_STATEMENTS)
        sqlite_connection_drop_statements(sqlite);
    char *copy = strdup(sql);
    if (copy == NULL)
        return RC_NO_MEMORY;
    int code =
        sqlite3_prepare_v3(sqlite->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    if (code != SQLITE_OK) {
        free(copy);
        return sqlite_connection_failed(sqlite, code);
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
    do {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW && on_row != NULL)
            rc = on_row(arg, &row.row);
    } while (code == SQLITE_ROW && rc == RC_OK);
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        rc = sqlite_connection_failed(sqlite, code);
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
    if (rc == RC_OK && !sqlite_files_unmoved(&sqlite->owner->files)) {
        (void)sqlite_connection_moved(sqlite);
        return RC_OUTCOME_UNKNOWN; // it was made in a file that has lost its name
    }
    if (rc == RC_OK)
        release_writer(sqlite);
    // The frame that commits is written last. So a write that failed has not committed, but after
    // another failure, such as that of the sync, the write-ahead log may hold the commit.
    bool unwritten = sqlite->code == SQLITE_FULL || sqlite->code == SQLITE_IOERR_WRITE;
    return rc == RC_BACKEND_UNAVAILABLE && !unwritten ? RC_OUTCOME_UNKNOWN : rc;
}

static void sqlite_rollback(struct db *db)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    char error[DB_ERROR_MAX];
    text_copy(error, sizeof error, db->error);
    // After some errors SQLite has rolled back by itself.
    if (sqlite->handle != NULL && !sqlite3_get_autocommit(sqlite->handle) &&
        sqlite_query(db, "ROLLBACK", NULL, 0, NULL, NULL) != RC_OK)
        sqlite_connection_close(sqlite);
    text_copy(db->error, sizeof db->error, error);
    release_writer(sqlite);
}

static enum rc sqlite_script(struct db *db, const char *script)
{
    struct sqlite_db *sqlite = (struct sqlite_db *)db;
    enum rc rc = sqlite_connection_ensure(sqlite);
    if (rc != RC_OK)
        return rc;
    int code = sqlite3_exec(sqlite->handle, script, NULL, NULL, NULL);
    return code == SQLITE_OK ? RC_OK : sqlite_connection_failed(sqlite, code);
}

static enum rc sqlite_ping(struct db *db)
{
    enum rc rc = sqlite_query(db, "SELECT COUNT(*) FROM sqlite_master", NULL, 0, NULL, NULL);
    return rc == RC_OK ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

static enum rc keep_complaint(void *arg, const struct db_row *row)
{
    struct sqlite_db *sqlite = arg;
    const char *said = row_text(row, 0);
    if (strcmp(said, "ok") == 0)
        return RC_OK;
    text_format(sqlite->db.error, sizeof sqlite->db.error, "quick_check: %.280s", said);
    return sqlite_connection_failed_as(sqlite, SQLITE_CORRUPT);
}

static enum rc sqlite_verify(struct db *db)
{
    return sqlite_query(db, "PRAGMA quick_check(1)", NULL, 0, keep_complaint, db);
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
    sqlite_connection_close(sqlite);
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
    .verify = sqlite_verify,
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

static enum rc claim_store(struct store *store, enum db_claim claim, char *ret_error)
{
    return sqlite_files_claim(&((struct sqlite_store *)store)->files, claim, ret_error);
}

static void close_store(struct store *store)
{
    struct sqlite_store *owner = (struct sqlite_store *)store;
    pthread_mutex_destroy(&owner->writer);
    sqlite_files_release(&owner->files);
    free(owner);
}

enum rc db_sqlite_open(const char *path, struct store **ret_store, char *ret_error)
{
    struct sqlite_store *owner = calloc(1, sizeof *owner);
    if (owner == NULL)
        return RC_NO_MEMORY;
    const char *why_not = sqlite_path_refusal(path);
    if (why_not == NULL && !text_copy(owner->path, sizeof owner->path, path))
        why_not = "the path is too long";
    if (why_not != NULL) {
        free(owner);
        text_format(ret_error, DB_ERROR_MAX,
                    "store: %s; expected sqlite:PATH, such as sqlite:/var/lib/holdfast/shop.db, "
                    "not 'sqlite:%.300s'",
                    why_not, path);
        return RC_USAGE;
    }
    owner->store = (struct store){
        .engine = DB_SQLITE, .connect = connect_sqlite, .claim = claim_store, .close = close_store};
    snprintf(owner->store.label, sizeof owner->store.label, "sqlite:%.300s", path);
    pthread_mutex_init(&owner->writer, NULL);
    sqlite_files_init(&owner->files, owner->path);
    *ret_store = &owner->store;
    return RC_OK;
}
