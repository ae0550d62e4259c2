// optimistic: no lock; the save demands that the row is still the one that was read.
//
// Idea
//   The row carries a version. Load reads it, save writes `... SET version = :read + 1 WHERE
//   version = :read`. If somebody was faster, no row matches, nothing is written, and the section
//   rolls back, reads again and decides again: a bounded number of times, then the request is
//   answered 503 `contention`.
//
// Guarantees
//   Across the cluster: of all writers that read one version exactly one writes. A decision may use
//   whatever was read together with the version, because a change of the row changes the version.
//
// Fails when
//   The decision reads a row that the save does not demand: that row may change unnoticed (write
//   skew). The version only guards its own row. On a hot row of many instances in direct mode most
//   attempts lose, and the retries may run out; combining makes one attempt serve a whole batch.
//
// Cost
//   Nothing but the WHERE clause while writers are rare; one whole load and decide for each lost
//   attempt when they are not. No server besides the database, nothing to time out, nothing to
//   free.
#include "guard/guard.h"

extern const struct strategy strategy_optimistic;

const struct strategy strategy_optimistic = {
    .name = "optimistic",
    .summary = "Version column: the save succeeds only on the version that was read; retried a "
               "bounded number of times.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_VERSION,
};
