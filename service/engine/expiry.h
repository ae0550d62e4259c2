// The engine's clock: a thread that looks, some times a second, for what has waited past its
// deadline. Jobs in the queues are answered, and what a worker waits for at the database is ended.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct engine;
struct expiry;

// Once the workers are there. Borrows the engine until it is stopped. RC_NO_MEMORY.
MUST_CHECK enum rc expiry_start(struct engine *engine, struct expiry **ret_expiry);

// Before the workers are stopped. Waits for the thread, then frees. NULL is fine.
void expiry_stop(struct expiry *expiry);
