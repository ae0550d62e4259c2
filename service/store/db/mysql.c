// The engine for MySQL 8.4+ and MariaDB 10.11+, through the part of the MySQL C API that both
// client libraries have.
//
// Statements are sent as text, with the parameters escaped into it by the client. So no server-side
// handles need preparing after a reconnect, and a multi-row INSERT of any length is one statement.
// The session sets what escaping relies on (sql_mode, character set).
//
// A round trip costs a hot row more than the statement does, so there are few. START TRANSACTION
// goes in front of the transaction's first statement, deferred inserts go in front of COMMIT, and an
// UPDATE in front of the query that reads its rows, as statements of one packet. The server stops at
// the first that fails, so COMMIT does not run after a failed insert. It does not stop at an UPDATE
// that matches too few rows, so no UPDATE is in one packet with COMMIT.
//
// A lost connection is made again only where that is safe: before a transaction, or for a read
// outside one. Never within a transaction, and never for COMMIT: its outcome is then unknown, and
// the caller must look it up.
#include "store/db/mysql_connection.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define BEGIN "START TRANSACTION;"

struct mysql_store {
    struct store store;
    struct mysql_servers servers;
};

struct mysql_row {
    struct db_row row;
    MYSQL_ROW fields;
    unsigned n_fields;
};

static int64_t row_number(const struct db_row *row, size_t column)
{
    const char *text = ((const struct mysql_row *)row)->fields[column];
    return text != NULL ? strtoll(text, NULL, 10) : 0;
}

static const char *row_text(const struct db_row *row, size_t column)
{
    const char *text = ((const struct mysql_row *)row)->fields[column];
    return text != NULL ? text : "";
}

static bool row_is_null(const struct db_row *row, size_t column)
{
    const struct mysql_row *fetched = (const struct mysql_row *)row;
    return column >= fetched->n_fields || fetched->fields[column] == NULL;
}

static const struct db_row_ops row_ops = {row_number, row_text, row_is_null};

static void append_value(struct mysql_db *mysql, struct buffer *sql, const struct db_value *value)
{
    if (value->type == DB_INT) {
        buffer_append_int(sql, value->number);
    } else if (value->type == DB_NULL) {
        buffer_append(sql, "NULL", 4);
    } else {
        char escaped[2 * 512 + 1];
        buffer_append(sql, "'", 1);
        for (size_t at = 0; at < value->length; at += 512) {
            size_t piece = value->length - at < 512 ? value->length - at : 512;
            unsigned long length =
                mysql_real_escape_string(mysql->handle, escaped, value->text + at, piece);
            buffer_append(sql, escaped, length);
        }
        buffer_append(sql, "'", 1);
    }
}

// Empties mysql->sql and begins it with what is sent in front of the next statement.
static void start_sql(struct mysql_db *mysql)
{
    buffer_clear(&mysql->sql);
    if (mysql->begin_pending)
        buffer_append_text(&mysql->sql, BEGIN);
    if (mysql->ahead.length > 0)
        buffer_append(&mysql->sql, mysql->ahead.data, mysql->ahead.length);
}

// Appends the statement with each `?` replaced by its parameter.
static enum rc expand(struct mysql_db *mysql, struct buffer *into, const char *sql,
                      const struct db_value *params, size_t n_params)
{
    size_t used = 0;
    for (const char *mark; (mark = strchr(sql, '?')) != NULL; sql = mark + 1) {
        buffer_append(into, sql, (size_t)(mark - sql));
        if (used == n_params) {
            text_copy(mysql->db.error, sizeof mysql->db.error, "more ? than parameters");
            return RC_INTERNAL;
        }
        append_value(mysql, into, &params[used++]);
    }
    buffer_append_text(into, sql);
    return into->failed ? RC_NO_MEMORY : RC_OK;
}

static enum rc fetch_all(struct mysql_db *mysql, db_row_fn on_row, void *arg)
{
    MYSQL_RES *result = mysql_use_result(mysql->handle);
    if (result == NULL)
        return mysql_errno(mysql->handle) != 0 ? mysql_connection_failed(mysql).rc : RC_OK;
    struct mysql_row row = {.row.ops = &row_ops, .n_fields = mysql_num_fields(result)};
    enum rc rc = RC_OK;
    while (rc == RC_OK && (row.fields = mysql_fetch_row(result)) != NULL) {
        if (on_row != NULL)
            rc = on_row(arg, &row.row);
    }
    bool broke = rc == RC_OK && mysql_errno(mysql->handle) != 0;
    mysql_free_result(result); // reads the remaining rows
    return broke ? mysql_connection_failed(mysql).rc : rc;
}

