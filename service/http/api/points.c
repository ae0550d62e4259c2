// Loyalty points: a user's account is the counter points/USER, which begins with its first points.
// Earning, spending and transferring are operations; getting runs on a worker.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/counter.h"

#include <string.h>

static void name_account(struct leg *leg, const char *user)
{
    text_format(leg->counter, sizeof leg->counter, "points/%s", user);
}

static enum rc prepare_change(struct call *call, enum operation_kind kind)
{
    struct operation *operation = &call->operation;
    operation->kind = kind;
    operation->leg.may_create = kind == OPERATION_EARN;
    name_account(&operation->leg, call->id);
    text_copy(operation->user_id, sizeof operation->user_id, call->id);
    const struct field fields[] = {
        {"points", FIELD_INT, true, 1, QUANTITY_MAX, &operation->leg.amount},
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, operation->order_id},
    };
    return body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                       &call->problem);
}

enum rc points_earn_prepare(struct call *call)
{
    enum rc rc = prepare_change(call, OPERATION_EARN);
    if (call->operation.order_id[0] != '\0')
        call->operation.kind = OPERATION_EARN_FOR_ORDER;
    return rc;
}

enum rc points_spend_prepare(struct call *call)
{
    return prepare_change(call, OPERATION_SPEND);
}

void points_change_answer(struct call *call)
{
    const struct operation *operation = &call->operation;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "user_id", call->id);
    json_write_int(&call->reply, "points", operation->leg.amount);
    json_write_int(&call->reply, "remaining", operation->outcome.remaining);
    json_write_int(&call->reply, "version", operation->outcome.version);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

// What a transfer needs besides the call's operation and job.
struct transfer {
    char from[ID_MAX + 1], to[ID_MAX + 1];
    struct leg leg;
    struct job_link link;
};

enum rc points_transfer_prepare(struct call *call)
{
    struct transfer *transfer = call_input(call, sizeof *transfer);
    if (transfer == NULL)
        return call->problem.rc;
    struct operation *operation = &call->operation;
    const struct field fields[] = {
        {"from", FIELD_ID, true, 0, 0, transfer->from},
        {"to", FIELD_ID, true, 0, 0, transfer->to},
        {"points", FIELD_INT, true, 1, QUANTITY_MAX, &operation->leg.amount},
    };
    enum rc rc = body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                             &call->problem);
    if (rc != RC_OK)
        return rc;
    if (strcmp(transfer->from, transfer->to) == 0)
        return problem_field(&call->problem, RC_INVALID_FIELD, "to", "another user than `from`");
    operation->kind = OPERATION_TRANSFER;
    operation->more = &transfer->leg;
    operation->n_more = 1;
    call->job.more_links = &transfer->link;
    text_copy(operation->user_id, sizeof operation->user_id, transfer->from);
    name_account(&operation->leg, transfer->from);
    name_account(&transfer->leg, transfer->to);
    transfer->leg.amount = operation->leg.amount;
    transfer->leg.may_create = true;
    return RC_OK;
}

void points_transfer_answer(struct call *call)
{
    struct operation *operation = &call->operation;
    const struct transfer *transfer = call->input;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "from", transfer->from);
    json_write_text(&call->reply, "to", transfer->to);
    json_write_int(&call->reply, "points", operation->leg.amount);
    json_write_open(&call->reply, "legs", '[');
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct leg *leg = operation_leg(operation, i);
        json_write_open(&call->reply, NULL, '{');
        json_write_text(&call->reply, "counter", leg->counter);
        json_write_int(&call->reply, "remaining", leg->remaining);
        json_write_int(&call->reply, "version", leg->version);
        json_write_close(&call->reply, '}');
    }
    json_write_close(&call->reply, ']');
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

enum rc points_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct counter account = {0};
    int64_t now_ms;
    text_format(account.name, sizeof account.name, "points/%s", call->id);
    enum rc rc = counter_load(db, &account, 1, false, &now_ms);
    if (rc != RC_OK)
        return rc;
    if (account.version == 0)
        return RC_NOT_FOUND;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "user_id", call->id);
    json_write_int(&call->reply, "points", account.remaining);
    json_write_int(&call->reply, "version", account.version);
    json_write_close(&call->reply, '}');
    return call_answer_version(call, account.version);
}
