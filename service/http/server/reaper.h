// Total deadlines against slow clients, and the limit of connections. The HTTP library's timeout
// covers inactivity only: a client that sends one byte a second would keep its connection forever.
// At its own limit the library accepts nothing more, so silent clients would shut all others out.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reaper;

enum phase {
    PHASE_NEW,   // before the first request: no complete request line has arrived
    PHASE_IDLE,  // between requests: the same
    PHASE_HEAD,  // the request line was read, the header section is incomplete
    PHASE_BODY,  // the body is being read
    PHASE_WORK,  // the server works: no deadline here
    PHASE_SEND,  // the answer is being sent
    PHASE_ENDED, // the reaper has ended the connection
};

// Embedded in every connection.
struct watched {
    struct watched *next, *previous;
    int fd;
    const void *owner;      // the connection's thread
    _Atomic uint64_t state; // the phase and when it began
    // For idle connections: lets the reaper notice a request line that never ends.
    uint64_t noted_state, noted_bytes;
    int64_t bytes_since_ms;     // -1: none
    uint64_t half_closed_state; // in which the client was found half-closed; 0: none
    uint64_t stuck_bytes;       // read when others were found waiting; 0: none were
};

struct reaper_settings {
    int64_t receive_timeout_ms; // for the first request line, a header section, a body, in total
    int64_t send_timeout_ms;    // for an answer
    size_t connection_limit;    // beyond it, connections give way to new ones
    size_t connection_max;      // how many are ever watched at once
};

// Why the reaper ended a connection. ENDING_LIMIT_...: it gave way to a new one.
enum ending {
    ENDING_NO_REQUEST,       // no request line within the timeout
    ENDING_SLOW_REQUEST,     // answered 408
    ENDING_SLOW_READER,      // the answer was not read within the timeout
    ENDING_HALF_CLOSED,      // the client had shut its sending side down before a whole request
    ENDING_LIMIT_NO_REQUEST, // nothing, or an incomplete request, had arrived
    ENDING_LIMIT_IDLE,       // between requests
    ENDING_LIMIT_UNREAD,     // the client did not read its answer
    ENDING_COUNT
};

// Starts the thread.
MUST_CHECK enum rc reaper_new(const struct reaper_settings *settings, struct reaper **ret_reaper);
// Stops the thread. No connection may be watched any more. NULL is fine.
void reaper_free(struct reaper *reaper);

// Watches a new connection; forgets it before its descriptor is closed. Any thread. `owner` stands
// for the connection's thread.
void reaper_watch(struct reaper *reaper, struct watched *watched, int fd, const void *owner);
void reaper_forget(struct reaper *reaper, struct watched *watched);

// Enters a phase; on the connection's own thread. False if the reaper has ended the connection: the
// caller must not send anything any more.
MUST_CHECK bool reaper_enter(struct watched *watched, enum phase phase, int64_t now_ns);

// Has the client shut its sending side down, or is the connection broken? Any thread, while the
// descriptor is open.
bool reaper_client_is_gone(const struct watched *watched);

// Finds a connection of this owner, in the middle of a body, from whose socket nothing was read
// since the last such call although bytes were waiting there: its buffer is full. NULL if there is
// none. ret_waiting: bytes of a request are waiting in a socket of this owner. Call it on the
// owner's thread, when that has given each connection several chances to read.
struct watched *reaper_find_stuck(struct reaper *reaper, const void *owner, bool *ret_waiting);

// The number of watched connections, and of those with a request in flight. Any thread.
size_t reaper_count(struct reaper *reaper);
size_t reaper_busy(struct reaper *reaper);

// True while more connections are open than the limit allows, not counting those that have only
// just come, and none can give way: each has a request in flight. An answer should then close its
// connection. Any thread.
bool reaper_full(const struct reaper *reaper);

// How many connections were ended for this reason. Any thread; valid as long as the reaper.
atomic_size_t *reaper_ended(struct reaper *reaper, enum ending ending);
