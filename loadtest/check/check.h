// The history checker: compares what the clients saw with the ledger, and reports whether anything
// was lost, doubled, oversold or out of order. The server's versions give the order that a checker
// otherwise has to guess, so a few sorts and passes are enough. loadtest/checking.md says what is
// checked, and why that suffices.
#pragma once

#include "check/ledger.h"
#include "check/verdict.h"
#include "history/reader.h"

struct check_options {
    bool allow_foreign; // changes by other clients and administrators are no violation
};

// Always fills the verdict. verdict->done is false if memory ran out; then only why_not is
// meaningful. The ledger must have the rows of all counters of the history's head. The verdict
// borrows nothing from the arguments.
void check_history(const struct history *history, const struct ledger *ledger,
                   const struct check_options *options, struct verdict *ret_verdict);
