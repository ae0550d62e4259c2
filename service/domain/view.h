// A view: what one decision reads, and the postings that it makes. Deciding is pure: it reads and
// changes nothing but the view and the operation's outcome.
#pragma once

#include "domain/counter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lottery;

// One change of one counter: one row of the ledger.
struct posting {
    size_t counter; // index into the view's counters
    int64_t delta, remaining, version;
};

struct view {
    const struct counter *loaded; // of the whole batch, as read
    struct counter *counters;     // the same, as decided so far
    const size_t *legs;           // counters[legs[i]] belongs to the operation's leg i
    const size_t *children; // counters[children[i]] belongs to its child; SIZE_MAX if it has none
    int64_t now_ms;         // the database's time at which the counters were read

    // Facts: what was read besides counters. Each is there only for the kinds that read it.
    int64_t limit, *used;  // what a subject may have here; what this one has so far
    int64_t expires_at_ms; // of the reservation; at most 0: minus its state, if nothing is held.
                           // An extension sets it.
    const struct lottery *lottery; // the wheel
    size_t first_prize;            // counters[first_prize + i] belongs to lottery->prizes[i]

    // Results: the postings of the legs, in the order of the legs, and behind them those of their
    // children, or at most POSTINGS_MORE others; or the leg that refuses.
    struct posting *postings;
    size_t n_postings;
    size_t refusing_leg;
    bool used_up; // refused because of the subject's limit
    // Refused, but holds that are due on the refusing legs must expire first: the refusal stands if
    // it comes out again.
    bool expire_first;
};

#define POSTINGS_MORE 1

// Has the subject used up the limit? Then the decision must refuse.
bool view_is_used_up(struct view *view);

// Changes a counter by delta, gives it the next version, and appends the posting.
void view_post(struct view *view, size_t counter, int64_t delta);

// Posts leg i.
void view_post_leg(struct view *view, size_t i, int64_t delta);

// Does leg i have a child?
bool view_has_child(const struct view *view, size_t i);

// Posts the child of leg i, if it has one. The legs come first.
void view_post_child(struct view *view, size_t i, int64_t delta);
