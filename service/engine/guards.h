// The guards of one instance: one for each strategy that can be used here, and the reason for each
// strategy that cannot.
#pragma once

#include "base/cleanup.h"
#include "domain/operation.h"
#include "guard/strategy/registry.h"

#include <stdbool.h>

struct metrics;
struct renewal;
struct store;

#define STRATEGIES_MAX 16

// Help of holdfast_reconnects_total, which the database and the lock servers share.
#define GUARDS_RECONNECTS_HELP "Reconnects after a lost connection; backends as in /readyz"

struct guards {
    struct renewal *renewal;            // extends the leases of lock-table and redis-lock
    struct guard *open[STRATEGIES_MAX]; // in the order of strategies[]; NULL: cannot be used
    char why_not[STRATEGIES_MAX][GUARD_ERROR_MAX];
    char labels[STRATEGIES_MAX][48]; // of the reconnects metric
};

// Opens every usable guard into a zeroed struct, starts the renewal of leases, and registers the
// reconnects metric. Connects to nothing yet. All arguments are borrowed until guards_close. `lab`
// allows the strategies that are for the lab only. RC_NO_MEMORY. Enter these guards only with the
// hold of a struct traced_hold (traced.h), because renewal events are mapped back to it.
MUST_CHECK enum rc guards_open(struct guards *guards, const struct guard_settings *settings,
                               struct store *store, struct metrics *metrics, bool lab);
void guards_close(struct guards *guards); // a zeroed struct is fine

// NULL if the strategy cannot be used.
struct guard *guards_find(const struct guards *guards, const struct strategy *strategy);

// Whether n endpoints may have these strategies at the same time. Not if two of them change the
// same counters under different strategies, one of which protects a single process only: its save
// demands nothing of the row, and the other's writers do not wait for its guard. Cluster-wide
// strategies may be mixed, because their demands are met by the same row. RC_OK, or RC_USAGE with
// the settings, the reason and the remedy in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc guards_can_mix(const struct endpoint_traits *endpoints,
                                  const struct strategy *const *chosen, size_t n, char *ret_why);

// RC_OK, or RC_USAGE with the reason in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc guards_can_use(const struct guards *guards, const struct strategy *strategy,
                                  char *ret_why);
