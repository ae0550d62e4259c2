// Orders. A worker first finds prices, the code's terms and the reservation's holds, and makes the legs;
// then the engine takes everything or nothing.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "domain/reservation.h"
#include "http/api/basket.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/order.h"
#include "store/tables/product.h"

#include <stdlib.h>
#include <string.h>

// ---- place --------------------------------------------------------------------------------------

static uint64_t hash(uint64_t hash, const char *text)
{
    return text_hash(hash, text, strlen(text) + 1);
}

// An order without an id gets one from its key, so that a retry names the same order.
static void name_order(const char *key, char ret_id[ID_MAX + 1])
{
    uint64_t entropy[ENTROPY_WORDS] = {hash(TEXT_HASH_START, key)};
    char id[RANDOM_ID_MAX + 1];
    entropy[1] = hash(entropy[0], key);
    reservation_id(entropy, id);
    text_copy(ret_id, ID_MAX + 1, id);
}

static uint64_t intent_of(const struct basket *basket)
{
    uint64_t intent = hash(TEXT_HASH_START, basket->order.id);
    intent = hash(intent, basket->order.user_id);
    intent = hash(intent, basket->code);
    intent = hash(intent, basket->reservation_id);
    intent = text_hash(intent, &basket->points, sizeof basket->points);
    intent = text_hash(intent, &basket->points_earn, sizeof basket->points_earn);
    for (size_t i = 0; i < basket->lines.n; i++) {
        const struct line *line = &basket->lines.lines[i];
        intent = hash(intent, line->sku);
        intent = text_hash(intent, &line->quantity, sizeof line->quantity);
    }
    return intent | 1;
}

// A line of the order: units of one product, of which some may be held.
static struct leg *add_line(struct call *call, const char *sku, int64_t quantity)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    struct leg *leg = basket_add(call, "stock", sku);
    leg->refusal = RC_OUT_OF_STOCK;
    leg->amount = -quantity;
    struct order_line *line = &order->lines[order->n_lines++];
    *line = (struct order_line){.quantity = quantity};
    text_copy(line->sku, sizeof line->sku, sku);
    return leg;
}

static enum rc add_reserved(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    int64_t now_ms;
    enum rc rc = reservation_get(db, basket->reservation_id, &basket->reservation, &now_ms);
    if (rc == RC_NOT_FOUND)
        return problem_set(&call->problem, RC_NOT_FOUND, "There is no such reservation.");
    struct lines held = {.n = 0};
    if (rc == RC_OK)
        lines_split(basket->reservation.items, &held);
    for (size_t i = 0; i < held.n && rc == RC_OK; i++) {
        const struct line *line = &held.lines[i];
        size_t more = lines_find(&basket->lines, line->sku);
        int64_t quantity =
            line->quantity + (more != SIZE_MAX ? basket->lines.lines[more].quantity : 0);
        struct leg *leg = add_line(call, line->sku, quantity);
        hold_name(basket->holds[i], line->sku, basket->reservation.id, i);
        leg->child = basket->holds[i];
        leg->amount = quantity;
    }
    call->operation.reservation = basket->reservation.id;
    text_copy(basket->order.reservation, sizeof basket->order.reservation, basket->reservation.id);
    return rc;
}

static enum rc add_lines(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    enum rc rc = basket->reservation_id[0] != '\0' ? add_reserved(call, db) : RC_OK;
    size_t reserved = basket->order.n_lines;
    for (size_t i = 0; i < basket->lines.n && rc == RC_OK; i++) {
        const struct line *line = &basket->lines.lines[i];
        bool added = false;
        for (size_t j = 0; j < reserved && !added; j++)
            added = strcmp(basket->order.lines[j].sku, line->sku) == 0;
        if (!added && basket->order.n_lines == ORDER_LINES_MAX)
            return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                                 "at most %d products together with the reservation's",
                                 ORDER_LINES_MAX);
        if (!added)
            (void)add_line(call, line->sku, line->quantity);
    }
    return rc;
}

