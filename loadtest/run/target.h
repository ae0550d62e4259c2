// A target: the base URL of an HTTP service, and the address that its host resolves to.
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

// Parses http://HOST[:PORT][/PREFIX]. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool target_parse(const char *url, struct target *ret_target, char *ret_error);

// Resolves the target's host, and may query a name server. False with a sentence in ret_error
// (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool target_resolve(const struct target *target, struct address *ret_address,
                               char *ret_error);
