// One thread that renews the leases of all locks that this process holds. It renews at a third of
// the lease's length, with jitter, until the hold leaves, is lost, or reaches lock.max_hold_ms.
// A stuck worker therefore loses its lock in the end, and a worker that is merely slow does not.
//
// A lost lease is expires_ns = 0 in its hold. Each renewal and each loss is reported to a listener,
// so that guard/ needs to know neither metrics nor the engine.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct guard;
struct guard_hold;
struct guard_settings;
struct renewal;
struct store;

enum renewal_event {
    RENEWAL_EXTENDED, // the lease was extended
    RENEWAL_FAILED,   // the server did not answer; the renewal is retried while the lease runs
    RENEWAL_ENDED,    // lock.max_hold_ms reached: the lease is left to expire
    RENEWAL_LOST,     // the lock is lost; hold->expires_ns is 0 already
};

// Called on the renewal's thread, with its mutex held: it must be short, and must not enter, leave
// or renew. The hold is valid during the call.
typedef void (*renewal_event_fn)(struct guard *guard, struct guard_hold *hold,
                                 enum renewal_event event);

// Starts the thread. All are borrowed until renewal_free. `on_event` may be NULL: nothing is
// reported. RC_NO_MEMORY.
MUST_CHECK enum rc renewal_new(const struct guard_settings *settings, struct store *store,
                               renewal_event_fn on_event, struct renewal **ret_renewal);
// No hold may be inside a guard that uses it. NULL is fine.
void renewal_free(struct renewal *renewal);

// The hold has entered: begin to renew it. It must not move until renewal_remove. Costs a mutex;
// no I/O. Any thread.
void renewal_add(struct renewal *renewal, struct guard *guard, struct guard_hold *hold);

// The hold is about to leave: after the return the renewal does not touch it. Waits for a renewal
// of this very hold that is in flight (at most a sixth of the lease). Does nothing for a hold that
// was not added.
void renewal_remove(struct renewal *renewal, struct guard_hold *hold);
