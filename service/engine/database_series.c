#include "engine/database_series.h"

#include "base/text.h"
#include "engine/guards.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

static int64_t read_reconnects(void *arg)
{
    return (int64_t)store_reconnects(arg);
}

static int64_t read_faults(void *arg)
{
    const struct fault_series *series = arg;
    return (int64_t)store_faults(series->all->store, series->fault);
}

void database_series_register(struct database_series *series, struct store *store,
                              struct metrics *metrics)
{
    series->store = store;
    metrics_counter(metrics, "holdfast_reconnects_total", "backend=\"database\"",
                    GUARDS_RECONNECTS_HELP, read_reconnects, store);
    for (int i = DB_FAULT_NONE + 1; i < DB_FAULT_COUNT; i++) {
        struct fault_series *fault = &series->faults[i];
        *fault = (struct fault_series){.all = series, .fault = (enum db_fault)i};
        text_format(fault->label, sizeof fault->label, "reason=\"%s\"",
                    db_fault_word(fault->fault));
        metrics_counter(metrics, "holdfast_database_faults_total", fault->label,
                        "Calls that the database refused until it is mended, by reason as in"
                        " /readyz",
                        read_faults, fault);
    }
}
