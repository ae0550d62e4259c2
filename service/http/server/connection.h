// A client's connection: what the reaper watches, and the call that is on it. Most connections of a
// large shop are idle, so a connection has a call only from a request line to the end of its
// answer. Between requests, the calls of an HTTP thread stand in a list and keep their buffers.
// There are never more of them than there were requests at once.
#pragma once

#include "base/cleanup.h"
#include "http/call.h"
#include "http/server/exchange.h"
#include "http/server/reaper.h"

struct connection {
    struct watched watched;
    struct exchange *exchange;
    struct mailbox *mailbox; // of its HTTP thread
    struct call *call;       // NULL between requests
};

// The connection's call; takes a spare one, or a new and zeroed one, if it has none. NULL if there
// is no memory. On the connection's HTTP thread, as connection_drop_call.
struct call *connection_take_call(struct connection *connection);
// Makes the call, if there is one, spare.
void connection_drop_call(struct connection *connection);
// Frees the spare calls. When no HTTP thread runs any more.
void connection_free_spare_calls(struct exchange *exchange);

static inline struct connection *connection_of(struct call *call)
{
    return call->client;
}

static inline struct exchange *exchange_of(const struct call *call)
{
    return CONTAINER_OF(call->context, struct exchange, context);
}
