// The HTTP server: libmicrohttpd driven by our own event-loop threads. They parse requests, submit
// jobs to the engine and suspend the connection; the engine's workers finish the jobs. No HTTP
// thread ever waits for a database or a lock.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/server/listen.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct health;
struct lab_options;
struct metrics;
struct server;
struct store;

struct server_settings {
    const char *listen; // host:port; port 0 picks a free port
    size_t threads;
    const char *admin_token;  // "" if none
    const char *client_token; // "" if none
    bool lab;
    const struct lab_options
        *laboratory; // what its runs use; server_new copies it, if `lab` is set
    // An operation's deadline; also the total time for the first request line, a header section,
    // and a body.
    int64_t request_timeout_ms;
    // Beyond it, connections give way to new ones. A lower limit of open files lowers it.
    size_t connection_limit;
    int64_t reservations_per_user; // open at once; 0: no limit
    int64_t sweep_ms;              // how often due holds are swept
};

#define SERVER_ERROR_MAX LISTEN_ERROR_MAX

// Binds and listens; server_start accepts. All arguments are borrowed until server_free. ret_error
// has SERVER_ERROR_MAX bytes. RC_USAGE with a sentence in ret_error: the address is invalid, or is
// not a loopback address while no tokens are set. RC_IO with a sentence: it cannot be bound now.
MUST_CHECK enum rc server_new(const struct server_settings *settings, struct engine *engine,
                              struct store *store, struct metrics *metrics,
                              struct server **ret_server, char *ret_error);

// Starts the threads that accept and serve. Call once. health: borrowed until server_free.
// RC_INTERNAL with a sentence in ret_error.
MUST_CHECK enum rc server_start(struct server *server, struct health *health, char *ret_error);

// The port in use, which differs from the setting if that is 0.
uint16_t server_port(const struct server *server);

// First step of shutdown: /readyz answers 503 from now on, and every answer closes its connection.
// All requests are still served.
void server_announce(struct server *server);

// Second step: announces, refuses new connections, and refuses new jobs with RC_OVERLOADED.
// Requests in flight go on.
void server_quiesce(struct server *server);

// Waits at most timeout_ms until no request is in flight. True if none is. Call after engine_drain.
bool server_wait_idle(struct server *server, int64_t timeout_ms);

void server_free(struct server *server); // NULL is fine
