// Reads which migrations of a track a database has had, and compares them with the track's list.
// Writes nothing. A database without the table schema_migrations has had none.
#include "store/migrate/history.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rc track_fail(struct track *track, enum rc rc, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(track->error, MIGRATE_ERROR_MAX, format, arguments);
    va_end(arguments);
    return rc;
}

enum rc track_fail_db(struct track *track, enum rc rc, const char *doing)
{
    bool away = rc == RC_BACKEND_UNAVAILABLE || rc == RC_OUTCOME_UNKNOWN;
    return track_fail(track, away ? RC_BACKEND_UNAVAILABLE : RC_INTERNAL, "%s failed: %.280s",
                      doing, db_error(track->db));
}

static enum rc keep_applied(void *arg, const struct db_row *row)
{
    struct history *history = arg;
    if (history->n == HISTORY_MAX)
        return RC_INTERNAL;
    struct applied *applied = &history->rows[history->n++];
    applied->version = (int)db_row_int(row, 0);
    text_copy(applied->name, sizeof applied->name, db_row_text(row, 1));
    text_copy(applied->checksum, sizeof applied->checksum, db_row_text(row, 2));
    applied->finished = !db_row_is_null(row, 3);
    applied->applied_at_ms = db_row_int(row, 3);
    return RC_OK;
}

enum rc history_load(struct track *track, struct history *ret_history)
{
    const char *sql = db_is_sqlite(track->db)
                          ? "SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_migrations'"
                          : "SELECT COUNT(*) FROM information_schema.tables"
                            " WHERE table_schema = DATABASE() AND table_name = 'schema_migrations'";
    int64_t exists = 0;
    ret_history->n = 0;
    enum rc rc = db_query_int(track->db, sql, NULL, 0, &exists);
    struct db_value name = db_text(track->name);
    if (rc == RC_OK && exists != 0)
        rc = db_query(track->db,
                      "SELECT version, name, checksum, applied_at FROM schema_migrations"
                      " WHERE track = ? ORDER BY version",
                      &name, 1, keep_applied, ret_history);
    return rc == RC_OK ? RC_OK : track_fail_db(track, rc, "reading schema_migrations");
}

const struct applied *history_find(const struct history *history, int version)
{
    for (size_t i = 0; i < history->n; i++) {
        if (history->rows[i].version == version)
            return &history->rows[i];
    }
    return NULL;
}

const struct migration *track_find(const struct track *track, int version)
{
    for (const struct migration *known = track->known; known->version != 0; known++) {
        if (known->version == version)
            return known;
    }
    return NULL;
}

// Compares what the database has had with the list. Either may be NULL, not both.
static struct migration_status compare(const struct applied *applied, const struct migration *known)
{
    struct migration_status status = {.state = MIGRATION_PENDING};
    char checksum[MIGRATION_CHECKSUM_SIZE] = "";
    if (known != NULL)
        migration_checksum(known->text, checksum);
    if (applied != NULL) {
        status.applied_at_ms = applied->applied_at_ms;
        status.state = known == NULL                              ? MIGRATION_UNKNOWN
                       : !applied->finished                       ? MIGRATION_HALF_APPLIED
                       : strcmp(applied->checksum, checksum) != 0 ? MIGRATION_EDITED
                                                                  : MIGRATION_APPLIED;
    }
    status.version = applied != NULL ? applied->version : known->version;
    text_copy(status.name, sizeof status.name, applied != NULL ? applied->name : known->name);
    return status;
}

enum rc history_verify(struct track *track, const struct history *history)
{
    for (size_t i = 0; i < history->n; i++) {
        const struct applied *applied = &history->rows[i];
        switch (compare(applied, track_find(track, applied->version)).state) {
        case MIGRATION_UNKNOWN:
            return track_fail(
                track, RC_SCHEMA,
                "the database has migration %s, which this program does not know: a newer version"
                " applied it",
                applied->name);
        case MIGRATION_HALF_APPLIED:
            return track_fail(track, RC_SCHEMA,
                              "migration %s was begun and has not ended; if it is not running now, "
                              "finish it by hand"
                              " and set applied_at in its row of schema_migrations, or undo it and "
                              "delete the row",
                              applied->name);
        case MIGRATION_EDITED:
            return track_fail(
                track, RC_SCHEMA,
                "migration %s was edited after this database applied it: its checksum was %s;"
                " restore the old text and write a new migration",
                applied->name, applied->checksum);
        case MIGRATION_PENDING:
        case MIGRATION_APPLIED:
            break;
        }
    }
    return RC_OK;
}

// ---- reading only -------------------------------------------------------------------------------

enum rc track_status(struct track *track,
                     void (*on_status)(void *arg, const struct migration_status *status), void *arg)
{
    struct history history;
    enum rc rc = history_load(track, &history);
    if (rc != RC_OK)
        return rc;
    const struct migration *known = track->known;
    size_t at = 0;
    while (known->version != 0 || at < history.n) {
        const struct applied *applied = at < history.n ? &history.rows[at] : NULL;
        int next = applied == NULL || (known->version != 0 && known->version < applied->version)
                       ? known->version
                       : applied->version;
        if (applied != NULL && applied->version != next)
            applied = NULL;
        struct migration_status status = compare(applied, known->version == next ? known : NULL);
        on_status(arg, &status);
        known += known->version == next;
        at += applied != NULL;
    }
    return RC_OK;
}

enum rc track_check(struct track *track, int *ret_pending, int *ret_applied)
{
    struct history history;
    enum rc rc = history_load(track, &history);
    if (rc == RC_OK)
        rc = history_verify(track, &history);
    if (rc != RC_OK)
        return rc;
    *ret_pending = *ret_applied = 0;
    for (const struct migration *known = track->known; known->version != 0; known++) {
        bool applied = history_find(&history, known->version) != NULL;
        *ret_pending += !applied;
        *ret_applied += applied;
    }
    return RC_OK;
}
