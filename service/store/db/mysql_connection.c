// Connects to MySQL or MariaDB, sets up the session, and maps error numbers to results. Uses only
// what both client libraries have, but for mysql_dial.c and mysql_servers.c. Error numbers that one of
// them does not name are named here.
//
// Deadlines need more than the libraries' timeouts: those count whole seconds, are fixed when the
// connection is made, and one read may take several of them. So the watching thread (db_expire)
// shuts the socket down when the deadline has passed, and the call that blocks on it fails.
#include "store/db/mysql_connection.h"

#include "base/clock.h"
#include "store/db/mysql_dial.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_S 2
#define IO_TIMEOUT_MIN_S 2
#define LONG_IO_TIMEOUT_S (24 * 3600)

// Numbers that the code names, as documented by MySQL and MariaDB; some lack a name in one of the
// two libraries' headers. The others stand in the table below.
enum {
    SERVER_SHUTDOWN = 1053,
    ERROR_DURING_COMMIT = 1180,
    QUERY_INTERRUPTED = 1317,
    CONNECTION_KILLED = 1927,
    SECURE_TRANSPORT_REQUIRED = 3159,
    CLIENT_INTERACTION_TIMEOUT = 4031,
    CLIENT_ERRORS_FROM = 2000, // raised by the client library: the connection, mostly
    CLIENT_ERRORS_TO = 2999,
    OUT_OF_MEMORY = 2008,
    TLS_FAILED = 2026,
    PLUGIN_CANNOT_LOAD = 2059,
    ENGINE_ERRORS_FROM = 120,
};

