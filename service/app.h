// The parts of a running service, built in order and torn down in reverse.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

struct app;
struct config;
struct store;

#define APP_ERROR_MAX 768

// Checks everything that can be checked without the database: addresses, strategies, and the port,
// which it binds. Connects to nothing and creates no file. Starts the engine's threads, which
// inherit the caller's signal mask. The config is borrowed until app_free. Unless RC_OK, a sentence
// in ret_error (APP_ERROR_MAX bytes): RC_USAGE, ...
MUST_CHECK enum rc app_open(const struct config *config, struct app **ret_app, char *ret_error);

// Opens the database and checks its schema: an embedded database is created, claimed for this
// process (RC_LOCK_BUSY) and migrated, any other must be up to date. May wait for the database.
// RC_SCHEMA, RC_BACKEND_UNAVAILABLE, ..., with a sentence as above.
MUST_CHECK enum rc app_prepare(struct app *app, char *ret_error);

// Starts the sweeper and the server, after app_prepare. The threads inherit the caller's signal
// mask. Errors as above.
MUST_CHECK enum rc app_start(struct app *app, char *ret_error);

// The port in use; after app_start.
uint16_t app_port(const struct app *app);

// Answers 503 on /readyz and goes on serving for drain.delay_ms. Then accepts no new connections
// and finishes every accepted request. Waits up to timeout_ms for the clients to read their
// answers; false if some have not.
bool app_drain(struct app *app, int64_t timeout_ms);

void app_free(struct app *app); // NULL is fine, and so is a service that did not start
