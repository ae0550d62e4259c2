// Connects to MySQL or MariaDB and sets up the session. Uses only what both client libraries have,
// but for mysql_dial.c and mysql_servers.c. What an error number means stands in mysql_errors.c.
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

// Numbers of refused logins whose messages leave out the remedy.
enum { SECURE_TRANSPORT_REQUIRED = 3159, TLS_FAILED = 2026, PLUGIN_CANNOT_LOAD = 2059 };

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

struct mysql_meaning mysql_connection_failed(struct mysql_db *mysql)
{
    unsigned number = mysql_errno(mysql->handle);
    snprintf(mysql->db.error, sizeof mysql->db.error, "%u: %.280s", number,
             mysql_error(mysql->handle));
    struct mysql_meaning meaning = mysql_meaning_of(number, mysql->db.error);
    db_note_fault(&mysql->db, meaning.fault);
    if (meaning.reconnect)
        mysql_connection_drop(mysql);
    return meaning;
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
