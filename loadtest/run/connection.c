// Sockets and buffers of one connection.
//
// A request is written at once. EPOLLOUT is registered only if the socket does not accept all of
// it, so a request costs one write, one read and its share of an epoll_wait.
//
// Only one request is in flight at a time. Bytes behind its answer belong to no request: either the
// answer's length is wrong, or the server sent two answers. So that answer is malformed.
#include "run/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define IN_CAPACITY ((size_t)4096)

void connection_init(struct connection *connection, int epoll, const struct addresses *addresses)
{
    *connection = (struct connection){.fd = -1, .epoll = epoll, .addresses = addresses};
}

void connection_release(struct connection *connection)
{
    connection_close(connection);
    buffer_release(&connection->out);
    free(connection->in);
    connection->in = NULL;
}

static int watch(struct connection *connection, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    connection->wants_write = (events & EPOLLOUT) != 0;
    return epoll_ctl(connection->epoll, how, connection->fd, &event) == 0 ? 0 : errno;
}

static int begin_opening(struct connection *connection)
{
    const struct address *address = &connection->addresses->list[connection->address];
    connection_close(connection);
    connection->fd =
        socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        return errno;
    const int yes = 1;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(connection->fd, (const struct sockaddr *)&address->socket, address->length) != 0 &&
        errno != EINPROGRESS)
        return errno;
    connection->state = CONNECTION_OPENING;
    return watch(connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

// Chooses the address that follows the one that has failed. False if each has failed now.
static bool choose_next(struct connection *connection)
{
    size_t n = connection->addresses->n;
    connection->address = (connection->address + 1) % n;
    connection->n_refused++;
    if (connection->n_refused < n)
        return true;
    connection->n_refused = 0;
    return false;
}

int connection_open(struct connection *connection)
{
    int code;
    do {
        code = begin_opening(connection);
    } while (code != 0 && choose_next(connection));
    return code;
}

bool connection_try_next(struct connection *connection)
{
    return choose_next(connection) && connection_open(connection) == 0;
}

int connection_opened(struct connection *connection)
{
    int code = 0;
    socklen_t length = sizeof code;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &code, &length) != 0)
        code = errno;
    if (code == 0)
        code = watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    if (code != 0)
        return connection_try_next(connection) ? EINPROGRESS : code;
    connection->n_refused = 0;
    connection->state = CONNECTION_UP;
    return 0;
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->state = CONNECTION_DOWN;
    connection->in_length = connection->sent = connection->held = 0;
    connection->parser = (struct response_parser){0};
    buffer_clear(&connection->out);
}

int connection_send(struct connection *connection)
{
    if (connection->out.failed)
        return ENOMEM;
    size_t end = connection->out.length - connection->held;
    while (connection->sent < end) {
        ssize_t n = send(connection->fd, connection->out.data + connection->sent,
                         end - connection->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            connection->sent += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return connection->wants_write ? 0
                                           : watch(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return connection->wants_write ? watch(connection, EPOLL_CTL_MOD, EPOLLIN) : 0;
}

static bool make_room(struct connection *connection)
{
    if (connection->in_length < connection->in_capacity)
        return true;
    size_t capacity = connection->in_capacity > 0 ? 2 * connection->in_capacity : IN_CAPACITY;
    char *grown = realloc(connection->in, capacity);
    if (grown == NULL)
        return false;
    connection->in = grown;
    connection->in_capacity = capacity;
    return true;
}

enum response_state connection_receive(struct connection *connection, size_t body_max,
                                       int *ret_errno)
{
    *ret_errno = 0;
    for (;;) {
        if (!make_room(connection)) {
            *ret_errno = ENOMEM;
            return RESPONSE_BAD;
        }
        size_t room = connection->in_capacity - connection->in_length;
        ssize_t n = recv(connection->fd, connection->in + connection->in_length, room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                return RESPONSE_PARTIAL;
            *ret_errno = errno;
            return RESPONSE_BAD;
        }
        connection->in_length += (size_t)n;
        size_t consumed = 0;
        enum response_state state =
            response_parse(&connection->parser, connection->in, connection->in_length, n == 0,
                           body_max, &consumed);
        if (state == RESPONSE_DONE && consumed < connection->in_length) {
            connection->parser.wrong = "malformed answer: bytes behind it";
            return RESPONSE_BAD;
        }
        if (state != RESPONSE_PARTIAL || (size_t)n < room)
            return state;
    }
}

void connection_next(struct connection *connection)
{
    connection->in_length = connection->sent = connection->held = 0;
    connection->parser = (struct response_parser){0};
    buffer_clear(&connection->out);
}
