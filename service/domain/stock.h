// Stock: deducting and restocking.
#pragma once

#include "base/rc.h"
#include "domain/counter.h"
#include "domain/effect.h"
#include "domain/operation.h"

// Deducts or restocks. RC_OK, RC_OUT_OF_STOCK, RC_INVALID_FIELD if a restock would exceed
// REMAINING_MAX, or RC_NOT_FOUND if the counter was not loaded (version 0). Changes the counter
// only on RC_OK. Fills in the operation's outcome in every case.
enum rc stock_decide(struct counter *stock, struct operation *operation, struct effect *ret_effect);
