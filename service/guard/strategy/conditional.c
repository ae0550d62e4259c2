// conditional: no guard, and a save that demands enough stock in the row as it is now.
//
// Idea
//   The database subtracts from the current value, so no decision rests on an old one. The update
//   locks the row. It is read afterwards, in the same transaction, to learn the new value and
//   version. The save (:delta is negative for a sale, and then :demanded is its amount):
//
//     UPDATE counter SET remaining = remaining + :delta, version = version + :operations
//      WHERE name = :name AND remaining >= :demanded
//
// Guarantees
//   Across the cluster: `remaining` never goes below zero, and no subtraction is lost.
//
// Fails when
//   The decision is more than a comparison that fits into the WHERE clause. What it reads besides
//   the row (limits per user, a lottery's prizes) is safe only while this transaction holds the
//   row's lock, or where a unique key decides. The demand itself protects one number and no more.
//
// Cost
//   The least of all: one statement locks, checks and writes, and it fails only when the stock is
//   truly gone. That is why it is the default.
#include "guard/guard.h"

extern const struct strategy strategy_conditional;

const struct strategy strategy_conditional = {
    .name = "conditional",
    .summary = "The update itself checks that enough is left: no lock, no retry.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_CONDITIONAL,
};
