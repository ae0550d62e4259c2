// Sends requests to an etcd cluster as JSON over HTTP/1.1.
//
// etcd speaks gRPC. Its gateway takes the same messages as JSON, with bytes in base64 and 64-bit
// numbers as text. A library for gRPC would weigh more than this service.
//
// The kind of failure decides what may be done next:
//   - No connection: the request was not sent, so the client tries the next member.
//   - The connection broke, or the timeout expired: the member may have carried out the request.
//     The client repeats it at the next member, and reports the outcome as uncertain.
//   - etcd had closed an idle connection: libcurl reconnects by itself and sends the request again.
//     The client sees that a used handle has made a new connection, and reports it as uncertain.
//
// What breaks it: a request that is not safe to repeat; an etcd without its gateway
// (--enable-grpc-gateway=false).
#include "guard/etcd/client.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 1024
#define WHY_MAX 200
#define QUIET_NS (3 * NS_PER_S) // so long without a failure: it is well again
#define MEMBER_TIMEOUT_MIN_NS (50 * NS_PER_MS)
#define GRPC_INVALID_ARGUMENT 3 // also "auth: revision in header is old"
#define GRPC_NOT_FOUND 5
#define GRPC_UNAUTHENTICATED 16

struct connection {
    struct connection *next; // in the pool's idle list
    CURL *curl;
    bool connected; // the last request succeeded, so the next one may reuse its connection
    bool lost;      // a connection that had worked broke; the next one counts as a reconnect
    struct buffer answer;
};

struct etcd_client {
    struct etcd_address address;
    _Atomic size_t current; // the member that answered last
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    struct connection *idle;
    size_t n_connections;  // idle and in use
    char token[TOKEN_MAX]; // from the login; "" before
    bool failing;          // a failure was logged; that it is well again is logged too
    int64_t failed_ns;     // monotonic: the last failure
    char why[WHY_MAX];     // its words
    _Atomic uint64_t reconnects;
};

// NOT_SENT: the member has not seen the request. NO_ANSWER: it may have carried it out.
enum outcome { ANSWERED, NOT_FOUND, NOT_LOGGED_IN, NOT_SENT, NO_ANSWER };

// ---- new and free -------------------------------------------------------------------------------

enum rc etcd_client_new(const char *addresses, struct etcd_client **ret_client, char *ret_why,
                        size_t size)
{
    struct etcd_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return RC_NO_MEMORY;
    enum rc rc = etcd_address_parse(addresses, &client->address, ret_why, size);
    if (rc != RC_OK) {
        free(client);
        return rc;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return RC_NO_MEMORY;
    }
    pthread_cond_init(&client->returned, NULL);
    pthread_mutex_init(&client->mutex, NULL);
    *ret_client = client;
    return RC_OK;
}

static void connection_free(struct connection *connection)
{
    curl_easy_cleanup(connection->curl);
    buffer_release(&connection->answer);
    free(connection);
}

void etcd_client_free(struct etcd_client *client)
{
    if (client == NULL)
        return;
    while (client->idle != NULL) {
        struct connection *connection = client->idle;
        client->idle = connection->next;
        connection_free(connection);
    }
    pthread_cond_destroy(&client->returned);
    pthread_mutex_destroy(&client->mutex);
    curl_global_cleanup();
    free(client);
}

uint64_t etcd_client_reconnects(const struct etcd_client *client)
{
    return client->reconnects;
}

void etcd_client_why(struct etcd_client *client, char *ret_why, size_t size)
{
    pthread_mutex_lock(&client->mutex);
    text_format(ret_why, size, "%s", client->why);
    pthread_mutex_unlock(&client->mutex);
}

void etcd_client_count_reconnect(struct etcd_client *client)
{
    client->reconnects++;
}

void etcd_answer_cleanup(json_t **answer)
{
    json_decref(*answer);
}

// ---- the pool of connections --------------------------------------------------------------------

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
    buffer_append((struct buffer *)arg, data, size * n);
    return size * n;
}

static struct connection *connection_new(void)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->curl = curl_easy_init();
    if (connection->curl == NULL) {
        free(connection);
        return NULL;
    }
    curl_easy_setopt(connection->curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(connection->curl, CURLOPT_WRITEDATA, &connection->answer);
    return connection;
}

