// The legs of an order's operation.
#include "http/api/basket.h"

#include "http/call.h"

struct basket *basket_new(struct call *call)
{
    struct basket *basket = call_input(call, sizeof *basket);
    if (basket == NULL)
        return NULL;
    call->operation.more = basket->more;
    call->job.more_links = basket->links;
    return basket;
}

struct leg *basket_add(struct call *call, const char *noun, const char *id)
{
    struct basket *basket = call->input;
    struct operation *operation = &call->operation;
    operation->n_more = basket->n;
    struct leg *leg = operation_leg(operation, basket->n++);
    *leg = (struct leg){.amount = 0};
    text_format(leg->counter, sizeof leg->counter, "%s/%s", noun, id);
    return leg;
}

void basket_clear(struct call *call)
{
    struct basket *basket = call->input;
    basket->n = call->operation.n_more = 0;
}
