// Coupon codes: looked up, validated, redeemed, and rolled back.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "http/api/lines.h"
#include "http/api/terms.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/order.h"

#include <string.h>

struct input {
    struct redemption redemption;
    int64_t subtotal_cents;
    struct leg more[LEGS_MAX - 1]; // a redemption has one leg; a replay brings its own
    struct job_link links[1];
};

static struct input *input_new(struct call *call)
{
    struct input *input = call_input(call, sizeof *input);
    if (input == NULL)
        return NULL;
    call->operation.more = input->more;
    call->operation.record = &input->redemption;
    return input;
}

static void name_redemption(const struct redemption *redemption, char *target, size_t size)
{
    text_format(target, size, "%s:%lld", redemption->code, (long long)redemption->version);
}

// ---- look up and validate -----------------------------------------------------------------------

enum rc code_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct code code;
    enum rc rc = code_get(db, call->id, &code);
    if (rc != RC_OK)
        return rc;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "code", code.code);
    json_write_text(&call->reply, "campaign", code.campaign);
    json_write_text(&call->reply, "user_id", code.user_id);
    json_write_int(&call->reply, "uses_left", code.uses_left);
    terms_write(&call->reply, &code.terms);
    json_write_close(&call->reply, '}');
    return RC_OK;
}

static enum rc read_code(struct call *call, struct input *input, const struct field *more,
                         size_t n_more)
{
    struct field fields[4] = {
        {"code", FIELD_VISIBLE, true, 1, COUPON_CODE_MAX, input->redemption.code},
        {"user_id", FIELD_VISIBLE, true, 1, USER_ID_MAX, input->redemption.user_id},
    };
    memcpy(fields + 2, more, n_more * sizeof *more);
    return body_decode(call->body.data, call->body.length, fields, 2 + n_more, &call->problem);
}

enum rc coupon_validate_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    input->subtotal_cents = -1;
    const struct field fields[] = {
        {"subtotal_cents", FIELD_INT, false, 0, REMAINING_MAX, &input->subtotal_cents},
    };
    return read_code(call, input, fields, ARRAY_LENGTH(fields));
}

// RC_OK, or why the code cannot be redeemed now.
static enum rc judge_code(const struct code *code, int64_t subtotal_cents)
{
    if (code->uses_left < 1)
        return RC_COUPON_REDEEMED;
    int64_t subtotal = subtotal_cents < 0 ? code->terms.min_cents : subtotal_cents;
    return terms_allow(&code->terms, subtotal, code->now_ms) ? RC_OK : RC_COUPON_NOT_REDEEMABLE;
}

enum rc coupon_validate_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    const struct input *input = call->input;
    struct code code;
    enum rc rc = code_get(db, input->redemption.code, &code);
    if (rc == RC_OK)
        rc = strcmp(code.user_id, input->redemption.user_id) == 0
                 ? judge_code(&code, input->subtotal_cents)
                 : RC_NOT_FOUND;
    bool refused = rc == RC_NOT_FOUND || rc == RC_COUPON_REDEEMED || rc == RC_COUPON_NOT_REDEEMABLE;
    if (rc != RC_OK && !refused)
        return rc;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_bool(&call->reply, "valid", rc == RC_OK);
    if (rc != RC_OK)
        json_write_text(&call->reply, "type", rc_slug(rc));
    else if (input->subtotal_cents >= 0)
        json_write_int(&call->reply, "discount_cents",
                       terms_discount(&code.terms, input->subtotal_cents));
    json_write_close(&call->reply, '}');
    return RC_OK;
}

// ---- redeem -------------------------------------------------------------------------------------

enum rc coupon_redeem_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    struct redemption *redemption = &input->redemption;
    const struct field fields[] = {
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, redemption->order_id},
    };
    enum rc rc = read_code(call, input, fields, ARRAY_LENGTH(fields));
    struct operation *operation = &call->operation;
    operation->kind = OPERATION_REDEEM;
    uint64_t intent = text_hash_text(TEXT_HASH_START, redemption->code);
    intent = text_hash_text(intent, redemption->user_id);
    operation->intent = text_hash_text(intent, redemption->order_id) | 1;
    text_copy(operation->user_id, sizeof operation->user_id, redemption->user_id);
    text_copy(operation->order_id, sizeof operation->order_id, redemption->order_id);
    return rc;
}

enum rc coupon_redeem_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    const struct input *input = call->input;
    struct operation *operation = &call->operation;
    struct code code;
    enum rc rc = code_get(db, input->redemption.code, &code);
    if (rc == RC_NOT_FOUND || (rc == RC_OK && strcmp(code.user_id, input->redemption.user_id) != 0))
        return problem_set(&call->problem, RC_NOT_FOUND, "This user has no such code.");
    if (rc != RC_OK)
        return rc;
    struct leg *leg = &operation->leg;
    text_format(leg->counter, sizeof leg->counter, "code/%s", code.code);
    leg->may_create = true;
    leg->opening = code.terms.uses_per_code;
    leg->amount = -1;
    leg->barred = !terms_allow(&code.terms, code.terms.min_cents, code.now_ms);
    leg->refusal = leg->barred ? RC_COUPON_NOT_REDEEMABLE : RC_COUPON_REDEEMED;
    return RC_OK;
}

// ---- roll back ----------------------------------------------------------------------------------

enum rc redemption_rollback_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    char reason[201];
    const struct field fields[] = {
        {"reason", FIELD_TEXT, false, 1, sizeof reason - 1, reason},
    };
    enum rc rc = body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                             &call->problem);
    const char *colon = strrchr(call->id, ':');
    if (rc != RC_OK)
        return rc;
    if (colon == NULL || (size_t)(colon - call->id) > COUPON_CODE_MAX ||
        !text_to_int64(colon + 1, &input->redemption.version))
        return RC_NOT_FOUND;
    text_format(input->redemption.code, sizeof input->redemption.code, "%.*s",
                (int)(colon - call->id), call->id);
    call->operation.kind = OPERATION_ROLLBACK;
    call->operation.intent = text_hash_text(TEXT_HASH_START, call->id) | 1;
    return RC_OK;
}

enum rc redemption_rollback_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct input *input = call->input;
    struct operation *operation = &call->operation;
    const struct redemption *redemption = &input->redemption;
    int64_t version;
    enum rc rc = redemption_get(db, &input->redemption, &version);
    if (rc != RC_OK)
        return rc;
    struct leg *leg = &operation->leg;
    text_format(leg->counter, sizeof leg->counter, "code/%s", redemption->code);
    leg->amount = 1;
    leg->demanded_version = version; // it has not been rolled back since
    leg->barred = redemption->in_order || redemption->rolled_back;
    leg->refusal = redemption->in_order ? RC_PART_OF_ORDER : RC_ALREADY_ROLLED_BACK;
    text_copy(operation->user_id, sizeof operation->user_id, redemption->user_id);
    return RC_OK;
}

void redemption_answer(struct call *call)
{
    struct input *input = call->input;
    struct operation *operation = &call->operation;
    bool redeems = operation->kind == OPERATION_REDEEM;
    char id[COUPON_CODE_MAX + 32];
    if (redeems)
        input->redemption.version = operation->outcome.version;
    name_redemption(&input->redemption, id, sizeof id);
    call->status = redeems ? 201 : 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "redemption_id", id);
    json_write_text(&call->reply, "state", redeems ? "redeemed" : "rolled_back");
    json_write_text(&call->reply, "code", input->redemption.code);
    json_write_text(&call->reply, "user_id", operation->user_id);
    json_write_int(&call->reply, "uses_left", operation->outcome.remaining);
    legs_write(&call->reply, operation);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}
