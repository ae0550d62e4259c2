// none: no guard, and a save that demands nothing.
//
// Idea
//   Read what remains, subtract, write the result back. Everyone writes this code first. It is here
//   to show the bug that the other strategies prevent, and can be chosen in lab mode only. The
//   save:
//
//     UPDATE counter SET remaining = :remaining, version = :version
//      WHERE name = :name
//
// Guarantees
//   Nothing, not even with one thread of one process. The lanes happen to order the requests that
//   one instance combines. Two lanes, two workers in direct mode or two instances are not ordered
//   at all.
//
// Fails when
//   Two requests read the same value before either has written. Both subtract from the same number,
//   and the second write overwrites the first: one unit more is sold than has left the stock. Only
//   the ledger's key (counter, version) notices that two writers made the same version, and the
//   lab's migrations drop that key too.
//
// Cost
//   None. That is why it looks so good in a load test that does not count what was sold.
#include "guard/guard.h"

extern const struct strategy strategy_none;

const struct strategy strategy_none = {
    .name = "none",
    .summary = "No lock and no check: loses updates. Only in lab mode.",
    .scope = SCOPE_NOTHING,
    .rule = RULE_NAIVE,
    .lab_only = true,
};
