// The connection under db_mysql.c: how it is made, and what its errors mean.
#pragma once

#include "base/text.h"
#include "store/db/engine.h"
#include "store/db/mysql_url.h"

#include <mysql.h>
#include <pthread.h>

#define MYSQL_IO_TIMEOUT_S 10 // unless long statements are allowed

struct mysql_db {
    struct db db;
    const struct mysql_url *url;
    MYSQL *handle; // NULL: not connected
    bool was_connected;
    unsigned io_timeout_s;
    pthread_mutex_t cancel_mutex; // protects:
    int cancel_fd;                // the connection's socket once it is made; else -1
    int64_t deadline_ns;
    struct buffer sql;  // what is sent, with its parameters in it; memory kept
    bool begin_pending; // START TRANSACTION is still to be sent
    bool inserts_late;
    struct buffer late; // the inserts to be sent with COMMIT, each ended by `;`
    size_t n_late;
};

// Connects if there is no connection. RC_BACKEND_UNAVAILABLE with the reason in db.error.
MUST_CHECK enum rc mysql_connection_ensure(struct mysql_db *mysql);
void mysql_connection_drop(struct mysql_db *mysql);

// Keeps the words of the call that just failed and says what they mean for the caller, as db.h
// lists it. Drops the connection if it is lost.
enum rc mysql_connection_failed(struct mysql_db *mysql);

// Of mysql_errno(), when COMMIT failed with it: the server cannot say whether it happened.
bool mysql_commit_is_uncertain(unsigned number);

// The slots of db_ops.
void mysql_connection_allow_long_statements(struct db *db);
void mysql_connection_limit_waits(struct db *db, int64_t limit_ms);
void mysql_connection_set_deadline(struct db *db, int64_t deadline_ns);
void mysql_connection_expire(struct db *db);
void mysql_connection_cancel(struct db *db);
