// Stock: the products' counters. Deducting and restocking are operations; putting, getting and
// listing run on a worker with its connection.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/product.h"

#include <string.h>

#define PRICE_MAX INT64_C(1000000000000)
#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

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

static void write_product(struct buffer *out, const struct product *product)
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
    json_write_close(out, '}');
}

enum rc stock_put_prepare(struct call *call)
{
    struct product *put = call_input(call, sizeof *put);
    if (put == NULL)
        return call->problem.rc;
    text_copy(put->sku, sizeof put->sku, call->id);
    put->price_cents = PRICE_NONE;
    const struct field fields[] = {
        {"quantity", FIELD_INT, true, 0, QUANTITY_MAX, &put->remaining},
        {"title", FIELD_TEXT, false, 1, PRODUCT_TITLE_MAX, put->title},
        {"price_cents", FIELD_INT, false, 0, PRICE_MAX, &put->price_cents},
    };
    return body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                       &call->problem);
}

enum rc stock_put_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct product product = {0};
    bool created = false;
    enum rc rc = product_put(db, call->input, &created, &product);
    if (rc != RC_OK)
        return rc;
    call->status = created ? 201 : 200;
    write_product(&call->reply, &product);
    return RC_OK;
}

enum rc stock_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct product product = {0};
    enum rc rc = product_get(db, call->id, &product);
    if (rc != RC_OK)
        return rc;
    call->status = 200;
    write_product(&call->reply, &product);
    return RC_OK;
}

struct page {
    char after[ID_MAX + 1];
    int64_t limit, count;
    char last[ID_MAX + 1];
    struct buffer *out;
};

enum rc stock_list_prepare(struct call *call)
{
    struct page *page = call_input(call, sizeof *page);
    if (page == NULL)
        return call->problem.rc;
    page->limit = PAGE_DEFAULT;
    const char *after = call_parameter(call, "after");
    if (after != NULL && !id_is_valid(after, strlen(after)))
        return problem_field(&call->problem, RC_INVALID_FIELD, "after",
                             "1 to %d of A-Z a-z 0-9 . _ : -", ID_MAX);
    if (after != NULL)
        text_copy(page->after, sizeof page->after, after);
    return call_int_parameter(call, "limit", 1, PAGE_MAX, &page->limit);
}

static enum rc on_product(void *arg, const struct product *product)
{
    struct page *page = arg;
    page->count++;
    text_copy(page->last, sizeof page->last, product->sku);
    write_product(page->out, product);
    return RC_OK;
}

enum rc stock_list_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct page *page = call->input;
    page->out = &call->reply;
    json_write_open(&call->reply, NULL, '{');
    json_write_open(&call->reply, "items", '[');
    enum rc rc = product_page(db, page->after, page->limit, on_product, page);
    if (rc != RC_OK)
        return rc;
    json_write_close(&call->reply, ']');
    json_write_text_or_null(&call->reply, "next_after",
                            page->count == page->limit ? page->last : "");
    json_write_close(&call->reply, '}');
    call->status = 200;
    return RC_OK;
}
