// holdfast ready: asks the service on this machine whether it is ready, at the address of the
// setting `listen`. For container images that have no HTTP client.
//
// It sends one request over a plain socket; no socket call blocks past the deadline; resolving a
// host name may. A wildcard address is used as it is, because connecting to it connects to this
// machine.
//
// What breaks it: port 0, because the picked port is recorded nowhere.
#include "commands/commands.h"

#include "base/clock.h"
#include "base/text.h"
#include "config/config.h"
#include "http/server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS 2000
#define ANSWER_MAX 8192

static const char request[] =
    "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static int complain(const char *listen, const char *why)
{
    fprintf(stderr, "holdfast ready: %s: %s\n", listen, why);
    return EXIT_FAILED;
}

// Waits until the socket is ready for `events`. False with errno, ETIMEDOUT at the deadline.
static bool await(int fd, short events, int64_t deadline_ns)
{
    struct pollfd asked = {.fd = fd, .events = events};
    int n;
    do
        n = poll(&asked, 1, (int)clock_left_ms(deadline_ns));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        errno = ETIMEDOUT;
    return n > 0;
}

// A connected socket that does not block, or -1 with errno.
static int dial(const struct addrinfo *info, int64_t deadline_ns)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int error = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t size = sizeof error;
        if (!await(fd, POLLOUT, deadline_ns) ||
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    if (error == 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

// Sends the request and reads the answer to its end, or as much as fits. False with errno.
static bool ask(int fd, int64_t deadline_ns, char answer[ANSWER_MAX])
{
    size_t used = 0;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
        return false;
    while (used < ANSWER_MAX - 1) {
        if (!await(fd, POLLIN, deadline_ns))
            return false;
        ssize_t n = recv(fd, answer + used, ANSWER_MAX - 1 - used, 0);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    answer[used] = '\0';
    return true;
}

static int judge(const char *listen, const char *answer)
{
    static const char head[] = "HTTP/1.1 ";
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, head, sizeof head - 1) != 0 || body == NULL)
        return complain(listen, "the answer is not HTTP");
    printf("%s\n", body + 4);
    return strncmp(answer + sizeof head - 1, "200 ", 4) == 0 ? EXIT_CLEAN : EXIT_FAILED;
}

int command_ready(const struct config *config)
{
    const char *listen = config->listen;
    char answer[ANSWER_MAX], error[LISTEN_ERROR_MAX];
    struct addrinfo *found = NULL;
    uint16_t port = 0;
    int64_t deadline_ns = clock_now_ns() + TIMEOUT_MS * NS_PER_MS;
    enum rc rc = listen_resolve(listen, false, &found, &port, error);
    if (rc == RC_OK && port == 0) {
        freeaddrinfo(found);
        rc = RC_USAGE;
        (void)text_copy(error, sizeof error, "listen: expected a port other than 0");
    }
    if (rc != RC_OK) {
        fprintf(stderr, "holdfast ready: %s\n", error);
        return rc == RC_USAGE ? EXIT_USAGE : EXIT_FAILED;
    }
    int fd = -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = dial(at, deadline_ns);
    freeaddrinfo(found);
    if (fd < 0)
        return complain(listen, strerror(errno));
    bool answered = ask(fd, deadline_ns, answer);
    int code = answered ? judge(listen, answer) : complain(listen, strerror(errno));
    close(fd);
    return code;
}