static enum rc next_result(struct mysql_db *mysql)
{
    return mysql_next_result(mysql->handle) == 0 ? RC_OK : mysql_connection_failed(mysql).rc;
}

// Sends mysql->sql, and moves on past the results of what start_sql has put in front.
static enum rc send_once(struct mysql_db *mysql)
{
    if (mysql_real_query(mysql->handle, mysql->sql.data, mysql->sql.length) != 0)
        return mysql_connection_failed(mysql).rc;
    enum rc rc = mysql->begin_pending ? next_result(mysql) : RC_OK;
    mysql->begin_pending = false;
    if (rc != RC_OK || mysql->ahead.length == 0)
        return rc;
    bool matched = (int64_t)mysql_affected_rows(mysql->handle) == mysql->ahead_rows;
    rc = next_result(mysql);
    if (rc != RC_OK || matched)
        return rc;
    rc = fetch_all(mysql, NULL, NULL); // the rows are of no use, but the connection is
    return rc == RC_OK ? RC_CONFLICT : rc;
}

// Sends mysql->sql. If it begins a transaction and the server had closed the idle connection, sends
// it again on a new one. That is safe: a transaction begun on the old connection died with it,
// whether or not its first statement ran.
static enum rc send_with_retry(struct mysql_db *mysql, bool was_connected)
{
    bool beginning = mysql->begin_pending;
    enum rc rc = send_once(mysql);
    if (rc == RC_BACKEND_UNAVAILABLE && was_connected && beginning && mysql->handle == NULL) {
        mysql->begin_pending = true;
        rc = mysql_connection_ensure(mysql);
        if (rc == RC_OK)
            rc = send_once(mysql);
    }
    buffer_clear(&mysql->ahead);
    return rc;
}

// Connects, except within a transaction that the server has already begun.
static enum rc connect_if_safe(struct mysql_db *mysql, bool *ret_was_connected)
{
    bool begun = mysql->db.in_transaction && !mysql->begin_pending;
    *ret_was_connected = mysql->handle != NULL;
    if (mysql->handle == NULL && begun)
        return RC_BACKEND_UNAVAILABLE;
    return mysql_connection_ensure(mysql);
}

static enum rc send_sql(struct mysql_db *mysql, const char *sql, const struct db_value *params,
                        size_t n_params)
{
    bool was_connected;
    enum rc rc = connect_if_safe(mysql, &was_connected);
    if (rc == RC_OK) {
        start_sql(mysql);
        rc = expand(mysql, &mysql->sql, sql, params, n_params);
    }
    return rc == RC_OK ? send_with_retry(mysql, was_connected) : rc;
}

// A statement that is deferred and does not get its query would be lost without a failure.
static enum rc demand_none_ahead(struct mysql_db *mysql)
{
    if (mysql->ahead.length == 0)
        return RC_OK;
    text_copy(mysql->db.error, sizeof mysql->db.error, "a statement still waits for its query");
    return RC_INTERNAL;
}

static enum rc mysql_exec_with_query(struct db *db, const char *sql, const struct db_value *params,
                                     size_t n_params, int64_t n_rows)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool was_connected;
    enum rc rc = demand_none_ahead(mysql);
    if (rc == RC_OK)
        rc = connect_if_safe(mysql, &was_connected); // escaping needs its character set
    if (rc != RC_OK)
        return rc;
    buffer_clear(&mysql->ahead);
    rc = expand(mysql, &mysql->ahead, sql, params, n_params);
    buffer_append(&mysql->ahead, ";", 1);
    mysql->ahead_rows = n_rows;
    return mysql->ahead.failed ? RC_NO_MEMORY : rc;
}

static enum rc mysql_exec(struct db *db, const char *sql, const struct db_value *params,
                          size_t n_params, int64_t *ret_affected)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    enum rc rc = send_sql(mysql, sql, params, n_params);
    if (rc == RC_OK && ret_affected != NULL)
        *ret_affected = (int64_t)mysql_affected_rows(mysql->handle);
    return rc;
}

