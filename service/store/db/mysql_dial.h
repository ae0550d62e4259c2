// mysql_real_connect() with a deadline.
#pragma once

#include "base/cleanup.h"
#include "store/db/mysql_servers.h"

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

// Connects a handle from mysql_init that has its options set to this one of the address's hosts;
// NULL: to its Unix socket. Gives up at this moment (monotonic) unless the login has succeeded,
// even if the library would wait longer. False: mysql_error() says why.
MUST_CHECK bool mysql_dial(MYSQL *handle, const struct address *address,
                           const struct address_host *host, int64_t until_ns);
