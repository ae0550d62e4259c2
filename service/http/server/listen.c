// Opens the listening sockets without the HTTP library, in order to support port 0, host names and
// IPv6, and to report the reason of a failure. SO_REUSEADDR is set because a restart must not wait
// for the old connections' TIME_WAIT.
//
// A name such as localhost has several addresses, and a client may use any of them. If another
// program had one of them, some clients would talk to that program. So all of them are bound, and
// one that is taken is a failure.
#include "http/server/listen.h"

#include "base/address.h"
#include "base/log.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_RESERVED 256 // databases, lock servers, log, epoll

#define PICKS_MAX 16 // tries to find a port that is free on all addresses

static enum rc fail(enum rc rc, char *ret_error, const char *address, const char *why,
                    const char *remedy)
{
    text_format(ret_error, LISTEN_ERROR_MAX, "cannot listen on \"%.100s\" (setting listen): %s%s",
                address, why, remedy);
    return rc;
}

static enum rc fail_to_bind(char *ret_error, const char *address, int error)
{
    const char *remedy =
        error == EADDRINUSE      ? "; stop the program that has this port, or choose another"
        : error == EADDRNOTAVAIL ? "; this machine does not have the address (yet)"
        : error == EACCES        ? "; choose a port above 1023, or grant CAP_NET_BIND_SERVICE"
                                 : "";
    return fail(error == EACCES ? RC_USAGE : RC_IO, ret_error, address, strerror(error), remedy);
}

static const struct address_form form = {
    .setting = "listen",
    .expected = "host:port, [v6-address]:port, or *:port for all interfaces",
    .flags = ADDRESS_SCHEMELESS | ADDRESS_ANY_HOST | ADDRESS_PORT_ZERO,
    .schemes = (const struct address_scheme[]){{"http", 0, false, false}, {0}},
};

enum rc listen_resolve(const char *address, bool passive, struct addrinfo **ret_found,
                       uint16_t *ret_port, char *ret_error)
{
    struct address *parsed CLEANUP(free_memory) = malloc(sizeof *parsed);
    char port[8];
    if (parsed == NULL)
        return fail(RC_NO_MEMORY, ret_error, address, "out of memory", "");
    enum rc rc = address_parse(address, &form, parsed, ret_error, LISTEN_ERROR_MAX);
    if (rc != RC_OK)
        return rc;
    const struct address_host *host = &parsed->hosts[0];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV};
    text_format(port, sizeof port, "%u", (unsigned)host->port);
    int error = getaddrinfo(host->name[0] != '\0' ? host->name : NULL, port, &hints, ret_found);
    if (error != 0)
        return fail(RC_IO, ret_error, address, gai_strerror(error),
                    "; is the name spelled right, and does the name server answer?");
    *ret_port = host->port;
    return RC_OK;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const void *)address;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
}

// -1 with errno.
static int open_one(const struct addrinfo *info, uint16_t port, bool only_v6)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    int on = 1, fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    memcpy(&address, info->ai_addr, info->ai_addrlen); // only these two families are asked for
    if (info->ai_family == AF_INET6)
        address.v6.sin6_port = htons(port);
    else
        address.v4.sin_port = htons(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6 && only_v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &address.any, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {0};
    socklen_t size = sizeof bound;
    if (getsockname(fd, &bound.any, &size) != 0)
        return 0;
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

static bool is_repeated(const struct addrinfo *found, const struct addrinfo *info)
{
    for (const struct addrinfo *at = found; at != info; at = at->ai_next)
        if (at->ai_addrlen == info->ai_addrlen &&
            memcmp(at->ai_addr, info->ai_addr, info->ai_addrlen) == 0)
            return true;
    return false;
}

static void warn_of_skipped(const char *address, const struct addrinfo *info)
{
    char host[NI_MAXHOST] = "?";
    int error = errno;
    (void)getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    LOG_WARNING("listen: not listening on %s, an address of \"%.100s\": %s", host, address,
                strerror(error));
}

// Returns 0, or the error of an address that cannot be bound; then the listener is closed.
static int open_all(const struct addrinfo *found, const char *address, uint16_t port,
                    struct listener *listener)
{
    bool has_v4 = false;
    int skipped = 0;
    *listener = (struct listener){.port = port, .loopback = true};
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        has_v4 = has_v4 || at->ai_family == AF_INET;
    for (const struct addrinfo *at = found; at != NULL && listener->n < LISTEN_SOCKETS_MAX;
         at = at->ai_next) {
        if (is_repeated(found, at))
            continue;
        int fd = open_one(at, listener->port, has_v4);
        if (fd >= 0) {
            listener->fds[listener->n++] = fd;
            listener->port = port_of(fd);
            listener->loopback = listener->loopback && is_loopback(at->ai_addr);
        } else if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT) {
            skipped = errno;
            if (found->ai_next != NULL)
                warn_of_skipped(address, at);
        } else {
            int error = errno;
            listen_close(listener);
            return error;
        }
    }
    return listener->n > 0 ? 0 : skipped;
}

enum rc listen_open(const char *address, struct listener *ret_listener, char *ret_error)
{
    struct addrinfo *found = NULL;
    uint16_t port = 0;
    enum rc rc = listen_resolve(address, true, &found, &port, ret_error);
    if (rc != RC_OK)
        return rc;
    struct listener listener;
    int error = EADDRINUSE;
    for (int i = 0; error == EADDRINUSE && i < (port == 0 ? PICKS_MAX : 1); i++)
        error = open_all(found, address, port, &listener);
    freeaddrinfo(found);
    if (error != 0)
        return fail_to_bind(ret_error, address, error);
    *ret_listener = listener;
    return RC_OK;
}

void listen_close(struct listener *listener)
{
    while (listener->n > 0)
        close(listener->fds[--listener->n]);
}

size_t listen_make_room(size_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + DESCRIPTORS_RESERVED;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return connections;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return connections;
    return limit.rlim_cur > 2 * DESCRIPTORS_RESERVED ? (size_t)limit.rlim_cur - DESCRIPTORS_RESERVED
                                                     : (size_t)limit.rlim_cur / 2;
}
