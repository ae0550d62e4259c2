// Orders: placed and read. With a code or a reservation, a worker first finds the code's terms, the
// prices and the holds, and makes the legs of the operation. Then the engine takes everything or
// nothing. Without a code the prices are found just before the order is decided.
//
// Terms are those of the moment at which the worker found them, just before the operation. What
// must not be taken twice (stock, points, uses of a code, the order's id) is a counter, and is
// decided inside the transaction.
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

// An order without an id gets one from its key, so that a retry names the same order.
static void name_order(const char *key, char ret_id[ID_MAX + 1])
{
    uint64_t entropy[ENTROPY_WORDS] = {text_hash_text(TEXT_HASH_START, key)};
    char id[RANDOM_ID_MAX + 1];
    entropy[1] = text_hash_text(entropy[0], key);
    reservation_id(entropy, id);
    text_copy(ret_id, ID_MAX + 1, id);
}

static uint64_t intent_of(const struct basket *basket)
{
    uint64_t intent = text_hash_text(TEXT_HASH_START, basket->order.id);
    intent = text_hash_text(intent, basket->order.user_id);
    intent = text_hash_text(intent, basket->code);
    intent = text_hash_text(intent, basket->reservation_id);
    intent = text_hash_int(intent, basket->points);
    intent = text_hash_int(intent, basket->points_earn);
    for (size_t i = 0; i < basket->lines.n; i++) {
        const struct line *line = &basket->lines.lines[i];
        intent = text_hash_text(intent, line->sku);
        intent = text_hash_int(intent, line->quantity);
    }
    return intent | 1;
}

static void add_line(struct call *call, const struct line *wanted)
{
    struct basket *basket = call->input;
    struct leg *leg = basket_add(call, "stock", wanted->sku);
    leg->refusal = RC_OUT_OF_STOCK;
    leg->amount = -wanted->quantity;
    struct order_line *line = &basket->order.lines[basket->order.n_lines++];
    *line = (struct order_line){.quantity = wanted->quantity};
    text_copy(line->sku, sizeof line->sku, wanted->sku);
}

static enum rc find_reservation(struct call *call, struct db *db, struct lines *ret_held)
{
    struct basket *basket = call->input;
    struct reservation *reservation = &basket->reservation;
    int64_t now_ms;
    if (basket->reservation_id[0] == '\0')
        return RC_OK;
    enum rc rc = reservation_get(db, basket->reservation_id, reservation, &now_ms);
    bool foreign = rc == RC_OK && reservation->user_id[0] != '\0' &&
                   strcmp(reservation->user_id, basket->order.user_id) != 0;
    if (rc == RC_NOT_FOUND || foreign)
        return problem_set(&call->problem, RC_NOT_FOUND, "This user has no such reservation.");
    if (rc != RC_OK)
        return rc;
    lines_split(reservation->items, ret_held);
    call->operation.reservation = reservation->id;
    text_copy(basket->order.reservation, sizeof basket->order.reservation, reservation->id);
    return RC_OK;
}

// A hold serves the line of its product. Without such a line all of it goes back to the stock.
static void add_hold(struct call *call, const struct lines *wanted, const char *sku, size_t number)
{
    struct basket *basket = call->input;
    size_t line = lines_find(wanted, sku);
    struct leg *leg = line != SIZE_MAX ? operation_leg(&call->operation, 1 + line)
                                       : basket_add(call, "stock", sku);
    hold_name(basket->holds[number], sku, basket->reservation.id, number);
    leg->child = basket->holds[number];
    leg->amount = -leg->amount; // of a hold: what is sold
}

static enum rc add_lines(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    struct lines held = {.n = 0};
    enum rc rc = find_reservation(call, db, &held);
    if (rc != RC_OK)
        return rc;
    const struct lines *wanted = basket->lines.n > 0 ? &basket->lines : &held;
    size_t n_products = wanted->n;
    for (size_t i = 0; i < held.n; i++)
        n_products += lines_find(wanted, held.lines[i].sku) == SIZE_MAX;
    if (n_products > ORDER_LINES_MAX)
        return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                             "at most %d products, together with those of the reservation",
                             ORDER_LINES_MAX);
    for (size_t i = 0; i < wanted->n; i++)
        add_line(call, &wanted->lines[i]);
    for (size_t i = 0; i < held.n; i++)
        add_hold(call, wanted, held.lines[i].sku, i);
    return RC_OK;
}

// ret_priced: every line has a price.
static enum rc find_prices(struct call *call, struct db *db, bool *ret_priced)
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
    if (rc == RC_OK)
        *ret_priced = order_price(&call->operation);
    return rc;
}

static enum rc add_code(struct call *call, struct db *db)
{
    struct basket *basket = call->input;
    struct order *order = &basket->order;
    struct code code;
    bool priced = false;
    enum rc rc = find_prices(call, db, &priced);
    if (rc == RC_OK)
        rc = code_get(db, basket->code, &code);
    if (rc == RC_NOT_FOUND || (rc == RC_OK && strcmp(code.user_id, order->user_id) != 0))
        return problem_set(&call->problem, RC_NOT_FOUND, "This user has no such code.");
    if (rc != RC_OK)
        return rc;
    order->discount_cents = terms_discount(&code.terms, order->subtotal_cents);
    text_copy(order->code, sizeof order->code, code.code);
    order->code_leg = basket->n;
    struct leg *leg = basket_add(call, "code", code.code);
    leg->may_create = true;
    leg->opening = code.terms.uses_per_code;
    leg->amount = -1;
    leg->barred = priced && !terms_allow(&code.terms, order->subtotal_cents, code.now_ms);
    leg->refusal = leg->barred ? RC_COUPON_NOT_REDEEMABLE : RC_COUPON_REDEEMED;
    return RC_OK;
}

// Makes the legs. The database is read for a reservation or a code only; prices that are needed for
// nothing else are found by the worker that runs the order, for all orders of its batch at once.
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
    text_format(call->location, sizeof call->location, "/v1/orders/%s", basket->order.id);
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
    json_write_open(&call->reply, NULL, '{');
    write_order(&call->reply, order);
    json_write_int(&call->reply, "version", version);
    json_write_close(&call->reply, '}');
    return call_answer_version(call, version);
}
