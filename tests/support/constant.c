// An HTTP server that answers every request with the same few bytes, as fast as one thread can.
// Load testers are measured against it and, with faults switched on, tested with it. It parses a
// request only to find its end.
//
//     constant [--body TEXT] [--stall-after MS --stall-for MS] [--die-after N] [--close-every N]
//              [--status N] [--silent-every N]
//
// Prints its port on a line, then serves on loopback until its standard input ends.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct faults {
    long stall_after_ms, stall_for_ms;         // counted from the first request
    long die_after, close_every, silent_every; // requests; 0: never
};

struct peer {
    int fd;
    size_t length;
    char bytes[8192];
};

struct server {
    int epoll, listener;
    struct faults faults;
    char answer[2048], last_answer[2048]; // last_answer announces that the connection closes
    long requests, first_ms;
};

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void watch(const struct server *server, int fd, void *pointer)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = pointer};
    if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        exit(EXIT_FAILURE);
}

static void accept_all(struct server *server)
{
    int fd;
    while ((fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            exit(EXIT_FAILURE);
        const int yes = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        peer->fd = fd;
        watch(server, fd, peer);
    }
}

static void drop(struct peer *peer)
{
    close(peer->fd);
    free(peer);
}

// The length of the first complete request, or 0 if there is none yet.
static size_t whole_request(const struct peer *peer)
{
    const char *end = memmem(peer->bytes, peer->length, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - peer->bytes) + 4, body = 0;
    for (const char *line = peer->bytes; line < end;
         line = (const char *)memchr(line, '\n', peer->length) + 1) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            body = strtoul(line + 15, NULL, 10);
    }
    return peer->length >= head + body ? head + body : 0;
}

static void stall_once(struct server *server)
{
    if (server->first_ms == 0)
        server->first_ms = now_ms();
    if (server->faults.stall_for_ms == 0 ||
        now_ms() - server->first_ms < server->faults.stall_after_ms)
        return;
    struct timespec pause = {.tv_sec = server->faults.stall_for_ms / 1000,
                             .tv_nsec = server->faults.stall_for_ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
    server->faults.stall_for_ms = 0;
}

static bool is_every(long count, long every)
{
    return every > 0 && count % every == 0;
}

// False if the connection must be closed.
static bool answer(struct server *server, struct peer *peer)
{
    server->requests++;
    stall_once(server);
    if (server->faults.die_after > 0 && server->requests > server->faults.die_after)
        exit(EXIT_SUCCESS);
    if (is_every(server->requests, server->faults.silent_every))
        return true;
    bool last = is_every(server->requests, server->faults.close_every);
    const char *text = last ? server->last_answer : server->answer;
    size_t length = strlen(text);
    return send(peer->fd, text, length, MSG_NOSIGNAL) == (ssize_t)length && !last;
}

static void serve(struct server *server, struct peer *peer)
{
    ssize_t n =
        recv(peer->fd, peer->bytes + peer->length, sizeof peer->bytes - 1 - peer->length, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(peer);
        return;
    }
    peer->length += (size_t)n;
    peer->bytes[peer->length] = '\0';
    size_t request;
    while ((request = whole_request(peer)) > 0) {
        if (!answer(server, peer)) {
            drop(peer);
            return;
        }
        peer->length -= request;
        memmove(peer->bytes, peer->bytes + request, peer->length + 1);
    }
}

static void listen_and_print_port(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (server->listener < 0 ||
        bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listener, 4096) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) != 0)
        exit(EXIT_FAILURE);
    printf("%d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
}

static void loop(struct server *server)
{
    struct epoll_event events[256];
    watch(server, server->listener, &server->listener);
    watch(server, STDIN_FILENO, &server->epoll);
    for (;;) {
        int n = epoll_wait(server->epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            char byte;
            if (events[i].data.ptr == &server->listener)
                accept_all(server);
            else if (events[i].data.ptr != &server->epoll)
                serve(server, events[i].data.ptr);
            else if (read(STDIN_FILENO, &byte, 1) <= 0)
                return;
        }
    }
}

static void compose(struct server *server, const char *status, const char *body)
{
    for (int last = 0; last < 2; last++)
        (void)snprintf(last ? server->last_answer : server->answer, sizeof server->answer,
                       "HTTP/1.1 %s Constant\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n%s\r\n%s",
                       status, strlen(body), last ? "Connection: close\r\n" : "", body);
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {
        {"body", required_argument, NULL, 'b'},
        {"status", required_argument, NULL, 's'},
        {"stall-after", required_argument, NULL, 'a'},
        {"stall-for", required_argument, NULL, 'f'},
        {"die-after", required_argument, NULL, 'd'},
        {"close-every", required_argument, NULL, 'c'},
        {"silent-every", required_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    static struct server server;
    const char *body = "{}", *status = "200";
    int flag;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        const char *value = optarg != NULL ? optarg : "";
        long number = strtol(value, NULL, 10);
        switch (flag) {
        case 'b':
            body = value;
            break;
        case 's':
            status = value;
            break;
        case 'a':
            server.faults.stall_after_ms = number;
            break;
        case 'f':
            server.faults.stall_for_ms = number;
            break;
        case 'd':
            server.faults.die_after = number;
            break;
        case 'c':
            server.faults.close_every = number;
            break;
        case 'q':
            server.faults.silent_every = number;
            break;
        default:
            return EXIT_FAILURE;
        }
    }
    compose(&server, status, body);
    server.epoll = epoll_create1(0);
    listen_and_print_port(&server);
    loop(&server);
    return EXIT_SUCCESS;
}
