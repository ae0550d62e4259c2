// Compensations: proposals that bring counters back to what a reconciliation says they should be. A
// reconciliation writes them as JSON lines, a person reads them, and only then are they applied. A
// reconciliation never changes anything itself.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct db;
struct finding;

#define COMPENSATION_CHANGES_MAX 2

struct compensating_change {
    char counter[COUNTER_NAME_MAX + 1];
    int64_t version, remaining; // as the reconciliation read them; the change demands both
    int64_t delta;
    int64_t ledger_delta; // 0 if the ledger is right as it is, and the counter has left it
};

struct compensation {
    size_t n_changes; // sorted by counter; 0: a person has to find out what is right
    struct compensating_change changes[COMPENSATION_CHANGES_MAX];
};

// A line of the file: the compensation, its request key, and why it is proposed. Nothing if the
// finding has none.
void compensation_write(struct buffer *out, const struct finding *finding);

// A compensation as read from a file.
struct proposal {
    char key[REQUEST_KEY_MAX + 1];
    struct compensation compensation;
};

// RC_USAGE, with a sentence in ret_error, if the line is not what compensation_write writes.
#define COMPENSATION_ERROR_MAX 320
MUST_CHECK enum rc compensation_parse(const char *line, size_t length,
                                      struct proposal *ret_proposal,
                                      char ret_error[COMPENSATION_ERROR_MAX]);

enum compensation_result {
    COMPENSATION_APPLIED,
    COMPENSATION_REPEATED, // it was applied before
    COMPENSATION_MOVED,    // a counter is not as the reconciliation read it: nothing was changed
    COMPENSATION_KEY_USED, // the ledger has other changes under its request key: nothing was changed
};

// Carries it out in a transaction of its own, or finds out why not. The faults of the database.
MUST_CHECK enum rc compensation_apply(struct db *db, const struct proposal *proposal,
                                      enum compensation_result *ret_result);
