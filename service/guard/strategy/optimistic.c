// optimistic: no guard, and a save that demands that the row is unchanged.
//
// Idea
//   The row carries a version. Load reads it, and the save demands it. If another writer was
//   faster, no row matches and nothing is written. The section then rolls back, reads and decides
//   again, a bounded number of times; after that the request is answered 503 `contention`. The
//   save:
//
//     UPDATE counter SET remaining = remaining + :delta, version = version + :operations
//      WHERE name = :name AND version = :read
//
// Guarantees
//   Across the cluster: of all writers that read one version, exactly one writes. A decision may
//   use everything that was read together with the version, because every change of the row changes
//   the version.
//
// Fails when
//   The decision reads a row that the save does not demand. That row may change unnoticed (write
//   skew): the version guards only its own row. With many instances in direct mode on one hot row
//   most attempts lose, and the retries may run out. Combining makes one attempt serve a whole
//   batch.
//
// Cost
//   While writers are rare: the WHERE clause. When they are not: one whole load and decide for each
//   lost attempt. No server besides the database, nothing that expires, nothing to free.
#include "guard/guard.h"

extern const struct strategy strategy_optimistic;

const struct strategy strategy_optimistic = {
    .name = "optimistic",
    .summary = "Version column: the save succeeds only if the row is unchanged since it was "
               "read. Retried a bounded number of times.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_VERSION,
};
