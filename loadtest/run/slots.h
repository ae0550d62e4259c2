// Where a pool's slots wait: for a request, or for a deadline. Used by the thread of the pool.
//
// Without --route resource all idle slots are in one list, and the longest idle one takes the next
// request. With it each target has a list, and a request takes a slot of its resource's target. If
// none is idle there, because the target does not answer or is overloaded, it takes one of the next
// target, as behind a proxy.
#pragma once

#include "run/pool.h"

// Appends the slot, unless it is in the list already.
void slots_push_idle(struct pool *pool, struct pool_slot *slot);
// Takes the slot for the request that has been idle longest and is up; NULL if there is none.
struct pool_slot *slots_pop_idle(struct pool *pool, const struct request *request);

// The plan's timeout from now on. The slot has no deadline yet.
void slots_set_deadline(struct pool *pool, struct pool_slot *slot);
void slots_clear_deadline(struct pool *pool, struct pool_slot *slot); // none: does nothing
