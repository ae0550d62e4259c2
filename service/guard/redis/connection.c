// Connects to a Redis server, and moves bytes between it and hiredis' parser.
//
// Every reconnect goes through redis_connect, which logs in and sets the timeouts again: hiredis'
// own redisReconnect forgets both. AUTH and SELECT are pipelined with the first command.
//
// hiredis reads and writes the socket itself, and old versions cannot be given another transport.
// So with TLS it only formats commands and parses replies. libcurl, which etcd-lock needs anyway,
// connects, verifies the certificate and encrypts; it sends no HTTP (CURLOPT_CONNECT_ONLY).
#include "guard/redis/connection.h"

#include "base/clock.h"
#include "guard/addresses.h"
#include "guard/tls.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 16384

static struct timeval to_timeval(int64_t duration_ns)
{
    return (struct timeval){duration_ns / NS_PER_S, (duration_ns % NS_PER_S) / 1000};
}

// ---- TLS ----------------------------------------------------------------------------------------

// A connected and verified handle, or NULL.
static CURL *tls_connect(const struct redis_address *address, int64_t timeout_ns, char *ret_why,
                         size_t size)
{
    char url[ETCD_URL_MAX], words[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return NULL;
    (void)text_format(url, sizeof url, "https://%s", address->label);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ns / NS_PER_MS));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    tls_prepare(curl, &address->tls);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    if (code == CURLE_OK)
        return curl;
    (void)text_format(ret_why, size, "%s", words[0] != '\0' ? words : curl_easy_strerror(code));
    curl_easy_cleanup(curl);
    return NULL;
}

// The parser has a descriptor of its own, which redisFree closes, and to which nothing is written.
static redisContext *tls_context(CURL *curl)
{
    curl_socket_t connected = CURL_SOCKET_BAD;
    curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &connected);
    int fd = connected != CURL_SOCKET_BAD ? dup(connected) : -1;
    redisContext *context = fd >= 0 ? redisConnectFd(fd) : NULL;
    if (context == NULL && fd >= 0)
        close(fd);
    return context;
}

static bool tls_failed(const struct redis_connection *connection, const char *why)
{
    connection->context->err = REDIS_ERR_IO;
    (void)text_copy(connection->context->errstr, sizeof connection->context->errstr, why);
    return false;
}

static bool tls_wait(const struct redis_connection *connection, short events, int64_t limit_ns)
{
    struct pollfd socket = {.fd = connection->context->fd, .events = events};
    int n;
    do
        n = poll(&socket, 1, (int)clock_left_ms(limit_ns));
    while (n < 0 && errno == EINTR);
    return n > 0 || tls_failed(connection, "timed out");
}

static bool tls_flush(struct redis_connection *connection)
{
    int64_t limit_ns = clock_now_ns() + connection->timeout_ns;
    struct buffer *out = &connection->out;
    if (out->failed)
        return tls_failed(connection, "out of memory");
    for (size_t sent = 0, n = 0; sent < out->length; sent += n) {
        CURLcode code = curl_easy_send(connection->tls, out->data + sent, out->length - sent, &n);
        if (code == CURLE_AGAIN)
            n = 0;
        else if (code != CURLE_OK)
            return tls_failed(connection, curl_easy_strerror(code));
        if (code == CURLE_AGAIN && !tls_wait(connection, POLLOUT, limit_ns))
            return false;
    }
    buffer_clear(out);
    return true;
}

// Reads until nothing more has arrived. `wait`: for the first bytes.
static bool tls_read(struct redis_connection *connection, bool wait)
{
    int64_t limit_ns = clock_now_ns() + connection->timeout_ns;
    char bytes[READ_SIZE];
    for (bool any = false;;) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(connection->tls, bytes, sizeof bytes, &n);
        if (code == CURLE_AGAIN && (any || !wait))
            return true;
        if (code == CURLE_AGAIN) {
            if (!tls_wait(connection, POLLIN, limit_ns))
                return false;
            continue;
        }
        if (code != CURLE_OK)
            return tls_failed(connection, curl_easy_strerror(code));
        if (n == 0)
            return tls_failed(connection, "Server closed the connection");
        if (redisReaderFeed(connection->context->reader, bytes, n) != REDIS_OK)
            return tls_failed(connection, "out of memory");
        any = true;
    }
}

// ---- commands and replies -----------------------------------------------------------------------

void redis_append(struct redis_connection *connection, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (connection->tls == NULL) {
        (void)redisvAppendCommand(connection->context, format, args);
    } else {
        char *command = NULL;
        int length = redisvFormatCommand(&command, format, args);
        if (length >= 0)
            buffer_append(&connection->out, command, (size_t)length);
        else
            connection->out.failed = true;
        redisFreeCommand(command);
    }
    va_end(args);
}

