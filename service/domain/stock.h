// Stock: deducting and restocking.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

// Is there enough of every leg? RC_OK or RC_OUT_OF_STOCK, which goes first through the expiry of
// holds that are due.
enum rc stock_judge(struct view *view, struct operation *operation);

// The decisions of deduct and restock. RC_OK; RC_OUT_OF_STOCK; RC_INVALID_FIELD if a restock would
// exceed REMAINING_MAX.
enum rc stock_deduct(struct view *view, struct operation *operation);
enum rc stock_restock(struct view *view, struct operation *operation);
