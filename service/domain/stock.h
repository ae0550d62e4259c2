// Stock: what may leave and what may come in.
#pragma once

#include "base/rc.h"
#include "domain/counter.h"
#include "domain/effect.h"
#include "domain/operation.h"

// Deducts or restocks. RC_OK, RC_OUT_OF_STOCK, RC_INVALID_FIELD where a restock would pass
// REMAINING_MAX, or RC_NOT_FOUND where the counter was not loaded (version 0). Only on RC_OK it
// moves the counter. Fills the operation's outcome in both cases.
enum rc stock_decide(struct counter *stock, struct operation *operation, struct effect *ret_effect);
