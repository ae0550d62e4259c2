// Total deadlines against slow clients. The HTTP library's timeout is about inactivity only: a
// client that sends a byte a second keeps its connection for as long as it likes.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reaper;

enum phase {
    PHASE_IDLE,  // between requests, or before the first: no request line is complete
    PHASE_HEAD,  // the request line was read, the header section was not
    PHASE_BODY,  // the body is being read
    PHASE_WORK,  // the server's turn: no deadline here
    PHASE_SEND,  // the answer is being sent
    PHASE_ENDED, // the reaper has ended the connection
};

// Embedded in every connection.
struct watched {
    struct watched *next, *previous;
    int fd;
    _Atomic uint64_t state; // phase, and since when
    // The reaper's notes on an idle connection, to see the first bytes of a request without a line
    // end.
    uint64_t noted_state, noted_bytes;
    int64_t bytes_since_ms; // -1: none
};

struct reaper_settings {
    int64_t receive_timeout_ms; // for a header section, and for a body, in total
    int64_t send_timeout_ms;    // for an answer
};

// Starts the thread.
MUST_CHECK enum rc reaper_new(const struct reaper_settings *settings, struct reaper **ret_reaper);
// Stops the thread; nothing may be watched any more. NULL is fine.
void reaper_free(struct reaper *reaper);

// From a new connection until just before its descriptor is closed; any thread.
void reaper_watch(struct reaper *reaper, struct watched *watched, int fd);
void reaper_forget(struct reaper *reaper, struct watched *watched);

// The connection's own thread says what happens now. False if the reaper has ended it: then nothing
// may be sent any more.
MUST_CHECK bool reaper_enter(struct watched *watched, enum phase phase, int64_t now_ns);

// Watched connections, and those of them with a request under way; any thread.
size_t reaper_count(struct reaper *reaper);
size_t reaper_busy(struct reaper *reaper);
