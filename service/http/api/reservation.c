// Reservations. Reserving is an operation. Confirming, releasing and extending first find the lines
// of the reservation on a worker, and are operations then.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "base/random.h"
#include "domain/reservation.h"
#include "http/api/lines.h"
#include "http/api/page.h"
#include "http/call.h"
#include "http/wire/body.h"
#include "store/tables/reservation.h"

#include <stdlib.h>
#include <string.h>

#define TTL_MAX_S 86400

// What the operation needs besides the call's operation and job.
struct input {
    int64_t ttl_s;
    char reason[201];
    struct lines lines; // that the client sent
    size_t n;           // legs: the lines' and perhaps the buyer
    char holds[RESERVATION_LINES_MAX][COUNTER_NAME_MAX + 1];
    struct leg more[RESERVATION_LINES_MAX];
    struct job_link links[RESERVATION_LINES_MAX];
    char id[RESERVATION_ID_MAX + 1];
    struct reservation reservation;
};

static void lend(struct call *call, struct input *input)
{
    call->operation.more = input->more;
    call->job.more_links = input->links;
    call->operation.reservation = input->id;
}

static struct input *input_new(struct call *call)
{
    struct input *input = call_input(call, sizeof *input);
    if (input != NULL)
        lend(call, input);
    return input;
}

// ---- lines --------------------------------------------------------------------------------------

static enum rc read_body(struct call *call, struct input *input, const struct field *fields,
                         size_t n_fields, json_t **lines)
{
    json_t *object = NULL;
    enum rc rc = body_parse(call->body.data, call->body.length, &object, &call->problem);
    if (rc != RC_OK)
        return rc;
    rc = body_read(object, "", fields, n_fields, &call->problem);
    if (rc == RC_OK && lines != NULL && *lines != NULL)
        rc = lines_read(call, *lines, &input->lines);
    json_decref(object);
    return rc;
}

static struct leg *add_leg(struct call *call, struct input *input)
{
    call->operation.n_more = input->n++;
    return operation_leg(&call->operation, input->n - 1);
}

static void add_line(struct call *call, struct input *input, const struct line *line, size_t number,
                     int64_t amount)
{
    struct leg *leg = add_leg(call, input);
    text_format(leg->counter, sizeof leg->counter, "stock/%s", line->sku);
    hold_name(input->holds[number], line->sku, input->id, number);
    leg->child = input->holds[number];
    leg->amount = amount;
}

// Adds the buyer, where the number of open reservations is limited. Returns the limit; 0 if there
// is none.
static int64_t add_buyer(struct call *call, struct input *input)
{
    int64_t limit = call->context->reservations_per_user;
    if (limit == 0 || call->operation.user_id[0] == '\0')
        return 0;
    struct leg *leg = add_leg(call, input);
    buyer_name(leg->counter, call->operation.user_id);
    leg->may_create = true;
    return limit;
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
    operation->open_max = add_buyer(call, input);
    operation->kind = operation->open_max > 0 ? OPERATION_RESERVE_LIMITED : OPERATION_RESERVE;
    operation->ttl_ms = input->ttl_s * 1000;
    random_bytes(operation->entropy, sizeof operation->entropy);
    reservation_id(operation->entropy, input->id);
    for (size_t i = 0; i < input->lines.n; i++)
        add_line(call, input, &input->lines.lines[i], i, input->lines.lines[i].quantity);
    return RC_OK;
}

// All legs but the buyer.
static void write_legs(struct buffer *out, struct operation *operation)
{
    json_write_open(out, "legs", '[');
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct leg *leg = operation_leg(operation, i);
        if (leg->child != NULL)
            leg_write(out, leg);
    }
    json_write_close(out, ']');
}

static void write_lines(struct buffer *out, const struct lines *lines)
{
    json_write_open(out, "lines", '[');
    for (size_t i = 0; i < lines->n; i++) {
        json_write_open(out, NULL, '{');
        json_write_text(out, "sku", lines->lines[i].sku);
        json_write_int(out, "quantity", lines->lines[i].quantity);
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
    text_format(call->location, sizeof call->location, "/v1/reservations/%s", input->id);
    json_write_open(&call->reply, NULL, '{');
    json_write_text(&call->reply, "reservation_id", input->id);
    json_write_text(&call->reply, "state", reservation_states[RESERVATION_HELD]);
    write_lines(&call->reply, &input->lines);
    json_write_int(&call->reply, "expires_at_ms", operation->outcome.expires_at_ms);
    json_write_int(&call->reply, "expires_in_ms", operation->ttl_ms);
    write_legs(&call->reply, operation);
    json_write_text(&call->reply, "strategy", operation->outcome.strategy);
    json_write_close(&call->reply, '}');
}

// ---- confirm, release, extend -------------------------------------------------------------------

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
    if (kind != OPERATION_CONFIRM || input->lines.n == 0)
        return RC_OK;
    size_t at = lines_find(&input->lines, held->sku);
    *ret_amount =
        at != SIZE_MAX ? input->lines.lines[at].quantity : 0; // what is not named goes back
    if (*ret_amount > held->quantity)
        return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                             "at most what is held: %lld of %s", (long long)held->quantity,
                             held->sku);
    return RC_OK;
}

