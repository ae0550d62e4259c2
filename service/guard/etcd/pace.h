// How long to sleep before looking at a line again: the longer, the more are ahead and the slower
// it moves. In a line nobody gains by asking often but the next one, and all questions together are
// what slows the server down.
#pragma once

#include "base/clock.h"
#include "base/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_MIN_NS NS_PER_MS
#define PACE_MAX_NS (50 * NS_PER_MS)

struct pace {
    int64_t limit_ns; // monotonic: give up at this time
    int64_t each_ns;  // how long one of those ahead takes, as far as seen; 0 before the first sleep
    int64_t moved_ns; // monotonic: when somebody was seen to have left, or the first sleep began
    size_t ahead;     // how many were ahead then
};

// A quarter of what the line will take at this pace, with jitter. Not more: whoever sleeps past its
// turn slows down the line, by which all others measure how long to sleep. `more`: even more are
// ahead, nobody knows how many. False, at once, when the limit has come.
static inline bool pace_sleep(struct pace *pace, size_t ahead, bool more)
{
    int64_t now_ns = clock_now_ns();
    if (now_ns >= pace->limit_ns)
        return false;
    if (pace->ahead > ahead)
        pace->each_ns = (now_ns - pace->moved_ns) / (int64_t)(pace->ahead - ahead);
    else if (pace->ahead > 0 && !more && now_ns - pace->moved_ns > pace->each_ns)
        pace->each_ns = now_ns - pace->moved_ns; // nobody left in this time
    if (pace->ahead != ahead)
        pace->moved_ns = now_ns;
    if (pace->each_ns < PACE_MIN_NS)
        pace->each_ns = PACE_MIN_NS;
    if (pace->each_ns > PACE_MAX_NS)
        pace->each_ns = PACE_MAX_NS;
    pace->ahead = ahead;
    int64_t part_ns = (int64_t)ahead * pace->each_ns / 4;
    int64_t sleep_ns = part_ns / 2 + (int64_t)random_below((uint64_t)part_ns);
    int64_t left_ns = pace->limit_ns - now_ns;
    clock_sleep_ns(sleep_ns < left_ns ? sleep_ns : left_ns);
    return true;
}
