// The guards of one instance: one for each strategy that can be used here, and why not for the
// others.
#pragma once

#include "base/cleanup.h"
#include "guard/strategy/registry.h"

#include <stdbool.h>

struct metrics;
struct renewal;
struct store;

#define STRATEGIES_MAX 16

// Of holdfast_reconnects_total, to which others add their backends.
#define GUARDS_RECONNECTS_HELP "Connections that were lost and made again; backends as in /readyz"

struct guards {
    struct renewal *renewal;            // of all their leases
    struct guard *open[STRATEGIES_MAX]; // in the order of strategies[]; NULL: cannot be used
    char why_not[STRATEGIES_MAX][GUARD_ERROR_MAX];
    char labels[STRATEGIES_MAX][48]; // of their reconnects, for the metrics
};

// Opens what can be opened into a zeroed one, starts to renew leases, and lets the metrics ask for
// reconnects; nothing connects yet. All arguments are borrowed until guards_close. With `lab` also
// the strategies that are for the lab only. RC_NO_MEMORY.
MUST_CHECK enum rc guards_open(struct guards *guards, const struct guard_settings *settings,
                               struct store *store, struct metrics *metrics, bool lab);
void guards_close(struct guards *guards); // a zeroed one is fine

// NULL if the strategy cannot be used.
struct guard *guards_find(const struct guards *guards, const struct strategy *strategy);

// RC_OK, or RC_USAGE with the reason in ret_why (GUARD_ERROR_MAX bytes).
MUST_CHECK enum rc guards_can_use(const struct guards *guards, const struct strategy *strategy,
                                  char *ret_why);
