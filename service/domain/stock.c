// The rule of stock: never below zero. A refusal reports the stock that it has seen.
#include "domain/stock.h"

enum rc stock_deduct(struct view *view, struct operation *operation)
{
    if (view->counters[view->legs[0]].remaining < operation->leg.amount)
        return RC_OUT_OF_STOCK;
    view_post_leg(view, 0, -operation->leg.amount);
    return RC_OK;
}

enum rc stock_restock(struct view *view, struct operation *operation)
{
    if (view->counters[view->legs[0]].remaining > REMAINING_MAX - operation->leg.amount)
        return RC_INVALID_FIELD;
    view_post_leg(view, 0, operation->leg.amount);
    return RC_OK;
}
