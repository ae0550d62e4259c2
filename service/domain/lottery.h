// Lotteries: the limit of draws a user, and the wheel of prizes.
#pragma once

#include "base/rc.h"
#include "domain/counter.h"
#include "domain/effect.h"
#include "domain/operation.h"

#include <stddef.h>
#include <stdint.h>

#define LOTTERY_PRIZES_MAX 64
#define WEIGHT_MAX INT64_C(1000000000)

struct prize {
    char prize[ID_MAX + 1];
    int64_t quantity;       // in all; won = quantity - counter.remaining
    int64_t weight;         // 0 to WEIGHT_MAX; 0 is never drawn
    struct counter counter; // prize/LOTTERY/PRIZE
};

// The counter lottery/LOTTERY holds the prizes that remain: the sum over its prizes.
struct lottery {
    char lottery[ID_MAX + 1];
    int64_t draws_per_user, blank_weight;
    int64_t remaining, version;
    size_t n_prizes;
    struct prize prizes[LOTTERY_PRIZES_MAX]; // in byte order of their names
};

// Draws for a user with `*used` draws so far. The wheel is a line of integer weights: the blank
// first, then the prizes; an exhausted prize's weight goes to the blank. The place on it is
// uniform, taken from operation->entropy by rejection, so no weight is favoured. RC_OK,
// RC_ALREADY_DRAWN, or RC_NOT_FOUND if the counter was not loaded (version 0). Moves the wheel, the
// prize's counter and *used only on RC_OK. Fills in the operation's outcome in every case.
enum rc lottery_decide(struct counter *wheel, struct lottery *lottery, int64_t *used,
                       struct operation *operation, struct effect *ret_effect);
