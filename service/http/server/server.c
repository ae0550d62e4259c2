// Assembles the server: listening socket, one daemon of the HTTP library per thread, the exchange
// and the reaper.
//
// Shutdown has steps. It is announced first, because a load balancer that still sends requests to a
// stopped instance loses them. The library has two traps. Its quiesce function can end the process
// when it races with a worker thread, so the accept policy refuses new connections instead. It must
// not be stopped while a connection is suspended, so the engine is drained first.
//
// What breaks it: server_free before engine_drain.
#include "http/server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/api/router.h"
#include "http/lab/lab.h"
#include "http/server/connection.h"
#include "http/server/exchange.h"
#include "http/server/library.h"
#include "http/server/listen.h"
#include "http/server/loop.h"
#include "http/server/reaper.h"
#include "http/wire/raw_head.h"
#include "metrics/metrics.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Per connection, for header section, parsed fields and the answer's header. The library touches
// all of it, so this is the memory cost of a connection. The second part holds the answer's header
// (under 512 bytes), what the library adds, and the start of heads that are refused as too large.
#define CONNECTION_MEMORY (HEAD_MAX + (size_t)1536)

// Connections above the limit: for those that come while others are ended in their place, and for
// probes while each connection within the limit has a request in flight.
#define CONNECTIONS_EXTRA 256

struct server {
    struct server_settings settings;
    struct exchange exchange;
    struct loop *loops[MAILBOXES_MAX]; // as many as there are mailboxes
    struct listener listener;
    size_t connections; // that the library may open
};

static enum MHD_Result on_accept(void *cls, const struct sockaddr *address, socklen_t length)
{
    (void)address;
    (void)length;
    const struct server *server = cls;
    return atomic_load_explicit(&server->exchange.context.quiescing, memory_order_relaxed)
               ? MHD_NO
               : MHD_YES;
}

static struct MHD_Daemon *start(struct server *server, int listen_fd, size_t connections)
{
    struct exchange *exchange = &server->exchange;
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_ERROR_LOG,
        0, on_accept, server, exchange_on_request, exchange,            //
        MHD_OPTION_EXTERNAL_LOGGER, exchange_on_library_log, exchange,  //
        MHD_OPTION_LISTEN_SOCKET, listen_fd,                            //
        MHD_OPTION_STRICT_FOR_CLIENT, raw_head_strictness,              //
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,             //
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,          //
        MHD_OPTION_CONNECTION_TIMEOUT, EXCHANGE_IDLE_TIMEOUT_S,         //
        MHD_OPTION_NOTIFY_CONNECTION, exchange_on_connection, exchange, //
        MHD_OPTION_URI_LOG_CALLBACK, exchange_on_target, exchange,      //
        MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, exchange, MHD_OPTION_END);
}

// Starts a daemon, a thread and a mailbox for each of settings.threads. All daemons listen on the
// same sockets, on the first one through a descriptor of their own, which the library closes.
static enum rc start_loops(struct server *server)
{
    struct mailboxes *mailboxes = &server->exchange.mailboxes;
    const struct listener *listener = &server->listener;
    enum rc rc = mailboxes_open(mailboxes, server->settings.threads);
    for (size_t i = 0; rc == RC_OK && i < mailboxes->n; i++) {
        size_t most = server->connections / mailboxes->n;
        int fd = dup(listener->fds[0]);
        struct MHD_Daemon *daemon = fd >= 0 ? start(server, fd, most) : NULL;
        if (daemon == NULL && fd >= 0)
            close(fd);
        rc = daemon != NULL ? loop_new(daemon, &mailboxes->boxes[i], listener, (unsigned)most,
                                       exchange_on_spin, &server->exchange, &server->loops[i])
                            : RC_IO;
        if (daemon != NULL && rc != RC_OK)
            MHD_stop_daemon(daemon);
    }
    return rc;
}

static int64_t read_connections(void *arg)
{
    return (int64_t)reaper_count(arg);
}

static int64_t read_size(void *arg)
{
    return (int64_t)atomic_load((const atomic_size_t *)arg);
}

static int64_t read_limit(void *arg)
{
    return (int64_t)((const struct exchange *)arg)->connection_limit;
}

static void register_metrics(struct server *server, struct metrics *metrics)
{
    static const char *const reasons[ENDING_COUNT] = {
        [ENDING_NO_REQUEST] = "reason=\"no-request\"",
        [ENDING_SLOW_REQUEST] = "reason=\"slow-request\"",
        [ENDING_SLOW_READER] = "reason=\"slow-reader\"",
        [ENDING_HALF_CLOSED] = "reason=\"half-closed\"",
        [ENDING_LIMIT_NO_REQUEST] = "reason=\"limit-no-request\"",
        [ENDING_LIMIT_IDLE] = "reason=\"limit-idle\"",
        [ENDING_LIMIT_UNREAD] = "reason=\"limit-unread\"",
    };
    struct reaper *reaper = server->exchange.reaper;
    metrics_gauge(metrics, "holdfast_http_connections", "", "Open client connections.",
                  read_connections, reaper);
    metrics_gauge(metrics, "holdfast_http_connections_limit", "",
                  "Client connections that may be open before some give way to new ones.",
                  read_limit, &server->exchange);
    for (size_t i = 0; i < ENDING_COUNT; i++)
        metrics_counter(metrics, "holdfast_http_connections_ended_total", reasons[i],
                        "Connections that the service ended, by reason; limit-...: they gave way "
                        "to new ones at the limit.",
                        read_size, reaper_ended(reaper, (enum ending)i));
}

