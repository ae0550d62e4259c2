// A view: what one decision reads, and the postings that it makes. Deciding is pure: it reads and
// changes nothing but the view and the operation's outcome.
#pragma once

#include "domain/counter.h"

#include <stddef.h>
#include <stdint.h>

struct lottery;

#define POSTINGS_MAX 2 // of one operation

// One change of one counter: one row of the ledger.
struct posting {
    size_t counter; // index into the view's counters
    int64_t delta, remaining, version;
};

struct view {
    struct counter *counters; // of the whole batch, as decided so far
    size_t root;              // the operation's own is counters[root]

    // Facts: what was read besides counters. Each is there only for the kinds that read it.
    int64_t limit, *used;          // what a user may have here; what this user has so far
    const struct lottery *lottery; // the wheel
    size_t first_prize;            // counters[first_prize + i] belongs to lottery->prizes[i]

    struct posting *postings; // room for POSTINGS_MAX
    size_t n_postings;
};

// Changes a counter by delta, gives it the next version, and appends the posting.
void view_post(struct view *view, size_t counter, int64_t delta);
