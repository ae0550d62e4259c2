// Log lines about requests that failed (5xx): the first of its kind at once, then their number at
// intervals, with the last one of them.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct call;

#define FAILURE_KINDS_MAX 64

// A kind: an operation and the problem's slug. Static texts.
struct failure_kind {
    const char *operation, *slug;
    int64_t logged_ns;   // monotonic: the last line
    uint64_t suppressed; // since then
};

struct failure_log {
    pthread_mutex_t mutex;
    size_t n;
    struct failure_kind kinds[FAILURE_KINDS_MAX];
    _Atomic int64_t due_ns; // monotonic: when a count may be due; INT64_MAX: nothing is suppressed
};

void failure_log_init(struct failure_log *log);
// Logs the counts that are not logged yet.
void failure_log_release(struct failure_log *log);

// Takes note of a call that was answered with 5xx. `operation` is the route's, or another static
// text. On the call's HTTP thread; writes at most one line per kind in ten seconds.
void failure_log_note(struct failure_log *log, const struct call *call, const char *operation);

// Logs the counts that are due, of failures that have stopped. Any thread, after any request;
// cheap.
void failure_log_tick(struct failure_log *log, int64_t now_ns);
