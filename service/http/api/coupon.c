// Coupon campaigns. Issuing is an operation; putting and getting run on a worker.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "base/random.h"
#include "http/api/page.h"
#include "http/api/terms.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/campaign.h"

#define TOTAL_MAX INT64_C(1000000000)

enum rc coupon_issue_prepare(struct call *call)
{
    struct operation *operation = &call->operation;
    operation->kind = OPERATION_ISSUE;
    operation->leg.amount = 1;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "coupon/%s", call->id);
    random_bytes(operation->entropy, sizeof operation->entropy);
    const struct field fields[] = {
        {"user_id", FIELD_VISIBLE, true, 1, USER_ID_MAX, operation->user_id},
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, operation->order_id},
    };
    return body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                       &call->problem);
}

void coupon_issue_answer(struct call *call)
{
    const struct operation *operation = &call->operation;
    call->status = 201;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "code", operation->outcome.code);
    json_write_text(&call->reply, "campaign", call->id);
    json_write_text(&call->reply, "user_id", operation->user_id);
    json_write_int(&call->reply, "remaining", operation->outcome.remaining);
    json_write_int(&call->reply, "version", operation->outcome.version);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

static void write_campaign(struct buffer *out, const struct campaign *campaign)
{
    json_write_open(out, NULL, '{');
    json_write_text(out, "campaign", campaign->campaign);
    json_write_int(out, "total", campaign->total);
    json_write_int(out, "per_user_limit", campaign->per_user_limit);
    json_write_int(out, "issued", campaign->total - campaign->remaining);
    json_write_int(out, "remaining", campaign->remaining);
    terms_write(out, &campaign->terms);
    json_write_int(out, "version", campaign->version);
    json_write_close(out, '}');
}

enum rc coupon_put_prepare(struct call *call)
{
    struct campaign *put = call_input(call, sizeof *put);
    if (put == NULL)
        return call->problem.rc;
    text_copy(put->campaign, sizeof put->campaign, call->id);
    struct field fields[2 + TERMS_FIELDS] = {
        {"total", FIELD_INT, true, 0, TOTAL_MAX, &put->total},
        {"per_user_limit", FIELD_INT, true, 1, QUANTITY_MAX, &put->per_user_limit},
    };
    terms_fields(&put->terms, fields + 2);
    enum rc rc = body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                             &call->problem);
    return rc == RC_OK ? terms_complete(&put->terms, &call->problem) : rc;
}

enum rc coupon_put_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct campaign campaign = {0};
    bool created = false;
    enum rc rc = campaign_put(db, call->input, &call->precondition, &created, &campaign);
    if (rc == RC_INVALID_FIELD)
        return problem_field(&call->problem, rc, "total", "at least the number already issued");
    if (rc != RC_OK)
        return rc;
    call->status = created ? 201 : 200;
    write_campaign(&call->reply, &campaign);
    return RC_OK;
}

enum rc coupon_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct campaign campaign = {0};
    enum rc rc = campaign_get(db, call->id, &campaign);
    if (rc != RC_OK)
        return rc;
    write_campaign(&call->reply, &campaign);
    return call_answer_version(call, campaign.version);
}

static enum rc on_campaign(void *arg, const struct campaign *campaign)
{
    struct page *page = arg;
    page_add(page, campaign->campaign);
    write_campaign(page->out, campaign);
    return RC_OK;
}

static enum rc read_page(struct db *db, struct page *page)
{
    return campaign_page(db, page->after, page->limit, on_campaign, page);
}

enum rc coupon_list_run(struct job *job, struct db *db)
{
    return page_run(job, db, read_page);
}
