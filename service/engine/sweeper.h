// The sweeper: a thread that finds holds that are due, and submits their expiry to the engine like
// any other operation. Correctness does not need it, because an operation that would be refused
// expires what is due first. It brings back the stock of products that no request asks for, and
// keeps lists true.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdint.h>

struct engine;
struct metrics;
struct sweeper;

// Sweeps every period_ms, and at once again while much is due. Engine and metrics are borrowed.
// RC_NO_MEMORY.
MUST_CHECK enum rc sweeper_new(struct engine *engine, struct metrics *metrics, int64_t period_ms,
                               struct sweeper **ret_sweeper);

// Waits for the operations under way, and ends the thread. Before engine_free. NULL is fine.
void sweeper_free(struct sweeper *sweeper);
