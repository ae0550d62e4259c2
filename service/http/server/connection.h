// A client's connection: what the reaper watches, and the call that is on it.
#pragma once

#include "base/cleanup.h"
#include "http/call.h"
#include "http/server/exchange.h"
#include "http/server/reaper.h"

struct connection {
    struct watched watched;
    struct call call;
};

static inline struct connection *connection_of(struct call *call)
{
    return CONTAINER_OF(call, struct connection, call);
}

static inline struct exchange *exchange_of(const struct call *call)
{
    return CONTAINER_OF(call->context, struct exchange, context);
}
