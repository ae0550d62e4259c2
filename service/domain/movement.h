// Movements: operations whose legs say themselves what they give and take. An order takes stock,
// points and the use of a code, and opens its own account; a refund gives them back. All legs are
// judged before one is posted.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

// The decision of all movements. A leg with a child is a hold of operation->reservation: its amount
// is sold, and what else is held goes back to the stock. RC_OK; the refusal of the first leg that
// refuses; RC_MOVED if a counter has not the version that its leg demands; RC_INVALID_FIELD if a
// counter would exceed REMAINING_MAX; RC_RESERVATION_EXPIRED, RC_RESERVATION_RESOLVED.
enum rc movement_decide(struct view *view, struct operation *operation);
