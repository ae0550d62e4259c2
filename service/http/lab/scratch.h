// The database of a run: new and empty when it begins, gone or emptied when the next one begins.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <limits.h>
#include <stdbool.h>

struct db;
struct store;

#define SCRATCH_ERROR_MAX 768

struct lab_scratch {
    char folder[PATH_MAX]; // of an SQLite file; "" if there is none
    struct store *store;
    struct db *db;
};

// url: "" for an SQLite file in a new folder below $TMPDIR or /tmp; or the address of a MySQL or
// MariaDB database whose name ends in `_lab`: everything in it is deleted. `belts`: with unique
// keys and checks. Unless RC_OK, a sentence in ret_error (SCRATCH_ERROR_MAX bytes). Either way the
// caller calls lab_scratch_close.
MUST_CHECK enum rc lab_scratch_open(struct lab_scratch *scratch, const char *url, bool belts,
                                    char *ret_error);
void lab_scratch_close(struct lab_scratch *scratch); // a zeroed struct is fine
