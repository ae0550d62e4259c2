// A target: the base URL of an HTTP service, and the addresses that its host resolves to.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <sys/socket.h>

struct target {
    const char *url;     // as given; borrowed
    char host[200];      // to connect to: a name, or an address without brackets
    char authority[220]; // for the Host field
    char prefix[256];    // of the path, "" or "/shop": put before every path of the scenario
    int port;
};

struct address {
    struct sockaddr_storage socket;
    socklen_t length;
};

#define ADDRESSES_MAX 16 // of a host; further ones are not used

struct addresses {
    struct address list[ADDRESSES_MAX]; // in the order in which they are to be tried
    size_t n;                           // at least 1
};

// Parses http://HOST[:PORT][/PREFIX]. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool target_parse(const char *url, struct target *ret_target, char *ret_error);

// All addresses of the target's host. May query a name server. False with a sentence in ret_error
// (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool target_resolve(const struct target *target, struct addresses *ret_addresses,
                               char *ret_error);
