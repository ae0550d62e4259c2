// Which kinds have facts.
#include "engine/facts/facts.h"

#include <stdlib.h>

const struct facts *const kind_facts[OPERATION_KIND_COUNT] = {
    [OPERATION_ISSUE] = &coupon_facts,
    [OPERATION_DRAW] = &draw_facts,
    [OPERATION_EARN_FOR_ORDER] = &earn_facts,
    [OPERATION_RESERVE] = &reserve_facts,
    [OPERATION_RESERVE_LIMITED] = &reserve_limited_facts,
    [OPERATION_EXTEND] = &extend_facts,
    [OPERATION_CONFIRM] = &resolve_facts,
    [OPERATION_RELEASE] = &resolve_facts,
    [OPERATION_EXPIRE] = &resolve_facts,
    [OPERATION_REDEEM] = &redeem_facts,
    [OPERATION_ROLLBACK] = &rollback_facts,
    [OPERATION_ORDER] = &order_facts,
    [OPERATION_ORDER_WITH_CODE] = &order_facts,
    [OPERATION_ORDER_RESERVED] = &order_reserved_facts,
    [OPERATION_CANCEL] = &refund_facts,
    [OPERATION_REFUND] = &refund_facts,
};

void root_facts_release(struct root_facts *facts)
{
    free(facts->lottery);
    free(facts->children);
    *facts = (struct root_facts){0};
}
