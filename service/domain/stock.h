// Stock: deducting and restocking.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

// The decisions of deduct and restock. RC_OK; RC_OUT_OF_STOCK; RC_INVALID_FIELD if a restock would
// exceed REMAINING_MAX.
enum rc stock_deduct(struct view *view, struct operation *operation);
enum rc stock_restock(struct view *view, struct operation *operation);
