// Chooses the engine by the address and forwards every call to its table of functions. Whether a
// transaction is open is recorded here, so that every engine behaves the same.
#include "store/db/db.h"

#include "store/db/engine.h"

#include <string.h>

struct db_value db_int(int64_t number)
{
    return (struct db_value){.type = DB_INT, .number = number};
}

struct db_value db_text(const char *text)
{
    return (struct db_value){.type = DB_TEXT, .text = text, .length = strlen(text)};
}

struct db_value db_text_or_null(const char *text)
{
    return text[0] == '\0' ? (struct db_value){.type = DB_NULL} : db_text(text);
}

int64_t db_row_int(const struct db_row *row, size_t column)
{
    return row->ops->number(row, column);
}

const char *db_row_text(const struct db_row *row, size_t column)
{
    return row->ops->text(row, column);
}

bool db_row_is_null(const struct db_row *row, size_t column)
{
    return row->ops->is_null(row, column);
}

enum rc store_open(const char *url, struct store **ret_store, char *ret_error)
{
    if (strncmp(url, "sqlite:", 7) == 0)
        return db_sqlite_open(url + 7, ret_store, ret_error);
    return db_mysql_open(url, ret_store, ret_error);
}

void store_close(struct store *store)
{
    if (store != NULL)
        store->close(store);
}

enum rc store_claim(struct store *store, enum db_claim claim, char *ret_error)
{
    return store->claim != NULL ? store->claim(store, claim, ret_error) : RC_OK;
}

enum db_engine store_engine(const struct store *store)
{
    return store->engine;
}

const struct db_traits *store_traits(const struct store *store)
{
    static const struct db_traits traits[] = {
        [DB_SQLITE] = {.single_writer = true, .shows_before_durable = false},
        // InnoDB shows a commit, and releases its locks, before its log is written.
        [DB_MYSQL] = {.single_writer = false, .shows_before_durable = true},
    };
    return &traits[store->engine];
}

const char *store_label(const struct store *store)
{
    return store->label;
}

uint64_t store_reconnects(const struct store *store)
{
    return atomic_load(&store->reconnects);
}

uint64_t store_faults(const struct store *store, enum db_fault fault)
{
    return atomic_load(&store->faults[fault]);
}

enum rc db_new(struct store *store, struct db **ret_db)
{
    return store->connect(store, ret_db);
}

void db_free(struct db *db)
{
    if (db == NULL)
        return;
    db_rollback(db);
    db->ops->free(db);
}

bool db_is_sqlite(const struct db *db)
{
    return db->store->engine == DB_SQLITE;
}

const struct db_traits *db_traits(const struct db *db)
{
    return store_traits(db->store);
}

void db_allow_long_statements(struct db *db)
{
    if (db->ops->allow_long_statements != NULL)
        db->ops->allow_long_statements(db);
}

void db_limit_waits(struct db *db, int64_t limit_ms)
{
    db->ops->limit_waits(db, limit_ms);
}

void db_set_deadline(struct db *db, int64_t deadline_ns)
{
    if (db->ops->set_deadline != NULL)
        db->ops->set_deadline(db, deadline_ns);
}

void db_expire(struct db *db)
{
    if (db->ops->expire != NULL)
        db->ops->expire(db);
}

void db_cancel(struct db *db)
{
    atomic_store(&db->cancelled, true);
    if (db->ops->cancel != NULL)
        db->ops->cancel(db);
}

const char *db_error(const struct db *db)
{
    return db->error;
}

enum rc db_exec(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                int64_t *ret_affected)
{
    return db->ops->exec(db, sql, params, n_params, ret_affected);
}

enum rc db_exec_rows(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                     int64_t n_rows, enum db_when when)
{
    if (when == DB_WITH_QUERY && db->in_transaction && db->ops->exec_with_query != NULL)
        return db->ops->exec_with_query(db, sql, params, n_params, n_rows);
    int64_t affected;
    enum rc rc = db->ops->exec(db, sql, params, n_params, &affected);
    return rc == RC_OK && affected != n_rows ? RC_CONFLICT : rc;
}

enum rc db_query(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                 db_row_fn on_row, void *arg)
{
    return db->ops->query(db, sql, params, n_params, on_row, arg);
}

static enum rc keep_int(void *arg, const struct db_row *row)
{
    *(int64_t *)arg = db_row_int(row, 0);
    return RC_OK;
}

enum rc db_query_int(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                     int64_t *ret_number)
{
    return db_query(db, sql, params, n_params, keep_int, ret_number);
}

enum rc db_insert(struct db *db, const char *into, size_t n_columns, const struct db_value *values,
                  size_t n_rows)
{
    return n_rows == 0 ? RC_OK : db->ops->insert(db, into, n_columns, values, n_rows);
}

enum rc db_begin(struct db *db, enum db_begin mode)
{
    enum rc rc = db->ops->begin(db, mode);
    db->in_transaction = rc == RC_OK;
    return rc;
}

enum rc db_commit(struct db *db)
{
    enum rc rc = db->ops->commit(db);
    if (rc == RC_OK)
        db->in_transaction = false;
    else
        db_rollback(db);
    return rc;
}

void db_rollback(struct db *db)
{
    if (!db->in_transaction)
        return;
    db->in_transaction = false;
    db->ops->rollback(db);
}

bool db_in_transaction(const struct db *db)
{
    return db->in_transaction;
}

enum rc db_script(struct db *db, const char *script)
{
    return db->ops->script(db, script);
}

enum rc db_ping(struct db *db)
{
    return db->ops->ping(db);
}

enum rc db_verify(struct db *db)
{
    return db->ops->verify != NULL ? db->ops->verify(db) : RC_OK;
}

// SQLite gives a fraction of a day. Every other millisecond it is a little too small.
const char *db_now_ms_sql(const struct db *db)
{
    return db_is_sqlite(db) ? "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
                            : "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
}

const char *db_row_ms_sql(const struct db *db)
{
    return db_is_sqlite(db) ? db_now_ms_sql(db)
                            : "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)";
}
