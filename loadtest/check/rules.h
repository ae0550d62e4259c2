// The rules of the checker: each function looks at the evidence and reports one or more invariants.
//
// To add a rule: a function here, its file, and a line in check.c.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>

struct check;

void answers_check(struct check *check);      // answers-complete
void versions_check(struct check *check);     // versions-without-gap
void presence_check(struct check *check);     // nothing-lost, nothing-from-nowhere, refusals-...
void conservation_check(struct check *check); // no-oversell, conservation
void whole_check(struct check *check);        // operations-whole
void draws_check(struct check *check);        // draws-whole
void moves_check(struct check *check);        // points-conserved, holds-conserved
void orders_check(struct check *check);       // refund-bounded
void holds_check(struct check *check);        // holds-resolve-once, expiry-exact
void readings_check(struct check *check);     // readings-true
void real_time_check(struct check *check);    // real-time-order
void tokens_check(struct check *check);       // fencing-tokens
void caps_check(struct check *check);         // caps

// one-key-one-effect, identical-replays, unique-codes. False: out of memory.
MUST_CHECK bool keys_check(struct check *check);
// redeem-caps. False: out of memory.
MUST_CHECK bool codes_check(struct check *check);
// no-phantom-sold-out. False: out of memory.
MUST_CHECK bool sold_out_check(struct check *check);
// order-across-counters. False: out of memory.
MUST_CHECK bool order_check(struct check *check);
