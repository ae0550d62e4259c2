// One thread that renews the leases of all locks that this process holds: at a third of their
// length, with jitter, until the hold leaves, is lost, or has been inside for lock.max_hold_ms. A
// worker that is stuck therefore loses its lock in the end, and one that is merely slow does not.
//
// A lease that was lost is expires_ns = 0 in its hold, and METRIC_LOST; METRIC_RENEWED and
// METRIC_RENEWAL_ENDED tell of the others. Whose endpoint it is says the name of the first key.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct guard;
struct guard_hold;
struct guard_settings;
struct metrics;
struct renewal;
struct store;

// Starts the thread. All are borrowed until renewal_free. RC_NO_MEMORY.
MUST_CHECK enum rc renewal_new(const struct guard_settings *settings, struct store *store,
                               struct metrics *metrics, struct renewal **ret_renewal);
// Nobody may be inside a guard that uses it. NULL is fine.
void renewal_free(struct renewal *renewal);

// The hold has entered: begin to renew it. It stays where it is until renewal_remove. Costs a
// mutex; no I/O. Any thread.
void renewal_add(struct renewal *renewal, struct guard *guard, struct guard_hold *hold);

// The hold is about to leave: from the return on it is not touched any more. Waits for a renewal of
// this very hold that is under way (at most a sixth of the lease). Fine for one that was not added.
void renewal_remove(struct renewal *renewal, struct guard_hold *hold);
