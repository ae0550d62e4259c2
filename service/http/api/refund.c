// Cancellations and refunds of orders. A worker first reads the order and makes the legs that give
// back; then the engine gives back everything or nothing, if the order has not changed since.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/api/basket.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/order.h"

#include <string.h>

static uint64_t refund_intent(const struct call *call)
{
    const struct basket *basket = call->input;
    uint64_t intent = text_hash_text(TEXT_HASH_START, call->id);
    intent = text_hash_int(intent, basket->points);
    for (size_t i = 0; i < ORDER_LINES_MAX; i++)
        intent = text_hash_int(intent, basket->refund_lines[i]);
    for (size_t i = 0; i < ORDER_LINES_MAX; i++)
        intent = text_hash_int(intent, basket->restock_lines[i]);
    intent = text_hash(intent, &basket->give_code_back, sizeof basket->give_code_back);
    return intent | 1;
}

static enum rc prepare_refund(struct call *call, enum operation_kind kind)
{
    struct basket *basket = call->input;
    call->operation.kind = kind;
    call->operation.record = &basket->refund;
    call->operation.intent = refund_intent(call);
    text_copy(call->operation.order_id, sizeof call->operation.order_id, call->id);
    basket->refund.order = &basket->order;
    text_copy(basket->refund.reason, sizeof basket->refund.reason, basket->reason);
    return RC_OK;
}

enum rc order_cancel_prepare(struct call *call)
{
    struct basket *basket = basket_new(call);
    if (basket == NULL)
        return call->problem.rc;
    const struct field fields[] = {
        {"reason", FIELD_TEXT, false, 1, sizeof basket->reason - 1, basket->reason},
    };
    enum rc rc = body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                             &call->problem);
    return rc == RC_OK ? prepare_refund(call, OPERATION_CANCEL) : rc;
}

static enum rc read_refund_line(struct call *call, const json_t *item, size_t i)
{
    struct basket *basket = call->input;
    int64_t line = 0, quantity = 0;
    bool restock = false;
    const struct field fields[] = {
        {"line", FIELD_INT, true, 0, ORDER_LINES_MAX - 1, &line},
        {"quantity", FIELD_INT, true, 1, REMAINING_MAX, &quantity},
        {"restock", FIELD_BOOL, false, 0, 0, &restock},
    };
    char where[32];
    text_format(where, sizeof where, "lines[%zu]", i);
    if (!json_is_object(item))
        return problem_field(&call->problem, RC_INVALID_FIELD, where, "an object");
    text_format(where, sizeof where, "lines[%zu].", i);
    enum rc rc = body_read(item, where, fields, ARRAY_LENGTH(fields), &call->problem);
    if (rc != RC_OK)
        return rc;
    basket->refund_lines[line] += quantity;
    basket->restock_lines[line] += restock ? quantity : 0;
    return RC_OK;
}

enum rc order_refund_prepare(struct call *call)
{
    struct basket *basket = basket_new(call);
    if (basket == NULL)
        return call->problem.rc;
    json_t *lines = NULL, *object = NULL;
    const struct field fields[] = {
        {"lines", FIELD_LIST, false, 1, ORDER_LINES_MAX, &lines},
        {"points", FIELD_INT, false, 1, QUANTITY_MAX, &basket->points},
        {"code", FIELD_BOOL, false, 0, 0, &basket->give_code_back},
        {"reason", FIELD_TEXT, false, 1, sizeof basket->reason - 1, basket->reason},
    };
    enum rc rc = body_parse(call->body.data, call->body.length, &object, &call->problem);
    if (rc != RC_OK)
        return rc;
    rc = body_read(object, "", fields, ARRAY_LENGTH(fields), &call->problem);
    for (size_t i = 0; rc == RC_OK && i < json_array_size(lines); i++)
        rc = read_refund_line(call, json_array_get(lines, i), i);
    json_decref(object);
    if (rc == RC_OK && lines == NULL && basket->points == 0 && !basket->give_code_back)
        return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                             "given, or `points` or `code`: something to refund");
    return rc == RC_OK ? prepare_refund(call, OPERATION_REFUND) : rc;
}

