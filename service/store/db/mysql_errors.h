// What the error numbers of MySQL, MariaDB, and the databases that speak their protocol mean. Pure;
// any thread.
#pragma once

#include "base/rc.h"
#include "store/db/fault.h"

#include <stdbool.h>

struct mysql_meaning {
    enum rc rc; // of a statement other than COMMIT
    enum db_fault fault;
    bool lost;        // the connection broke, so the answer was lost
    bool reconnect;   // drop the connection: a new one may reach a server that can do the work
    bool rolled_back; // certain, also at COMMIT; every other number leaves its outcome unknown
};

// The meaning of an mysql_errno() with its mysql_error(). Number 0 counts as a lost connection: the
// server sent fewer results than statements, so the next result would belong to another statement.
// A number without a meaning is RC_INTERNAL.
struct mysql_meaning mysql_meaning_of(unsigned number, const char *text);
