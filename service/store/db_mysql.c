// MySQL 8.4+ and MariaDB 10.11+ through the MySQL C API, with nothing that only one of the two
// client libraries has.
//
// Statements go as text, with the parameters escaped into it by the client: no server-side handles
// to prepare again after a reconnect, and a multi-row INSERT of any length is one statement. The
// session pins what escaping relies on (sql_mode, character set).
//
// A round trip costs a hot row more than the statement does, so there are few: START TRANSACTION
// goes in front of the transaction's first statement, late inserts go in front of COMMIT, as
// statements of one packet. The server ends at the first that fails, so COMMIT does not run after a
// failed insert.
//
// A connection that broke is made anew only where that is safe: before a transaction, or for a read
// outside one. Never within one, and never for COMMIT: its outcome is then unknown, and the caller
// must look.
#include "store/db_engine.h"

#include "base/text.h"
#include "store/mysql_url.h"

#include <mysql.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 2
#define IO_TIMEOUT_S 10
#define LONG_IO_TIMEOUT_S (24 * 3600)
#define BEGIN "START TRANSACTION;"

// Server and client error numbers, as documented by MySQL and MariaDB; some lack a name in one of
// the two libraries' headers.
enum {
    LOCK_WAIT_TIMEOUT = 1205,
    DEADLOCK = 1213,
    CHECK_READ = 1020, // MariaDB: the row changed since the snapshot
    DUPLICATE_ENTRY = 1062,
    DUPLICATE_ENTRY_WITH_KEY_NAME = 1586,
    TOO_MANY_CONNECTIONS = 1040,
    SERVER_SHUTDOWN = 1053,
    DISK_FULL = 1021,
    ERROR_DURING_COMMIT = 1180,
    READ_ONLY = 1290,
    QUERY_INTERRUPTED = 1317,
    RECORD_FILE_FULL = 1114,
    CONNECTION_KILLED = 1927,
    CLIENT_INTERACTION_TIMEOUT = 4031,
    CLIENT_ERRORS_FROM = 2000, // raised by the client library: the connection, mostly
    CLIENT_ERRORS_TO = 2999,
    OUT_OF_MEMORY = 2008,
};

struct mysql_store {
    struct store store;
    struct mysql_url url;
};

struct mysql_db {
    struct db db;
    const struct mysql_url *url;
    MYSQL *handle; // NULL: not connected
    unsigned io_timeout_s;
    struct buffer sql;  // what is sent, with its parameters in it; memory kept
    bool begin_pending; // START TRANSACTION is still to be sent
    bool inserts_late;
    struct buffer late; // the inserts to be sent with COMMIT, each ended by `;`
    size_t n_late;
};

struct mysql_row {
    struct db_row row;
    MYSQL_ROW fields;
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
    return ((const struct mysql_row *)row)->fields[column] == NULL;
}

static const struct db_row_ops row_ops = {row_number, row_text, row_is_null};

static void disconnect(struct mysql_db *mysql)
{
    if (mysql->handle != NULL)
        mysql_close(mysql->handle);
    mysql->handle = NULL;
}

static bool connection_is_lost(unsigned number)
{
    return (number >= CLIENT_ERRORS_FROM && number <= CLIENT_ERRORS_TO &&
            number != OUT_OF_MEMORY) ||
           number == SERVER_SHUTDOWN || number == CONNECTION_KILLED ||
           number == CLIENT_INTERACTION_TIMEOUT;
}

// Keeps the server's words and says what they mean for the caller. Closes a lost connection.
static enum rc failed(struct mysql_db *mysql)
{
    unsigned number = mysql_errno(mysql->handle);
    snprintf(mysql->db.error, sizeof mysql->db.error, "%u: %.280s", number,
             mysql_error(mysql->handle));
    if (connection_is_lost(number)) {
        disconnect(mysql);
        return RC_BACKEND_UNAVAILABLE;
    }
    switch (number) {
    case DUPLICATE_ENTRY:
    case DUPLICATE_ENTRY_WITH_KEY_NAME:
        return RC_DUPLICATE;
    case LOCK_WAIT_TIMEOUT:
    case DEADLOCK:
    case CHECK_READ:
    case QUERY_INTERRUPTED:
        return RC_CONFLICT;
    case TOO_MANY_CONNECTIONS:
    case READ_ONLY:
    case DISK_FULL:
    case RECORD_FILE_FULL:
        return RC_BACKEND_UNAVAILABLE;
    default:
        return RC_INTERNAL;
    }
}