static enum rc mysql_select(struct db *db, const char *sql, const struct db_value *params,
                            size_t n_params, db_row_fn on_row, void *arg)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool was_connected = mysql->handle != NULL;
    enum rc rc = send_sql(mysql, sql, params, n_params);
    // The server may have closed the idle connection. A read outside a transaction is safe to
    // retry.
    if (rc == RC_BACKEND_UNAVAILABLE && was_connected && !db->in_transaction)
        rc = send_sql(mysql, sql, params, n_params);
    return rc == RC_OK ? fetch_all(mysql, on_row, arg) : rc;
}

static enum rc mysql_insert(struct db *db, const char *into, size_t n_columns,
                            const struct db_value *values, size_t n_rows)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool late = db->in_transaction && mysql->inserts_late;
    bool was_connected;
    enum rc rc = connect_if_safe(mysql, &was_connected); // escaping needs its character set
    if (rc != RC_OK)
        return rc;
    struct buffer *sql = late ? &mysql->late : &mysql->sql;
    if (!late)
        start_sql(mysql);
    buffer_append_text(sql, "INSERT INTO ");
    buffer_append_text(sql, into);
    buffer_append_text(sql, " VALUES ");
    for (size_t i = 0; i < n_rows * n_columns; i++) {
        if (i % n_columns == 0)
            buffer_append_text(sql, i == 0 ? "(" : "),(");
        else
            buffer_append(sql, ",", 1);
        append_value(mysql, sql, &values[i]);
    }
    buffer_append_text(sql, late ? ");" : ")");
    if (sql->failed)
        return RC_NO_MEMORY;
    mysql->n_late += late;
    return late ? RC_OK : send_with_retry(mysql, was_connected);
}

static enum rc begin_snapshot(struct mysql_db *mysql)
{
    // Applies to the next transaction only.
    enum rc rc = send_sql(mysql, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", NULL, 0);
    if (rc == RC_OK)
        rc = send_sql(mysql, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", NULL, 0);
    return rc;
}

static enum rc mysql_begin(struct db *db, enum db_begin mode)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool was_connected = mysql->handle != NULL;
    if (mode != DB_BEGIN_SNAPSHOT) {
        enum rc rc = mysql_connection_ensure(mysql);
        mysql->begin_pending = rc == RC_OK;
        mysql->inserts_late = mode == DB_BEGIN_WRITE_LATE;
        return rc;
    }
    enum rc rc = begin_snapshot(mysql);
    if (rc == RC_BACKEND_UNAVAILABLE && was_connected)
        rc = begin_snapshot(mysql);
    return rc;
}

static void forget_pending(struct mysql_db *mysql)
{
    mysql->begin_pending = false;
    mysql->n_late = 0;
    buffer_clear(&mysql->late);
    buffer_clear(&mysql->ahead);
}

// Sends the deferred inserts and COMMIT in one packet; the results arrive in that order.
static enum rc mysql_end(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->handle == NULL) // lost before COMMIT was sent: nothing was committed
        return RC_BACKEND_UNAVAILABLE;
    enum rc rc = demand_none_ahead(mysql);
    if (rc != RC_OK)
        return rc;
    struct buffer *sql = &mysql->sql;
    size_t before_commit = mysql->n_late + mysql->begin_pending;
    start_sql(mysql);
    if (mysql->n_late > 0)
        buffer_append(sql, mysql->late.data, mysql->late.length);
    buffer_append_text(sql, "COMMIT");
    forget_pending(mysql);
    if (sql->failed)
        return RC_NO_MEMORY;
    size_t done = 0;
    int code = mysql_real_query(mysql->handle, sql->data, sql->length);
    while (code == 0 && done++ < before_commit)
        code = mysql_next_result(mysql->handle);
    if (code == 0)
        return RC_OK;
    bool at_commit = done >= before_commit;
    struct mysql_meaning meaning = mysql_connection_failed(mysql);
    return meaning.lost || (at_commit && !meaning.rolled_back) ? RC_OUTCOME_UNKNOWN : meaning.rc;
}

