// The two lists of a pool's slots: idle ones, and those with a deadline.
//
// A slot whose connection broke while it was idle stays in the list of idle slots, so it must not
// be added twice, and is skipped when its turn comes. The timeout is the same for all slots, so the
// list of deadlines is in their order.
#include "run/slots.h"

void slots_push_idle(struct pool *pool, struct pool_slot *slot)
{
    if (slot->is_listed_idle)
        return;
    slot->is_listed_idle = true;
    slot->idle_next = NULL;
    if (pool->idle.last != NULL)
        pool->idle.last->idle_next = slot;
    else
        pool->idle.first = slot;
    pool->idle.last = slot;
}

struct pool_slot *slots_pop_idle(struct pool *pool)
{
    struct pool_slot *slot;
    while ((slot = pool->idle.first) != NULL) {
        pool->idle.first = slot->idle_next;
        if (pool->idle.first == NULL)
            pool->idle.last = NULL;
        slot->is_listed_idle = false;
        if (slot->connection.state == CONNECTION_UP)
            return slot;
    }
    return NULL;
}

void slots_set_deadline(struct pool *pool, struct pool_slot *slot)
{
    slot->deadline_ns = pool->context->now_ns + pool->context->plan->timeout_ns;
    slot->has_deadline = true;
    slot->newer = NULL;
    slot->older = pool->deadlines.last;
    if (pool->deadlines.last != NULL)
        pool->deadlines.last->newer = slot;
    else
        pool->deadlines.first = slot;
    pool->deadlines.last = slot;
}

void slots_clear_deadline(struct pool *pool, struct pool_slot *slot)
{
    if (!slot->has_deadline)
        return;
    slot->has_deadline = false;
    if (slot->older != NULL)
        slot->older->newer = slot->newer;
    else
        pool->deadlines.first = slot->newer;
    if (slot->newer != NULL)
        slot->newer->older = slot->older;
    else
        pool->deadlines.last = slot->older;
}
