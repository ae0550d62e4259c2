// Who waits for the same set of keys inside one process: in order, one line a set. Only the first
// in line asks Redis; whoever has the lock hands it on inside the process for a while.
//
// A line is open, asked (somebody is on the way to Redis) or held. Any thread; no I/O.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/redis/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_settings;
struct redis_claim;
struct redis_line;
struct redis_lines;

// The lock as this process asks for it, or has it, under one owner. Used by one thread at a time:
// who asks, then who holds, one after the other.
struct redis_tenure {
    struct redis_line *line; // the lines' own; NULL: nobody waits for its end (any more)
    struct redis_claim *claim;
    struct redis_grant grant;   // while it is asked for
    _Atomic int64_t expires_ns; // monotonic, the lease; moved on by the renewal
    int64_t begun_ns;           // monotonic: it is held since
    uint64_t token, tokens;     // the highest fencing token, and how many are left; one a hold
};

// Not asked for yet, in no line. NULL if there is no memory.
MUST_CHECK struct redis_tenure *redis_tenure_new(const char *const *keys, size_t n,
                                                 const struct guard_settings *settings,
                                                 const char *name);
void redis_tenure_free(struct redis_tenure *tenure); // NULL is fine
// Frees it, save for the claim, which is the caller's to free.
MUST_CHECK struct redis_claim *redis_tenure_end(struct redis_tenure *tenure);

// It is held from now on, with so many tokens of which this is the highest.
void redis_tenure_begin(struct redis_tenure *tenure, uint64_t token, uint64_t tokens,
                        int64_t expires_ns);
// One of its tokens, above all taken before.
uint64_t redis_tenure_token(struct redis_tenure *tenure);

enum redis_turn {
    REDIS_TURN_ASK,  // ask; goes on with *ret_tenure if that is set: its place in line is kept
    REDIS_TURN_HOLD, // *ret_tenure is held, and ours now
    REDIS_TURN_LATE, // the limit came
    REDIS_TURN_FAIL, // who asked for us failed, with *ret_rc
};

MUST_CHECK enum rc redis_lines_new(struct redis_lines **ret_lines);
void redis_lines_free(struct redis_lines *lines); // nobody may be in it; NULL is fine

// Waits until it is our turn. After REDIS_TURN_ASK exactly one of won, give_up and fail follows
// with *ret_line; after won or REDIS_TURN_HOLD one pass, and if that is false one leave.
MUST_CHECK enum redis_turn redis_lines_enter(struct redis_lines *lines, const char *const *keys,
                                             size_t n, int64_t limit_ns,
                                             struct redis_line **ret_line,
                                             struct redis_tenure **ret_tenure, enum rc *ret_rc);
void redis_line_won(struct redis_lines *lines, struct redis_line *line,
                    struct redis_tenure *tenure);
// Whether somebody goes on with the tenure; else it is the caller's to abandon.
MUST_CHECK bool redis_line_give_up(struct redis_lines *lines, struct redis_line *line,
                                   struct redis_tenure *tenure);
// All who wait in the line are answered `rc`.
void redis_line_fail(struct redis_lines *lines, struct redis_line *line, enum rc rc);

// Hands the tenure to the next in line. False if nobody waits, or not for this tenure any more.
MUST_CHECK bool redis_line_pass(struct redis_lines *lines, struct redis_tenure *tenure);
// The tenure has ended: the next in line asks.
void redis_line_leave(struct redis_lines *lines, struct redis_tenure *tenure);
