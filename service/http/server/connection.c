// Lists of spare calls, one for each HTTP thread. Only that thread uses its list.
#include "http/server/connection.h"

#include <stdlib.h>

#define BUFFER_KEPT ((size_t)4096) // larger buffers are freed after the call

static struct call **spare_calls(struct exchange *exchange, const struct mailbox *mailbox)
{
    return &exchange->spare_calls[mailbox - exchange->mailboxes.boxes];
}

struct call *connection_take_call(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    if (connection->call != NULL)
        return connection->call;
    struct mailbox *mailbox = connection->mailbox;
    struct call **spare = spare_calls(exchange, mailbox);
    struct call *call = *spare;
    if (call != NULL)
        *spare = call->next_spare;
    else
        call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->context = &exchange->context;
    call->mailbox = mailbox;
    call->client = connection;
    connection->call = call;
    return call;
}

static void recycle(struct buffer *buffer)
{
    if (buffer->failed || buffer->capacity > BUFFER_KEPT)
        buffer_release(buffer);
    else
        buffer_clear(buffer);
}

void connection_drop_call(struct connection *connection)
{
    struct call *call = connection->call;
    if (call == NULL)
        return;
    recycle(&call->target);
    recycle(&call->body);
    recycle(&call->reply);
    free(call->input);
    call->input = NULL;
    struct call **spare = spare_calls(exchange_of(call), call->mailbox);
    call->client = NULL;
    call->next_spare = *spare;
    *spare = call;
    connection->call = NULL;
}

void connection_free_spare_calls(struct exchange *exchange)
{
    for (size_t i = 0; i < MAILBOXES_MAX; i++) {
        while (exchange->spare_calls[i] != NULL) {
            struct call *call = exchange->spare_calls[i];
            exchange->spare_calls[i] = call->next_spare;
            buffer_release(&call->target);
            buffer_release(&call->body);
            buffer_release(&call->reply);
            free(call);
        }
    }
}
