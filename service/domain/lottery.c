// The rules of lotteries, and the wheel of prizes.
#include "domain/lottery.h"

#include "base/text.h"

// A uniform number below `bound`, by rejection. Of the 2^64 values of a word the first 2^64 mod
// bound are rejected, because they would make some results more likely than others; then the next
// word is used. The weights are below 2^37 in all (64 prizes and the blank, each at most
// WEIGHT_MAX), so four words in a row are rejected once in 2^108.
static uint64_t uniform(const uint64_t entropy[ENTROPY_WORDS], uint64_t bound)
{
    uint64_t rejected = -bound % bound;
    size_t i = 0;
    while (i + 1 < ENTROPY_WORDS && entropy[i] < rejected)
        i++;
    return entropy[i] % bound;
}

static size_t turn_wheel(const struct lottery *lottery, const uint64_t entropy[ENTROPY_WORDS])
{
    uint64_t total = (uint64_t)lottery->blank_weight;
    for (size_t i = 0; i < lottery->n_prizes; i++)
        total += (uint64_t)lottery->prizes[i].weight;
    if (total == 0)
        return NO_PRIZE;
    uint64_t place = uniform(entropy, total);
    uint64_t end = (uint64_t)lottery->blank_weight;
    if (place < end)
        return NO_PRIZE;
    for (size_t i = 0; i < lottery->n_prizes; i++) {
        end += (uint64_t)lottery->prizes[i].weight;
        if (place < end)
            return lottery->prizes[i].counter.remaining > 0 ? i : NO_PRIZE;
    }
    return NO_PRIZE;
}

enum rc lottery_decide(struct counter *wheel, struct lottery *lottery, int64_t *used,
                       struct operation *operation, struct effect *ret_effect)
{
    struct outcome *outcome = &operation->outcome;
    enum rc rc = RC_OK;
    if (wheel->version == 0)
        rc = RC_NOT_FOUND;
    else if (*used >= lottery->draws_per_user)
        rc = RC_ALREADY_DRAWN;
    if (rc == RC_OK) {
        size_t won = turn_wheel(lottery, operation->entropy);
        struct effect effect = {.delta = 0, .slot = ++*used, .prize = won};
        outcome->prize[0] = '\0';
        if (won != NO_PRIZE) {
            struct prize *prize = &lottery->prizes[won];
            prize->counter.remaining--;
            prize->counter.version++;
            wheel->remaining--;
            effect.delta = -1;
            effect.prize_remaining = prize->counter.remaining;
            effect.prize_version = prize->counter.version;
            text_copy(outcome->prize, sizeof outcome->prize, prize->prize);
        }
        wheel->version++;
        *ret_effect = effect;
    }
    outcome->remaining = wheel->remaining;
    outcome->version = wheel->version;
    return outcome->rc = rc;
}