static void mysql_undo(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool begun = !mysql->begin_pending;
    forget_pending(mysql);
    if (begun && mysql->handle != NULL && mysql_real_query(mysql->handle, "ROLLBACK", 8) != 0)
        mysql_connection_drop(mysql);
}

static enum rc mysql_script(struct db *db, const char *script)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->begin_pending) {
        mysql->begin_pending = false;
        enum rc rc = send_sql(mysql, "START TRANSACTION", NULL, 0);
        if (rc != RC_OK)
            return rc;
    }
    // One packet, which the server separates into statements: a trigger's body has `;` as well.
    enum rc rc = mysql_connection_ensure(mysql);
    if (rc != RC_OK)
        return rc;
    if (mysql_real_query(mysql->handle, script, strlen(script)) != 0)
        return mysql_connection_failed(mysql).rc;
    for (;;) {
        rc = fetch_all(mysql, NULL, NULL);
        int next = rc == RC_OK ? mysql_next_result(mysql->handle) : -1; // -1: there is none
        if (next < 0)
            return rc;
        if (next > 0)
            return mysql_connection_failed(mysql).rc;
    }
}

static enum rc mysql_check(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->handle != NULL && mysql_ping(mysql->handle) == 0)
        return RC_OK;
    mysql_connection_drop(mysql);
    return mysql_connection_ensure(mysql);
}

static void mysql_free(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    mysql_connection_drop(mysql);
    buffer_release(&mysql->sql);
    buffer_release(&mysql->late);
    buffer_release(&mysql->ahead);
    pthread_mutex_destroy(&mysql->cancel_mutex);
    free(mysql);
}

// mysql_commit, mysql_rollback, mysql_query and mysql_ping are names of the client library.
static const struct db_ops mysql_ops = {
    .exec = mysql_exec,
    .exec_with_query = mysql_exec_with_query,
    .query = mysql_select,
    .insert = mysql_insert,
    .begin = mysql_begin,
    .commit = mysql_end,
    .rollback = mysql_undo,
    .script = mysql_script,
    .ping = mysql_check,
    .allow_long_statements = mysql_connection_allow_long_statements,
    .limit_waits = mysql_connection_limit_waits,
    .set_deadline = mysql_connection_set_deadline,
    .expire = mysql_connection_interrupt,
    .cancel = mysql_connection_interrupt,
    .free = mysql_free,
};

static enum rc connect_mysql(struct store *store, struct db **ret_db)
{
    struct mysql_db *mysql = calloc(1, sizeof *mysql);
    if (mysql == NULL)
        return RC_NO_MEMORY;
    mysql->db = (struct db){.ops = &mysql_ops, .store = store};
    mysql->servers = &((struct mysql_store *)store)->servers;
    mysql->io_timeout_s = MYSQL_IO_TIMEOUT_S;
    mysql->cancel_fd = -1;
    mysql->deadline_ns = INT64_MAX;
    pthread_mutex_init(&mysql->cancel_mutex, NULL);
    *ret_db = &mysql->db;
    return RC_OK;
}

static void close_store(struct store *store)
{
    free(store);
}

enum rc db_mysql_open(const char *text, struct store **ret_store, char *ret_error)
{
    struct mysql_store *owner = calloc(1, sizeof *owner);
    if (owner == NULL)
        return RC_NO_MEMORY;
    enum rc rc = mysql_servers_parse(text, &owner->servers, ret_error);
    // mysql_library_init is not thread-safe; no thread connects before the store is open.
    if (rc == RC_OK && mysql_library_init(0, NULL, NULL) != 0) {
        rc = RC_INTERNAL;
        text_copy(ret_error, DB_ERROR_MAX, "store: the MySQL client library cannot be used");
    }
    if (rc != RC_OK) {
        free(owner);
        return rc;
    }
    owner->store =
        (struct store){.engine = DB_MYSQL, .connect = connect_mysql, .close = close_store};
    address_mask(text, owner->store.label, sizeof owner->store.label);
    if (mysql_servers_are_exposed(&owner->servers))
        LOG_WARNING(
            "store: passwords and data travel unencrypted to %s; add ?tls=on, or tls=off to "
            "say that the network is trusted",
            owner->store.label);
    *ret_store = &owner->store;
    return RC_OK;
}
