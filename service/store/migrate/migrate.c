// Runs the compiled-in migrations, in two tracks: the core schema, and the lab's, which drops the
// constraints (unique keys, checks). A core migration relies on the constraints, so the core track
// moves in neither direction while they are off.
//
// What breaks it: data written meanwhile that violates a constraint. Restoring the constraints
// looks for it first, because MySQL would stop half way.
#include "store/migrate/migrate.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/migrate/track.h"

#include <inttypes.h>
#include <limits.h>

#define LAB_WAIT_MS 10000

static struct track make_track(struct db *db, bool lab, int64_t wait_ms, char *ret_error)
{
    return (struct track){.db = db,
                          .name = lab ? "lab" : "core",
                          .known = lab ? lab_migrations : migrations,
                          .deadline_ns = clock_now_ns() + wait_ms * NS_PER_MS,
                          .error = ret_error};
}

static void note_if_applied(void *arg, const struct migration_status *status)
{
    if (status->state != MIGRATION_PENDING)
        *(bool *)arg = true;
}

enum rc migrate_constraints_are_off(struct db *db, bool *ret_off, char *ret_error)
{
    struct track lab = make_track(db, true, 0, ret_error);
    bool off = false;
    enum rc rc = track_status(&lab, note_if_applied, &off);
    if (rc == RC_OK)
        *ret_off = off;
    return rc;
}

static enum rc refuse_without_constraints(struct db *db, char *ret_error)
{
    bool off = false;
    enum rc rc = migrate_constraints_are_off(db, &off, ret_error);
    if (rc != RC_OK || !off)
        return rc;
    text_copy(ret_error, MIGRATE_ERROR_MAX,
              "the constraints are off (laboratory mode): restore them first with"
              " `holdfast migrate belts-on`");
    return RC_SCHEMA;
}

enum rc migrate_up(struct db *db, int64_t wait_ms, int *ret_applied, char *ret_error)
{
    struct track core = make_track(db, false, wait_ms, ret_error);
    if (ret_applied != NULL)
        *ret_applied = 0;
    enum rc rc = refuse_without_constraints(db, ret_error);
    if (rc == RC_SCHEMA && migrate_check(db, (char[MIGRATE_ERROR_MAX]){0}) == RC_OK)
        return RC_OK; // nothing is pending, so nothing to refuse
    return rc == RC_OK ? track_up(&core, INT_MAX, ret_applied) : rc;
}

enum rc migrate_down(struct db *db, int steps, int64_t wait_ms, char *ret_error)
{
    struct track core = make_track(db, false, wait_ms, ret_error);
    enum rc rc = refuse_without_constraints(db, ret_error);
    return rc == RC_OK ? track_down(&core, steps) : rc;
}

enum rc migrate_status(struct db *db,
                       void (*on_status)(void *arg, const struct migration_status *status),
                       void *arg, char *ret_error)
{
    struct track core = make_track(db, false, 0, ret_error);
    return track_status(&core, on_status, arg);
}

// Error 1665 at every INSERT: InnoDB cannot log statements at READ COMMITTED. A server that does
// not tell the setting passes; its work will meet the error.
static enum rc check_settings(struct db *db, char *ret_error)
{
    int64_t by_statement = 0;
    if (db_is_sqlite(db) ||
        db_query_int(db, "SELECT @@log_bin AND @@binlog_format = 'STATEMENT'", NULL, 0,
                     &by_statement) != RC_OK ||
        by_statement == 0)
        return RC_OK;
    text_format(ret_error, MIGRATE_ERROR_MAX,
                "the database server has binlog_format=STATEMENT, with which it refuses every"
                " change (error 1665): set binlog_format=ROW, or MIXED");
    return RC_SCHEMA;
}

enum rc migrate_check(struct db *db, char *ret_error)
{
    struct track core = make_track(db, false, 0, ret_error);
    int pending, applied;
    enum rc rc = track_check(&core, &pending, &applied);
    if (rc == RC_OK && pending == 0)
        return check_settings(db, ret_error);
    if (rc != RC_OK)
        return rc;
    text_format(ret_error, MIGRATE_ERROR_MAX,
                "the schema is out of date, %d of %d migrations are pending: run `holdfast migrate"
                " up`",
                pending, pending + applied);
    return RC_SCHEMA;
}

