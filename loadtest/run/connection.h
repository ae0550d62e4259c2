// One non-blocking keep-alive connection: opens it, sends a request, receives the answer. Used by
// one thread.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"
#include "run/response.h"
#include "run/target.h"

enum connection_state { CONNECTION_DOWN, CONNECTION_OPENING, CONNECTION_UP };

struct connection {
    int fd;
    int epoll;                         // borrowed; events carry a pointer to the connection
    const struct addresses *addresses; // borrowed
    size_t address, n_refused;         // the one in use; those that failed since one answered
    enum connection_state state;
    bool wants_write; // registered for EPOLLOUT
    struct buffer out;
    size_t sent;
    size_t held; // bytes at the end of `out` that must not be sent yet
    char *in;
    size_t in_length, in_capacity;
    struct response_parser parser;
};

void connection_init(struct connection *connection, int epoll, const struct addresses *addresses);
void connection_release(struct connection *connection);

// Begins to open it, at the address that was used last. An address that fails is followed by the
// next one, until each has failed once. Returns an errno, or 0; then connection_opened may be
// called after the next event.
int connection_open(struct connection *connection);
// 0: it is up; EINPROGRESS: the address has failed, and another one is being tried; else an errno.
int connection_opened(struct connection *connection);
// The address that is being tried takes too long. False if there is no other one left to try.
bool connection_try_next(struct connection *connection);
void connection_close(struct connection *connection); // does nothing if it is down

// Sends `out` except for the held bytes, as much as the socket accepts; an event says when
// connection_send may continue. Returns an errno, or 0.
int connection_send(struct connection *connection);

// Receives what has arrived; body_max as in response_parse. RESPONSE_DONE: the answer is in
// parser.response until connection_next. RESPONSE_BAD: parser.wrong says why, or, if it is NULL,
// ret_errno (0: the server closed too early).
enum response_state connection_receive(struct connection *connection, size_t body_max,
                                       int *ret_errno);
void connection_next(struct connection *connection); // prepares for another request
