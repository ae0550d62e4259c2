// Applies and undoes the migrations of one track, one runner at a time.
//
// SQLite: each step is one write transaction, which also locks out other runners. The next step is
// chosen inside it.
//
// MySQL: every DDL statement commits by itself, so a step cannot be rolled back. One runner at a
// time holds a named lock of the server. A step is recorded with applied_at = NULL before it
// begins, so that the next runner sees a crash in the middle.
//
// What breaks it: a MySQL connection lost in the middle releases the lock while its last statement
// may still run on the server. The record says "half applied" until an operator has resolved it.
#include "store/migrate/track.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/migrate/history.h"
#include "store/migrate/text.h"

#define RETRY_NS (20 * NS_PER_MS)

// ---- one runner at a time -----------------------------------------------------------------------

// A lock's name is unique in the server, not in the database, so it includes the database's name.
#define LOCK_NAME "CONCAT('holdfast.', LEFT(SHA2(DATABASE(), 256), 40))"

static enum rc acquire_lock(struct track *track)
{
    db_allow_long_statements(track->db);
    if (db_is_sqlite(track->db))
        return RC_OK; // the write lock of each step
    for (;;) {
        int64_t got = 0, left_ms = clock_left_ms(track->deadline_ns);
        // A second at a time, well within the connection's own read timeout.
        struct db_value wait_s = db_int(left_ms > 0 ? 1 : 0);
        enum rc rc = db_query_int(track->db, "SELECT GET_LOCK(" LOCK_NAME ", ?)", &wait_s, 1, &got);
        if (rc != RC_OK)
            return track_fail_db(track, rc, "taking the migration lock");
        if (got == 1)
            return RC_OK;
        if (left_ms == 0)
            return track_fail(track, RC_LOCK_BUSY, "another migration is still running");
    }
}

static void release_lock(struct track *track)
{
    int64_t released;
    if (!db_is_sqlite(track->db) &&
        db_query_int(track->db, "SELECT RELEASE_LOCK(" LOCK_NAME ")", NULL, 0, &released) != RC_OK)
        return; // the connection is lost, and the lock with it
}

static enum rc begin_step(struct track *track)
{
    static const char create[] =
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "track VARCHAR(8) /*! CHARACTER SET binary */ NOT NULL, version INT NOT NULL,"
        "name VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,"
        "checksum VARCHAR(16) /*! CHARACTER SET binary */ NOT NULL,"
        "started_at BIGINT NOT NULL, applied_at BIGINT NULL, PRIMARY KEY (track, version)"
        ") /*! ENGINE=InnoDB */";
    enum rc rc = RC_OK;
    if (db_is_sqlite(track->db)) {
        while ((rc = db_begin(track->db, DB_BEGIN_WRITE)) == RC_CONFLICT) {
            if (clock_left_ms(track->deadline_ns) == 0)
                return track_fail(track, RC_LOCK_BUSY,
                                  "another process is writing to the database");
            clock_sleep_ns(RETRY_NS);
        }
    }
    if (rc == RC_OK)
        rc = db_exec(track->db, create, NULL, 0, NULL);
    return rc == RC_OK ? RC_OK : track_fail_db(track, rc, "preparing schema_migrations");
}

// ---- steps --------------------------------------------------------------------------------------

static enum rc record(struct track *track, const struct migration *migration, const char *sql)
{
    struct db_value params[] = {db_text(track->name), db_int(migration->version)};
    enum rc rc = db_exec(track->db, sql, params, ARRAY_LENGTH(params), NULL);
    return rc == RC_OK ? RC_OK : track_fail_db(track, rc, "recording the migration");
}

static enum rc record_begin(struct track *track, const struct migration *migration,
                            enum migration_part part)
{
    char checksum[MIGRATION_CHECKSUM_SIZE], sql[256];
    if (part == MIGRATION_DOWN)
        return record(
            track, migration,
            "UPDATE schema_migrations SET applied_at = NULL WHERE track = ? AND version = ?");
    migration_checksum(migration->text, checksum);
    text_format(sql, sizeof sql,
                "INSERT INTO schema_migrations (track, version, name, checksum, started_at)"
                " VALUES (?, ?, ?, ?, %s)",
                db_now_ms_sql(track->db));
    struct db_value params[] = {db_text(track->name), db_int(migration->version),
                                db_text(migration->name), db_text(checksum)};
    enum rc rc = db_exec(track->db, sql, params, ARRAY_LENGTH(params), NULL);
    return rc == RC_OK ? RC_OK : track_fail_db(track, rc, "recording the migration");
}

