// The two halves of a reconciliation. Each runs inside the caller's snapshot and adds its findings
// to the report. Included by the files of this folder only.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;
struct report;

// Scans the ledger once, in the order of counter and version.
MUST_CHECK enum rc reconcile_ledger(struct db *db, struct report *report);

// Runs the checks that are queries: products, campaigns and lotteries against their counters,
// coupons and draws against the ledger, limits, duplicates.
MUST_CHECK enum rc reconcile_queries(struct db *db, struct report *report);
