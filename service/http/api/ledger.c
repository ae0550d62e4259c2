// The ledger of one counter, a page at a time, oldest first.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/call.h"
#include "store/tables/ledger.h"

#include <string.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

struct page {
    char counter[COUNTER_NAME_MAX + 1];
    int64_t after_version, limit, count, last;
    struct buffer *out;
};

enum rc ledger_list_prepare(struct call *call)
{
    struct page *page = call_input(call, sizeof *page);
    if (page == NULL)
        return call->problem.rc;
    page->limit = PAGE_DEFAULT;
    const char *counter = call_parameter(call, "counter");
    if (counter == NULL || !counter_name_is_valid(counter))
        return problem_field(&call->problem, RC_INVALID_FIELD, "counter",
                             "a counter's name such as stock/SKU-1 or prize/WHEEL/gold");
    text_copy(page->counter, sizeof page->counter, counter);
    enum rc rc = call_int_parameter(call, "after_version", 0, INT64_MAX, &page->after_version);
    return rc == RC_OK ? call_int_parameter(call, "limit", 1, PAGE_MAX, &page->limit) : rc;
}

static enum rc on_row(void *arg, const struct ledger_row *row)
{
    struct page *page = arg;
    struct buffer *out = page->out;
    page->count++;
    page->last = row->version;
    json_write_open(out, NULL, '{');
    json_write_int(out, "version", row->version);
    json_write_int(out, "delta", row->delta);
    json_write_int(out, "remaining", row->remaining);
    json_write_text(out, "reason", row->reason);
    json_write_text_or_null(out, "request_key", row->request_key);
    json_write_int(out, "leg", row->leg);
    json_write_text_or_null(out, "user_id", row->user_id);
    json_write_text_or_null(out, "order_id", row->order_id);
    json_write_text_or_null(out, "strategy", row->strategy);
    json_write_int(out, "token", row->token);
    json_write_int(out, "created_at_ms", row->created_at_ms);
    json_write_close(out, '}');
    return RC_OK;
}

enum rc ledger_list_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct page *page = call->input;
    struct buffer *out = page->out = &call->reply;
    json_write_open(out, NULL, '{');
    json_write_text(out, "counter", page->counter);
    json_write_open(out, "rows", '[');
    enum rc rc = ledger_page(db, page->counter, page->after_version, page->limit, on_row, page);
    if (rc != RC_OK)
        return rc;
    json_write_close(out, ']');
    if (page->count == page->limit)
        json_write_int(out, "next_after_version", page->last);
    else
        json_write_null(out, "next_after_version");
    json_write_close(out, '}');
    call->status = 200;
    return RC_OK;
}
