// Opens the listening sockets.
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

#define LISTEN_SOCKETS_MAX 8

// The sockets of all addresses of a name; they share one port.
struct listener {
    int fds[LISTEN_SOCKETS_MAX];
    size_t n;
    uint16_t port;
    bool loopback; // only this machine can reach them
};

// Binds and listens on all addresses of `host:port` or `[v6]:port`; port 0 picks a free one. An
// address that this machine does not have is skipped with a warning, unless no other is left. The
// caller closes the listener. With a sentence in ret_error (LISTEN_ERROR_MAX bytes): RC_USAGE if
// the setting is wrong; RC_IO if a later start may succeed: the port is taken, the name is unknown.
MUST_CHECK enum rc listen_open(const char *address, struct listener *ret_listener, char *ret_error);

void listen_close(struct listener *listener); // may be closed or zero-initialised

// Raises the soft limit of open descriptors to what this many connections need, as far as the hard
// limit allows. Returns how many connections are possible.
size_t listen_make_room(size_t connections);
