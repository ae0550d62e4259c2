// A bounded spin with decorrelated jitter, for a lock that can only answer "taken": how long a
// waiter sleeps before its next attempt.
#pragma once

#include "base/clock.h"
#include "base/random.h"

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_BASE_NS (500 * INT64_C(1000))
#define BACKOFF_CAP_NS (25 * NS_PER_MS)

struct backoff {
    int64_t limit_ns; // monotonic: the waiter's deadline
    int64_t sleep_ns; // the last sleep; 0 before the first
};

// Sleeps a random time between the base and three times the last sleep, so that waiters that
// collided once do not keep colliding. Returns false at once when the limit has passed.
static inline bool backoff_sleep(struct backoff *backoff)
{
    int64_t left_ns = backoff->limit_ns - clock_now_ns();
    if (left_ns <= 0)
        return false;
    int64_t last_ns = backoff->sleep_ns > BACKOFF_BASE_NS ? backoff->sleep_ns : BACKOFF_BASE_NS;
    int64_t span_ns = 3 * last_ns - BACKOFF_BASE_NS;
    int64_t sleep_ns = BACKOFF_BASE_NS + (int64_t)random_below((uint64_t)span_ns);
    backoff->sleep_ns = sleep_ns < BACKOFF_CAP_NS ? sleep_ns : BACKOFF_CAP_NS;
    clock_sleep_ns(backoff->sleep_ns < left_ns ? backoff->sleep_ns : left_ns);
    return true;
}
