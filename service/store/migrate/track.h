// A track: a list of migrations, and which of them a database has had. The core schema and the
// lab's are two tracks in one table, schema_migrations.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "store/migrate/migrate.h"

#include <stdint.h>

struct db;

struct track {
    struct db *db;
    const char *name;              // "core" or "lab"
    const struct migration *known; // ends with version 0
    int64_t deadline_ns;           // for another runner to finish; monotonic
    char *error;                   // MIGRATE_ERROR_MAX bytes: a sentence unless RC_OK
};

// Applies at most `limit` pending migrations, one at a time. ret_applied may be NULL; it is set
// even if a later one failed.
MUST_CHECK enum rc track_up(struct track *track, int limit, int *ret_applied);

// Undoes the newest `steps` applied migrations, or all if there are fewer.
MUST_CHECK enum rc track_down(struct track *track, int steps);

// Every migration that this program or the database knows, ascending. Writes nothing.
MUST_CHECK enum rc track_status(struct track *track,
                                void (*on_status)(void *arg, const struct migration_status *status),
                                void *arg);

// Counts the pending and the applied migrations. RC_SCHEMA if one is half applied, edited or
// unknown. Writes nothing.
MUST_CHECK enum rc track_check(struct track *track, int *ret_pending, int *ret_applied);
