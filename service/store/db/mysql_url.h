// The parts of mysql://user:password@host:port/database.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>

struct mysql_url {
    char user[128], password[128], host[256], database[128];
    unsigned port;
};

// Parses the part after `mysql://`. User, password and database may be percent-encoded, the host
// may be [IPv6], the port defaults to 3306. False if it is malformed.
MUST_CHECK bool mysql_url_parse(const char *rest, struct mysql_url *ret_url);
