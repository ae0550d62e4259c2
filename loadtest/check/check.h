// The history checker: proves from what the clients saw and from the ledger that nothing was lost,
// doubled, oversold or out of order. Linear, because the server's versions give the order that a
// checker would else have to guess (see loadtest/README.md for what is checked and why it
// suffices).
#pragma once

#include "check/ledger.h"
#include "check/verdict.h"
#include "history/reader.h"

struct check_options {
    bool allow_foreign; // rows whose keys are not of this run are no violation
};

// Always fills the verdict; verdict->done says whether it means anything (out of memory: it does
// not). The ledger must have the rows of all counters of the history's head. The verdict borrows
// nothing from its arguments.
void check_history(const struct history *history, const struct ledger *ledger,
                   const struct check_options *options, struct verdict *ret_verdict);
