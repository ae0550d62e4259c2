// Checks that the database can do what work needs of it. For health checks.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;

// Pings the database. If the store has a fault (db_fault), also reaches every table with the rights
// that work needs and commits a change that undoes itself. If all of it succeeded, and no work has
// met a fault since the last probe, the fault is forgotten. RC_OK if there is none, else
// RC_BACKEND_UNAVAILABLE. Call outside a transaction.
MUST_CHECK enum rc probe_run(struct db *db);
