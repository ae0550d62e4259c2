// The rule of movements: nothing goes below zero, and nothing begins twice.
#include "domain/movement.h"

#include "domain/reservation.h"

static int64_t has(const struct view *view, const struct leg *leg, size_t i)
{
    const struct counter *counter = &view->counters[view->legs[i]];
    return counter->version == 0 ? leg->opening : counter->remaining;
}

static enum rc judge(struct view *view, const struct leg *leg, size_t i)
{
    int64_t there = has(view, leg, i), version = view->counters[view->legs[i]].version;
    if (leg->barred)
        return leg->refusal;
    if (leg->child != NULL)
        return there + hold_units(view, i) < leg->amount ? leg->refusal : RC_OK;
    if (leg->demanded_version != 0 && version != leg->demanded_version)
        return RC_MOVED;
    if (leg->fresh && version != 0)
        return leg->refusal;
    if (there < leg->at_least || (!leg->partial && there + leg->amount < 0))
        return leg->refusal;
    return there + leg->amount > REMAINING_MAX ? RC_INVALID_FIELD : RC_OK;
}

static enum rc judge_all(struct view *view, struct operation *operation)
{
    enum rc first = RC_OK;
    for (size_t i = operation_n_legs(operation); i-- > 0;) {
        struct leg *leg = operation_leg(operation, i);
        enum rc rc = judge(view, leg, i);
        if (rc == RC_OK)
            continue;
        leg->refused = true;
        view->expire_first = view->expire_first || rc == RC_OUT_OF_STOCK;
        view->refusing_leg = i;
        first = rc;
    }
    return first;
}

static void post(struct view *view, struct leg *leg, size_t i)
{
    const struct counter *counter = &view->counters[view->legs[i]];
    int64_t there = has(view, leg, i);
    leg->delta = leg->child != NULL                        ? hold_units(view, i) - leg->amount
                 : leg->partial && there + leg->amount < 0 ? -there
                                                           : leg->amount;
    view_post_leg(view, i, counter->version == 0 ? leg->opening + leg->delta : leg->delta);
}

enum rc movement_decide(struct view *view, struct operation *operation)
{
    enum rc rc = operation->reservation != NULL ? hold_judge(view, operation) : RC_OK;
    if (rc == RC_OK)
        rc = judge_all(view, operation);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        post(view, operation_leg(operation, i), i);
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        if (operation_leg(operation, i)->child != NULL)
            view_post_child(view, i, -hold_units(view, i));
    }
    return RC_OK;
}