static enum rc ensure_connected(struct mysql_db *mysql)
{
    static const char *const session[] = {
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        // A row lock held by an idle transaction must not eat the workers.
        "SET SESSION innodb_lock_wait_timeout = 3",
        "SET SESSION autocommit = 1",
    };
    if (mysql->handle != NULL)
        return RC_OK;
    mysql->handle = mysql_init(NULL);
    if (mysql->handle == NULL)
        return RC_NO_MEMORY;
    unsigned connect_timeout = CONNECT_TIMEOUT_S, io_timeout = mysql->io_timeout_s;
    mysql_options(mysql->handle, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout);
    mysql_options(mysql->handle, MYSQL_OPT_READ_TIMEOUT, &io_timeout);
    mysql_options(mysql->handle, MYSQL_OPT_WRITE_TIMEOUT, &io_timeout);
    mysql_options(mysql->handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    const struct mysql_url *url = mysql->url;
    // FOUND_ROWS: an UPDATE counts the rows it matched, also where the value stays the same.
    bool connected =
        mysql_real_connect(mysql->handle, url->host, url->user, url->password, url->database,
                           url->port, NULL, CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS) != NULL;
    for (size_t i = 0; connected && i < ARRAY_LENGTH(session); i++)
        connected = mysql_query(mysql->handle, session[i]) == 0;
    if (connected)
        return RC_OK;
    (void)failed(mysql);
    disconnect(mysql);
    return RC_BACKEND_UNAVAILABLE;
}

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

// The statement with each `?` replaced by its parameter, in mysql->sql.
static enum rc expand(struct mysql_db *mysql, const char *sql, const struct db_value *params,
                      size_t n_params)
{
    size_t used = 0;
    buffer_clear(&mysql->sql);
    if (mysql->begin_pending)
        buffer_append_text(&mysql->sql, BEGIN);
    for (const char *mark; (mark = strchr(sql, '?')) != NULL; sql = mark + 1) {
        buffer_append(&mysql->sql, sql, (size_t)(mark - sql));
        if (used == n_params) {
            text_copy(mysql->db.error, sizeof mysql->db.error, "more ? than parameters");
            return RC_INTERNAL;
        }
        append_value(mysql, &mysql->sql, &params[used++]);
    }
    buffer_append_text(&mysql->sql, sql);
    return mysql->sql.failed ? RC_NO_MEMORY : RC_OK;
}

// Sends mysql->sql, which begins with START TRANSACTION if that is pending, and goes to the result
// of the statement behind it.
static enum rc post(struct mysql_db *mysql)
{
    if (mysql_real_query(mysql->handle, mysql->sql.data, mysql->sql.length) != 0)
        return failed(mysql);
    if (!mysql->begin_pending)
        return RC_OK;
    mysql->begin_pending = false;
    return mysql_next_result(mysql->handle) == 0 ? RC_OK : failed(mysql);
}

static enum rc send_sql(struct mysql_db *mysql, const char *sql, const struct db_value *params,
                        size_t n_params)
{
    bool begun = mysql->db.in_transaction && !mysql->begin_pending;
    if (mysql->handle == NULL && begun)
        return RC_BACKEND_UNAVAILABLE;
    bool was_connected = mysql->handle != NULL, beginning = mysql->begin_pending;
    enum rc rc = ensure_connected(mysql);
    if (rc == RC_OK)
        rc = expand(mysql, sql, params, n_params);
    if (rc == RC_OK)
        rc = post(mysql);
    if (rc != RC_BACKEND_UNAVAILABLE || !was_connected || !beginning || mysql->handle != NULL)
        return rc;
    // The server had closed an idle connection: what began the transaction went down with it,
    // whether it was carried out or not.
    mysql->begin_pending = true;
    rc = ensure_connected(mysql);
    return rc == RC_OK ? post(mysql) : rc;
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

static enum rc fetch_all(struct mysql_db *mysql, db_row_fn on_row, void *arg)
{
    MYSQL_RES *result = mysql_use_result(mysql->handle);
    if (result == NULL)
        return mysql_errno(mysql->handle) != 0 ? failed(mysql) : RC_OK;
    struct mysql_row row = {.row.ops = &row_ops};
    enum rc rc = RC_OK;
    while (rc == RC_OK && (row.fields = mysql_fetch_row(result)) != NULL) {
        if (on_row != NULL)
            rc = on_row(arg, &row.row);
    }
    bool broke = rc == RC_OK && mysql_errno(mysql->handle) != 0;
    mysql_free_result(result); // reads what is left
    return broke ? failed(mysql) : rc;
}

static enum rc mysql_select(struct db *db, const char *sql, const struct db_value *params,
                            size_t n_params, db_row_fn on_row, void *arg)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool was_connected = mysql->handle != NULL;
    enum rc rc = send_sql(mysql, sql, params, n_params);
    // The server may have closed an idle connection: a read outside a transaction may be sent
    // again.
    if (rc == RC_BACKEND_UNAVAILABLE && was_connected && !db->in_transaction)
        rc = send_sql(mysql, sql, params, n_params);
    return rc == RC_OK ? fetch_all(mysql, on_row, arg) : rc;
}

static enum rc mysql_insert(struct db *db, const char *into, size_t n_columns,
                            const struct db_value *values, size_t n_rows)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool late = db->in_transaction && mysql->inserts_late;
    bool begun = db->in_transaction && !mysql->begin_pending;
    if (mysql->handle == NULL && begun)
        return RC_BACKEND_UNAVAILABLE;
    enum rc rc = ensure_connected(mysql); // escaping needs the connection's character set
    if (rc != RC_OK)
        return rc;
    struct buffer *sql = late ? &mysql->late : &mysql->sql;
    if (!late)
        buffer_clear(sql);
    if (!late && mysql->begin_pending)
        buffer_append_text(sql, BEGIN);
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
    return late ? RC_OK : post(mysql);
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
        mysql->begin_pending = true;
        mysql->inserts_late = mode == DB_BEGIN_WRITE_LATE;
        return ensure_connected(mysql);
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
}

