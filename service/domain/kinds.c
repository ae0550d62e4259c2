// The table of kinds, and the part of a decision that all of them share.
#include "domain/kinds.h"

#include "domain/coupon.h"
#include "domain/lottery.h"
#include "domain/stock.h"

const struct kind kinds[OPERATION_KIND_COUNT] = {
    [OPERATION_DEDUCT] = {"deduct", ENDPOINT_STOCK, .blind = true, stock_deduct},
    [OPERATION_RESTOCK] = {"restock", ENDPOINT_STOCK, .blind = true, stock_restock},
    [OPERATION_ISSUE] = {"issue", ENDPOINT_COUPON, .blind = false, coupon_issue},
    [OPERATION_DRAW] = {"draw", ENDPOINT_LOTTERY, .blind = false, lottery_draw},
};

enum rc operation_decide(struct view *view, struct operation *operation)
{
    const struct counter *root = &view->counters[view->root];
    struct outcome *outcome = &operation->outcome;
    outcome->rc =
        root->version == 0 ? RC_NOT_FOUND : kinds[operation->kind].decide(view, operation);
    outcome->remaining = root->remaining;
    outcome->version = root->version;
    return outcome->rc;
}
