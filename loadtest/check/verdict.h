// What the checker found: whether each invariant held, and for each violation the smallest set of
// operations that shows it, as a timeline.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIOLATION_EVENTS_MAX 6
#define VERDICT_INVARIANTS_MAX 16

// One line of a timeline: a request, or a row of the ledger (from_ns < 0: it has no time of ours).
struct event {
    int64_t from_ns, to_ns; // since the run began; to_ns HISTORY_NEVER: it was never known to end
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
    char sentence[256]; // in words and numbers: "Sold 500 of 500 units of 1 SKU; never below 0."
    int64_t looked_at;  // how many things could have broken it
    int64_t violations;
};

struct verdict {
    bool done; // false: it could not be checked, and why_not says so
    char why_not[512];
    int64_t violations;      // all of them, also those that are not shown
    struct violation *shown; // the first of each invariant, at most a few dozen
    size_t n_shown;
    struct invariant invariants[VERDICT_INVARIANTS_MAX];
    size_t n_invariants;
    // What the history had in it, so that nobody takes an empty test for a proof.
    int64_t operations, attempts, reads, replays, refusals, unknown, ledger_rows, counters;
    double took_s;
};

void verdict_release(struct verdict *verdict); // a zeroed one is fine

// The verdict for people: every invariant a line, every shown violation with its timeline.
struct buffer;
void verdict_write_text(const struct verdict *verdict, struct buffer *out);
