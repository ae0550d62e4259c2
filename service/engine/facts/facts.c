// Which kinds have facts.
#include "engine/facts/facts.h"

#include <stdlib.h>

const struct facts *const kind_facts[OPERATION_KIND_COUNT] = {
    [OPERATION_ISSUE] = &coupon_facts,
    [OPERATION_DRAW] = &draw_facts,
    [OPERATION_EARN_FOR_ORDER] = &earn_facts,
    [OPERATION_RESERVE] = &reserve_facts,
    [OPERATION_RESERVE_LIMITED] = &reserve_limited_facts,
    [OPERATION_CONFIRM] = &resolve_facts,
    [OPERATION_RELEASE] = &resolve_facts,
    [OPERATION_EXTEND] = &extend_facts,
    [OPERATION_EXPIRE] = &resolve_facts,
};

void root_facts_release(struct root_facts *facts)
{
    free(facts->lottery);
    free(facts->children);
    *facts = (struct root_facts){0};
}
