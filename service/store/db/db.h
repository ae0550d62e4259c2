// One interface to two database engines: SQLite (embedded, one instance) and MySQL or MariaDB (a
// server, many instances).
//
// A `struct store` is the address of a database, shared by all threads. A `struct db` is one
// connection, used by one thread at a time. SQL is written once, with `?` for parameters and no `?`
// inside literals. Where the engines truly differ, both spellings stand side by side at the
// statement, chosen by db_is_sqlite().
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "store/db/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct db;

enum db_engine { DB_SQLITE, DB_MYSQL };

// How a database behaves, where the engine depends on it.
struct db_traits {
    bool single_writer;        // a second write transaction only waits for the first to end
    bool shows_before_durable; // other connections may read a commit before it is on disk
};

// A parameter. Text is borrowed until the call returns.
struct db_value {
    enum { DB_NULL, DB_INT, DB_TEXT } type;
    int64_t number;
    const char *text;
    size_t length;
};

struct db_value db_int(int64_t number);
struct db_value db_text(const char *text);
// NULL in the database when the text is empty.
struct db_value db_text_or_null(const char *text);

// The current row of a query; valid only inside the row function.
struct db_row;
int64_t db_row_int(const struct db_row *row, size_t column);      // NULL reads as 0
const char *db_row_text(const struct db_row *row, size_t column); // NULL reads as ""
// A column that the query does not have is NULL.
bool db_row_is_null(const struct db_row *row, size_t column);

// Called once a row; anything but RC_OK ends the query with that result. It must not use the same
// connection.
typedef enum rc (*db_row_fn)(void *arg, const struct db_row *row);

// ---- store: shared, any thread ------------------------------------------------------------------

// `sqlite:PATH`, or the address of one or several MySQL or MariaDB servers, which are tried in
// turn: `mysql://user:password@host:port,host:port/database?tls=on` (README.md has all of it). Does
// not connect yet. The address is copied. RC_USAGE with a sentence in ret_error (of DB_ERROR_MAX
// bytes) if it is malformed or names no known engine.
#define DB_ERROR_MAX 768
MUST_CHECK enum rc store_open(const char *url, struct store **ret_store, char *ret_error);
void store_close(struct store *store);

// What an SQLite file is claimed for, until store_close.
enum db_claim {
    DB_CLAIM_SERVE,   // by one process alone; the file is created if there is none
    DB_CLAIM_UP,      // beside other migrations, but not while it is served; created likewise
    DB_CLAIM_MIGRATE, // the same, but never created
};
// Call before the first db_new. Without a claim a store may read and write a file that exists. On
// MySQL it does nothing. RC_LOCK_BUSY: the other processes' claims do not allow it.
// RC_BACKEND_UNAVAILABLE: there is no file, or it cannot be claimed. Unless RC_OK, a sentence in
// ret_error (DB_ERROR_MAX bytes).
MUST_CHECK enum rc store_claim(struct store *store, enum db_claim claim, char *ret_error);
enum db_engine store_engine(const struct store *store);
const struct db_traits *store_traits(const struct store *store);
// The URL with the password replaced by `***`, for logs and people.
const char *store_label(const struct store *store);
// How many connections were lost and made again, over all handles.
uint64_t store_reconnects(const struct store *store);
// How many calls have failed with this fault, over all handles.
uint64_t store_faults(const struct store *store, enum db_fault fault);

// ---- db: one connection, one thread -------------------------------------------------------------

// Creates the handle. The thread that first uses it connects, at a begin or at a statement outside
// a transaction. A lost connection is made again at the same two places. Freed with db_free.
MUST_CHECK enum rc db_new(struct store *store, struct db **ret_db);
void db_free(struct db *db); // rolls back an open transaction; NULL is fine

bool db_is_sqlite(const struct db *db);
const struct db_traits *db_traits(const struct db *db);

// Raises the read and write timeout from ten seconds to a day, for migrations and reconciliation.
// Call outside a transaction.
void db_allow_long_statements(struct db *db);

// Lowers the timeouts for a server that does not answer and for a database that other connections
// are writing to. On MySQL in whole seconds, at least one. For callers that must not block for
// long, such as health checks. Call outside a transaction.
void db_limit_waits(struct db *db, int64_t limit_ms);

// Sets the deadline (monotonic; INT64_MAX: none, the initial state) for every call that follows.
// Past it a call fails with RC_BACKEND_UNAVAILABLE, COMMIT with RC_OUTCOME_UNKNOWN, and the handle
// does not reconnect. Another thread must call db_expire now and then to enforce it; only
// connecting may take a second longer. MySQL only: SQLite has no remote server to wait for.
void db_set_deadline(struct db *db, int64_t deadline_ns);

