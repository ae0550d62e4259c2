// Faults: why a database refuses work until it is mended. Any thread.
#pragma once

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct db;
struct store;

// Why a database refuses work until an operator mends it, from mild to grave. Transient failures,
// such as a lost connection or a deadlock, have none.
enum db_fault {
    DB_FAULT_NONE,
    DB_FAULT_NOT_READY, // not now: the server is offline, or not the primary of its group
    DB_FAULT_FULL,      // no room left on the disk, in the file or in the tablespace
    DB_FAULT_READ_ONLY,
    DB_FAULT_MISCONFIGURED, // a setting of the server does not allow the service's transactions
    DB_FAULT_DENIED,        // the account may not log in, or lacks a right
    DB_FAULT_MISSING,       // the database, a table or a file was removed or replaced
    DB_FAULT_CORRUPT,
    DB_FAULT_COUNT
};

// "not-ready", "full", "read-only", "misconfigured", "denied", "missing", "corrupt"; "none" for
// DB_FAULT_NONE.
const char *db_fault_word(enum db_fault fault);

// The gravest fault that any handle of the store has met since it was last forgotten. The first
// failure with a fault, and each graver one, is logged in the database's own words; the others are
// counted.
enum db_fault db_fault(const struct db *db);
enum db_fault store_fault(const struct store *store);

// Ends a probe of everything that work needs; `well` if all of it succeeded. Then the fault is
// forgotten, unless a call has failed with a fault since the last probe: work may need more than
// the probe does. On SQLite `corrupt` is never forgotten: every later call fails with
// RC_BACKEND_UNAVAILABLE. Returns whether there is no fault now.
bool db_end_probe(struct db *db, bool well);

// ---- for the engines ----------------------------------------------------------------------------

// What an error number means. Each engine has a table of the numbers that it knows.
struct db_meaning {
    int number;
    enum rc rc;
    enum db_fault fault;
};

// NULL if the number is not in the table.
const struct db_meaning *db_meaning_of(const struct db_meaning *table, size_t n, int number);
// The fault behind an errno(3), such as ENOSPC; DB_FAULT_NONE if there is none.
enum db_fault db_errno_fault(int number);
// Counts and remembers a failure whose text is in db->error. DB_FAULT_NONE does nothing.
void db_note_fault(struct db *db, enum db_fault fault);
