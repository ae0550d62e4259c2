// The migrations of a track that a database has had. Included within this folder only.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "store/migrate/text.h"
#include "store/migrate/track.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_MAX 256

struct applied {
    int version;
    char name[64], checksum[MIGRATION_CHECKSUM_SIZE];
    bool finished;
    int64_t applied_at_ms;
};

struct history {
    size_t n;
    struct applied rows[HISTORY_MAX]; // ascending
};

MUST_CHECK enum rc history_load(struct track *track, struct history *ret_history);

// NULL: not found.
const struct applied *history_find(const struct history *history, int version);
const struct migration *track_find(const struct track *track, int version);

// RC_SCHEMA if a migration is half applied, edited or unknown.
MUST_CHECK enum rc history_verify(struct track *track, const struct history *history);

// Writes the sentence into track->error and returns rc.
enum rc track_fail(struct track *track, enum rc rc, const char *format, ...) PRINTF_LIKE(3, 4);
// The same for a failure of the database, with rc reduced to the results that migrate.h lists.
enum rc track_fail_db(struct track *track, enum rc rc, const char *doing);
