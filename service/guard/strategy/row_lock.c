// row-lock: the database's own row lock from load to commit, and a save that relies on it.
//
// Idea
//   Load locks the row. The next transaction that wants the row waits in its own load until this
//   one has committed or rolled back. SQLite has one writer at a time, so there the write
//   transaction is the same lock, for the whole database. Load and save:
//
//     SELECT name, remaining, version, fence FROM counter WHERE name = :name FOR UPDATE
//     UPDATE counter SET remaining = :remaining, version = :version
//      WHERE name = :name
//
// Guarantees
//   Across the cluster: from load to commit no other transaction changes the row, so the decision
//   may be any computation over what was loaded. The lock neither outlives its transaction nor is
//   lost during it: commit decides both at once. Every end (commit, rollback, a broken connection,
//   a killed process) frees it.
//
// Fails when
//   A transaction stops in the middle. All waiters block, each with a connection in hand, until the
//   database's lock timeout. Rows locked in different orders deadlock. Names are sorted to prevent
//   that; a transaction that deadlocks anyway is rolled back and run again. A read without FOR
//   UPDATE is not protected.
//
// Cost
//   One round trip more than `conditional`, made while the row is locked. Waiting happens inside
//   the database and costs a connection.
#include "guard/guard.h"

extern const struct strategy strategy_row_lock;

const struct strategy strategy_row_lock = {
    .name = "row-lock",
    .summary = "SELECT ... FOR UPDATE: the database locks the row from load to commit.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_LOCKED,
};
