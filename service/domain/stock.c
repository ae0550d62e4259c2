// The rule of stock: never below zero. A refusal reports the stock that it has seen.
#include "domain/stock.h"

enum rc stock_decide(struct counter *stock, struct operation *operation, struct effect *ret_effect)
{
    int64_t delta =
        operation->kind == OPERATION_DEDUCT ? -operation->quantity : operation->quantity;
    enum rc rc = RC_OK;
    if (stock->version == 0)
        rc = RC_NOT_FOUND;
    else if (stock->remaining + delta < 0)
        rc = RC_OUT_OF_STOCK;
    else if (stock->remaining + delta > REMAINING_MAX)
        rc = RC_INVALID_FIELD;
    if (rc == RC_OK) {
        stock->remaining += delta;
        stock->version++;
        *ret_effect = (struct effect){.delta = delta, .prize = NO_PRIZE};
    }
    operation->outcome.remaining = stock->remaining;
    operation->outcome.version = stock->version;
    return operation->outcome.rc = rc;
}
