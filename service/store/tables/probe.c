// The probe behind /readyz. A database that answers may still refuse all work: its disk is full, a
// table is gone, or the account has lost a right.
//
// Work meets such a fault first, and the store remembers it. So while there is none, a ping is
// enough. (It must not touch the tables: if another session locks one of them, work on the others
// goes on.) An instance that is not ready gets no work. So once there is a fault, the probe itself
// does what work does, to notice that the database is well again.
//
// What breaks it: a fault in a corner that the probe does not touch, such as one corrupt row, or a
// disk with room for the probe's change and no more. While work fails, the instance stays unready.
// Without work two probes make it ready again, until work meets the fault the next time. (On SQLite
// a corrupt file is never forgotten.)
#include "store/tables/probe.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/barrier.h"

// On MySQL a write that matches no row needs the table, the right to read it and the right to write
// it, and is refused by a server that is read-only. On SQLite a read is enough: there are no
// rights, and commit_a_change writes.
static enum rc reach_tables(struct db *db)
{
    static const char *const tables[] = {"counter",  "ledger",     "product",     "campaign",
                                         "coupon",   "lottery",    "prize",       "draw",
                                         "lock_row", "earned",     "reservation", "hold",
                                         "orders",   "order_item", "refund",      "redemption"};
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < ARRAY_LENGTH(tables); i++) {
        char sql[96];
        if (db_is_sqlite(db))
            text_format(sql, sizeof sql, "SELECT 1 FROM %s LIMIT 1", tables[i]);
        else
            text_format(sql, sizeof sql, "INSERT INTO %s SELECT * FROM %s WHERE 1 = 0", tables[i],
                        tables[i]);
        rc = db_query(db, sql, NULL, 0, NULL, NULL);
    }
    if (rc == RC_OK)
        rc = db_exec(db, "UPDATE counter SET version = version WHERE 1 = 0", NULL, 0, NULL);
    return rc;
}

static enum rc commit_a_change(struct db *db)
{
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    if (rc == RC_OK)
        rc = barrier_write(db);
    if (rc == RC_OK)
        rc = db_commit(db);
    db_rollback(db);
    return rc;
}

enum rc probe_run(struct db *db)
{
    enum rc rc = db_ping(db);
    if (rc != RC_OK || db_fault(db) == DB_FAULT_NONE)
        return rc;
    rc = reach_tables(db);
    if (rc == RC_OK)
        rc = commit_a_change(db);
    return db_end_probe(db, rc == RC_OK) ? RC_OK : RC_BACKEND_UNAVAILABLE;
}
