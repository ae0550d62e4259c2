// The history checker: proves from what the clients saw and from the ledger that nothing was lost,
// doubled, oversold or out of order. It needs linear time, because the server's versions give the
// order that a checker otherwise has to guess. loadtest/checking.md says what is checked, and why
// that is enough.
#pragma once

#include "check/ledger.h"
#include "check/verdict.h"
#include "history/reader.h"

struct check_options {
    bool allow_foreign; // changes by other clients and administrators are no violation
};

// Always fills the verdict. verdict->done is false if memory ran out; then only why_not has a
// meaning. The ledger must have the rows of all counters of the history's head. The verdict borrows
// nothing from its arguments.
void check_history(const struct history *history, const struct ledger *ledger,
                   const struct check_options *options, struct verdict *ret_verdict);
