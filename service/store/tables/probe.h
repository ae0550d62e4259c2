// Checks that the database can do what work needs of it. For health checks.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;

// Reaches every table of the service without changing a row; on MySQL with the rights that work
// needs. If the store has a fault (db_fault), also commits a change that undoes itself, and forgets
// the fault if all of it succeeded. RC_OK or RC_BACKEND_UNAVAILABLE. Call outside a transaction.
MUST_CHECK enum rc probe_run(struct db *db);
