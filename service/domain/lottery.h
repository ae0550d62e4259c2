// Lotteries: who may draw, and what the wheel gives.
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
    int64_t quantity;       // how many there ever were; won = quantity - counter.remaining
    int64_t weight;         // 0 to WEIGHT_MAX; 0 is never drawn
    struct counter counter; // prize/LOTTERY/PRIZE
};

// The counter lottery/LOTTERY counts all prizes that are left: the sum over its prizes.
struct lottery {
    char lottery[ID_MAX + 1];
    int64_t draws_per_user, blank_weight;
    int64_t remaining, version;
    size_t n_prizes;
    struct prize prizes[LOTTERY_PRIZES_MAX]; // in byte order of their names
};

// Draws for the user who has `*used` draws so far. The wheel is a line of integer weights: the
// blank first, then the prizes; an exhausted prize's weight goes to the blank. The place is
// uniform, taken from operation->entropy by rejection, so no weight is favoured. RC_OK,
// RC_ALREADY_DRAWN, or RC_NOT_FOUND where the counter was not loaded (version 0). Only on RC_OK it
// moves wheel, prize counter and *used. Fills the operation's outcome in both cases.
enum rc lottery_decide(struct counter *wheel, struct lottery *lottery, int64_t *used,
                       struct operation *operation, struct effect *ret_effect);
