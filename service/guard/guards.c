// Every strategy is opened once, whether an endpoint uses it now or not: an administrator or a
// header may ask for it at any time, and who asks in vain is told why.
#include "guard/guards.h"

#include "base/text.h"

static size_t index_of(const struct strategy *strategy)
{
    size_t i = 0;
    while (strategies[i] != strategy)
        i++;
    return i;
}

void guards_open(struct guards *guards, const struct guard_settings *settings, bool lab)
{
    for (size_t i = 0; strategies[i] != NULL && i < STRATEGIES_MAX; i++) {
        if (strategies[i]->lab_only && !lab) {
            text_copy(guards->why_not[i], GUARD_ERROR_MAX,
                      "it is for the lab only: set `lab` to allow it");
            continue;
        }
        if (guard_open(strategies[i], settings, &guards->open[i], guards->why_not[i]) != RC_OK)
            guards->open[i] = NULL;
    }
}

void guards_close(struct guards *guards)
{
    for (size_t i = 0; i < STRATEGIES_MAX; i++) {
        guard_close(guards->open[i]);
        guards->open[i] = NULL;
    }
}

struct guard *guards_find(const struct guards *guards, const struct strategy *strategy)
{
    return guards->open[index_of(strategy)];
}

enum rc guards_can_use(const struct guards *guards, const struct strategy *strategy, char *ret_why)
{
    size_t i = index_of(strategy);
    if (guards->open[i] != NULL)
        return RC_OK;
    text_copy(ret_why, GUARD_ERROR_MAX, guards->why_not[i]);
    return RC_USAGE;
}
