// The two lists of a pool's slots: idle ones, and those with a deadline.
//
// A slot whose connection broke while it was idle stays in the list of idle slots, so it must not
// be added twice, and is skipped when its turn comes. The timeout is the same for all slots, so the
// list of deadlines is in their order.
#include "run/slots.h"

#include "base/text.h"
#include "run/seeded.h"

void slots_push_idle(struct pool *pool, struct pool_slot *slot)
{
    if (slot->is_listed_idle)
        return;
    slot->is_listed_idle = true;
    slot->idle_next = NULL;
    struct slot_list *idle = &pool->idle[pool->context->plan->routed ? slot->target : 0];
    if (idle->last != NULL)
        idle->last->idle_next = slot;
    else
        idle->first = slot;
    idle->last = slot;
}

static struct pool_slot *pop(struct slot_list *idle)
{
    struct pool_slot *slot;
    while ((slot = idle->first) != NULL) {
        idle->first = slot->idle_next;
        if (idle->first == NULL)
            idle->last = NULL;
        slot->is_listed_idle = false;
        if (slot->connection.state == CONNECTION_UP)
            return slot;
    }
    return NULL;
}

struct pool_slot *slots_pop_idle(struct pool *pool, const struct request *request)
{
    const struct plan *plan = pool->context->plan;
    if (!plan->routed)
        return pop(&pool->idle[0]);
    struct pool_slot *slot = NULL;
    // FNV alone would send NAME-1 to NAME-60 to the same of three targets.
    uint64_t hash = seeded_mix(text_hash_text(TEXT_HASH_START, request->operation->task.resource));
    for (size_t i = 0; slot == NULL && i < plan->n_targets; i++)
        slot = pop(&pool->idle[(hash + i) % plan->n_targets]);
    return slot;
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
