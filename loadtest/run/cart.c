// A task's products are its counter and the counters of its further legs; each has `quantity`
// units. The service numbers the legs of a request: of a reservation and its next steps its
// products, of an order the order, its products, its coupon's code, and its user's account; of the
// order's next steps the code comes behind the account. The holds of the products come last, and no
// answer tells their numbers.
#include "run/cart.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

// What a request does with each product's units.
static const struct {
    int stock, hold, order; // the sign of the change
    int back;               // points, and the use of a code
} effects[KIND_COUNT] = {
    [KIND_RESERVE] = {-1, 1, 0, 0}, [KIND_CONFIRM] = {0, -1, 0, 0}, [KIND_RELEASE] = {1, -1, 0, 0},
    [KIND_EXTEND] = {0, 0, 0, 0},   [KIND_ORDER] = {-1, 0, 1, -1},  [KIND_CANCEL] = {1, 0, -1, 1},
    [KIND_REFUND] = {1, 0, -1, 1},
};

static size_t sku_of(const struct task *task, size_t line)
{
    return line == 0 ? task->counter : task->more[line - 1].counter;
}

// The lines that the request is about: a refund is of the last one.
static void find_lines(const struct task *task, size_t *ret_from, size_t *ret_end)
{
    *ret_end = 1 + task->n_more;
    *ret_from = task->kind == KIND_REFUND ? task->n_more : 0;
}

// Points and the use of a code come back with the order's last line.
static bool is_last(const struct task *task)
{
    return task->kind != KIND_REFUND || task->n_more == 0;
}

// The points that the request moves.
static int64_t points_of(const struct task *task)
{
    return is_last(task) ? task->points : 0;
}

// The units of a line that go back to the stock with a confirmation: of a part of several lines the
// last one, and half of the first.
static int64_t units_back(const struct task *task, size_t line)
{
    if (task->kind != KIND_CONFIRM || !task->partial)
        return 0;
    return line > 0 && line == task->n_more ? task->quantity : line == 0 ? task->quantity / 2 : 0;
}

// ---- the body -----------------------------------------------------------------------------------

static void write_lines(const struct scenario *scenario, const struct task *task,
                        struct buffer *out)
{
    const struct resources *resources = scenario_resources(scenario);
    size_t from, end;
    find_lines(task, &from, &end);
    buffer_append_text(out, "\"lines\":[");
    for (size_t i = from; i < end; i++) {
        if (units_back(task, i) == task->quantity)
            continue; // what is not named goes back
        buffer_append_text(out, i > from ? "," : "");
        if (task->kind == KIND_REFUND)
            buffer_format(out, "{\"line\":%zu,\"restock\":%s", i, task->restock ? "true" : "false");
        else
            buffer_format(out, "{\"sku\":\"%s\"", resources->skus.names[sku_of(task, i)]);
        buffer_format(out, ",\"quantity\":%lld}",
                      (long long)(task->quantity - units_back(task, i)));
    }
    buffer_append_text(out, "]");
}

static void write_body(const struct scenario *scenario, const struct task *task, const char *user,
                       struct buffer *out)
{
    bool order = task->kind == KIND_ORDER, reserve = task->kind == KIND_RESERVE;
    if (order || reserve)
        buffer_format(out, "{\"user_id\":\"%s\"", user);
    else
        buffer_append_text(out, "{\"reason\":\"changed my mind\"");
    if (reserve)
        buffer_format(out, ",\"ttl_s\":%lld",
                      (long long)(scenario_plan(scenario)->ttl_ns / NS_PER_S));
    if (order)
        buffer_format(out, ",\"order_id\":\"%s\"", task->order);
    if (order && task->reservation[0] != '\0')
        buffer_format(out, ",\"reservation\":\"%s\"", task->reservation);
    if (task->reservation[0] == '\0' && task->kind != KIND_CANCEL) {
        buffer_append_text(out, ",");
        write_lines(scenario, task, out);
    }
    if (task->kind != KIND_CANCEL && points_of(task) > 0)
        buffer_format(out, ",\"points\":%lld", (long long)points_of(task));
    if (order && task->code > 0)
        buffer_format(out, ",\"code\":\"%s\"", scenario_resources(scenario)->codes[task->code - 1]);
    if (task->kind == KIND_REFUND && task->code > 0 && is_last(task))
        buffer_append_text(out, ",\"code\":true");
    buffer_append_text(out, "}");
}

// Without lines it sells everything.
static void write_confirmation(const struct scenario *scenario, const struct task *task,
                               struct buffer *out)
{
    bool part = false;
    for (size_t i = 0; i <= task->n_more; i++)
        part |= units_back(task, i) > 0;
    buffer_append_text(out, "{");
    if (part)
        write_lines(scenario, task, out);
    buffer_append_text(out, "}");
}

