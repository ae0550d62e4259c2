// Retries, in the background, to give up locks and places in the queue that a Redis master has not
// acknowledged giving up.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>

struct redis_claim;
struct redis_masters;
struct redis_withdrawals;

// The masters are borrowed. Connects lazily and starts no thread yet.
MUST_CHECK enum rc redis_withdrawals_new(struct redis_masters *masters,
                                         struct redis_withdrawals **ret_withdrawals);
// Retries each pending claim once more, briefly. No thread may be using it; NULL is fine.
void redis_withdrawals_free(struct redis_withdrawals *withdrawals);

// Takes ownership of the claim; no holder and no waiter uses it any more. The masters in
// claim->unsettled have not answered yet; the set may be empty. `in_flight` as with
// redis_claim_abandon. No I/O. Any thread.
void redis_withdraw(struct redis_withdrawals *withdrawals, struct redis_claim *claim,
                    bool in_flight);
