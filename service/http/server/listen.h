// Opens the listening sockets.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addrinfo;

#define LISTEN_ERROR_MAX 480

// Looks up all addresses of the setting `listen`: host:port, [v6-address]:port, or *:port for all
// interfaces. `passive`: to bind; else to connect to, where `*` is this machine. The caller frees
// the list with freeaddrinfo. With a sentence in ret_error (LISTEN_ERROR_MAX bytes): RC_USAGE if it
// is malformed, RC_IO if the name cannot be resolved now.
MUST_CHECK enum rc listen_resolve(const char *address, bool passive, struct addrinfo **ret_found,
                                  uint16_t *ret_port, char *ret_error);

#define LISTEN_SOCKETS_MAX 8

// The sockets of all addresses of a name; they share one port.
struct listener {
    int fds[LISTEN_SOCKETS_MAX];
    size_t n;
    uint16_t port;
    bool loopback; // only this machine can reach them
};

// Binds and listens on all addresses of the setting `listen`; port 0 picks a free one. An
// address that this machine does not have is skipped with a warning, unless no other is left. The
// caller closes the listener. With a sentence in ret_error (LISTEN_ERROR_MAX bytes): RC_USAGE if
// the setting is wrong; RC_IO if a later start may succeed: the port is taken, the name is unknown.
MUST_CHECK enum rc listen_open(const char *address, struct listener *ret_listener, char *ret_error);

void listen_close(struct listener *listener); // may be closed or zero-initialised

// Raises the soft limit of open descriptors to what this many connections need, as far as the hard
// limit allows. Returns how many connections are possible.
size_t listen_make_room(size_t connections);
