// One keep-alive connection that never blocks: opening it, sending a request, gathering the answer.
// One thread.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"
#include "run/response.h"
#include "run/target.h"

enum connection_state { CONNECTION_DOWN, CONNECTION_OPENING, CONNECTION_UP };

struct connection {
    int fd;
    int epoll; // borrowed; events carry a pointer to the connection
    enum connection_state state;
    bool wants_write; // EPOLLOUT is asked for
    struct buffer out;
    size_t sent;
    size_t held; // bytes at the end of `out` that are not to be sent yet
    char *in;
    size_t in_length, in_capacity;
    struct response_parser parser;
};

void connection_init(struct connection *connection, int epoll);
void connection_release(struct connection *connection);

// Begins to open it; an event tells when connection_opened may be asked. An errno, or 0.
int connection_open(struct connection *connection, const struct address *address);
int connection_opened(struct connection *connection); // 0: it is up; else an errno
void connection_close(struct connection *connection); // one that is down is fine

// Sends what stands in `out` but for the held bytes, as far as the socket takes it; an event tells
// when connection_send may go on. An errno, or 0.
int connection_send(struct connection *connection);

// Reads what has arrived. RESPONSE_DONE: the answer is in parser.response until connection_next.
// RESPONSE_BAD: it is broken, with an errno in ret_errno (0: no HTTP, or closed too early).
enum response_state connection_receive(struct connection *connection, int *ret_errno);
void connection_next(struct connection *connection); // ready for another request