// ---- the lab ------------------------------------------------------------------------------------

// Data that the constraints would refuse.
static const struct {
    const char *sql, *what;
} violations[] = {
    {"SELECT COUNT(*) FROM counter WHERE remaining < 0", "counters below zero"},
    {"SELECT COUNT(*) FROM (SELECT counter FROM ledger GROUP BY counter, version"
     " HAVING COUNT(*) > 1) d",
     "versions that are in the ledger more than once"},
    {"SELECT COUNT(*) FROM (SELECT request_key FROM ledger WHERE request_key IS NOT NULL"
     " GROUP BY request_key, leg HAVING COUNT(*) > 1) d",
     "requests that were executed more than once"},
    {"SELECT COUNT(*) FROM (SELECT campaign FROM coupon GROUP BY campaign, user_id, slot"
     " HAVING COUNT(*) > 1) d",
     "coupons for the same slot of a user"},
    {"SELECT COUNT(*) FROM (SELECT code FROM coupon GROUP BY code HAVING COUNT(*) > 1) d",
     "coupon codes that were issued more than once"},
    {"SELECT COUNT(*) FROM (SELECT lottery FROM draw GROUP BY lottery, user_id, slot"
     " HAVING COUNT(*) > 1) d",
     "draws for the same slot of a user"},
    {"SELECT COUNT(*) FROM (SELECT order_id FROM refund GROUP BY order_id, version"
     " HAVING COUNT(*) > 1) d",
     "refunds of an order at the same version"},
};

static enum rc refuse_violations(struct db *db, char *ret_error)
{
    for (size_t i = 0; i < ARRAY_LENGTH(violations); i++) {
        int64_t count = 0;
        enum rc rc = db_query_int(db, violations[i].sql, NULL, 0, &count);
        if (rc != RC_OK) {
            text_format(ret_error, MIGRATE_ERROR_MAX, "looking for %s failed: %.160s",
                        violations[i].what, db_error(db));
            return rc == RC_BACKEND_UNAVAILABLE ? rc : RC_INTERNAL;
        }
        if (count > 0) {
            text_format(ret_error, MIGRATE_ERROR_MAX,
                        "the constraints cannot be restored: there are %s (%" PRId64
                        "); see `holdfast"
                        " reconcile`, and start over with an empty database",
                        violations[i].what, count);
            return RC_SCHEMA;
        }
    }
    return RC_OK;
}

// Reads the ledger first: another instance may drop the constraints, and serve, in between.
enum rc migrate_allow_lab(struct db *db, char *ret_error)
{
    int64_t rows = 0;
    bool off = false;
    enum rc rc =
        db_query_int(db, "SELECT COUNT(*) FROM (SELECT 1 FROM ledger LIMIT 1) d", NULL, 0, &rows);
    if (rc != RC_OK) {
        text_format(ret_error, MIGRATE_ERROR_MAX, "looking for data failed: %.160s", db_error(db));
        return rc == RC_BACKEND_UNAVAILABLE ? rc : RC_INTERNAL;
    }
    rc = migrate_constraints_are_off(db, &off, ret_error);
    if (rc != RC_OK || off || rows == 0)
        return rc;
    text_copy(
        ret_error, MIGRATE_ERROR_MAX,
        "lab.belts=off would drop the unique keys and checks of a database that has data:"
        " serve from an empty database, or drop them first with `holdfast migrate belts-off`");
    return RC_SCHEMA;
}

enum rc migrate_lab(struct db *db, bool constraints_off, char *ret_error)
{
    struct track lab = make_track(db, true, LAB_WAIT_MS, ret_error);
    bool off = false;
    enum rc rc = migrate_check(db, ret_error);
    if (rc == RC_OK)
        rc = migrate_constraints_are_off(db, &off, ret_error);
    if (rc != RC_OK)
        return rc;
    if (constraints_off)
        return track_up(&lab, INT_MAX, NULL);
    if (!off)
        return RC_OK;
    rc = refuse_violations(db, ret_error);
    return rc == RC_OK ? track_down(&lab, INT_MAX) : rc;
}
