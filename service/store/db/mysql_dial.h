// mysql_real_connect() with a deadline.
#pragma once

#include "base/cleanup.h"
#include "store/db/mysql_url.h"

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

// Connects a handle from mysql_init that has its options set. Gives up at this moment (monotonic)
// unless the login has succeeded, even if the library would wait longer. False: mysql_error() says
// why.
MUST_CHECK bool mysql_dial(MYSQL *handle, const struct mysql_url *url, int64_t until_ns);
