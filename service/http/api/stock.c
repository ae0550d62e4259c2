// Stock: the products' counters. Deducting and restocking are operations; putting, getting and
// listing run on a worker with its connection.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/api/page.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/product.h"

#include <string.h>

// 50 lines of QUANTITY_MAX units at this price are still a number of 64 bits.
#define PRICE_MAX INT64_C(100000000000)

static enum rc prepare_change(struct call *call, enum operation_kind kind)
{
    struct operation *operation = &call->operation;
    operation->kind = kind;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "stock/%s", call->id);
    const struct field fields[] = {
        {"quantity", FIELD_INT, true, 1, QUANTITY_MAX, &operation->leg.amount},
        {"user_id", FIELD_VISIBLE, false, 1, USER_ID_MAX, operation->user_id},
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, operation->order_id},
    };
    size_t n_fields = kind == OPERATION_DEDUCT ? ARRAY_LENGTH(fields) : 1;
    return body_decode(call->body.data, call->body.length, fields, n_fields, &call->problem);
}

enum rc stock_deduct_prepare(struct call *call)
{
    return prepare_change(call, OPERATION_DEDUCT);
}

enum rc stock_restock_prepare(struct call *call)
{
    return prepare_change(call, OPERATION_RESTOCK);
}

void stock_change_answer(struct call *call)
{
    const struct operation *operation = &call->operation;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "sku", call->id);
    json_write_int(&call->reply, "quantity", operation->leg.amount);
    json_write_int(&call->reply, "remaining", operation->outcome.remaining);
    json_write_int(&call->reply, "version", operation->outcome.version);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

// holds: NULL to leave them out.
static void write_product(struct buffer *out, const struct product *product,
                          const struct product_holds *holds)
{
    json_write_open(out, NULL, '{');
    json_write_text(out, "sku", product->sku);
    json_write_text_or_null(out, "title", product->title);
    if (product->price_cents == PRICE_NONE)
        json_write_null(out, "price_cents");
    else
        json_write_int(out, "price_cents", product->price_cents);
    json_write_int(out, "remaining", product->remaining);
    json_write_int(out, "version", product->version);
    if (holds != NULL)
        json_write_int(out, "reserved", holds->reserved);
    if (holds != NULL && holds->next_release_ms != 0)
        json_write_int(out, "next_release_at_ms", holds->next_release_ms);
    json_write_close(out, '}');
}

static enum rc prepare_put(struct call *call, bool with_quantity)
{
    struct product *put = call_input(call, sizeof *put);
    if (put == NULL)
        return call->problem.rc;
    text_copy(put->sku, sizeof put->sku, call->id);
    put->price_cents = PRICE_NONE;
    put->remaining = REMAINING_KEPT;
    const struct field fields[] = {
        {"title", FIELD_TEXT, false, 1, PRODUCT_TITLE_MAX, put->title},
        {"price_cents", FIELD_INT, false, 0, PRICE_MAX, &put->price_cents},
        {"quantity", FIELD_INT, false, 0, REMAINING_MAX, &put->remaining},
    };
    return body_decode(call->body.data, call->body.length, fields,
                       ARRAY_LENGTH(fields) - (with_quantity ? 0 : 1), &call->problem);
}

enum rc stock_put_prepare(struct call *call)
{
    return prepare_put(call, true);
}

enum rc stock_patch_prepare(struct call *call)
{
    enum rc rc = prepare_put(call, false);
    const struct product *put = call->input;
    if (rc == RC_OK && put->title[0] == '\0' && put->price_cents == PRICE_NONE)
        return problem_set(&call->problem, RC_INVALID_FIELD,
                           "Send `title`, `price_cents` or both; nothing else can be patched.");
    return rc;
}

enum rc stock_put_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct product product = {0};
    bool created = false;
    enum rc rc = product_put(db, call->input, &call->precondition, &created, &product);
    if (rc == RC_NOT_FOUND && call->method == METHOD_PUT)
        return problem_field(&call->problem, RC_INVALID_FIELD, "quantity",
                             "an integer from 0 to %lld, because the product does not exist yet",
                             (long long)REMAINING_MAX);
    if (rc != RC_OK)
        return rc;
    call->status = created ? 201 : 200;
    write_product(&call->reply, &product, NULL);
    return RC_OK;
}

enum rc stock_get_prepare(struct call *call)
{
    const char *include = call_parameter(call, "include");
    if (include != NULL && strcmp(include, "reserved") != 0)
        return problem_field(&call->problem, RC_INVALID_FIELD, "include", "reserved");
    return RC_OK;
}

// The version that is answered has no hold that is due: such holds expire first.
enum rc stock_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct product product = {0};
    struct product_holds holds;
    bool add_up = call_parameter(call, "include") != NULL;
    enum rc rc = product_get_with_holds(db, call->id, add_up, &product, &holds);
    if (rc != RC_OK)
        return rc;
    if (holds.due && call_expire_due(call)) {
        struct leg *leg = &call->operation.leg;
        text_format(leg->counter, sizeof leg->counter, "stock/%s", call->id);
        return RC_OK;
    }
    write_product(&call->reply, &product, add_up ? &holds : NULL);
    return call_answer_version(call, product.version);
}

static enum rc on_product(void *arg, const struct product *product)
{
    struct page *page = arg;
    page_add(page, product->sku);
    write_product(page->out, product, NULL);
    return RC_OK;
}

static enum rc read_page(struct db *db, struct page *page)
{
    return product_page(db, page->after, page->limit, on_product, page);
}

enum rc stock_list_run(struct job *job, struct db *db)
{
    return page_run(job, db, read_page);
}