// Aborts the call in flight if its deadline has passed. Any thread, while another one uses the
// connection.
void db_expire(struct db *db);

// Aborts the call in flight on a connection that allows long statements. That call and every later
// one fail with RC_BACKEND_UNAVAILABLE, for good. Any thread, while another one uses the
// connection. A MySQL server may go on with the statement until it notices.
void db_cancel(struct db *db);

// The last failure in words, without secrets. Valid until the next call.
const char *db_error(const struct db *db);

// Results of all of the following:
//
//   RC_OK
//   RC_DUPLICATE            a unique key refused the row (MySQL 1062); the transaction stays open
//   RC_CONFLICT             deadlock, lock timeout or snapshot conflict (MySQL 1213, 1205, 1020;
//                           SQLITE_BUSY)
//   RC_BACKEND_UNAVAILABLE  no connection, or it was lost; or the database has a fault (above)
//   RC_OUTCOME_UNKNOWN      from db_commit only: the reply was lost, or an SQLite file was moved
//   RC_INTERNAL             anything else; db_error() has the text
//
// After any failure inside a transaction call db_rollback and begin again.

// One statement that returns no rows. ret_affected may be NULL; it counts the rows matched, also
// where the new value equals the old one.
MUST_CHECK enum rc db_exec(struct db *db, const char *sql, const struct db_value *params,
                           size_t n_params, int64_t *ret_affected);

// db_exec for a statement that must match n_rows rows. RC_CONFLICT: it matched another number.
// DB_WITH_QUERY, within a transaction: the next call is db_query or db_rollback. MySQL then gets
// both statements in one round trip. This call may return RC_OK before the statement is sent;
// db_query returns the statement's failure then, and does not call its row function.
enum db_when { DB_NOW, DB_WITH_QUERY };
MUST_CHECK enum rc db_exec_rows(struct db *db, const char *sql, const struct db_value *params,
                                size_t n_params, int64_t n_rows, enum db_when when);

// One statement that returns rows, streamed to the function.
MUST_CHECK enum rc db_query(struct db *db, const char *sql, const struct db_value *params,
                            size_t n_params, db_row_fn on_row, void *arg);

// A query for one number. ret_number keeps its value if there is no row.
MUST_CHECK enum rc db_query_int(struct db *db, const char *sql, const struct db_value *params,
                                size_t n_params, int64_t *ret_number);

// `INSERT INTO <into> VALUES ...`, for example into = "lock_row (name, owner)", n_columns = 2; the
// values row after row. One multi-row statement on MySQL, one prepared statement a row on SQLite.
MUST_CHECK enum rc db_insert(struct db *db, const char *into, size_t n_columns,
                             const struct db_value *values, size_t n_rows);

// DB_BEGIN_WRITE       takes SQLite's write lock at once (MySQL: READ COMMITTED, row locks)
// DB_BEGIN_WRITE_LATE  the same, but db_insert may be deferred and sent with COMMIT in one round
//                      trip; db_commit then returns the insert's failure, RC_DUPLICATE for example
// DB_BEGIN_SNAPSHOT    read-only, sees one moment of the whole database
enum db_begin { DB_BEGIN_WRITE, DB_BEGIN_WRITE_LATE, DB_BEGIN_SNAPSHOT };
MUST_CHECK enum rc db_begin(struct db *db, enum db_begin mode);
MUST_CHECK enum rc db_commit(struct db *db);
// Reports no failure: a connection that cannot roll back is closed, which has the same effect. Does
// nothing outside a transaction.
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

// Several statements, each with `;` behind it and nothing behind the last one, for migrations. Not
// empty. After a failure the statements before it have been executed, on MySQL for good.
MUST_CHECK enum rc db_script(struct db *db, const char *script);

// Checks that the database answers. RC_OK or RC_BACKEND_UNAVAILABLE.
MUST_CHECK enum rc db_ping(struct db *db);

// Reads the whole file of an SQLite database and checks its structure: RC_BACKEND_UNAVAILABLE with
// DB_FAULT_CORRUPT if it is damaged. About a second for a million ledger rows. On MySQL it does
// nothing, because InnoDB checks each page that it reads.
MUST_CHECK enum rc db_verify(struct db *db);

// An SQL expression for the database's own time in milliseconds since 1970, as an integer.
const char *db_now_ms_sql(const struct db *db);
// The same at the moment at which a row is read. The statement began earlier, before it waited for
// the row's lock, and before the snapshot that it reads was made. For columns only: no index can be
// compared with it.
const char *db_row_ms_sql(const struct db *db);
