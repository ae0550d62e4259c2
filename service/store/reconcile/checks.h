// The two halves of a reconciliation. Each runs inside the caller's snapshot and adds its findings
// to the report. Included by the files of this folder only.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>

struct db;
struct report;

// A check that is a query.
struct check {
    const char *name;
    const char *sentence;  // names the number that is checked
    const char *labels[3]; // in front of each name in `where`; NULL: no further name
    // See spell(). Changes that compensate the finding come in further columns, five each: counter,
    // version, remaining, delta, ledger_delta.
    const char *sql;
};

// The checks of orders, refunds and redemptions; queries.c has the others.
extern const struct check order_checks[];
extern const size_t n_order_checks;

// Scans the ledger once, in the order of counter and version.
MUST_CHECK enum rc reconcile_ledger(struct db *db, struct report *report);

// Runs the checks that are queries: products, campaigns and lotteries against their counters,
// coupons and draws against the ledger, limits, duplicates, orders and what they have given back.
MUST_CHECK enum rc reconcile_queries(struct db *db, struct report *report);
