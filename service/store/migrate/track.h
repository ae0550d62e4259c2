// One list of migrations and what a database has had of it. The core schema and the lab's are two
// tracks in one table, schema_migrations.
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
    int64_t deadline_ns;           // for another runner to end; monotonic
    char *error;                   // MIGRATE_ERROR_MAX bytes: a sentence, if not RC_OK
};

// Applies what is pending, at most `limit`, one at a time. ret_applied may be NULL; it is also set
// when a later one failed.
MUST_CHECK enum rc track_up(struct track *track, int limit, int *ret_applied);

// Takes back the newest `steps` applied ones; fewer where there are not as many.
MUST_CHECK enum rc track_down(struct track *track, int steps);

// Every migration known here or in the database, ascending. Writes nothing.
MUST_CHECK enum rc track_status(struct track *track,
                                void (*on_status)(void *arg, const struct migration_status *status),
                                void *arg);

// RC_OK when nothing is half applied, edited or unknown; how many are pending and how many applied.
// Writes nothing.
MUST_CHECK enum rc track_check(struct track *track, int *ret_pending, int *ret_applied);
