// The connection pool of a client thread: keeps its connections open, and sends ready requests on
// them.
//
// A slot is a place for one connection, with the request in flight on it. A connection that breaks
// is reopened in its slot.
#pragma once

#include "run/connection.h"
#include "run/record.h"
#include "run/template.h"

struct slot_list {
    struct pool_slot *first, *last;
};

struct pool_slot {
    struct connection
        connection; // first: an epoll event points to the connection and so to the slot
    size_t target;
    struct request *request; // in flight; NULL: none
    struct timer reopen;
    int64_t backoff_ns;              // before the next reopening
    int64_t opened_ns;               // monotonic
    int64_t deadline_ns;             // of opening or of the answer, monotonic
    struct pool_slot *older, *newer; // in the list of slots with a deadline
    struct pool_slot *idle_next;     // in the list of idle slots
    bool has_deadline, is_listed_idle;
};

struct pool {
    struct context *context;
    struct recorder *recorder;
    int epoll;
    struct pool_slot *slots;
    size_t n_slots, n_up;                       // n_up: connections that are open
    struct slot_list idle[HISTORY_TARGETS_MAX]; // longest idle first; one list a target if requests
                                                // are routed, else one for all
    struct slot_list deadlines;                 // earliest first
    struct timers reopening;                    // of broken connections
    struct template **templates;                // of each target and request template
    size_t n_templates;                         // per target
};

// Prepares the thread's share of the plan's connections; opens none. False with a sentence in
// ret_error (HISTORY_ERROR_MAX bytes). pool_release is due in either case.
MUST_CHECK bool pool_init(struct pool *pool, struct context *context, struct recorder *recorder,
                          char *ret_error);
void pool_release(struct pool *pool);

// ---- before the run -----------------------------------------------------------------------------

// Opens all connections. False if one failed, with a sentence in ret_error (HISTORY_ERROR_MAX
// bytes), or, with "", if another thread failed.
MUST_CHECK bool pool_open(struct pool *pool, char *ret_error);

// Latch: sends the next ready request except for its last byte. False if no connection is idle.
bool pool_preload(struct pool *pool);
void pool_release_latch(struct pool *pool); // sends the last bytes

// ---- during the run -----------------------------------------------------------------------------

// Sends the next ready request on the connection that has been idle longest (slots.h). False if
// there is no ready request or no idle connection.
bool pool_send(struct pool *pool);

// Handles an epoll event, whose data.ptr is `slot`. Appends the request to `finished` if it brings
// the end of one.
void pool_event(struct pool *pool, struct pool_slot *slot, uint32_t events);

void pool_reopen(struct pool *pool); // the broken connections whose backoff is over
// Times out requests in flight, connections that are being opened, and ready requests.
void pool_expire(struct pool *pool);
void pool_abandon(struct pool *pool); // finishes the requests in flight as "given up"

// When pool_reopen or pool_expire has something to do next, monotonic; INT64_MAX: never.
int64_t pool_next_ns(const struct pool *pool);
