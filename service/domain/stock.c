// The rule of stock: never below zero. A refusal reports the stock that it has seen.
#include "domain/stock.h"

enum rc stock_judge(struct view *view, struct operation *operation)
{
    for (size_t i = operation_n_legs(operation); i-- > 0;) {
        struct leg *leg = operation_leg(operation, i);
        if (view->counters[view->legs[i]].remaining >= leg->amount)
            continue;
        leg->refused = view->expire_first = true;
        view->refusing_leg = i;
    }
    return view->expire_first ? RC_OUT_OF_STOCK : RC_OK;
}

enum rc stock_deduct(struct view *view, struct operation *operation)
{
    enum rc rc = stock_judge(view, operation);
    if (rc == RC_OK)
        view_post_leg(view, 0, -operation->leg.amount);
    return rc;
}

enum rc stock_restock(struct view *view, struct operation *operation)
{
    if (view->counters[view->legs[0]].remaining > REMAINING_MAX - operation->leg.amount)
        return RC_INVALID_FIELD;
    view_post_leg(view, 0, operation->leg.amount);
    return RC_OK;
}
