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

#define NO_PRIZE SIZE_MAX

static size_t turn_wheel(const struct view *view, const uint64_t entropy[ENTROPY_WORDS])
{
    const struct lottery *lottery = view->lottery;
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
            return view->counters[view->first_prize + i].remaining > 0 ? i : NO_PRIZE;
    }
    return NO_PRIZE;
}

enum rc lottery_draw(struct view *view, struct operation *operation)
{
    if (view_is_used_up(view))
        return RC_ALREADY_DRAWN;
    ++*view->used;
    size_t won = turn_wheel(view, operation->entropy);
    view_post_leg(view, 0, won == NO_PRIZE ? 0 : -1);
    operation->outcome.prize[0] = '\0';
    if (won != NO_PRIZE) {
        view_post(view, view->first_prize + won, -1);
        text_copy(operation->outcome.prize, sizeof operation->outcome.prize,
                  view->lottery->prizes[won].prize);
    }
    return RC_OK;
}