void redis_append_words(struct redis_connection *connection, size_t n, const char **words,
                        const size_t *lengths)
{
    if (connection->tls == NULL) {
        (void)redisAppendCommandArgv(connection->context, (int)n, words, lengths);
        return;
    }
    char *command = NULL;
    long long length = redisFormatCommandArgv(&command, (int)n, words, lengths);
    if (length >= 0)
        buffer_append(&connection->out, command, (size_t)length);
    else
        connection->out.failed = true;
    redisFreeCommand(command);
}

bool redis_flush(struct redis_connection *connection)
{
    if (connection->tls != NULL)
        return tls_flush(connection);
    int done = 0;
    while (done == 0)
        if (redisBufferWrite(connection->context, &done) != REDIS_OK)
            return false;
    return true;
}

redisReply *redis_read_reply(struct redis_connection *connection)
{
    void *reply = NULL;
    if (connection->tls == NULL)
        return redisGetReply(connection->context, &reply) == REDIS_OK ? reply : NULL;
    if (!tls_flush(connection))
        return NULL;
    while (redisGetReplyFromReader(connection->context, &reply) == REDIS_OK && reply == NULL)
        if (!tls_read(connection, true))
            return NULL;
    return reply;
}

bool redis_read_arrived(struct redis_connection *connection)
{
    return connection->tls != NULL ? tls_read(connection, false)
                                   : redisBufferRead(connection->context) == REDIS_OK;
}

// ---- connect ------------------------------------------------------------------------------------

void redis_limit(struct redis_connection *connection, int64_t timeout_ns)
{
    connection->timeout_ns = timeout_ns > NS_PER_MS ? timeout_ns : NS_PER_MS;
    if (connection->tls == NULL)
        (void)redisSetTimeout(connection->context, to_timeval(connection->timeout_ns));
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection == NULL)
        return;
    redisFree(connection->context);
    curl_easy_cleanup(connection->tls);
    buffer_release(&connection->out);
    free(connection);
}

static void open_socket(struct redis_connection *connection, const struct redis_address *address,
                        int64_t timeout_ns, char *ret_why, size_t size)
{
    struct timeval timeout = to_timeval(timeout_ns > NS_PER_MS ? timeout_ns : NS_PER_MS);
    if (address->tls.verify != ADDRESS_TLS_OFF) {
        connection->tls = tls_connect(address, timeout_ns, ret_why, size);
        connection->context = connection->tls != NULL ? tls_context(connection->tls) : NULL;
    } else if (address->port == 0) {
        connection->context = redisConnectUnixWithTimeout(address->host, timeout);
    } else {
        connection->context = redisConnectWithTimeout(address->host, address->port, timeout);
    }
}

struct redis_connection *redis_connect(const struct redis_address *address, int64_t timeout_ns,
                                       char *ret_why, size_t size)
{
    struct redis_connection *connection = calloc(1, sizeof *connection);
    (void)text_copy(ret_why, size, "out of memory");
    if (connection == NULL)
        return NULL;
    open_socket(connection, address, timeout_ns, ret_why, size);
    const redisContext *context = connection->context;
    if (context == NULL || context->err != 0) {
        if (context != NULL)
            (void)text_copy(ret_why, size, context->errstr);
        redis_connection_free(connection);
        return NULL;
    }
    redis_limit(connection, timeout_ns);
    if (address->user[0] != '\0')
        redis_append(connection, "AUTH %s %s", address->user, address->password);
    else if (address->password[0] != '\0')
        redis_append(connection, "AUTH %s", address->password);
    if (address->database[0] != '\0')
        redis_append(connection, "SELECT %s", address->database);
    return connection;
}

size_t redis_login_replies(const struct redis_address *address)
{
    bool logs_in = address->user[0] != '\0' || address->password[0] != '\0';
    return (logs_in ? 1U : 0U) + (address->database[0] != '\0' ? 1U : 0U);
}

const char *redis_remedy(const char *error)
{
    static const struct {
        const char *part, *remedy;
    } remedies[] = {
        {"NOAUTH", "; give the password: redis://:password@host"},
        {"WRONGPASS", "; check the user and the password"},
        {"invalid password", "; check the password"},
        {"without any password configured", "; leave the password out"},
        {"NOPERM", "; give the user the rights: ~holdfast:* &holdfast:* +@all"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(remedies); i++)
        if (strstr(error, remedies[i].part) != NULL)
            return remedies[i].remedy;
    return "";
}
