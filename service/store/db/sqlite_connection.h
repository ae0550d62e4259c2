// The SQLite engine's own: a store, a connection to it, and what a failure of a call means.
#pragma once

#include "base/cleanup.h"
#include "store/db/engine.h"
#include "store/db/sqlite_files.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHED_STATEMENTS 96

struct sqlite_store {
    struct store store;
    char path[1024];
    struct sqlite_files files;
    pthread_mutex_t writer;
};

struct sqlite_db {
    struct db db;
    struct sqlite_store *owner;
    sqlite3 *handle; // NULL: not open
    bool counted;    // by sqlite_files_opened
    bool writing;    // holds owner->writer
    bool limited;    // waits at most busy_ms for owner->writer, else without limit
    int64_t busy_ms; // how long to wait for other processes
    int code;        // of the last failure
    size_t n_cached;
    struct {
        char *sql;
        sqlite3_stmt *statement;
    } cached[CACHED_STATEMENTS];
};

// Refuses a call outside a transaction if the database must not be used, and opens it if it is not
// open. A transaction goes on: sqlite_commit looks at the files again. RC_OK, or the fault.
MUST_CHECK enum rc sqlite_connection_ensure(struct sqlite_db *sqlite);

// Forgets the cached statements.
void sqlite_connection_drop_statements(struct sqlite_db *sqlite);

// Closes the handle and its cached statements, if it is open.
void sqlite_connection_close(struct sqlite_db *sqlite);

// The result of a call that returned this code of SQLite. Keeps the text in db.error.
enum rc sqlite_connection_failed(struct sqlite_db *sqlite, int code);

// The same of a failure whose text is in db.error already.
enum rc sqlite_connection_failed_as(struct sqlite_db *sqlite, int code);

// The path leads to other files than those that were opened first. Keeps a text in db.error.
enum rc sqlite_connection_moved(struct sqlite_db *sqlite);
