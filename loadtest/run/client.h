// One thread of clients: connections, an event loop, and the operations on their way.
#pragma once

#include "run/run.h"

struct client;

// Prepares thread `number` of the plan's threads with its share of the connections. False with a
// sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool client_new(struct run *run, int64_t number, struct client **ret_client,
                           char *ret_error);
void client_free(struct client *client); // after client_join; NULL is fine

// Starts its thread, which opens the connections, passes run->opened, and, if nothing failed, the
// other two barriers, and then works until the run is over. False: no thread could be had.
MUST_CHECK bool client_start(struct client *client);
void client_join(struct client *client);

// Adds what was measured to `total`, and what was since the last call to `recent`, each unless
// NULL. Any thread.
void client_sample(struct client *client, struct measure *total, struct measure *recent);
