// none: load, decide and save with nothing around them and no demand on the row.
//
// Idea
//   There is none. This is the code that everybody writes first: read what remains, subtract, write
//   the result back. It is here so that the bug of all the other files can be seen, and it can be
//   chosen in lab mode only.
//
// Guarantees
//   Nothing, not even with one thread of one process: the lanes happen to order what one instance
//   combines, but two lanes, two workers in direct mode or two instances are not ordered at all.
//
// Fails when
//   Two requests read the same value before either has written: both subtract from the same number,
//   the second write covers up the first, and one more unit is sold than is gone from stock. Only
//   the ledger's key (counter, version) notices that two writers made the same version; the lab's
//   migrations take that belt off too.
//
// Cost
//   None. That is why it looks so good in a load test that does not count what was sold.
#include "guard/guard.h"

extern const struct strategy strategy_none;

const struct strategy strategy_none = {
    .name = "none",
    .summary = "No protection at all: shows the lost update. Lab mode only.",
    .scope = SCOPE_NOTHING,
    .rule = RULE_NAIVE,
    .lab_only = true,
};
