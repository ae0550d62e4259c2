// What the parts of the reconciliation share. Included by reconcile*.c only.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "store/reconcile/reconcile.h"

#include <stdint.h>

struct db;

struct report {
    void (*on_finding)(void *arg, const struct finding *finding);
    void *arg;
    struct reconciliation summary;
};

// A finding; `where` is a format, `sentence` says what was expected of what.
void report_finding(struct report *report, const char *check, const char *sentence,
                    int64_t expected, int64_t found, const char *where, ...) PRINTF_LIKE(6, 7);

// Walks the ledger once, in the order of counter and version.
MUST_CHECK enum rc reconcile_ledger(struct db *db, struct report *report);

// Everything that a query can find: nouns against counters, counters against each other, limits,
// duplicates.
MUST_CHECK enum rc reconcile_queries(struct db *db, struct report *report);
