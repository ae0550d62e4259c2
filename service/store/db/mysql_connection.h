// A connection to MySQL or MariaDB: connecting, timeouts, and the meaning of its errors. mysql.c
// sends statements over it.
#pragma once

#include "base/text.h"
#include "store/db/engine.h"
#include "store/db/mysql_errors.h"
#include "store/db/mysql_servers.h"

#include <mysql.h>
#include <pthread.h>

#define MYSQL_IO_TIMEOUT_S 10 // unless long statements are allowed

struct mysql_db {
    struct db db;
    struct mysql_servers *servers;
    MYSQL *handle; // NULL: not connected
    bool was_connected;
    unsigned io_timeout_s;
    pthread_mutex_t cancel_mutex; // protects:
    int cancel_fd;                // duplicate of the connection's socket; -1: not connected
    int64_t deadline_ns;
    struct buffer sql;   // the statement with its parameters escaped into it; memory is reused
    bool begin_pending;  // START TRANSACTION has not been sent yet
    struct buffer ahead; // deferred to the next query, ended by `;`; empty: none
    int64_t ahead_rows;  // how many rows it must match
    bool inserts_late;
    struct buffer late; // inserts deferred to COMMIT, each ended by `;`
    size_t n_late;
};

// Connects if there is no connection. RC_BACKEND_UNAVAILABLE with the reason in db.error.
MUST_CHECK enum rc mysql_connection_ensure(struct mysql_db *mysql);
void mysql_connection_drop(struct mysql_db *mysql);

// Copies the failed call's error text into db.error, and notes its fault. Drops a connection that
// is lost, or that a new one may do better than. Returns what the error means.
struct mysql_meaning mysql_connection_failed(struct mysql_db *mysql);

// The slots of db_ops.
void mysql_connection_allow_long_statements(struct db *db);
void mysql_connection_limit_waits(struct db *db, int64_t limit_ms);
void mysql_connection_set_deadline(struct db *db, int64_t deadline_ns);
void mysql_connection_interrupt(struct db *db); // expire and cancel
