// A timeline: what happened in each slot of time. A slot is a tenth of a millisecond wide at first
// and doubles whenever the run outgrows the table, so a burst of 50 ms and a run of a day both have
// a few hundred points.
#pragma once

#include "measure/histogram.h"

#include <stdbool.h>

#define TIMELINE_SLOTS 512
#define TIMELINE_SLOT_NS INT64_C(100000)

enum answer_class { ANSWER_OK, ANSWER_REFUSED, ANSWER_ERROR, ANSWER_CLASSES };

struct slot {
    int64_t counts[ANSWER_CLASSES];
    struct histogram latency; // one digit
};

struct timeline {
    int64_t slot_ns;
    size_t n_slots;     // used
    struct slot *slots; // TIMELINE_SLOTS
};

// False: out of memory. Takes about 3 MB, of which each page is used only when its slot is.
MUST_CHECK bool timeline_init(struct timeline *timeline);
void timeline_release(struct timeline *timeline); // a zeroed timeline is fine

// `at_ns` is since the run began. Times may come in any order.
void timeline_add(struct timeline *timeline, int64_t at_ns, enum answer_class answer,
                  int64_t latency_ns);
void timeline_merge(struct timeline *into, const struct timeline *other);
void timeline_clear(struct timeline *timeline);
