// Giving up a lock, or a place in line, that Redis has not heard of: asked again in the background
// until it answers, so that nobody waits for a lease that its owner does not want any more.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>

struct redis_claim;
struct redis_masters;
struct redis_withdrawals;

// The masters are borrowed. Connects to nothing, starts no thread yet.
MUST_CHECK enum rc redis_withdrawals_new(struct redis_masters *masters,
                                         struct redis_withdrawals **ret_withdrawals);
// Asks for each that is left once more, for a moment. Nobody may be using it; NULL is fine.
void redis_withdrawals_free(struct redis_withdrawals *withdrawals);

// Takes ownership of the claim, which nobody holds or asks for any more. Those in claim->sent have
// not answered yet; there may be none. `unanswered` as with redis_claim_abandon. No I/O. Any
// thread.
void redis_withdraw(struct redis_withdrawals *withdrawals, struct redis_claim *claim,
                    bool unanswered);
