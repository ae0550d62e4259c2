// conditional: no lock and no version; the rule of the shop stands in the update itself.
//
// Idea
//   `UPDATE ... SET remaining = remaining - :n WHERE remaining >= :n`. The database subtracts from
//   the value of this moment, so nobody can act on an old one, and the row that the update has
//   locked is read afterwards, in the same transaction, to learn the new value and version.
//
// Guarantees
//   Across the cluster: `remaining` never goes below zero, and no subtraction is lost.
//
// Fails when
//   The decision is more than a comparison that fits into the WHERE clause. What it reads beside
//   the row (limits per user, the wheel's prizes) is safe only while this transaction holds the
//   row's lock or a unique key decides: the demand itself protects one number and no more.
//
// Cost
//   The least of all: one statement takes the lock, checks and writes, and it fails only when the
//   stock is truly gone. The default for that reason.
#include "guard/guard.h"

extern const struct strategy strategy_conditional;

const struct strategy strategy_conditional = {
    .name = "conditional",
    .summary = "The update itself demands enough to be there: no lock, no retry.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_CONDITIONAL,
};
