// Reads the query of a list, and writes the frame around its items. A page that is full names the
// cursor of the next one, which may turn out to be empty.
#include "http/api/page.h"

#include "base/json_write.h"
#include "http/api/handlers.h"
#include "http/call.h"

#include <string.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

enum rc page_prepare(struct call *call)
{
    struct page *page = call_input(call, sizeof *page);
    if (page == NULL)
        return call->problem.rc;
    page->call = call;
    page->limit = PAGE_DEFAULT;
    const char *after = call_parameter(call, "after");
    if (after != NULL && !id_is_valid(after, strlen(after)))
        return problem_field(&call->problem, RC_INVALID_FIELD, "after",
                             "1 to %d of A-Z a-z 0-9 . _ : -", ID_MAX);
    if (after != NULL)
        text_copy(page->after, sizeof page->after, after);
    return call_int_parameter(call, "limit", 1, PAGE_MAX, &page->limit);
}

void page_add(struct page *page, const char *id)
{
    page->count++;
    text_copy(page->last, sizeof page->last, id);
}

enum rc page_run(struct job *job, struct db *db, page_fn read)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct page *page = call->input;
    page->out = &call->reply;
    json_write_open(&call->reply, NULL, '{');
    json_write_open(&call->reply, "items", '[');
    enum rc rc = read(db, page);
    if (rc != RC_OK)
        return rc;
    json_write_close(&call->reply, ']');
    json_write_text_or_null(&call->reply, "next_after",
                            page->count == page->limit ? page->last : "");
    json_write_close(&call->reply, '}');
    call->status = 200;
    return RC_OK;
}