static struct connection *borrow_connection(struct etcd_client *client, int64_t limit_ns)
{
    pthread_mutex_lock(&client->mutex);
    while (client->idle == NULL && client->n_connections >= ETCD_CONNECTIONS_MAX)
        if (!clock_wait(&client->returned, &client->mutex, limit_ns))
            break;
    struct connection *connection = client->idle;
    if (connection != NULL)
        client->idle = connection->next;
    else if (client->n_connections < ETCD_CONNECTIONS_MAX &&
             (connection = connection_new()) != NULL)
        client->n_connections++;
    pthread_mutex_unlock(&client->mutex);
    return connection;
}

// `answered`: by this member.
static void return_connection(struct etcd_client *client, struct connection *connection,
                              bool answered, size_t member)
{
    pthread_mutex_lock(&client->mutex);
    bool recovered = answered && client->failing && clock_now_ns() - client->failed_ns > QUIET_NS;
    if (recovered)
        client->failing = false;
    connection->next = client->idle;
    client->idle = connection;
    pthread_cond_signal(&client->returned);
    pthread_mutex_unlock(&client->mutex);
    if (recovered)
        LOG_INFO("etcd %s can be used again", client->address.urls[member]);
}

static void warn_once(struct etcd_client *client, size_t member, const char *why)
{
    pthread_mutex_lock(&client->mutex);
    bool first = !client->failing;
    client->failing = true;
    client->failed_ns = clock_now_ns();
    text_format(client->why, sizeof client->why, "%s", why);
    pthread_mutex_unlock(&client->mutex);
    if (first)
        LOG_WARNING("etcd %s cannot be used: %s", client->address.urls[member], why);
}

// ---- one attempt at one member ------------------------------------------------------------------

static struct curl_slist *headers_new(struct etcd_client *client)
{
    char authorization[TOKEN_MAX + sizeof "Authorization: "];
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (headers == NULL)
        return NULL;
    curl_slist_append(headers, "Expect:"); // no "100 Continue" round trip before the body
    if (client->address.user[0] != '\0') {
        pthread_mutex_lock(&client->mutex);
        text_format(authorization, sizeof authorization, "Authorization: %s", client->token);
        bool known = client->token[0] != '\0';
        pthread_mutex_unlock(&client->mutex);
        if (known)
            curl_slist_append(headers, authorization);
    }
    return headers;
}

static struct curl_slist *prepare(struct etcd_client *client, CURL *curl, size_t member,
                                  const char *path)
{
    char url[ETCD_URL_MAX + ETCD_WORD_MAX];
    text_format(url, sizeof url, "%s%s", client->address.urls[member], path);
    struct curl_slist *headers = headers_new(client);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 5L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 2L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    tls_prepare(curl, &client->address.tls);
    return headers;
}

void etcd_client_prepare(struct etcd_client *client, CURL *curl, const char *path, const char *body,
                         struct curl_slist **ret_headers)
{
    *ret_headers = prepare(client, curl, client->current, path);
    curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body);
}

// An error of etcd: {"error": ..., "code": ..., "message": ...}.
static enum outcome read_error(struct etcd_client *client, size_t member, const json_t *answer)
{
    const char *message = json_string_value(json_object_get(answer, "error"));
    switch (json_integer_value(json_object_get(answer, "code"))) {
    case GRPC_NOT_FOUND:
        return NOT_FOUND;
    case GRPC_INVALID_ARGUMENT:
    case GRPC_UNAUTHENTICATED:
        if (client->address.user[0] != '\0')
            return NOT_LOGGED_IN;
        break;
    }
    warn_once(client, member, message != NULL ? message : "the answer is not valid");
    return NO_ANSWER;
}

