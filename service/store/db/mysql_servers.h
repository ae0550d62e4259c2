// The servers that a `mysql://` address names, and how a connection to them is secured.
#pragma once

#include "base/address.h"

#include <mysql.h>
#include <stdatomic.h>

// Shared by all connections of a store; any thread.
struct mysql_servers {
    struct address address; // the path is the database
    _Atomic size_t current; // index of the host that was connected to last
};

// Parses mysql://, mariadb://, mysqls:// or mariadbs://. RC_USAGE with a sentence in ret_error (of
// DB_ERROR_MAX bytes).
MUST_CHECK enum rc mysql_servers_parse(const char *text, struct mysql_servers *ret_servers,
                                       char *ret_error);

// How many servers there are to try, at least one.
size_t mysql_servers_count(const struct mysql_servers *servers);

// The server for this attempt, from 0, of making one connection; NULL: the Unix socket. All choices
// of a server are made here.
const struct address_host *mysql_servers_pick(struct mysql_servers *servers, size_t attempt);
// A connection to this server works: later connections try it first.
void mysql_servers_keep(struct mysql_servers *servers, const struct address_host *host);

// Sets the options for TLS and for TCP or the socket, before mysql_real_connect. The two client
// libraries differ in them.
void mysql_servers_secure(const struct mysql_servers *servers, MYSQL *handle);
// Whether a connection that was made is encrypted, if the address demands that.
bool mysql_servers_is_secured(const struct mysql_servers *servers, MYSQL *handle);
// Whether passwords and data travel unencrypted over a network, and the address does not say that
// this is meant (tls=off).
bool mysql_servers_are_exposed(const struct mysql_servers *servers);
