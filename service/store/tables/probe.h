// Checks that the database can do what work needs of it. For health checks.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;

// Pings the database. If the store has a fault (db_fault), also reaches every table with the rights
// that work needs, commits a change that undoes itself, and forgets the fault if all of it
// succeeded. RC_OK or RC_BACKEND_UNAVAILABLE. Call outside a transaction.
MUST_CHECK enum rc probe_run(struct db *db);
