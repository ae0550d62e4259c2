// The effect of an accepted operation: what the save writes besides the outcome.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NO_PRIZE SIZE_MAX

struct effect {
    int64_t delta;                          // of the operation's own counter
    int64_t slot;                           // coupon, draw: its number among the user's, from 1
    size_t prize;                           // draw: index into the lottery's prizes, or NO_PRIZE
    int64_t prize_remaining, prize_version; // of that prize's counter, after this draw
};
