// Reservations. Reserving is an operation. Confirming, releasing and extending first find the lines of
// the reservation on a worker, and are operations then.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "base/random.h"
#include "domain/reservation.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/reservation.h"

#include <stdlib.h>
#include <string.h>

#define TTL_MAX_S 86400
#define PAGE_MAX 1000
#define PAGE_DEFAULT 100

struct line {
    char sku[ID_MAX + 1];
    int64_t quantity;
};

// What the operation needs besides the call's operation and job.
struct input {
    int64_t ttl_s;
    char reason[201];
    size_t n_lines; // that the client sent
    struct line lines[RESERVATION_LINES_MAX];
    size_t n; // legs
    char holds[RESERVATION_LINES_MAX][COUNTER_NAME_MAX + 1];
    struct leg more[RESERVATION_LINES_MAX - 1];
    struct job_link links[RESERVATION_LINES_MAX - 1];
    char id[RESERVATION_ID_MAX + 1];
    struct reservation reservation;
};

static struct input *input_new(struct call *call)
{
    struct input *input = call_input(call, sizeof *input);
    if (input == NULL)
        return NULL;
    call->operation.more = input->more;
    call->job.more_links = input->links;
    call->operation.reservation = input->id;
    return input;
}

// ---- lines --------------------------------------------------------------------------------------

// Reads the lines; those of the same product are added up.
static enum rc read_lines(struct call *call, const json_t *list, struct input *input)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct line line;
        const struct field fields[] = {
            {"sku", FIELD_ID, true, 0, 0, line.sku},
            {"quantity", FIELD_INT, true, 1, QUANTITY_MAX, &line.quantity},
        };
        char where[32];
        text_format(where, sizeof where, "lines[%zu]", i);
        const json_t *item = json_array_get(list, i);
        if (!json_is_object(item))
            return problem_field(&call->problem, RC_INVALID_FIELD, where, "an object");
        text_format(where, sizeof where, "lines[%zu].", i);
        enum rc rc = body_read(item, where, fields, ARRAY_LENGTH(fields), &call->problem);
        if (rc != RC_OK)
            return rc;
        size_t at = 0;
        while (at < input->n_lines && strcmp(input->lines[at].sku, line.sku) != 0)
            at++;
        if (at < input->n_lines)
            input->lines[at].quantity += line.quantity;
        else
            input->lines[input->n_lines++] = line;
    }
    return RC_OK;
}

static enum rc read_body(struct call *call, struct input *input, const struct field *fields,
                         size_t n_fields, json_t **lines)
{
    json_t *object = NULL;
    enum rc rc = body_parse(call->body.data, call->body.length, &object, &call->problem);
    if (rc != RC_OK)
        return rc;
    rc = body_read(object, "", fields, n_fields, &call->problem);
    if (rc == RC_OK && lines != NULL && *lines != NULL)
        rc = read_lines(call, *lines, input);
    json_decref(object);
    return rc;
}

static void add_leg(struct call *call, struct input *input, const char *sku, int64_t amount)
{
    struct operation *operation = &call->operation;
    size_t i = input->n++;
    operation->n_more = input->n - 1;
    struct leg *leg = operation_leg(operation, i);
    text_format(leg->counter, sizeof leg->counter, "stock/%s", sku);
    hold_name(input->holds[i], sku, input->id, i);
    leg->child = input->holds[i];
    leg->amount = amount;
}

// ---- reserve ------------------------------------------------------------------------------------

enum rc reservation_reserve_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    struct operation *operation = &call->operation;
    json_t *lines = NULL;
    const struct field fields[] = {
        {"user_id", FIELD_VISIBLE, false, 1, USER_ID_MAX, operation->user_id},
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, operation->order_id},
        {"ttl_s", FIELD_INT, true, 1, TTL_MAX_S, &input->ttl_s},
        {"lines", FIELD_LIST, true, 1, RESERVATION_LINES_MAX, &lines},
    };
    enum rc rc = read_body(call, input, fields, ARRAY_LENGTH(fields), &lines);
    if (rc != RC_OK)
        return rc;
    operation->kind = OPERATION_RESERVE;
    operation->ttl_ms = input->ttl_s * 1000;
    random_bytes(operation->entropy, sizeof operation->entropy);
    reservation_id(operation->entropy, input->id);
    for (size_t i = 0; i < input->n_lines; i++)
        add_leg(call, input, input->lines[i].sku, input->lines[i].quantity);
    return RC_OK;
}

