// The feed: requests that wait until one of their counters has passed a version. One thread answers
// all of them from the ledger, so a waiting client occupies neither a worker nor a round trip.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct counter_change;
struct feed;
struct job;
struct ledger_row;
struct metrics;
struct store;

struct feed_settings {
    size_t limit;    // at most so many requests; further ones get RC_OVERLOADED
    int64_t poll_ms; // how often the database is asked for what other instances have changed
};

#define FEED_COUNTERS_MAX 100
#define FEED_ROWS_MAX 1000

// A counter that a request waits for. One that does not exist has version 0.
struct feed_counter {
    const char *name;
    int64_t after; // the last version that the client knows; the feed moves it to the last row's
};

// What a job of the feed waits for (job->feed). The submitter's memory until job->finished; the
// feed owns all of it meanwhile.
struct feed_request {
    struct feed_counter *counters;
    size_t n;         // 1 to FEED_COUNTERS_MAX, distinct
    int64_t max_rows; // of all counters together: n to FEED_ROWS_MAX
    int64_t wait_ms;
    // Takes a row, on the feed's thread: those of one counter one behind the other, in the order of
    // their versions, from after + 1 on without a gap.
    void (*on_row)(struct feed_request *request, const struct ledger_row *row);
    bool more; // the result: a counter has rows beyond those that were taken

    // The feed's.
    bool looked;           // its counters were read since it came or since a read failed
    size_t n_news, n_rows; // in this round: its counters with news, the rows that it took
};

// Starts the thread. Store and metrics are borrowed. RC_NO_MEMORY.
MUST_CHECK enum rc feed_new(const struct feed_settings *settings, struct store *store,
                            struct metrics *metrics, struct feed **ret_feed);

// Drains, stops the thread, frees. NULL is fine.
void feed_free(struct feed *feed);

// Takes a job whose `feed` is set. It is finished on the feed's thread: with RC_OK once rows were
// taken, the wait is over or the client is gone (job->is_gone); or with the fault of the database
// at the end of the wait. Any other code than RC_OK: it was not taken. RC_OVERLOADED beyond the
// limit or while the feed drains. Any thread; never blocks on I/O.
MUST_CHECK enum rc feed_submit(struct feed *feed, struct job *job);

// These counters were changed by a commit. While no request waits it costs one atomic load. Any
// thread; NULL is fine.
void feed_changed(struct feed *feed, const struct counter_change *changes, size_t n);

// Ends a read of the database that is past its deadline. Any thread.
void feed_expire(struct feed *feed);

// Takes no more jobs, answers those that wait with what is there, and returns when all are
// finished. NULL is fine.
void feed_drain(struct feed *feed);