static enum rc find_prices(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    const char *skus[ORDER_LINES_MAX];
    int64_t prices[ORDER_LINES_MAX];
    for (size_t i = 0; i < order->n_lines; i++)
        skus[i] = order->lines[i].sku;
    enum rc rc = product_prices(db, skus, order->n_lines, prices);
    for (size_t i = 0; i < order->n_lines && rc == RC_OK; i++)
        order->lines[i].price_cents = prices[i];
    order_add_up(order);
    return rc;
}

static enum rc add_code(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    struct code code;
    enum rc rc = find_prices(call, db);
    if (rc == RC_OK)
        rc = code_get(db, basket->code, &code);
    if (rc == RC_NOT_FOUND || (rc == RC_OK && strcmp(code.user_id, order->user_id) != 0))
        return problem_set(&call->problem, RC_NOT_FOUND, "This user has no such code.");
    if (rc != RC_OK)
        return rc;
    if (!terms_allow(&code.terms, order->subtotal_cents, code.now_ms))
        call->operation.verdict = RC_COUPON_NOT_REDEEMABLE;
    order->discount_cents = terms_discount(&code.terms, order->subtotal_cents);
    text_copy(order->code, sizeof order->code, code.code);
    order->code_leg = basket->n;
    struct leg *leg = basket_add(call, "code", code.code);
    leg->may_create = true;
    leg->opening = code.terms.uses_per_code;
    leg->amount = -1;
    leg->refusal = RC_COUPON_REDEEMED;
    return RC_OK;
}

// Makes the legs. The database is read for a reservation or a code only; prices that are needed for
// nothing else are found when the order is saved.
static enum rc make_order(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    basket_clear(call);
    order->n_lines = order->code_leg = 0;
    struct leg *own =
        basket_add(call, "order", order->id); // the first: its version is the answer's
    own->may_create = own->fresh = true;
    own->refusal = RC_ORDER_EXISTS;
    enum rc rc = add_lines(call, db);
    order->unpriced = basket->code[0] == '\0';
    if (rc == RC_OK && !order->unpriced)
        rc = add_code(call, db);
    if (rc != RC_OK)
        return rc;
    call->operation.leg.amount = order_units(order);
    order->points_spent = basket->points;
    order->points_earned = basket->points_earn;
    if (basket->points == 0 && basket->points_earn == 0)
        return RC_OK;
    struct leg *points = basket_add(call, "points", order->user_id);
    points->may_create = true;
    points->amount = basket->points_earn - basket->points;
    points->at_least = basket->points;
    points->refusal = RC_NOT_ENOUGH_POINTS;
    return RC_OK;
}

enum rc order_place_prepare(struct call *call)
{
    struct basket *basket = basket_new(call);
    if (basket == NULL)
        return call->problem.rc;
    struct operation *operation = &call->operation;
    json_t *lines = NULL, *object = NULL;
    const struct field fields[] = {
        {"user_id", FIELD_VISIBLE, true, 1, USER_ID_MAX, basket->order.user_id},
        {"order_id", FIELD_ID, false, 0, 0, basket->order.id},
        {"lines", FIELD_LIST, false, 1, ORDER_LINES_MAX, &lines},
        {"code", FIELD_VISIBLE, false, 1, COUPON_CODE_MAX, basket->code},
        {"points", FIELD_INT, false, 1, QUANTITY_MAX, &basket->points},
        {"points_earn", FIELD_INT, false, 1, QUANTITY_MAX, &basket->points_earn},
        {"reservation", FIELD_ID, false, 0, 0, basket->reservation_id},
    };
    enum rc rc = body_parse(call->body.data, call->body.length, &object, &call->problem);
    if (rc != RC_OK)
        return rc;
    rc = body_read(object, "", fields, ARRAY_LENGTH(fields), &call->problem);
    if (rc == RC_OK && lines != NULL)
        rc = lines_read(call, lines, &basket->lines);
    json_decref(object);
    if (rc == RC_OK && basket->lines.n == 0 && basket->reservation_id[0] == '\0')
        return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                             "a list of 1 to %d items, if there is no reservation",
                             ORDER_LINES_MAX);
    bool points = basket->points > 0 || basket->points_earn > 0;
    if (rc == RC_OK && points && !id_is_valid(basket->order.user_id, strlen(basket->order.user_id)))
        return problem_field(&call->problem, RC_INVALID_FIELD, "user_id",
                             "an account of points: 1 to %d of A-Z a-z 0-9 . _ : -", ID_MAX);
    if (rc != RC_OK)
        return rc;
    if (basket->order.id[0] == '\0')
        name_order(operation->request_key, basket->order.id);
    text_copy(operation->user_id, sizeof operation->user_id, basket->order.user_id);
    text_copy(operation->order_id, sizeof operation->order_id, basket->order.id);
    operation->record = &basket->order;
    operation->intent = intent_of(basket);
    operation->kind = basket->reservation_id[0] != '\0' ? OPERATION_ORDER_RESERVED
                      : basket->code[0] != '\0'         ? OPERATION_ORDER_WITH_CODE
                                                        : OPERATION_ORDER;
    if (operation->kind != OPERATION_ORDER)
        return RC_OK;
    rc = make_order(call, NULL);
    call->complete = rc == RC_OK;
    return rc;
}

