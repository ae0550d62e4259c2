// Opens the listening socket.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTEN_HOST_MAX 255
#define LISTEN_ERROR_MAX 240

// Splits `host:port` or `[v6]:port`; the port points into the address. False if it is neither.
bool listen_split(const char *address, char host[LISTEN_HOST_MAX + 1], const char **ret_port);

// Binds and listens on `host:port` or `[v6]:port`; port 0 picks a free one. The caller closes
// *ret_fd. ret_loopback says whether only this machine can reach it. RC_USAGE with a sentence in
// ret_error (LISTEN_ERROR_MAX bytes).
MUST_CHECK enum rc listen_open(const char *address, int *ret_fd, uint16_t *ret_port,
                               bool *ret_loopback, char *ret_error);

// Raises the soft limit of open descriptors to what this many connections need, as far as the hard
// limit allows. Returns how many connections are possible.
size_t listen_make_room(size_t connections);
