// A binary heap of moments: what is due next, in logarithmic time. One thread.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Embedded in whatever waits; zero-initialise it.
struct timer {
    int64_t due_ns;
    size_t place; // in the heap, counted from 1; 0: not set
};

struct timers {
    struct timer **heap;
    size_t n, capacity;
};

// False: out of memory. A timer that is set already is moved.
MUST_CHECK bool timers_set(struct timers *timers, struct timer *timer, int64_t due_ns);
void timers_cancel(struct timers *timers, struct timer *timer);
// The first one that is due by now, taken out; NULL if none is.
struct timer *timers_pop(struct timers *timers, int64_t now_ns);
// When the first one is due; INT64_MAX if there is none.
int64_t timers_next(const struct timers *timers);
void timers_release(struct timers *timers);