static void write_legs(struct buffer *out, struct operation *operation)
{
    json_write_open(out, "legs", '[');
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct leg *leg = operation_leg(operation, i);
        json_write_open(out, NULL, '{');
        json_write_text(out, "counter", leg->counter);
        json_write_int(out, "remaining", leg->remaining);
        json_write_int(out, "version", leg->version);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

static void write_lines(struct buffer *out, const struct line *lines, size_t n)
{
    json_write_open(out, "lines", '[');
    for (size_t i = 0; i < n; i++) {
        json_write_open(out, NULL, '{');
        json_write_text(out, "sku", lines[i].sku);
        json_write_int(out, "quantity", lines[i].quantity);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

void reservation_reserve_answer(struct call *call)
{
    struct operation *operation = &call->operation;
    struct input *input = call->input;
    if (operation->outcome.replayed)
        text_copy(input->id, sizeof input->id, operation->outcome.reservation);
    call->status = 201;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "reservation_id", input->id);
    json_write_text(&call->reply, "state", reservation_states[RESERVATION_HELD]);
    write_lines(&call->reply, input->lines, input->n_lines);
    json_write_int(&call->reply, "expires_at_ms", operation->outcome.expires_at_ms);
    json_write_int(&call->reply, "expires_in_ms", operation->ttl_ms);
    write_legs(&call->reply, operation);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

// ---- confirm, release, extend -------------------------------------------------------------------

// Splits "SKU QUANTITY,SKU QUANTITY". Changes the text.
static size_t split_items(char *items, struct line lines[RESERVATION_LINES_MAX])
{
    size_t n = 0;
    char *rest = NULL;
    for (char *item = strtok_r(items, ",", &rest); item != NULL && n < RESERVATION_LINES_MAX;
         item = strtok_r(NULL, ",", &rest)) {
        char *gap = strchr(item, ' ');
        if (gap == NULL)
            continue;
        *gap = '\0';
        text_copy(lines[n].sku, sizeof lines[n].sku, item);
        lines[n++].quantity = strtoll(gap + 1, NULL, 10);
    }
    return n;
}

enum rc reservation_confirm_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    json_t *lines = NULL;
    const struct field fields[] = {
        {"order_id", FIELD_VISIBLE, false, 1, ORDER_ID_MAX, call->operation.order_id},
        {"lines", FIELD_LIST, false, 1, RESERVATION_LINES_MAX, &lines},
    };
    call->operation.kind = OPERATION_CONFIRM;
    return read_body(call, input, fields, ARRAY_LENGTH(fields), &lines);
}

enum rc reservation_release_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    const struct field fields[] = {
        {"reason", FIELD_TEXT, false, 1, sizeof input->reason - 1, input->reason},
    };
    call->operation.kind = OPERATION_RELEASE;
    return read_body(call, input, fields, ARRAY_LENGTH(fields), NULL);
}

enum rc reservation_extend_prepare(struct call *call)
{
    struct input *input = input_new(call);
    if (input == NULL)
        return call->problem.rc;
    const struct field fields[] = {
        {"ttl_s", FIELD_INT, true, 1, TTL_MAX_S, &input->ttl_s},
    };
    call->operation.kind = OPERATION_EXTEND;
    enum rc rc = read_body(call, input, fields, ARRAY_LENGTH(fields), NULL);
    call->operation.ttl_ms = input->ttl_s * 1000;
    return rc;
}

// What a line's leg asks for: what is sold of it, or for an extension what is held.
static enum rc line_amount(struct call *call, const struct input *input, const struct line *held,
                           int64_t *ret_amount)
{
    enum operation_kind kind = call->operation.kind;
    *ret_amount = kind == OPERATION_RELEASE ? 0 : held->quantity;
    if (kind != OPERATION_CONFIRM || input->n_lines == 0)
        return RC_OK;
    *ret_amount = 0; // a line that a partial confirmation does not name goes back
    for (size_t i = 0; i < input->n_lines; i++) {
        if (strcmp(input->lines[i].sku, held->sku) != 0)
            continue;
        *ret_amount = input->lines[i].quantity;
        if (*ret_amount > held->quantity)
            return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                                 "at most what is held: %lld of %s", (long long)held->quantity,
                                 held->sku);
    }
    return RC_OK;
}

