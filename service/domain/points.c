// The rules of points. All legs are judged before one is posted.
#include "domain/points.h"

static enum rc judge_give(struct view *view, size_t leg, int64_t points)
{
    view->refusing_leg = leg;
    return view->counters[view->legs[leg]].remaining < points ? RC_NOT_ENOUGH_POINTS : RC_OK;
}

static enum rc judge_take(struct view *view, size_t leg, int64_t points)
{
    view->refusing_leg = leg;
    return view->counters[view->legs[leg]].remaining > REMAINING_MAX - points ? RC_INVALID_FIELD
                                                                              : RC_OK;
}

enum rc points_earn(struct view *view, struct operation *operation)
{
    enum rc rc = judge_take(view, 0, operation->leg.amount);
    if (rc == RC_OK)
        view_post_leg(view, 0, operation->leg.amount);
    return rc;
}

enum rc points_earn_for_order(struct view *view, struct operation *operation)
{
    if (view_is_used_up(view))
        return RC_ALREADY_EARNED;
    enum rc rc = points_earn(view, operation);
    if (rc == RC_OK)
        ++*view->used;
    return rc;
}

enum rc points_spend(struct view *view, struct operation *operation)
{
    enum rc rc = judge_give(view, 0, operation->leg.amount);
    if (rc == RC_OK)
        view_post_leg(view, 0, -operation->leg.amount);
    return rc;
}

enum rc points_transfer(struct view *view, struct operation *operation)
{
    int64_t points = operation->leg.amount;
    enum rc rc = judge_give(view, 0, points);
    if (rc == RC_OK)
        rc = judge_take(view, 1, points);
    if (rc != RC_OK)
        return rc;
    view->refusing_leg = 0;
    view_post_leg(view, 0, -points);
    view_post_leg(view, 1, points);
    return RC_OK;
}