// Moves what is refunded of a line from the order; a cancellation restocks all that is left.
static enum rc refund_line(struct call *call, size_t i, bool cancels)
{
    struct basket *basket = call->input;
    struct order_line *line = &basket->order.lines[i];
    int64_t left = line->quantity - line->refunded;
    int64_t units = cancels ? left : basket->refund_lines[i];
    int64_t restocked = cancels ? left : basket->restock_lines[i];
    if (units > left)
        return RC_REFUND_EXCEEDS_ORDER;
    line->refunded += units;
    call->operation.leg.amount -= units;
    if (restocked > 0) {
        struct leg *leg = basket_add(call, "stock", line->sku);
        leg->amount = restocked;
    }
    basket->refund.refunded_cents += units * line->price_cents;
    return RC_OK;
}

// Earned points go back in proportion to the units, and all of them with the last unit.
static void refund_points(struct call *call, int64_t returned)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    struct refund *refund = &basket->refund;
    int64_t units = order_units(order);
    int64_t due = share_of(order->points_earned, units - order_units_left(order), units);
    refund->points_returned = returned;
    refund->points_wanted = due - basket->points_due_before;
    order->points_returned += returned;
    if (returned == 0 && refund->points_wanted == 0)
        return;
    struct leg *leg = basket_add(call, "points", order->user_id);
    leg->may_create = leg->partial = true;
    leg->amount = returned - refund->points_wanted;
}

static void return_code(struct call *call)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    if (order->redemption == 0 || order->code_returned)
        return;
    order->code_returned = true;
    struct leg *leg = basket_add(call, "code", order->code);
    leg->amount = 1;
}

static enum rc make_refund(struct call *call, bool cancels)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    struct refund *refund = &basket->refund;
    int64_t units = order_units(order), spent_left = order->points_spent - order->points_returned;
    int64_t returned = cancels ? spent_left : basket->points;
    basket->points_due_before =
        share_of(order->points_earned, units - order_units_left(order), units);
    refund->refunded_cents = refund->points_taken = 0;
    if (order->state == ORDER_REFUNDED || order->state == ORDER_CANCELLED)
        return RC_ORDER_CLOSED;
    enum rc rc = returned > spent_left ? RC_REFUND_EXCEEDS_ORDER : RC_OK;
    for (size_t i = 0; i < ORDER_LINES_MAX && rc == RC_OK; i++) {
        if (i < order->n_lines)
            rc = refund_line(call, i, cancels);
        else if (basket->refund_lines[i] > 0)
            rc = RC_REFUND_EXCEEDS_ORDER;
    }
    if (rc != RC_OK)
        return rc;
    int64_t total = order->subtotal_cents - order->discount_cents;
    refund->refunded_cents = share_of(total, refund->refunded_cents, order->subtotal_cents);
    if (order_units_left(order) == 0) // cents that were rounded off come with the last unit
        refund->refunded_cents = total - order->refunded_cents;
    order->refunded_cents += refund->refunded_cents;
    refund_points(call, returned);
    if (cancels || basket->give_code_back)
        return_code(call);
    order->state = cancels                        ? ORDER_CANCELLED
                   : order_units_left(order) == 0 ? ORDER_REFUNDED
                                                  : ORDER_PARTIALLY_REFUNDED;
    return RC_OK;
}

enum rc order_refund_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct basket *basket = call->input;
    int64_t version;
    basket_clear(call);
    enum rc rc = order_get(db, call->id, &basket->order, &version);
    if (rc != RC_OK)
        return rc;
    struct leg *own = basket_add(call, "order", call->id);
    own->demanded_version = version; // else what was found is out of date, and is found again
    text_copy(call->operation.user_id, sizeof call->operation.user_id, basket->order.user_id);
    own->refusal = make_refund(call, call->operation.kind == OPERATION_CANCEL);
    own->barred = own->refusal != RC_OK;
    return RC_OK;
}

void order_refund_answer(struct call *call)
{
    const struct basket *basket = call->input;
    const struct refund *refund = &basket->refund;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "order_id", call->id);
    json_write_int(&call->reply, "refunded_cents", refund->refunded_cents);
    json_write_int(&call->reply, "points_returned", refund->points_returned);
    json_write_int(&call->reply, "points_taken", refund->points_taken);
    json_write_int(&call->reply, "points_short", refund->points_wanted - refund->points_taken);
    legs_write(&call->reply, &call->operation);
    json_write_text(&call->reply, "strategy", call->operation.outcome.strategy);
    json_write_close(&call->reply, '}');
}
