// Loyalty points: accounts that never go below zero. An account is a counter points/USER, which
// begins with its first points.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

// The decisions of earn, spend and transfer. A transfer's first leg is the account that gives, its
// second the one that takes. RC_OK; RC_NOT_ENOUGH_POINTS; RC_INVALID_FIELD if an account would
// exceed REMAINING_MAX.
enum rc points_earn(struct view *view, struct operation *operation);

// As earn, but an account earns points for an order once: the view's `limit` and `used` count that.
// RC_ALREADY_EARNED.
enum rc points_earn_for_order(struct view *view, struct operation *operation);

enum rc points_spend(struct view *view, struct operation *operation);
enum rc points_transfer(struct view *view, struct operation *operation);