static enum rc check_known(struct call *call, const struct input *input, const struct line *held,
                           size_t n_held)
{
    for (size_t i = 0; i < input->n_lines; i++) {
        size_t at = 0;
        while (at < n_held && strcmp(held[at].sku, input->lines[i].sku) != 0)
            at++;
        if (at == n_held)
            return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                                 "products of this reservation");
    }
    return RC_OK;
}

enum rc reservation_find_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct input *input = call->input;
    struct line held[RESERVATION_LINES_MAX];
    int64_t now_ms;
    enum rc rc = reservation_get(db, call->id, &input->reservation, &now_ms);
    if (rc != RC_OK)
        return rc;
    text_copy(input->id, sizeof input->id, input->reservation.id);
    size_t n = split_items(input->reservation.items, held);
    rc = check_known(call, input, held, n);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        int64_t amount;
        rc = line_amount(call, input, &held[i], &amount);
        if (rc == RC_OK)
            add_leg(call, input, held[i].sku, amount);
    }
    text_copy(call->operation.user_id, sizeof call->operation.user_id, input->reservation.user_id);
    return rc;
}

void reservation_change_answer(struct call *call)
{
    static const enum reservation_state states[OPERATION_KIND_COUNT] = {
        [OPERATION_CONFIRM] = RESERVATION_CONFIRMED,
        [OPERATION_RELEASE] = RESERVATION_RELEASED,
        [OPERATION_EXTEND] = RESERVATION_HELD,
    };
    struct operation *operation = &call->operation;
    call->status = 200;
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "reservation_id", call->id);
    json_write_text(&call->reply, "state", reservation_states[states[operation->kind]]);
    if (operation->kind == OPERATION_EXTEND)
        json_write_int(&call->reply, "expires_at_ms", operation->outcome.expires_at_ms);
    write_legs(&call->reply, operation);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

// ---- get ----------------------------------------------------------------------------------------

// What is held and past its time has expired, whether or not its state says so yet.
static enum reservation_state state_at(const struct reservation *reservation, int64_t now_ms)
{
    bool expired = reservation->state == RESERVATION_HELD && now_ms >= reservation->expires_at_ms;
    return expired ? RESERVATION_EXPIRED : reservation->state;
}

static void write_reservation(struct buffer *out, struct reservation *reservation, int64_t now_ms)
{
    struct line lines[RESERVATION_LINES_MAX];
    enum reservation_state state = state_at(reservation, now_ms);
    json_write_open(out, NULL, '{');
    json_write_text(out, "reservation_id", reservation->id);
    json_write_text(out, "state", reservation_states[state]);
    json_write_text_or_null(out, "user_id", reservation->user_id);
    json_write_text_or_null(out, "order_id", reservation->order_id);
    write_lines(out, lines, split_items(reservation->items, lines));
    json_write_int(out, "created_at_ms", reservation->created_at_ms);
    json_write_int(out, "expires_at_ms", reservation->expires_at_ms);
    json_write_int(out, "expires_in_ms",
                   state == RESERVATION_HELD ? reservation->expires_at_ms - now_ms : 0);
    json_write_close(out, '}');
}

enum rc reservation_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct reservation *reservation = call_input(call, sizeof *reservation);
    int64_t now_ms;
    if (reservation == NULL)
        return call->problem.rc;
    enum rc rc = reservation_get(db, call->id, reservation, &now_ms);
    if (rc != RC_OK)
        return rc;
    write_reservation(&call->reply, reservation, now_ms);
    call->status = 200;
    return RC_OK;
}
