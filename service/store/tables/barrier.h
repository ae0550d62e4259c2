// Makes the commit of a read-only transaction write to the log, so that its success proves
// durability.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;

// Within a transaction that changes nothing else: writes a row and deletes it, so that COMMIT has
// to sync the log. Once COMMIT is acknowledged, everything that this transaction read is durable
// too, because both databases write their logs in order. Results as in db.h.
MUST_CHECK enum rc barrier_write(struct db *db);
