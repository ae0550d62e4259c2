// Lotteries: the limit of draws a user, and the wheel of prizes.
#pragma once

#include "base/rc.h"
#include "domain/counter.h"
#include "domain/operation.h"
#include "domain/view.h"

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

// The decision of draw: the view's `limit` and `used` count draws. The wheel is a line of integer
// weights: the blank first, then the prizes; an exhausted prize's weight goes to the blank. The
// place on it is uniform, taken from operation->entropy by rejection, so no weight is favoured.
// RC_OK or RC_ALREADY_DRAWN. A draw that wins posts the lottery's counter and the prize's.
enum rc lottery_draw(struct view *view, struct operation *operation);
