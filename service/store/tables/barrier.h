// A commit that is worth waiting for.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct db;

// Within a transaction that changes nothing else: gives COMMIT something to bring to the disk, and
// leaves nothing behind. Once COMMIT is answered, all that this transaction has seen before is as
// durable as what it wrote: both databases write their logs in order. The failures of db.h.
MUST_CHECK enum rc barrier_write(struct db *db);
