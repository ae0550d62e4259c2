// The database's series in /metrics: reconnects, and faults by reason.
#pragma once

#include "store/db/fault.h"

struct metrics;
struct store;

struct database_series {
    const struct store *store;
    struct fault_series {
        const struct database_series *all;
        enum db_fault fault;
        char label[32];
    } faults[DB_FAULT_COUNT];
};

// The series read the store when /metrics is asked. The caller keeps the memory and the store as
// long as the metrics.
void database_series_register(struct database_series *series, struct store *store,
                              struct metrics *metrics);
