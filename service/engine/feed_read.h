// What one round of the feed reads: the versions of the counters that requests wait for, and the
// ledger rows behind them, each once for all requests. Used by one thread at a time.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "engine/feed.h"

#include <stddef.h>

struct feed_reader;
struct store;

// The store is borrowed. RC_NO_MEMORY.
MUST_CHECK enum rc feed_reader_new(struct store *store, struct feed_reader **ret_reader);
void feed_reader_free(struct feed_reader *reader); // NULL is fine

// Begins a round without any counter.
void feed_reader_begin(struct feed_reader *reader);

// Adds a request's counter to the round; both are borrowed until its end. RC_NO_MEMORY.
MUST_CHECK enum rc feed_reader_add(struct feed_reader *reader, struct feed_request *request,
                                   struct feed_counter *counter);

// Reads, and hands each request the rows that it misses (request->on_row, n_rows, more). On a fault
// of the database some requests may have got rows: whole answers, which may be sent.
MUST_CHECK enum rc feed_reader_read(struct feed_reader *reader);

// Ends a read that is past its deadline. Any thread.
void feed_reader_expire(struct feed_reader *reader);
