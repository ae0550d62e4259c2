// Whether the database's account may do what work needs, and what a person can do if it may not.
// For the start of the service and for commands.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;

// Tries each kind of statement that work uses on each table, on no row. Without it a missing right
// is found out by the first request that needs it. RC_OK on SQLite, which has no rights. Else the
// result of the statement that failed; db_error has the server's words. Call outside a transaction.
MUST_CHECK enum rc access_check(struct db *db);

// What to do about the last failure, as the end of a sentence: "check the user and the password".
// Never NULL.
const char *access_remedy(const struct db *db);
