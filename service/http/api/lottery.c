// Lotteries and their prizes. Drawing is an operation; putting and getting run on a worker.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "base/random.h"
#include "http/api/page.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/lottery.h"

#include <stdlib.h>
#include <string.h>

enum rc lottery_draw_prepare(struct call *call)
{
    struct operation *operation = &call->operation;
    operation->kind = OPERATION_DRAW;
    operation->leg.amount = 1;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "lottery/%s", call->id);
    random_bytes(operation->entropy, sizeof operation->entropy);
    const struct field fields[] = {
        {"user_id", FIELD_VISIBLE, true, 1, USER_ID_MAX, operation->user_id},
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, operation->order_id},
    };
    return body_decode(call->body.data, call->body.length, fields, ARRAY_LENGTH(fields),
                       &call->problem);
}

void lottery_draw_answer(struct call *call)
{
    const struct operation *operation = &call->operation;
    char draw_id[ID_MAX + 32];
    text_format(draw_id, sizeof draw_id, "%s:%lld", call->id,
                (long long)operation->outcome.version);
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "draw_id", draw_id);
    json_write_text(&call->reply, "lottery", call->id);
    json_write_text(&call->reply, "user_id", operation->user_id);
    json_write_text_or_null(&call->reply, "prize", operation->outcome.prize);
    json_write_int(&call->reply, "version", operation->outcome.version);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

static int compare_prizes(const void *left, const void *right)
{
    const struct prize *a = left, *b = right;
    return strcmp(a->prize, b->prize);
}

static enum rc read_prizes(struct call *call, const json_t *list, struct lottery *put)
{
    put->n_prizes = json_array_size(list);
    for (size_t i = 0; i < put->n_prizes; i++) {
        struct prize *prize = &put->prizes[i];
        const struct field fields[] = {
            {"prize", FIELD_ID, true, 0, 0, prize->prize},
            {"quantity", FIELD_INT, true, 0, QUANTITY_MAX, &prize->quantity},
            {"weight", FIELD_INT, true, 0, WEIGHT_MAX, &prize->weight},
        };
        char where[32];
        text_format(where, sizeof where, "prizes[%zu]", i);
        const json_t *item = json_array_get(list, i);
        if (!json_is_object(item))
            return problem_field(&call->problem, RC_INVALID_FIELD, where, "an object");
        text_format(where, sizeof where, "prizes[%zu].", i);
        enum rc rc = body_read(item, where, fields, ARRAY_LENGTH(fields), &call->problem);
        if (rc != RC_OK)
            return rc;
    }
    qsort(put->prizes, put->n_prizes, sizeof put->prizes[0], compare_prizes);
    for (size_t i = 1; i < put->n_prizes; i++) {
        if (strcmp(put->prizes[i - 1].prize, put->prizes[i].prize) == 0)
            return problem_field(&call->problem, RC_INVALID_FIELD, "prizes",
                                 "a list of prizes with distinct names");
    }
    return RC_OK;
}

enum rc lottery_put_prepare(struct call *call)
{
    struct lottery *put = call_input(call, sizeof *put);
    if (put == NULL)
        return call->problem.rc;
    text_copy(put->lottery, sizeof put->lottery, call->id);
    json_t *list = NULL;
    const struct field fields[] = {
        {"draws_per_user", FIELD_INT, true, 1, QUANTITY_MAX, &put->draws_per_user},
        {"blank_weight", FIELD_INT, true, 0, WEIGHT_MAX, &put->blank_weight},
        {"prizes", FIELD_LIST, true, 1, LOTTERY_PRIZES_MAX, &list},
    };
    json_t *object = NULL;
    enum rc rc = body_parse(call->body.data, call->body.length, &object, &call->problem);
    if (rc != RC_OK)
        return rc;
    rc = body_read(object, "", fields, ARRAY_LENGTH(fields), &call->problem);
    if (rc == RC_OK)
        rc = read_prizes(call, list, put);
    json_decref(object);
    return rc;
}

static void write_lottery(struct buffer *out, const struct lottery *lottery)
{
    json_write_open(out, NULL, '{');
    json_write_text(out, "lottery", lottery->lottery);
    json_write_int(out, "draws_per_user", lottery->draws_per_user);
    json_write_int(out, "blank_weight", lottery->blank_weight);
    json_write_int(out, "remaining", lottery->remaining);
    json_write_int(out, "version", lottery->version);
    json_write_open(out, "prizes", '[');
    for (size_t i = 0; i < lottery->n_prizes; i++) {
        const struct prize *prize = &lottery->prizes[i];
        json_write_open(out, NULL, '{');
        json_write_text(out, "prize", prize->prize);
        json_write_int(out, "quantity", prize->quantity);
        json_write_int(out, "weight", prize->weight);
        json_write_int(out, "won", prize->quantity - prize->counter.remaining);
        json_write_int(out, "remaining", prize->counter.remaining);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_close(out, '}');
}

static void free_lottery(struct lottery **lottery)
{
    free(*lottery);
}

enum rc lottery_put_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct lottery *lottery CLEANUP(free_lottery) = calloc(1, sizeof *lottery);
    if (lottery == NULL)
        return RC_NO_MEMORY;
    bool created = false;
    enum rc rc = lottery_put(db, call->input, &call->precondition, &created, lottery);
    if (rc == RC_INVALID_FIELD)
        return problem_field(&call->problem, rc, "prizes",
                             "a list whose quantities are at least those already won");
    if (rc == RC_LIMIT_REACHED)
        return problem_field(&call->problem, RC_INVALID_FIELD, "prizes",
                             "at most %d together with those that the lottery already has",
                             LOTTERY_PRIZES_MAX);
    if (rc != RC_OK)
        return rc;
    call->status = created ? 201 : 200;
    write_lottery(&call->reply, lottery);
    return RC_OK;
}

enum rc lottery_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct lottery *lottery CLEANUP(free_lottery) = calloc(1, sizeof *lottery);
    if (lottery == NULL)
        return RC_NO_MEMORY;
    enum rc rc = lottery_get(db, call->id, lottery);
    if (rc != RC_OK)
        return rc;
    write_lottery(&call->reply, lottery);
    return call_answer_version(call, lottery->version);
}

static enum rc on_lottery(void *arg, const struct lottery *lottery)
{
    struct page *page = arg;
    page_add(page, lottery->lottery);
    write_lottery(page->out, lottery);
    return RC_OK;
}

static enum rc read_page(struct db *db, struct page *page)
{
    return lottery_page(db, page->after, page->limit, on_lottery, page);
}

enum rc lottery_list_run(struct job *job, struct db *db)
{
    return page_run(job, db, read_page);
}
