// The path under which all nodes of a session are (its chroot), and the login.
#pragma once

#include "base/cleanup.h"
#include "guard/zookeeper/api.h"

struct zookeeper_address;

// Creates what is missing of the address's path, over a connection of its own. Blocks for a second
// if that cannot be made. ZOK, or an error of the library.
MUST_CHECK int zookeeper_chroot_make(const struct zookeeper_address *address,
                                     const struct ACL_vector *acl, int timeout_ms);

// Sends the address's login, if it has one, on this connection and on each later one of the handle.
// ZOK, or an error of the library.
MUST_CHECK int zookeeper_log_in(zhandle_t *handle, const struct zookeeper_address *address);
