// Putting a ledger together row by row, wherever the rows come from.
#pragma once

#include "check/ledger.h"

#define LEDGER_UNREAD INT64_MIN

struct ledger_rows {
    struct ledger *ledger;
    size_t capacity;
};

// An empty ledger whose final values are unread. False: out of memory; the ledger is then empty.
MUST_CHECK bool ledger_rows_init(struct ledger_rows *rows, struct ledger *ledger,
                                 size_t n_counters);

// Keeps a copy of the row and its texts. False: out of memory.
MUST_CHECK bool ledger_rows_add(struct ledger_rows *rows, const struct ledger_row *row);
