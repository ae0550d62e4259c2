// What a database has had of a track. Included by migrate_*.c only.
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

// NULL: not there.
const struct applied *history_find(const struct history *history, int version);
const struct migration *track_find(const struct track *track, int version);

// Refuses a history that the list does not explain: RC_SCHEMA.
MUST_CHECK enum rc history_verify(struct track *track, const struct history *history);

// Writes the sentence into track->error and gives rc back.
enum rc track_fail(struct track *track, enum rc rc, const char *format, ...) PRINTF_LIKE(3, 4);
// A failure of the database, in the few results that callers of migrate.h know.
enum rc track_fail_db(struct track *track, enum rc rc, const char *doing);
