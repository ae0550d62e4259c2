// What the checker found: whether each invariant holds, and for each violation the smallest set of
// requests and rows that proves it, as a timeline.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIOLATION_EVENTS_MAX 12 // six rows, each with its request
#define VERDICT_INVARIANTS_MAX 32

// One line of a timeline: a request, or a ledger row (from_ns < 0: it has no client time).
struct event {
    int64_t from_ns, to_ns; // since the run began; to_ns HISTORY_NEVER: no answer
    int64_t operation;      // what a row and its request have in common; -1: none
    int64_t row;            // index into the ledger; -1: a request
    char who[80];   // "k3x9-17 try 2 at http://127.0.0.1:8081", "ledger stock/SKU-1 version 58"
    char what[200]; // "deduct 1: 200, version 58, remaining 41"
};

struct violation {
    const char *invariant;                     // its slug: static
    char sentence[320];                        // what is wrong, with the numbers
    struct event events[VIOLATION_EVENTS_MAX]; // in the order of time
    size_t n_events;
};

struct invariant {
    const char *slug;   // "no-oversell": static
    char sentence[256]; // the rule, with numbers: "No two coupons have the same code: codes 500."
    int64_t looked_at;  // how much there was to check; 0 proves nothing
    int64_t violations;
};

struct verdict {
    bool done; // false: the check failed, and why_not gives the reason
    char why_not[512];
    int64_t violations;      // all, including those not shown
    struct violation *shown; // the first few of each invariant, a few dozen at most
    size_t n_shown;
    struct invariant invariants[VERDICT_INVARIANTS_MAX];
    size_t n_invariants;
    // What the history had in it: an empty history proves nothing.
    int64_t operations, attempts, reads, replays, refusals, unknown, ledger_rows, counters;
    double took_s;
};

void verdict_release(struct verdict *verdict); // a zeroed one is fine

struct buffer;

// Appends the verdict as text: a line for each invariant, and each shown violation with its
// timeline.
void verdict_write_text(const struct verdict *verdict, struct buffer *out);
