// The table of kinds, and the part of a decision that all of them share.
#include "domain/kinds.h"

#include "domain/coupon.h"
#include "domain/lottery.h"
#include "domain/movement.h"
#include "domain/points.h"
#include "domain/reservation.h"
#include "domain/stock.h"

const struct kind kinds[OPERATION_KIND_COUNT] = {
    [OPERATION_DEDUCT] = {"deduct", ENDPOINT_STOCK, .blind = true, stock_deduct},
    [OPERATION_RESTOCK] = {"restock", ENDPOINT_STOCK, .blind = true, stock_restock},
    [OPERATION_ISSUE] = {"issue", ENDPOINT_COUPON, .blind = false, coupon_issue},
    [OPERATION_DRAW] = {"draw", ENDPOINT_LOTTERY, .blind = false, lottery_draw},
    [OPERATION_EARN] = {"earn", ENDPOINT_POINTS, .blind = true, points_earn},
    [OPERATION_EARN_FOR_ORDER] = {"earn", ENDPOINT_POINTS, .blind = false, points_earn_for_order},
    [OPERATION_SPEND] = {"spend", ENDPOINT_POINTS, .blind = true, points_spend},
    [OPERATION_TRANSFER] = {"transfer", ENDPOINT_POINTS, .blind = true, points_transfer},
    [OPERATION_RESERVE] = {"reserve", ENDPOINT_RESERVATION, .blind = true, reservation_reserve,
                           .opens = true},
    [OPERATION_RESERVE_LIMITED] = {"reserve", ENDPOINT_RESERVATION, .blind = false,
                                   reservation_reserve_limited, .opens = true},
    [OPERATION_EXTEND] = {"extend", ENDPOINT_RESERVATION, .blind = false, reservation_extend},
    [OPERATION_CONFIRM] = {"confirm", ENDPOINT_RESERVATION, .blind = false, movement_decide},
    [OPERATION_RELEASE] = {"release", ENDPOINT_RESERVATION, .blind = false, movement_decide},
    [OPERATION_EXPIRE] = {"expire", ENDPOINT_RESERVATION, .blind = false, reservation_expire},
    [OPERATION_EXPIRE_DUE] = {"expire-due", ENDPOINT_RESERVATION, .blind = false,
                              reservation_expire_due},
    [OPERATION_REDEEM] = {"redeem", ENDPOINT_COUPON, .blind = false, movement_decide},
    [OPERATION_ROLLBACK] = {"rollback", ENDPOINT_COUPON, .blind = false, movement_decide},
    [OPERATION_ORDER] = {"order", ENDPOINT_ORDER, .blind = true, movement_decide},
    [OPERATION_ORDER_WITH_CODE] = {"order", ENDPOINT_ORDER, .blind = false, movement_decide},
    [OPERATION_ORDER_RESERVED] = {"order", ENDPOINT_ORDER, .blind = false, movement_decide},
    [OPERATION_CANCEL] = {"cancel", ENDPOINT_ORDER, .blind = false, movement_decide},
    [OPERATION_REFUND] = {"refund", ENDPOINT_ORDER, .blind = false, movement_decide},
};

static enum rc find_counters(struct view *view, struct operation *operation)
{
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        bool exists = view->counters[view->legs[i]].version != 0;
        if (!exists && !operation_leg(operation, i)->may_create) {
            view->refusing_leg = i;
            operation_leg(operation, i)->refused = true;
            return RC_NOT_FOUND;
        }
    }
    return RC_OK;
}

enum rc operation_decide(struct view *view, struct operation *operation)
{
    struct outcome *outcome = &operation->outcome;
    view->n_postings = view->refusing_leg = 0;
    view->used_up = view->expire_first = false;
    outcome->state = NULL;
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        operation_leg(operation, i)->refused = false;
        operation_leg(operation, i)->next_release_ms = 0;
    }
    outcome->rc = find_counters(view, operation);
    if (outcome->rc == RC_OK)
        outcome->rc = kinds[operation->kind].decide(view, operation);
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct counter *counter = &view->counters[view->legs[i]];
        struct leg *leg = operation_leg(operation, i);
        leg->remaining = counter->remaining;
        leg->version = counter->version;
    }
    outcome->remaining = operation_leg(operation, view->refusing_leg)->remaining;
    outcome->version = operation_leg(operation, view->refusing_leg)->version;
    return outcome->rc;
}