static enum rc record_end(struct track *track, const struct migration *migration,
                          enum migration_part part)
{
    char sql[256];
    if (part == MIGRATION_DOWN)
        return record(track, migration,
                      "DELETE FROM schema_migrations WHERE track = ? AND version = ?");
    text_format(sql, sizeof sql,
                "UPDATE schema_migrations SET applied_at = %s WHERE track = ? AND version = ?",
                db_now_ms_sql(track->db));
    return record(track, migration, sql);
}

static enum rc run_part(struct track *track, const struct migration *migration,
                        enum migration_part part)
{
    struct buffer script CLEANUP(buffer_release) = {0};
    migration_script(migration->text, part, db_is_sqlite(track->db), &script);
    if (script.failed)
        return track_fail(track, RC_INTERNAL, "out of memory");
    enum rc rc = record_begin(track, migration, part);
    if (rc != RC_OK)
        return rc;
    rc = script.data == NULL ? RC_OK : db_script(track->db, script.data);
    if (rc != RC_OK) {
        char doing[96];
        text_format(doing, sizeof doing, "migration %s, part %s,", migration->name,
                    part == MIGRATION_UP ? "up" : "down");
        return track_fail_db(track, rc, doing);
    }
    return record_end(track, migration, part);
}

// The next migration: up, the lowest pending one; down, the newest applied one. NULL if none.
static enum rc choose(struct track *track, enum migration_part part,
                      const struct migration **ret_next)
{
    struct history history;
    *ret_next = NULL;
    enum rc rc = history_load(track, &history);
    if (rc == RC_OK)
        rc = history_verify(track, &history);
    if (rc != RC_OK)
        return rc;
    int newest = history.n == 0 ? 0 : history.rows[history.n - 1].version;
    if (part == MIGRATION_DOWN) {
        *ret_next = track_find(track, newest);
        return RC_OK;
    }
    const struct migration *known = track->known;
    while (known->version != 0 && history_find(&history, known->version) != NULL)
        known++;
    if (known->version != 0 && known->version < newest)
        return track_fail(
            track, RC_SCHEMA,
            "migration %s is missing although a later one was applied; give it a number"
            " above %d",
            known->name, newest);
    *ret_next = known->version != 0 ? known : NULL;
    return RC_OK;
}

static enum rc step(struct track *track, enum migration_part part, bool *ret_stepped)
{
    const struct migration *next = NULL;
    enum rc rc = begin_step(track);
    if (rc == RC_OK)
        rc = choose(track, part, &next);
    if (rc == RC_OK && next != NULL)
        rc = run_part(track, next, part);
    if (rc == RC_OK && db_in_transaction(track->db)) {
        rc = db_commit(track->db);
        if (rc != RC_OK)
            rc = track_fail_db(track, rc, "COMMIT");
    }
    db_rollback(track->db);
    *ret_stepped = rc == RC_OK && next != NULL;
    return rc;
}

static enum rc steps(struct track *track, enum migration_part part, int limit, int *ret_done)
{
    int done = 0;
    enum rc rc = acquire_lock(track);
    if (rc == RC_OK) {
        bool stepped = true;
        while (rc == RC_OK && stepped && done < limit) {
            rc = step(track, part, &stepped);
            done += stepped;
        }
        release_lock(track);
    }
    if (ret_done != NULL)
        *ret_done = done;
    return rc;
}

enum rc track_up(struct track *track, int limit, int *ret_applied)
{
    return steps(track, MIGRATION_UP, limit, ret_applied);
}

enum rc track_down(struct track *track, int limit)
{
    return steps(track, MIGRATION_DOWN, limit, NULL);
}