void cart_body(const struct scenario *scenario, const struct task *task, const char *user,
               char ret_body[CART_BODY_MAX])
{
    static const bool written[KIND_COUNT] = {
        [KIND_RESERVE] = true, [KIND_ORDER] = true, [KIND_CANCEL] = true, [KIND_REFUND] = true};
    struct buffer body CLEANUP(buffer_release) = {0};
    ret_body[0] = '\0';
    if (task->kind == KIND_EXTEND)
        text_format(ret_body, CART_BODY_MAX, "{\"ttl_s\":%lld}",
                    (long long)(scenario_plan(scenario)->ttl_ns / NS_PER_S));
    if (task->kind == KIND_REDEEM)
        text_format(ret_body, CART_BODY_MAX, "{\"code\":\"%s\",\"user_id\":\"%s\"}",
                    scenario_resources(scenario)->codes[task->code - 1], user);
    if (task->kind == KIND_CONFIRM)
        write_confirmation(scenario, task, &body);
    else if (written[task->kind])
        write_body(scenario, task, user, &body);
    if (body.length == 0)
        return;
    text_copy(ret_body, CART_BODY_MAX, body.data != NULL ? body.data : "");
}

// ---- the legs -----------------------------------------------------------------------------------

// Adds a leg, with what the answer tells of it if answers do.
static struct attempt_leg *add_leg(const struct answer *answer, struct cart_room *room,
                                   struct attempt *attempt, size_t counter, int64_t amount,
                                   bool told)
{
    struct attempt_leg *leg = &room->legs[attempt->n_more];
    *leg = (struct attempt_leg){.counter = counter, .amount = amount};
    if (told) {
        leg->version = answer->more[attempt->n_more].version;
        leg->remaining = answer->more[attempt->n_more].remaining;
    }
    attempt->n_more++;
    return leg;
}

static void add_holds(const struct scenario *scenario, const struct task *task,
                      const struct answer *answer, struct cart_room *room, struct attempt *attempt)
{
    const struct resources *resources = scenario_resources(scenario);
    bool made = task->kind == KIND_RESERVE && answer->outcome == OUTCOME_OK;
    const char *id = made ? answer->detail : task->reservation;
    int sign = task->kind == KIND_ORDER ? -1 : effects[task->kind].hold;
    for (size_t i = 0; *id != '\0' && i <= task->n_more; i++) {
        struct attempt_leg *leg =
            add_leg(answer, room, attempt, SIZE_MAX, sign * task->quantity, false);
        text_format(room->names[i], sizeof room->names[i], "hold/%s/%s/%zu",
                    resources->skus.names[sku_of(task, i)], id, i);
        leg->name = room->names[i];
    }
}

static void add_account(const struct scenario *scenario, const struct task *task,
                        const struct answer *answer, struct cart_room *room,
                        struct attempt *attempt)
{
    if (points_of(task) == 0)
        return;
    struct attempt_leg *leg =
        add_leg(answer, room, attempt, scenario_resources(scenario)->skus.n + task->account,
                effects[task->kind].back * points_of(task), true);
    if (!answer->account.version.known)
        return;
    leg->version = answer->account.version;
    leg->remaining = answer->account.remaining;
}

static void add_code(const struct scenario *scenario, const struct task *task,
                     const struct answer *answer, struct cart_room *room, struct attempt *attempt)
{
    const struct resources *resources = scenario_resources(scenario);
    if (task->code == 0 || !is_last(task))
        return;
    struct attempt_leg *leg =
        add_leg(answer, room, attempt, resources->skus.n + resources->accounts.n + task->code - 1,
                effects[task->kind].back, true);
    if (!answer->code.version.known)
        return;
    leg->version = answer->code.version;
    leg->remaining = answer->code.remaining;
}

static void describe_order(const struct scenario *scenario, const struct task *task,
                           const struct answer *answer, struct cart_room *room,
                           struct attempt *attempt)
{
    bool held = task->reservation[0] != '\0';
    size_t from, end;
    find_lines(task, &from, &end);
    text_format(room->names[PLAN_LINES_MAX], sizeof room->names[0], "order/%s", task->order);
    attempt->counter = SIZE_MAX;
    attempt->counter_name = room->names[PLAN_LINES_MAX];
    attempt->quantity = task->quantity * (int64_t)(end - from);
    for (size_t i = from; i < end; i++) {
        int64_t amount = held ? 0 : effects[task->kind].stock * task->quantity;
        if (task->kind != KIND_REFUND || task->restock)
            (void)add_leg(answer, room, attempt, sku_of(task, i), amount, true);
    }
    if (task->kind == KIND_ORDER)
        add_code(scenario, task, answer, room, attempt);
    add_account(scenario, task, answer, room, attempt);
    if (task->kind != KIND_ORDER)
        add_code(scenario, task, answer, room, attempt);
    if (held)
        add_holds(scenario, task, answer, room, attempt);
}

void cart_describe(const struct scenario *scenario, const struct task *task,
                   const struct answer *answer, struct cart_room *room, struct attempt *ret_attempt)
{
    int64_t each = effects[task->kind].stock * task->quantity;
    ret_attempt->more = room->legs;
    ret_attempt->n_more = 0;
    if (effects[task->kind].order != 0) {
        describe_order(scenario, task, answer, room, ret_attempt);
        return;
    }
    ret_attempt->counter = task->counter;
    ret_attempt->quantity = task->kind == KIND_CONFIRM ? units_back(task, 0) : task->quantity;
    for (size_t i = 0; i < task->n_more; i++)
        (void)add_leg(answer, room, ret_attempt, task->more[i].counter,
                      task->kind == KIND_TRANSFER ? task->more[i].amount
                                                  : each + units_back(task, i + 1),
                      true);
    if (attempt_kind_may_name(task->kind, COUNTER_HOLD))
        add_holds(scenario, task, answer, room, ret_attempt);
}
