// The steps after a reservation. Its user confirms, releases or extends it, comes back at the very
// millisecond at which it expires, or never. After an extension the user chooses again. Who came
// back too late buys what was reserved first, like anybody.
#include "run/follow.h"

#include "base/text.h"
#include "run/seeded.h"

#include <string.h>

static const enum attempt_kind kinds[THEN_COUNT] = {
    [THEN_CONFIRM] = KIND_CONFIRM,
    [THEN_RELEASE] = KIND_RELEASE,
    [THEN_EXTEND] = KIND_EXTEND,
    [THEN_RETURN] = KIND_CONFIRM,
};

static enum then choose(const struct plan *plan, int64_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < THEN_COUNT; i++)
        sum += plan->then[i];
    int64_t left =
        (int64_t)seeded_below(seeded(plan->seed, SEEDED_THEN, (uint64_t)n), (uint64_t)sum);
    size_t then = 0;
    while (left >= plan->then[then])
        left -= plan->then[then++];
    return (enum then)then;
}

// What the request changes in the stock and in the hold of each line.
static void amounts(const struct task *task, int64_t *ret_stock, int64_t *ret_hold)
{
    enum attempt_kind kind = task->kind;
    *ret_stock = kind == KIND_RESERVE ? -task->quantity : kind == KIND_RELEASE ? task->quantity : 0;
    *ret_hold = kind == KIND_RESERVE ? task->quantity : kind == KIND_EXTEND ? 0 : -task->quantity;
}

static void change_kind(struct task *task, enum attempt_kind kind)
{
    int64_t stock, hold;
    task->kind = kind;
    task->template = scenario_template_of(kind);
    amounts(task, &stock, &hold);
    for (size_t i = 0; i < task->n_more; i++)
        task->more[i].amount = stock;
}

static void change_to_deduct(struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->template = scenario_template_of(KIND_DEDUCT);
    task->n_more = 0;
    task->reservation[0] = '\0';
}

static bool is_too_late(const struct task *task, const struct answer *answer)
{
    return task->kind == KIND_CONFIRM && answer->outcome == OUTCOME_FAIL &&
           strcmp(answer->detail, "reservation-expired") == 0;
}

bool follow_up(const struct plan *plan, int64_t n, const struct task *task,
               const struct answer *answer, struct follow_up *ret_next)
{
    bool held =
        answer->outcome == OUTCOME_OK && (task->kind == KIND_RESERVE || task->kind == KIND_EXTEND);
    enum then then = held ? choose(plan, n) : THEN_LEAVE;
    if (then == THEN_LEAVE && !is_too_late(task, answer))
        return false;
    *ret_next = (struct follow_up){.task = *task};
    if (!held) {
        change_to_deduct(&ret_next->task);
        return true;
    }
    if (task->kind == KIND_RESERVE)
        (void)text_copy(ret_next->task.reservation, sizeof ret_next->task.reservation,
                        answer->detail);
    if (then == THEN_RETURN)
        ret_next->at_ms = answer->expires_at_ms.value;
    change_kind(&ret_next->task, kinds[then]);
    return true;
}

void follow_lines(const struct scenario *scenario, const struct task *task,
                  char ret_lines[FOLLOW_LINES_MAX])
{
    const struct resources *resources = scenario_resources(scenario);
    size_t used = 0;
    ret_lines[0] = '\0';
    for (size_t i = 0; task->kind == KIND_RESERVE && i <= task->n_more; i++) {
        size_t sku = i == 0 ? task->counter : task->more[i - 1].counter;
        text_format(ret_lines + used, FOLLOW_LINES_MAX - used,
                    "%s{\"sku\":\"%s\",\"quantity\":%lld}", i > 0 ? "," : "",
                    resources->skus.names[sku], (long long)task->quantity);
        used += strlen(ret_lines + used);
    }
}

size_t follow_holds(const struct scenario *scenario, const struct task *task,
                    const struct answer *answer, char (*names)[HISTORY_COUNTER_MAX + 1],
                    struct attempt_leg *legs)
{
    const struct resources *resources = scenario_resources(scenario);
    bool made = task->kind == KIND_RESERVE && answer->outcome == OUTCOME_OK;
    const char *id = made ? answer->detail : task->reservation;
    int64_t stock, hold;
    if (*id == '\0')
        return 0;
    amounts(task, &stock, &hold);
    for (size_t i = 0; i <= task->n_more; i++) {
        size_t sku = i == 0 ? task->counter : task->more[i - 1].counter;
        text_format(names[i], sizeof names[i], "hold/%s/%s/%zu", resources->skus.names[sku], id, i);
        legs[i] = (struct attempt_leg){.counter = SIZE_MAX, .name = names[i], .amount = hold};
    }
    return task->n_more + 1;
}
