// The table of functions that a database engine fills in for db.h, and the state that all engines
// share. Included by db.c and the engines only.
#pragma once

#include "store/db/db.h"

#include <stdatomic.h>

struct store {
    enum db_engine engine;
    char label[DB_ERROR_MAX];
    _Atomic uint64_t reconnects;
    _Atomic uint64_t faults[DB_FAULT_COUNT]; // failures with each fault
    _Atomic uint64_t failed_before_probe;    // their sum at the end of the last probe
    _Atomic int fault;                       // the gravest; see db_end_probe
    enum rc (*connect)(struct store *store, struct db **ret_db);
    enum rc (*claim)(struct store *store, enum db_claim claim,
                     char *ret_error); // NULL: nothing to claim
    void (*close)(struct store *store);
};

// The contract of each slot is that of the function of the same name in db.h.
struct db_ops {
    enum rc (*exec)(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                    int64_t *ret_affected);
    // db_exec_rows with DB_WITH_QUERY; NULL: statements cost no round trip
    enum rc (*exec_with_query)(struct db *db, const char *sql, const struct db_value *params,
                               size_t n_params, int64_t n_rows);
    enum rc (*query)(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                     db_row_fn on_row, void *arg);
    enum rc (*insert)(struct db *db, const char *into, size_t n_columns,
                      const struct db_value *values, size_t n_rows);
    enum rc (*begin)(struct db *db, enum db_begin mode);
    enum rc (*commit)(struct db *db);
    void (*rollback)(struct db *db);
    enum rc (*script)(struct db *db, const char *script);
    enum rc (*ping)(struct db *db);
    enum rc (*verify)(struct db *db);             // NULL: nothing to check
    void (*allow_long_statements)(struct db *db); // NULL: no timeout to raise
    void (*limit_waits)(struct db *db, int64_t limit_ms);
    void (*set_deadline)(struct db *db, int64_t deadline_ns); // NULL, as expire: no deadlines
    void (*expire)(struct db *db);
    void (*cancel)(struct db *db); // `cancelled` is set already; NULL: the engine polls it
    void (*free)(struct db *db);
};

// Embedded first in every engine's own connection.
struct db {
    const struct db_ops *ops;
    struct store *store;
    bool in_transaction;
    atomic_bool cancelled;
    char error[DB_ERROR_MAX];
};

struct db_row_ops {
    int64_t (*number)(const struct db_row *row, size_t column);
    const char *(*text)(const struct db_row *row, size_t column);
    bool (*is_null)(const struct db_row *row, size_t column);
};

// Embedded first in every engine's own row.
struct db_row {
    const struct db_row_ops *ops;
};

// db_sqlite_open takes what follows `sqlite:`, db_mysql_open the whole address.
enum rc db_sqlite_open(const char *path, struct store **ret_store, char *ret_error);
enum rc db_mysql_open(const char *text, struct store **ret_store, char *ret_error);
