// The rule of `buy`, a kind of operation that exists in this test only: leg 0 takes units of a
// product, leg 1 takes the points that they cost.
#pragma once

#include "domain/operation.h"
#include "domain/view.h"

// RC_OUT_OF_STOCK or RC_NOT_ENOUGH_POINTS.
enum rc buy(struct view *view, struct operation *operation);
