// The rule of `buy`. All legs are judged before one is posted.
#include "buy.h"

enum rc buy(struct view *view, struct operation *operation)
{
    int64_t units = operation->leg.amount, points = operation->more[0].amount;
    if (view->counters[view->legs[0]].remaining < units)
        return RC_OUT_OF_STOCK;
    view->refusing_leg = 1;
    if (view->counters[view->legs[1]].remaining < points)
        return RC_NOT_ENOUGH_POINTS;
    view->refusing_leg = 0;
    view_post_leg(view, 0, -units);
    view_post_leg(view, 1, -points);
    return RC_OK;
}
