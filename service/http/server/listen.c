// Opens the listening socket without the HTTP library, in order to support port 0, host names and
// IPv6, and to report the reason of a failure. SO_REUSEADDR is set because a restart must not wait
// for the old connections' TIME_WAIT.
#include "http/server/listen.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_RESERVED 256 // databases, lock servers, log, epoll

static enum rc fail(char *ret_error, const char *address, const char *why)
{
    text_format(ret_error, LISTEN_ERROR_MAX, "cannot listen on \"%.100s\": %s", address, why);
    return RC_USAGE;
}

// Splits at the last colon, which must follow the bracket of an IPv6 address.
bool listen_split(const char *address, char host[LISTEN_HOST_MAX + 1], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon - address > LISTEN_HOST_MAX)
        return false;
    size_t length = (size_t)(colon - address);
    if (address[0] == '[') {
        if (address[length - 1] != ']')
            return false;
        address++;
        length -= 2;
    } else if (memchr(address, ':', length) != NULL) {
        return false;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    int64_t port;
    *ret_port = colon + 1;
    return length > 0 && text_to_int64(colon + 1, &port) && port >= 0 && port <= UINT16_MAX;
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

static int open_one(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
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

enum rc listen_open(const char *address, int *ret_fd, uint16_t *ret_port, bool *ret_loopback,
                    char *ret_error)
{
    char host[LISTEN_HOST_MAX + 1];
    const char *port = NULL;
    if (!listen_split(address, host, &port))
        return fail(ret_error, address, "it must be host:port or [v6-address]:port");
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0)
        return fail(ret_error, address, gai_strerror(error));
    int fd = -1, saved = 0;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = open_one(at);
        saved = errno;
        *ret_loopback = is_loopback(at->ai_addr);
    }
    freeaddrinfo(found);
    if (fd < 0)
        return fail(ret_error, address, strerror(saved));
    *ret_fd = fd;
    *ret_port = port_of(fd);
    return RC_OK;
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
