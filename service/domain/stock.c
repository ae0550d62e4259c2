// The rule of stock: never below zero. A refusal reports the stock that it has seen.
#include "domain/stock.h"

enum rc stock_deduct(struct view *view, struct operation *operation)
{
    if (view->counters[view->root].remaining < operation->quantity)
        return RC_OUT_OF_STOCK;
    view_post(view, view->root, -operation->quantity);
    return RC_OK;
}

enum rc stock_restock(struct view *view, struct operation *operation)
{
    if (view->counters[view->root].remaining > REMAINING_MAX - operation->quantity)
        return RC_INVALID_FIELD;
    view_post(view, view->root, operation->quantity);
    return RC_OK;
}