static enum outcome try_member(struct etcd_client *client, struct connection *connection,
                               size_t member, const char *path, const char *body, int64_t limit_ns,
                               json_t **ret_answer, bool *ret_uncertain)
{
    int64_t left_ms = clock_left_ms(limit_ns);
    if (left_ms <= 0)
        return NOT_SENT;
    struct curl_slist *headers = prepare(client, connection->curl, member, path);
    curl_easy_setopt(connection->curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(connection->curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    buffer_clear(&connection->answer);
    CURLcode code = curl_easy_perform(connection->curl);
    long connects = 0, status = 0;
    curl_easy_getinfo(connection->curl, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(connection->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(connection->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (connects > 0 && connection->connected)
        *ret_uncertain = true;
    if (connects > 0 && code == CURLE_OK && (connection->connected || connection->lost))
        etcd_client_count_reconnect(client);
    connection->lost = code != CURLE_OK && (connection->connected || connection->lost);
    connection->connected = code == CURLE_OK;
    if (code != CURLE_OK) {
        warn_once(client, member, curl_easy_strerror(code));
        bool not_sent = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
        *ret_uncertain = *ret_uncertain || !not_sent;
        return not_sent ? NOT_SENT : NO_ANSWER;
    }
    json_t *answer = json_loadb(connection->answer.data != NULL ? connection->answer.data : "",
                                connection->answer.length, 0, NULL);
    enum outcome outcome = ANSWERED;
    if (status != 200 || answer == NULL)
        outcome = read_error(client, member, answer);
    if (outcome == ANSWERED)
        *ret_answer = answer;
    else
        json_decref(answer);
    // "request timed out" and the like: etcd has the request and may still carry it out.
    *ret_uncertain = *ret_uncertain || outcome == NO_ANSWER;
    return outcome;
}

// ---- requests -----------------------------------------------------------------------------------

static bool log_in(struct etcd_client *client, struct connection *connection, size_t member,
                   int64_t limit_ns)
{
    struct buffer body CLEANUP(buffer_release) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    bool uncertain = false;
    json_write_open(&body, NULL, '{');
    json_write_text(&body, "name", client->address.user);
    json_write_text(&body, "password", client->address.password);
    json_write_close(&body, '}');
    if (body.failed)
        return false;
    pthread_mutex_lock(&client->mutex);
    client->token[0] = '\0';
    pthread_mutex_unlock(&client->mutex);
    if (try_member(client, connection, member, "/v3/auth/authenticate", body.data, limit_ns,
                   &answer, &uncertain) != ANSWERED) {
        warn_once(client, member, "it rejected the user or the password");
        return false;
    }
    const char *token = json_string_value(json_object_get(answer, "token"));
    pthread_mutex_lock(&client->mutex);
    bool known = token != NULL && text_copy(client->token, sizeof client->token, token);
    pthread_mutex_unlock(&client->mutex);
    return known;
}

static bool needs_login(struct etcd_client *client)
{
    if (client->address.user[0] == '\0')
        return false;
    pthread_mutex_lock(&client->mutex);
    bool unknown = client->token[0] == '\0';
    pthread_mutex_unlock(&client->mutex);
    return unknown;
}

static enum outcome request_member(struct etcd_client *client, struct connection *connection,
                                   size_t member, const char *path, const char *body,
                                   int64_t limit_ns, json_t **ret_answer, bool *ret_uncertain)
{
    if (needs_login(client) && !log_in(client, connection, member, limit_ns))
        return NOT_SENT;
    enum outcome outcome =
        try_member(client, connection, member, path, body, limit_ns, ret_answer, ret_uncertain);
    if (outcome == NOT_LOGGED_IN && log_in(client, connection, member, limit_ns))
        outcome =
            try_member(client, connection, member, path, body, limit_ns, ret_answer, ret_uncertain);
    return outcome;
}

enum rc etcd_request(struct etcd_client *client, const char *path, const char *body,
                     int64_t limit_ns, json_t **ret_answer, bool *ret_uncertain)
{
    bool uncertain = false;
    enum outcome outcome = NOT_SENT;
    struct connection *connection = borrow_connection(client, limit_ns);
    size_t first = client->current, n = connection != NULL ? client->address.n : 0, member = first;
    for (size_t i = 0; i < n && outcome != ANSWERED && outcome != NOT_FOUND; i++) {
        member = (first + i) % n;
        // Divides the time, so that a silent member leaves some for the members after it.
        int64_t now_ns = clock_now_ns(), part_ns = (limit_ns - now_ns) / (int64_t)(n - i);
        int64_t until_ns =
            now_ns + (part_ns > MEMBER_TIMEOUT_MIN_NS ? part_ns : MEMBER_TIMEOUT_MIN_NS);
        outcome = request_member(client, connection, member, path, body,
                                 until_ns < limit_ns ? until_ns : limit_ns, ret_answer, &uncertain);
        if (outcome == ANSWERED)
            client->current = member;
    }
    if (connection != NULL)
        return_connection(client, connection, outcome == ANSWERED, member);
    if (ret_uncertain != NULL)
        *ret_uncertain = uncertain;
    return outcome == ANSWERED    ? RC_OK
           : outcome == NOT_FOUND ? RC_NOT_FOUND
                                  : RC_BACKEND_UNAVAILABLE;
}