static enum rc fail(enum rc rc, struct server *server, char *ret_error, const char *why)
{
    text_format(ret_error, SERVER_ERROR_MAX, "%s", why);
    server_free(server);
    return rc;
}

static bool may_listen(const struct server_settings *settings, bool loopback)
{
    return loopback || (settings->admin_token[0] != '\0' && settings->client_token[0] != '\0');
}

// Returns how many connections the library may open, and as *ret_limit how many may stay open.
static size_t make_room(size_t wanted, size_t *ret_limit)
{
    size_t connections = listen_make_room(wanted + CONNECTIONS_EXTRA);
    *ret_limit = wanted;
    if (connections == wanted + CONNECTIONS_EXTRA)
        return connections;
    size_t most =
        connections > 2 * CONNECTIONS_EXTRA ? connections - CONNECTIONS_EXTRA : connections / 2;
    if (most < wanted) {
        LOG_WARNING("the limit of open files allows only %zu of %zu connections (http.connections)",
                    most, wanted);
        *ret_limit = most;
    }
    return connections;
}

enum rc server_new(const struct server_settings *settings, struct engine *engine,
                   struct store *store, struct metrics *metrics, struct server **ret_server,
                   char *ret_error)
{
    json_object_seed(0); // before any thread does it
    // Aligned, so that each mailbox has its own cache line.
    struct server *server = aligned_alloc(_Alignof(struct server), sizeof *server);
    if (server == NULL)
        return fail(RC_NO_MEMORY, NULL, ret_error, "out of memory");
    memset(server, 0, sizeof *server);
    server->settings = *settings;
    struct http_context *context = &server->exchange.context;
    failure_log_init(&server->exchange.failures);
    context->settings = &server->settings;
    context->reservations_per_user = settings->reservations_per_user;
    context->sweep_ms = settings->sweep_ms;
    context->engine = engine;
    context->store = store;
    context->metrics = metrics;
    if (settings->lab) {
        struct lab_options laboratory = *settings->laboratory;
        laboratory.find_route = router_find;
        if (lab_new(&laboratory, &context->laboratory) != RC_OK)
            return fail(RC_NO_MEMORY, server, ret_error, "cannot start the laboratory's thread");
    }

    server->connections = make_room(settings->connection_limit, &server->exchange.connection_limit);
    const struct reaper_settings reaper = {settings->request_timeout_ms,
                                           EXCHANGE_IDLE_TIMEOUT_S * 1000,
                                           server->exchange.connection_limit, server->connections};
    if (reaper_new(&reaper, &server->exchange.reaper) != RC_OK)
        return fail(RC_NO_MEMORY, server, ret_error, "cannot start the reaper thread");
    enum rc rc = listen_open(settings->listen, &server->listener, ret_error);
    if (rc != RC_OK) {
        server_free(server);
        return rc;
    }
    if (!may_listen(settings, server->listener.loopback))
        return fail(RC_USAGE, server, ret_error,
                    "listening on a non-loopback address requires auth.admin_token and "
                    "auth.client_token");
    register_metrics(server, metrics);
    *ret_server = server;
    return RC_OK;
}

enum rc server_start(struct server *server, struct health *health, char *ret_error)
{
    server->exchange.context.health = health;
    enum rc rc = library_init(exchange_on_refusal) ? start_loops(server) : RC_INTERNAL;
    if (rc == RC_OK)
        return RC_OK;
    text_copy(ret_error, SERVER_ERROR_MAX, "cannot start the HTTP library");
    return RC_INTERNAL;
}

uint16_t server_port(const struct server *server)
{
    return server->listener.port;
}

void server_announce(struct server *server)
{
    atomic_store(&server->exchange.context.draining, true);
}

void server_quiesce(struct server *server)
{
    server_announce(server);
    atomic_store(&server->exchange.context.quiescing, true);
    lab_quiesce(server->exchange.context.laboratory);
}

bool server_wait_idle(struct server *server, int64_t timeout_ms)
{
    int64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    while (reaper_busy(server->exchange.reaper) > 0) {
        if (clock_now_ns() >= deadline_ns)
            return false;
        clock_sleep_ns(2 * NS_PER_MS);
    }
    return true;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    lab_free(server->exchange.context.laboratory);
    for (size_t i = 0; i < server->exchange.mailboxes.n; i++)
        loop_free(server->loops[i]);
    listen_close(&server->listener);
    connection_free_spare_calls(&server->exchange);
    mailboxes_close(&server->exchange.mailboxes);
    reaper_free(server->exchange.reaper);
    failure_log_release(&server->exchange.failures);
    free(server);
}
