// mysql_real_connect() with an end.
#pragma once

#include "base/cleanup.h"
#include "store/db/mysql_url.h"

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

// Connects a handle that was made with mysql_init and given its options. A server that has not let
// us in at this moment (monotonic) is given up, whatever the library waits for. False:
// mysql_error() says why.
MUST_CHECK bool mysql_dial(MYSQL *handle, const struct mysql_url *url, int64_t until_ns);
