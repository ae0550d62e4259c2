// The HTTP server: libmicrohttpd with epoll threads that parse, submit and suspend; workers of the
// engine complete and resume. No thread of the server ever waits for a database or a lock.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/server/listen.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct metrics;
struct server;
struct store;

struct server_settings {
    const char *listen; // host:port; port 0 picks a free one
    size_t threads;
    const char *admin_token;  // "" if none
    const char *client_token; // "" if none
    bool lab;
    int64_t
        request_timeout_ms; // an operation's deadline; also the total for headers, and for a body
    size_t connection_limit;
};

#define SERVER_ERROR_MAX LISTEN_ERROR_MAX

// Binds and listens. Everything passed is borrowed until server_free. RC_USAGE with a sentence in
// ret_error: the address cannot be understood or bound, or is not loopback and no tokens are set.
MUST_CHECK enum rc server_new(const struct server_settings *settings, struct engine *engine,
                              struct store *store, struct metrics *metrics,
                              struct server **ret_server, char *ret_error);

// The port in use, for `listen` with port 0.
uint16_t server_port(const struct server *server);

// Says /readyz 503, and every answer from now on closes its connection; all else is served as
// before.
void server_announce(struct server *server);

// Announces, stops accepting connections and refuses requests; those under way go on.
void server_quiesce(struct server *server);

// Waits until no request is under way, at most this long. True if none is. Call after engine_drain.
bool server_wait_idle(struct server *server, int64_t timeout_ms);

void server_free(struct server *server); // NULL is fine
