// The memory of a database's faults, one for each store. The engines say what an error number
// means; this file counts it, logs the first failure, and remembers it until the database was seen
// to work (store/tables/probe.c).
//
// What breaks it: a fault that comes and goes between two probes is logged each time.
#include "store/db/fault.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "store/db/engine.h"

#include <errno.h>

const char *db_fault_word(enum db_fault fault)
{
    static const char *const words[DB_FAULT_COUNT] = {
        [DB_FAULT_NONE] = "none",
        [DB_FAULT_NOT_READY] = "not-ready",
        [DB_FAULT_FULL] = "full",
        [DB_FAULT_READ_ONLY] = "read-only",
        [DB_FAULT_MISCONFIGURED] = "misconfigured",
        [DB_FAULT_DENIED] = "denied",
        [DB_FAULT_MISSING] = "missing",
        [DB_FAULT_CORRUPT] = "corrupt",
    };
    return words[fault];
}

const struct db_meaning *db_meaning_of(const struct db_meaning *table, size_t n, int number)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].number == number)
            return &table[i];
    }
    return NULL;
}

enum db_fault db_errno_fault(int number)
{
    static const struct db_meaning meanings[] = {
        {ENOSPC, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {EDQUOT, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {EFBIG, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
        {EROFS, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY},
        {EACCES, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED},
        {EPERM, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED},
        {ENOENT, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING},
    };
    const struct db_meaning *meaning = db_meaning_of(meanings, ARRAY_LENGTH(meanings), number);
    return meaning != NULL ? meaning->fault : DB_FAULT_NONE;
}

void db_note_fault(struct db *db, enum db_fault fault)
{
    if (fault == DB_FAULT_NONE)
        return;
    atomic_fetch_add(&db->store->faults[fault], 1);
    int known = atomic_load(&db->store->fault);
    while ((int)fault > known) {
        if (!atomic_compare_exchange_weak(&db->store->fault, &known, (int)fault))
            continue;
        LOG_ERROR("the database cannot be used (%s): %s", db_fault_word(fault), db->error);
        return;
    }
}

enum db_fault store_fault(const struct store *store)
{
    return (enum db_fault)atomic_load(&store->fault);
}

enum db_fault db_fault(const struct db *db)
{
    return store_fault(db->store);
}

bool db_end_probe(struct db *db, bool well)
{
    struct store *store = db->store;
    enum db_fault fault = db_fault(db);
    uint64_t failed = 0;
    for (size_t i = 0; i < DB_FAULT_COUNT; i++)
        failed += atomic_load(&store->faults[i]);
    bool quiet = atomic_exchange(&store->failed_before_probe, failed) == failed;
    bool for_good = fault == DB_FAULT_CORRUPT && store->engine == DB_SQLITE;
    if (!well || !quiet || for_good)
        return fault == DB_FAULT_NONE;
    atomic_store(&store->fault, DB_FAULT_NONE);
    LOG_INFO("the database can be used again (was %s)", db_fault_word(fault));
    return true;
}
