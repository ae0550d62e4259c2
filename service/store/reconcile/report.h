// The report that the checks of a reconciliation add their findings to. Included by the files of
// this folder only.
#pragma once

#include "base/cleanup.h"
#include "store/reconcile/reconcile.h"

#include <stdint.h>

struct report {
    void (*on_finding)(void *arg, const struct finding *finding);
    void *arg;
    int64_t sweep_allowance_ms; // how long an open hold may be overdue
    struct reconciliation summary;
    struct compensation compensation; // of the next finding, which takes it
};

// Passes a finding to on_finding and counts it. `sentence` names the number that was checked;
// `where` is a format.
void report_finding(struct report *report, const char *check, const char *sentence,
                    int64_t expected, int64_t found, const char *where, ...) PRINTF_LIKE(6, 7);