// What the servers' error numbers mean. A number that is not here is RC_INTERNAL.
static const struct db_meaning meanings[] = {
    {1062, RC_DUPLICATE, DB_FAULT_NONE}, // duplicate entry
    {1586, RC_DUPLICATE, DB_FAULT_NONE}, // duplicate entry, with the key's name

    {1020, RC_CONFLICT, DB_FAULT_NONE}, // MariaDB: the row changed since the snapshot
    {1205, RC_CONFLICT, DB_FAULT_NONE}, // lock wait timeout
    {1213, RC_CONFLICT, DB_FAULT_NONE}, // deadlock
    {QUERY_INTERRUPTED, RC_CONFLICT, DB_FAULT_NONE},

    {1040, RC_BACKEND_UNAVAILABLE, DB_FAULT_NONE}, // too many connections

    {1021, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL}, // disk full
    {1114, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL}, // the table is full
    {1878, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL}, // cannot write a temporary file
    {3019, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL}, // the undo log is full

    {1036, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // the table is read-only
    {1290, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // the server runs with --read-only
    {1792, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // in a read-only transaction
    {1836, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // read-only mode
    {1874, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // InnoDB is read-only
    {1881, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // innodb_force_recovery is set

    {1044, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // to the database
    {1045, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // wrong user or password
    {1129, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // the host is blocked
    {1130, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // the host may not connect
    {1142, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // to the table
    {1143, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // to the column
    {1227, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // a global right is needed
    {1698, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // without a password
    {1820, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // the password must be changed
    {1862, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // the password has expired
    {3118, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // MySQL: the account is locked
    {4151, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED}, // MariaDB: the account is locked

    {1017, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // file not found
    {1046, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // no database selected: it was dropped
    {1049, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // unknown database
    {1051, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // unknown table
    {1146, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // the table does not exist
    {1812, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // the tablespace is missing
    {1814, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // the tablespace was discarded
    {1932, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING}, // the table does not exist in its engine

    {1033, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // incorrect information in a file
    {1034, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // incorrect key file
    {1035, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // old key file
    {1194, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // the table is marked as crashed
    {1195, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // and its last repair failed
    {1712, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // the index is corrupt
    {1877, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // the table is corrupt
    {3000, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT}, // the file is corrupt

    // Their texts name a second number, see cause_of().
    {3, RC_INTERNAL, DB_FAULT_NONE},    // cannot write a file
    {1005, RC_INTERNAL, DB_FAULT_NONE}, // cannot create a table
    {1016, RC_INTERNAL, DB_FAULT_NONE}, // cannot open a file
    {1026, RC_INTERNAL, DB_FAULT_NONE}, // cannot write a file
    {1030, RC_INTERNAL, DB_FAULT_NONE}, // the storage engine's error
    {ERROR_DURING_COMMIT, RC_INTERNAL, DB_FAULT_NONE},
};

// The second number: an errno(3), or from 120 on an error of the storage engine (HA_ERR_... of the
// servers' sources).
static enum db_fault cause_of(const char *text)
{
    static const char *const marks[] = {"errno: ", "Errcode: ", "error "};
    static const struct db_meaning causes[] = {
        {126, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // the index file is crashed
        {127, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // the record file is crashed
        {135, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},      // no more room in the record file
        {136, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},      // no more room in the index file
        {144, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // crashed, and the last repair failed
        {145, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // crashed
        {155, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING},   // no such table
        {165, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // the table is read-only
    };
    for (size_t i = 0; i < ARRAY_LENGTH(marks); i++) {
        const char *at = strstr(text, marks[i]);
        if (at == NULL)
            continue;
        int number = (int)strtol(at + strlen(marks[i]), NULL, 10);
        const struct db_meaning *cause = db_meaning_of(causes, ARRAY_LENGTH(causes), number);
        return cause != NULL                 ? cause->fault
               : number < ENGINE_ERRORS_FROM ? db_errno_fault(number)
                                             : DB_FAULT_NONE;
    }
    return DB_FAULT_NONE;
}

// Shuts the socket down if the connection is cancelled or past its deadline. Under cancel_mutex.
static void interrupt_if_due(struct mysql_db *mysql)
{
    if (mysql->cancel_fd >= 0 &&
        (atomic_load(&mysql->db.cancelled) || mysql->deadline_ns <= clock_now_ns()))
        shutdown(mysql->cancel_fd, SHUT_RDWR);
}

// Takes ownership of the descriptor; -1: cannot be interrupted.
static void make_interruptible(struct mysql_db *mysql, int fd)
{
    pthread_mutex_lock(&mysql->cancel_mutex);
    if (mysql->cancel_fd >= 0)
        close(mysql->cancel_fd);
    mysql->cancel_fd = fd;
    interrupt_if_due(mysql);
    pthread_mutex_unlock(&mysql->cancel_mutex);
}

void mysql_connection_drop(struct mysql_db *mysql)
{
    make_interruptible(mysql, -1);
    if (mysql->handle != NULL)
        mysql_close(mysql->handle);
    mysql->handle = NULL;
}

bool mysql_connection_is_lost(unsigned number)
{
    return number == 0 ||
           (number >= CLIENT_ERRORS_FROM && number <= CLIENT_ERRORS_TO &&
            number != OUT_OF_MEMORY) ||
           number == SERVER_SHUTDOWN || number == CONNECTION_KILLED ||
           number == CLIENT_INTERACTION_TIMEOUT;
}

enum rc mysql_connection_failed(struct mysql_db *mysql)
{
    unsigned number = mysql_errno(mysql->handle);
    snprintf(mysql->db.error, sizeof mysql->db.error, "%u: %.280s", number,
             mysql_error(mysql->handle));
    const struct db_meaning *meaning = db_meaning_of(meanings, ARRAY_LENGTH(meanings), (int)number);
    bool lost = mysql_connection_is_lost(number);
    enum rc rc = lost ? RC_BACKEND_UNAVAILABLE : meaning != NULL ? meaning->rc : RC_INTERNAL;
    enum db_fault fault = meaning != NULL ? meaning->fault : DB_FAULT_NONE;
    if (meaning != NULL && rc == RC_INTERNAL) {
        fault = cause_of(mysql->db.error);
        rc = fault != DB_FAULT_NONE ? RC_BACKEND_UNAVAILABLE : RC_INTERNAL;
    }
    db_note_fault(&mysql->db, fault);
    // A primary that became read-only keeps its connections, but a new one may reach the next
    // primary. A session keeps its rights to the database until it ends.
    if (lost || fault == DB_FAULT_READ_ONLY || fault == DB_FAULT_DENIED)
        mysql_connection_drop(mysql);
    return rc;
}

// Timeouts in seconds for the connection that is made now: up to the deadline, but no more than
// usual. Only the library's timeout ends a read during the handshake, so it is derived from the
// deadline as well; it stays longer than the wait for a row lock. False: the deadline has passed.
static bool timeouts(struct mysql_db *mysql, unsigned *ret_connect_s, unsigned *ret_io_s)
{
    unsigned usual_s = (unsigned)address_option_int(&mysql->servers->address, "connect-timeout",
                                                    CONNECT_TIMEOUT_S);
    *ret_io_s = mysql->io_timeout_s;
    *ret_connect_s = *ret_io_s < usual_s ? *ret_io_s : usual_s;
    if (mysql->deadline_ns == INT64_MAX)
        return true;
    int64_t left_s = (mysql->deadline_ns - clock_now_ns() + NS_PER_S - 1) / NS_PER_S;
    if (left_s <= 0)
        return false;
    if (left_s < *ret_connect_s)
        *ret_connect_s = (unsigned)left_s;
    if (left_s < IO_TIMEOUT_MIN_S)
        left_s = IO_TIMEOUT_MIN_S;
    if (left_s < *ret_io_s)
        *ret_io_s = (unsigned)left_s;
    return true;
}

// Appends the remedy that the libraries' messages about a refused login leave out.
static void add_remedy(struct mysql_db *mysql, unsigned number)
{
    const char *remedy = "";
    if (number == SECURE_TRANSPORT_REQUIRED)
        remedy = "; add ?tls=on to the address";
    else if (number == TLS_FAILED)
        remedy = "; see the options tls and ca of the address";
    else if (number == PLUGIN_CANNOT_LOAD || strstr(mysql->db.error, "could not be loaded") != NULL)
        remedy =
            "; install the client library's plugins, or name their folder in MARIADB_PLUGIN_DIR";
    size_t length = strlen(mysql->db.error);
    text_copy(mysql->db.error + length, sizeof mysql->db.error - length, remedy);
}

// When to give up connecting. Short even where statements may take hours.
static int64_t until(const struct mysql_db *mysql, unsigned connect_timeout_s,
                     unsigned io_timeout_s)
{
    unsigned most_s = io_timeout_s < MYSQL_IO_TIMEOUT_S ? io_timeout_s : MYSQL_IO_TIMEOUT_S;
    if (most_s < connect_timeout_s)
        most_s = connect_timeout_s;
    int64_t until_ns = clock_now_ns() + most_s * NS_PER_S;
    return until_ns < mysql->deadline_ns ? until_ns : mysql->deadline_ns;
}

static bool set_up_session(MYSQL *handle)
{
    static const char *const session[] = {
        // UNIX_TIMESTAMP(NOW()) goes through the session's time zone. In a zone with summer time,
        // two hours of one autumn night have the same local time.
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        // A row lock held by an idle transaction must not block a worker until the deadline.
        "SET SESSION innodb_lock_wait_timeout = 1",
        // If the network fails, the server does not notice, and our own transaction keeps its row
        // locks. MariaDB ends it after this timeout. MySQL has no such timeout and reads a comment.
        "SET SESSION autocommit = 1 /*M! , idle_transaction_timeout = 5 */",
    };
    bool set_up = true;
    for (size_t i = 0; set_up && i < ARRAY_LENGTH(session); i++)
        set_up = mysql_query(handle, session[i]) == 0;
    return set_up;
}

// Connects to one server; NULL: to the Unix socket.
static enum rc connect_to(struct mysql_db *mysql, const struct address_host *host)
{
    unsigned connect_timeout, io_timeout;
    if (!timeouts(mysql, &connect_timeout, &io_timeout)) {
        text_copy(mysql->db.error, sizeof mysql->db.error, "the deadline passed before connecting");
        return RC_BACKEND_UNAVAILABLE;
    }
    mysql->handle = mysql_init(NULL);
    if (mysql->handle == NULL)
        return RC_NO_MEMORY;
    mysql_options(mysql->handle, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout);
    mysql_options(mysql->handle, MYSQL_OPT_READ_TIMEOUT, &io_timeout);
    mysql_options(mysql->handle, MYSQL_OPT_WRITE_TIMEOUT, &io_timeout);
    mysql_options(mysql->handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_servers_secure(mysql->servers, mysql->handle);
    bool connected = mysql_dial(mysql->handle, &mysql->servers->address, host,
                                until(mysql, connect_timeout, io_timeout));
    if (connected && !mysql_servers_is_secured(mysql->servers, mysql->handle)) {
        text_copy(mysql->db.error, sizeof mysql->db.error,
                  "the server offers no TLS, see the options tls and ca of the address");
        mysql_connection_drop(mysql);
        return RC_BACKEND_UNAVAILABLE;
    }
    // A duplicate, because the library may close its descriptor at any time, and the number may
    // then be reused by another connection.
    if (connected)
        make_interruptible(mysql, fcntl(mysql->handle->net.fd, F_DUPFD_CLOEXEC, 0));
    if (connected && set_up_session(mysql->handle))
        return RC_OK;
    unsigned number = mysql_errno(mysql->handle);
    (void)mysql_connection_failed(mysql);
    add_remedy(mysql, number);
    mysql_connection_drop(mysql);
    return RC_BACKEND_UNAVAILABLE;
}

// Appends which of several servers the error is about.
static void add_server(struct mysql_db *mysql, const struct address_host *host)
{
    size_t length = strlen(mysql->db.error), n = mysql_servers_count(mysql->servers);
    char name[ADDRESS_HOST_MAX + 16];
    if (n > 1 && address_host_text(host, name, sizeof name))
        text_format(mysql->db.error + length, sizeof mysql->db.error - length,
                    " (%s, the last of %zu servers)", name, n);
}

enum rc mysql_connection_ensure(struct mysql_db *mysql)
{
    if (mysql->handle != NULL)
        return RC_OK;
    const struct address_host *host = NULL;
    enum rc rc = RC_BACKEND_UNAVAILABLE;
    for (size_t i = 0; rc == RC_BACKEND_UNAVAILABLE && i < mysql_servers_count(mysql->servers);
         i++) {
        if (atomic_load(&mysql->db.cancelled)) {
            text_copy(mysql->db.error, sizeof mysql->db.error, "cancelled");
            return RC_BACKEND_UNAVAILABLE;
        }
        host = mysql_servers_pick(mysql->servers, i);
        rc = connect_to(mysql, host);
    }
    if (rc == RC_BACKEND_UNAVAILABLE)
        add_server(mysql, host);
    if (rc != RC_OK)
        return rc;
    mysql_servers_keep(mysql->servers, host);
    if (mysql->was_connected)
        atomic_fetch_add(&mysql->db.store->reconnects, 1);
    mysql->was_connected = true;
    return RC_OK;
}

bool mysql_commit_is_uncertain(unsigned number)
{
    return number == ERROR_DURING_COMMIT || number == QUERY_INTERRUPTED;
}

// Both libraries read their timeouts only when they connect.
void mysql_connection_allow_long_statements(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    if (mysql->io_timeout_s != LONG_IO_TIMEOUT_S)
        mysql_connection_drop(mysql);
    mysql->was_connected = false; // dropped on purpose: the next connect is no reconnect
    mysql->io_timeout_s = LONG_IO_TIMEOUT_S;
}

void mysql_connection_limit_waits(struct db *db, int64_t limit_ms)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    mysql_connection_drop(mysql);
    mysql->was_connected = false;
    mysql->io_timeout_s = limit_ms <= 1000 ? 1 : (unsigned)((limit_ms + 999) / 1000);
}

void mysql_connection_set_deadline(struct db *db, int64_t deadline_ns)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    pthread_mutex_lock(&mysql->cancel_mutex);
    mysql->deadline_ns = deadline_ns;
    pthread_mutex_unlock(&mysql->cancel_mutex);
}

void mysql_connection_interrupt(struct db *db)
{
    struct mysql_db *mysql = (struct mysql_db *)db;
    pthread_mutex_lock(&mysql->cancel_mutex);
    interrupt_if_due(mysql);
    pthread_mutex_unlock(&mysql->cancel_mutex);
}
