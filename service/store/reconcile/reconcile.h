// Reconciliation: proves from one consistent snapshot that counters, ledger, coupons, draws and
// reservations agree, while the service runs.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "store/reconcile/compensation.h"

#include <stdint.h>

struct db;

#define FINDING_WHERE_MAX 255 // bytes: a check, a noun's id, a user's and a number fit

struct finding {
    const char *check;                 // "version-gap": a stable name
    char where[FINDING_WHERE_MAX + 1]; // "stock/SKU-1 version 58"
    char what[256];                    // one sentence with the numbers
    int64_t expected, found;           // off by found - expected
    struct compensation compensation;
};

struct reconciliation {
    int64_t counters, ledger_rows, coupons, draws; // rows checked
    int64_t findings;
    int64_t started_at_ms; // of the snapshot, by the database's clock
    int64_t took_ms;
};

// A hold that is due is a finding once it should have been swept for so long: sixty seconds, or ten
// times the period of the sweeper if that is longer.
int64_t reconcile_sweep_allowance_ms(int64_t sweep_ms);

// Calls on_finding for each finding. sweep_ms: the setting reservation.sweep_ms of the service,
// which says when an open hold is overdue. RC_OK if it ran to the end, clean or not. Runs in a
// read-only snapshot transaction of its own; memory does not grow with the ledger.
MUST_CHECK enum rc reconcile_run(struct db *db, int64_t sweep_ms,
                                 void (*on_finding)(void *arg, const struct finding *finding),
                                 void *arg, struct reconciliation *ret_summary);