// The late inserts and COMMIT in one packet; the results come in order.
static enum rc mysql_end(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->handle == NULL) // lost before COMMIT was sent: nothing was committed
        return RC_BACKEND_UNAVAILABLE;
    struct buffer *sql = &mysql->sql;
    size_t before_commit = mysql->n_late + mysql->begin_pending;
    buffer_clear(sql);
    if (mysql->begin_pending)
        buffer_append_text(sql, BEGIN);
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
    unsigned number = mysql_errno(mysql->handle);
    bool at_commit = done >= before_commit;
    enum rc rc = failed(mysql);
    if (mysql->handle == NULL)
        return RC_OUTCOME_UNKNOWN;
    return at_commit && (number == ERROR_DURING_COMMIT || number == QUERY_INTERRUPTED)
               ? RC_OUTCOME_UNKNOWN
               : rc;
}

static void mysql_undo(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    bool begun = !mysql->begin_pending;
    forget_pending(mysql);
    if (begun && mysql->handle != NULL && mysql_real_query(mysql->handle, "ROLLBACK", 8) != 0)
        disconnect(mysql);
}

// Statement by statement, split at `;` at a line's end.
static enum rc mysql_script(struct db *db, const char *script)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->begin_pending) {
        mysql->begin_pending = false;
        enum rc rc = send_sql(mysql, "START TRANSACTION", NULL, 0);
        if (rc != RC_OK)
            return rc;
    }
    while (*script != '\0') {
        const char *end = strstr(script, ";\n");
        size_t length = end != NULL ? (size_t)(end - script) : strlen(script);
        if (strspn(script, " \t\r\n;") < length) {
            enum rc rc = ensure_connected(mysql);
            if (rc != RC_OK)
                return rc;
            if (mysql_real_query(mysql->handle, script, length) != 0)
                return failed(mysql);
            rc = fetch_all(mysql, NULL, NULL);
            if (rc != RC_OK)
                return rc;
        }
        script += length + (end != NULL ? 2 : 0);
    }
    return RC_OK;
}

static enum rc mysql_check(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->handle != NULL && mysql_ping(mysql->handle) == 0)
        return RC_OK;
    disconnect(mysql);
    return ensure_connected(mysql);
}

// The client libraries take a timeout only when they connect.
static void mysql_allow_long(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->io_timeout_s != LONG_IO_TIMEOUT_S)
        disconnect(mysql);
    mysql->io_timeout_s = LONG_IO_TIMEOUT_S;
}

static void mysql_free(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    disconnect(mysql);
    buffer_release(&mysql->sql);
    buffer_release(&mysql->late);
    free(mysql);
}

static const struct db_ops mysql_ops = {
    .exec = mysql_exec,
    .query = mysql_select,
    .insert = mysql_insert,
    .begin = mysql_begin,
    .commit = mysql_end,
    .rollback = mysql_undo,
    .script = mysql_script,
    .ping = mysql_check,
    .allow_long_statements = mysql_allow_long,
    .free = mysql_free,
};

static enum rc connect_mysql(struct store *store, struct db **ret_db)
{
    struct mysql_db *mysql = calloc(1, sizeof *mysql);
    if (mysql == NULL)
        return RC_NO_MEMORY;
    mysql->db = (struct db){.ops = &mysql_ops, .store = store};
    mysql->url = &((struct mysql_store *)store)->url;
    mysql->io_timeout_s = IO_TIMEOUT_S;
    *ret_db = &mysql->db;
    return RC_OK;
}

static void close_store(struct store *store)
{
    free(store);
}

enum rc db_mysql_open(const char *rest, struct store **ret_store, char *ret_error)
{
    struct mysql_store *owner = calloc(1, sizeof *owner);
    if (owner == NULL)
        return RC_NO_MEMORY;
    // Not thread-safe by itself, and this is where threads do not yet connect.
    if (!mysql_url_parse(rest, &owner->url) || mysql_library_init(0, NULL, NULL) != 0) {
        free(owner);
        text_copy(ret_error, DB_ERROR_MAX,
                  "store: expected mysql://user:password@host:port/database");
        return RC_USAGE;
    }
    owner->store =
        (struct store){.engine = DB_MYSQL, .connect = connect_mysql, .close = close_store};
    const struct mysql_url *url = &owner->url;
    snprintf(owner->store.label, sizeof owner->store.label, "mysql://%.60s:***@%.120s:%u/%.60s",
             url->user, url->host, url->port, url->database);
    *ret_store = &owner->store;
    return RC_OK;
}
