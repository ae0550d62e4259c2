// The parts of a running service, built in order and taken down in reverse.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

struct app;
struct config;
struct store;

#define APP_ERROR_MAX 640

// Opens the store and looks at its schema: an embedded database is migrated, any other must be up
// to date. Starts no thread. The config is borrowed until app_free. A sentence in ret_error
// (APP_ERROR_MAX bytes) unless RC_OK: RC_USAGE, RC_SCHEMA, RC_BACKEND_UNAVAILABLE, ...
MUST_CHECK enum rc app_open(const struct config *config, struct app **ret_app, char *ret_error);

// Starts workers and server. Threads inherit the caller's signal mask. Errors as above.
MUST_CHECK enum rc app_start(struct app *app, char *ret_error);

// The port in use; after app_start.
uint16_t app_port(const struct app *app);

// Says /readyz 503 and goes on serving for drain.delay_ms. Then takes no new connections, finishes
// every request that was taken, and waits until its answer is sent, at most this long for the
// sending. False if some client has not taken its answer by then.
bool app_drain(struct app *app, int64_t timeout_ms);

void app_free(struct app *app); // NULL, and what was not started, is fine
