// A binary heap of timers: finds the one that is due next, in logarithmic time. Used by one thread.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Embedded in the object that waits. Zero-initialise it.
struct timer {
    int64_t due_ns;
    size_t place; // in the heap, from 1; 0: not set
};

struct timers {
    struct timer **heap;
    size_t n, capacity;
};

// A timer that is already set is moved. False: out of memory.
MUST_CHECK bool timers_set(struct timers *timers, struct timer *timer, int64_t due_ns);
void timers_cancel(struct timers *timers, struct timer *timer);
// Removes and returns the first timer that is due by now; NULL if there is none.
struct timer *timers_pop(struct timers *timers, int64_t now_ns);
// When the first timer is due; INT64_MAX if there is none.
int64_t timers_next(const struct timers *timers);
void timers_release(struct timers *timers);
