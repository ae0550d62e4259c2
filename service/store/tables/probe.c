// The probe behind /readyz. A database that answers may still refuse all work: its disk is full, a
// table is gone, or the account has lost a right.
//
// A probe runs every few seconds on every instance, so it must cost little. While all is well it
// touches the tables and writes nothing. Faults that only a real write meets, such as a full disk,
// are met by the work first, and the store remembers them (db_fault). An instance that is not ready
// gets no work, so then the probe itself must write, to notice that the database is well again.
//
// What breaks it: a fault in a corner that it does not touch, such as one corrupt row. The work that
// meets the row makes the instance unready; the next probe makes it ready again (on MySQL; SQLite
// does not forget that a file is corrupt).
#include "store/tables/probe.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/barrier.h"

// On MySQL a write that matches no row needs the table, the right to read it and the right to write
// it, and is refused by a server that is read-only. On SQLite it would wait for the writer.
static enum rc reach_tables(struct db *db)
{
    static const char *const tables[] = {"counter", "ledger", "product", "campaign", "coupon",
                                         "lottery", "prize",  "draw",    "lock_row"};
    enum rc rc = db_ping(db);
    for (size_t i = 0; rc == RC_OK && i < ARRAY_LENGTH(tables); i++) {
        char sql[96];
        if (db_is_sqlite(db))
            text_format(sql, sizeof sql, "SELECT 1 FROM %s LIMIT 1", tables[i]);
        else
            text_format(sql, sizeof sql, "INSERT INTO %s SELECT * FROM %s WHERE 1 = 0", tables[i],
                        tables[i]);
        rc = db_query(db, sql, NULL, 0, NULL, NULL);
    }
    if (rc == RC_OK && !db_is_sqlite(db))
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
    enum rc rc = reach_tables(db);
    if (rc == RC_OK && db_fault(db) != DB_FAULT_NONE) {
        rc = commit_a_change(db);
        if (rc == RC_OK)
            db_mended(db);
    }
    return rc == RC_OK ? RC_OK : RC_BACKEND_UNAVAILABLE;
}