static enum rc check_known(struct call *call, const struct input *input, const struct lines *held)
{
    for (size_t i = 0; i < input->lines.n; i++) {
        if (lines_find(held, input->lines.lines[i].sku) == SIZE_MAX)
            return problem_field(&call->problem, RC_INVALID_FIELD, "lines",
                                 "products of this reservation");
    }
    return RC_OK;
}

enum rc reservation_find_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct input *input = call->input;
    struct lines held;
    int64_t now_ms;
    enum rc rc = reservation_get(db, call->id, &input->reservation, &now_ms);
    if (rc != RC_OK)
        return rc;
    text_copy(input->id, sizeof input->id, input->reservation.id);
    lines_split(input->reservation.items, &held);
    rc = check_known(call, input, &held);
    for (size_t i = 0; i < held.n && rc == RC_OK; i++) {
        int64_t amount;
        rc = line_amount(call, input, &held.lines[i], &amount);
        if (rc == RC_OK)
            add_line(call, input, &held.lines[i], i, amount);
    }
    text_copy(call->operation.user_id, sizeof call->operation.user_id, input->reservation.user_id);
    if (call->operation.kind == OPERATION_EXTEND)
        (void)add_buyer(call, input); // it stays open for longer than others have counted on
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

static void write_reservation(struct buffer *out, const struct reservation *reservation,
                              int64_t now_ms)
{
    struct lines lines;
    lines_split(reservation->items, &lines);
    enum reservation_state state = reservation_state_at(reservation, now_ms);
    json_write_open(out, NULL, '{');
    json_write_text(out, "reservation_id", reservation->id);
    json_write_text(out, "state", reservation_states[state]);
    json_write_text_or_null(out, "user_id", reservation->user_id);
    json_write_text_or_null(out, "order_id", reservation->order_id);
    write_lines(out, &lines);
    json_write_int(out, "created_at_ms", reservation->created_at_ms);
    json_write_int(out, "expires_at_ms", reservation->expires_at_ms);
    json_write_int(out, "expires_in_ms",
                   state == RESERVATION_HELD ? reservation->expires_at_ms - now_ms : 0);
    json_write_close(out, '}');
}

// "expired" is answered when it is written down: holds that are due expire first.
enum rc reservation_get_run(struct job *job, struct db *db)
{
    struct call *call = CONTAINER_OF(job, struct call, job);
    struct input *input = input_new(call);
    int64_t now_ms;
    if (input == NULL)
        return call->problem.rc;
    struct reservation *reservation = &input->reservation;
    enum rc rc = reservation_get(db, call->id, reservation, &now_ms);
    if (rc != RC_OK)
        return rc;
    if (reservation_state_at(reservation, now_ms) != reservation->state && call_expire_due(call)) {
        lend(call, input);
        lines_split(reservation->items, &input->lines);
        for (size_t i = 0; i < input->lines.n; i++)
            add_line(call, input, &input->lines.lines[i], i, 0);
        return RC_OK;
    }
    write_reservation(&call->reply, reservation, now_ms);
    call->status = 200;
    return RC_OK;
}

// ---- list ---------------------------------------------------------------------------------------

static enum reservation_state wanted_state(const struct call *call)
{
    const char *state = call_parameter(call, "state");
    int i = 0;
    while (i < RESERVATION_STATE_COUNT && state != NULL &&
           strcmp(state, reservation_states[i]) != 0)
        i++;
    return state != NULL ? (enum reservation_state)i : RESERVATION_STATE_COUNT;
}

enum rc reservation_list_prepare(struct call *call)
{
    const char *user = call_parameter(call, "user_id"), *state = call_parameter(call, "state");
    if (user == NULL || !id_is_visible(user, strlen(user), USER_ID_MAX))
        return problem_field(&call->problem, RC_INVALID_FIELD, "user_id",
                             "1 to %d visible ASCII characters", USER_ID_MAX);
    if (state != NULL && wanted_state(call) == RESERVATION_STATE_COUNT)
        return problem_field(&call->problem, RC_INVALID_FIELD, "state",
                             "held, confirmed, released or expired");
    return page_prepare(call);
}

static enum rc on_reservation(void *arg, const struct reservation *reservation, int64_t now_ms)
{
    struct page *page = arg;
    page_add(page, reservation->id);
    write_reservation(page->out, reservation, now_ms);
    return RC_OK;
}

static enum rc read_page(struct db *db, struct page *page)
{
    return reservation_page(db, call_parameter(page->call, "user_id"), wanted_state(page->call),
                            page->after, page->limit, on_reservation, page);
}

enum rc reservation_list_run(struct job *job, struct db *db)
{
    return page_run(job, db, read_page);
}
