// A client thread: its share of the connections, an event loop, and the requests in flight.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct client;
struct measure;
struct run;

// Prepares thread `number` of the plan's threads with its share of the connections. False with a
// sentence in ret_error (HISTORY_ERROR_MAX bytes). Borrows the run.
MUST_CHECK bool client_new(struct run *run, int64_t number, struct client **ret_client,
                           char *ret_error);
void client_free(struct client *client); // after client_join; NULL is fine

// Starts the thread. It opens the connections and passes run->opened. If nothing failed, it passes
// the other two barriers, and then works until the run is over. False: the thread cannot be
// created.
MUST_CHECK bool client_start(struct client *client);
void client_join(struct client *client);

// Adds what was measured to `total`, and what was measured since the last call to `recent`, each
// unless NULL. Any thread.
void client_sample(struct client *client, struct measure *total, struct measure *recent);
