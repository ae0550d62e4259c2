// The addresses of the three lock servers, parsed from the settings redis, zookeeper and etcd.
// Pure text, also in builds without the servers' libraries. Any thread.
#pragma once

#include "base/address.h"
#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>

#define REDIS_MASTERS_MAX 9
#define ETCD_MEMBERS_MAX 8
#define ETCD_URL_MAX (ADDRESS_HOST_MAX + 32)
#define TLS_PATH_MAX 256

// How a server is verified, and the files (PEM) for it; "" if none.
struct tls_settings {
    enum address_tls verify;
    char ca[TLS_PATH_MAX];                      // "": the system's authorities
    char cert[TLS_PATH_MAX], key[TLS_PATH_MAX]; // our own, for a server that asks for one
};

struct redis_address {
    char host[ADDRESS_HOST_MAX]; // or the path of a Unix socket; then the port is 0
    int port;
    char user[ADDRESS_USER_MAX], password[ADDRESS_TEXT_MAX];
    char database[8];                  // "" if none
    char label[ADDRESS_HOST_MAX + 16]; // host:port or the socket's path, for logs
    struct tls_settings tls;
};

// `redis`: one address, or an odd number separated by commas, each one master.
//     [redis://|rediss://][[user]:password@]host[:port][/database][?ca=FILE]   or
//     unix:/path[?db=N]
// rediss is TLS, verified, as is redis with ca=FILE.
// RC_USAGE with a sentence in ret_why (of `size` bytes) that shows no password.
MUST_CHECK enum rc redis_addresses_parse(const char *text, struct redis_address *ret_addresses,
                                         size_t *ret_n, char *ret_why, size_t size);

struct zookeeper_address {
    char servers[ADDRESS_TEXT_MAX]; // host:port,host:port, as the library takes them
    char chroot[ADDRESS_TEXT_MAX];  // "/path", or "" for the root
    char login[ADDRESS_USER_MAX + ADDRESS_TEXT_MAX]; // user:password, "" if none
};

// `zookeeper`: the members of one ensemble, [zookeeper://][user:password@]host[:port],...[/path].
// Errors as above.
MUST_CHECK enum rc zookeeper_address_parse(const char *text, struct zookeeper_address *ret_address,
                                           char *ret_why, size_t size);

struct etcd_address {
    size_t n;
    char urls[ETCD_MEMBERS_MAX][ETCD_URL_MAX];               // "http://host:port"
    char user[ADDRESS_USER_MAX], password[ADDRESS_TEXT_MAX]; // "" if none
    struct tls_settings tls;                                 // for the URLs with https
};

// `etcd`: the members of one cluster, [http://|https://][user:password@]host[:port][?ca=FILE],...
// All members share one user and one set of files, which may stand at any of them. Errors as above.
MUST_CHECK enum rc etcd_address_parse(const char *text, struct etcd_address *ret_address,
                                      char *ret_why, size_t size);

// Parses each of the three that is not empty, whether or not a strategy needs it. Errors as above.
MUST_CHECK enum rc lock_servers_check(const char *redis, const char *zookeeper, const char *etcd,
                                      char *ret_why, size_t size);
