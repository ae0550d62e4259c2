// An answer that does not end: etcd's watch, a line of JSON an event, on a connection of its own.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/etcd/client.h"

#include <stdbool.h>
#include <stddef.h>

struct etcd_stream;

// The client and the arguments are borrowed until the stream is freed. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_stream_new(struct etcd_client *client, const char *path, const char *body,
                                   bool (*on_line)(void *arg, const char *line, size_t length),
                                   void *arg, struct etcd_stream **ret_stream);
void etcd_stream_free(struct etcd_stream *stream); // nobody may be inside run; NULL is fine

// Connects, asks, and hands over each line until the connection breaks, on_line says false, or
// somebody drops or interrupts it. One thread at a time; may be called again.
void etcd_stream_run(struct etcd_stream *stream);
// From any thread, while it runs: this connection is no good.
void etcd_stream_drop(struct etcd_stream *stream);
// From any thread, for good.
void etcd_stream_interrupt(struct etcd_stream *stream);
