// The kinds of operations: one row of a table for each. What a kind reads and writes besides
// counters stands in engine/facts.
//
// The contract of `decide`:
//   - it is pure: the same view and operation give the same result;
//   - all or nothing: if it returns RC_OK it has posted each leg once, in their order; else it has
//     posted nothing, and view->refusing_leg tells which leg refuses first;
//   - a counter exists (version 0: it does not), unless its leg may create it;
//   - a refusal may be decided from numbers that are out of date. An accepted decision is saved
//     only if what it read has not changed.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

#include <stdbool.h>

struct kind {
    const char *name; // "deduct": the ledger's reason
    enum endpoint endpoint;
    // "Enough left" is the whole rule. Then a save that adds a delta need not read first, and a
    // decision stands although its counter has moved, if it comes out the same.
    bool blind;
    enum rc (*decide)(struct view *view, struct operation *operation);
    bool opens; // the reservation that the operation names: its id is not the client's
};

// Indexed by enum operation_kind.
extern const struct kind kinds[OPERATION_KIND_COUNT];

// Decides an operation, and fills in its outcome in every case, and the results of its legs.
// RC_NOT_FOUND if a counter does not exist and may not be created, or the kind's own refusals.
enum rc operation_decide(struct view *view, struct operation *operation);