enum rc order_find_run(struct job *job, struct db *db)
{
    return make_order(CONTAINER_OF(job, struct call, job), db);
}

// ---- the answer ---------------------------------------------------------------------------------

static void write_order(struct buffer *out, const struct order *order)
{
    json_write_text(out, "order_id", order->id);
    json_write_text(out, "state", order_states[order->state]);
    json_write_text(out, "user_id", order->user_id);
    json_write_text_or_null(out, "reservation_id", order->reservation);
    json_write_text_or_null(out, "code", order->code);
    json_write_open(out, "lines", '[');
    for (size_t i = 0; i < order->n_lines; i++) {
        const struct order_line *line = &order->lines[i];
        json_write_open(out, NULL, '{');
        json_write_text(out, "sku", line->sku);
        json_write_int(out, "quantity", line->quantity);
        json_write_int(out, "refunded", line->refunded);
        json_write_int(out, "price_cents", line->price_cents);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_int(out, "subtotal_cents", order->subtotal_cents);
    json_write_int(out, "discount_cents", order->discount_cents);
    json_write_int(out, "total_cents", order->subtotal_cents - order->discount_cents);
    json_write_int(out, "refunded_cents", order->refunded_cents);
    json_write_int(out, "points_spent", order->points_spent);
    json_write_int(out, "points_earned", order->points_earned);
    json_write_int(out, "points_returned", order->points_returned);
    json_write_int(out, "points_taken", order->points_taken);
    json_write_int(out, "created_at_ms", order->created_at_ms);
}

void order_place_answer(struct call *call)
{
    const struct basket *basket = call->input;
    call->status = 201;
    json_write_open(&call->reply, NULL, '{');
    write_order(&call->reply, &basket->order);
    legs_write(&call->reply, &call->operation);
    json_write_text(&call->reply, "strategy", call->operation.outcome.strategy);
    json_write_close(&call->reply, '}');
}

enum rc order_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct order *order = call_input(call, sizeof *order);
    int64_t version;
    if (order == NULL)
        return call->problem.rc;
    enum rc rc = order_get(db, call->id, order, &version);
    if (rc != RC_OK)
        return rc;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    write_order(&call->reply, order);
    json_write_int(&call->reply, "version", version);
    json_write_close(&call->reply, '}');
    return RC_OK;
}

// ---- cancel and refund --------------------------------------------------------------------------

static uint64_t refund_intent(const struct call *call)
{
    const struct basket *basket = call->input;
    uint64_t intent = hash(TEXT_HASH_START, call->id);
    intent = text_hash(intent, &basket->points, sizeof basket->points);
    intent = text_hash(intent, basket->refund_lines, sizeof basket->refund_lines);
    intent = text_hash(intent, basket->restock_lines, sizeof basket->restock_lines);
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
    own->demanded_version = version;
    own->refusal = RC_REFUND_EXCEEDS_ORDER;
    text_copy(call->operation.user_id, sizeof call->operation.user_id, basket->order.user_id);
    call->operation.verdict = make_refund(call, call->operation.kind == OPERATION_CANCEL);
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
