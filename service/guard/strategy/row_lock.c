// row-lock: the database's own lock on the row, from load to commit.
//
// Idea
//   Load says `SELECT ... FOR UPDATE`. The next transaction that wants the row waits at its own
//   load until this one has committed or rolled back. SQLite has one writer at a time, so its write
//   transaction is the same lock, only for everything.
//
// Guarantees
//   Across the cluster: from load to commit nobody else changes the row, so the decision may be any
//   computation over what was loaded. The lock cannot outlive its transaction nor be lost while the
//   transaction lives: commit decides both at once. Every way out (commit, rollback, a broken
//   connection, a killed process) frees it.
//
// Fails when
//   A transaction stops in the middle: everybody waits for it, each with a connection in hand,
//   until the database's lock timeout. Rows locked in different orders deadlock; names are sorted,
//   and what deadlocks all the same is rolled back and run again. A read without FOR UPDATE is not
//   protected.
//
// Cost
//   One round trip more than `conditional`, made while the row is locked; waiting happens inside
//   the database and costs a connection.
#include "guard/guard.h"

extern const struct strategy strategy_row_lock;

const struct strategy strategy_row_lock = {
    .name = "row-lock",
    .summary = "SELECT ... FOR UPDATE: the database's row lock from load to commit.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_LOCKED,
};
