// The steps after a reservation, an order and a redemption. The user of a reservation confirms,
// releases or extends it, comes back at the very millisecond at which it expires, or never. After
// an extension the user chooses again. A user who came back too late buys the first product, like
// anybody. A redemption may be rolled back; some users try that twice.
#include "run/follow.h"

#include "base/text.h"
#include "run/request_text.h"
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
    if (plan->leave >= 0 && seeded_share(plan->seed, SEEDED_LEAVE, n, plan->leave))
        return THEN_LEAVE;
    for (size_t i = 0; i < THEN_COUNT; i++)
        sum += i == THEN_LEAVE && plan->leave >= 0 ? 0 : plan->then[i];
    int64_t left =
        (int64_t)seeded_below(seeded(plan->seed, SEEDED_THEN, (uint64_t)n), (uint64_t)sum);
    size_t then = 0;
    while (left >= plan->then[then])
        left -= plan->then[then++];
    return (enum then)then;
}

static void change_kind(struct task *task, enum attempt_kind kind)
{
    task->kind = kind;
    task->template = request_text_of(kind);
}

static void change_to_deduct(struct task *task)
{
    task->kind = KIND_DEDUCT;
    task->template = request_text_of(KIND_DEDUCT);
    task->n_more = 0;
    task->reservation[0] = '\0';
}

static bool is_too_late(const struct task *task, const struct answer *answer)
{
    return task->kind == KIND_CONFIRM && answer->outcome == OUTCOME_FAIL &&
           strcmp(answer->detail, "reservation-expired") == 0;
}

// Some of the users of an order cancel it, some want one line after another refunded.
static bool follow_order(const struct plan *plan, int64_t n, const struct task *task,
                         struct task *next)
{
    double choice = seeded_unit(seeded(plan->seed, SEEDED_BACK, (uint64_t)n));
    *next = *task;
    next->reservation[0] = '\0';
    if (task->kind == KIND_REFUND && task->n_more == 0)
        return false; // nothing is left
    if (task->kind == KIND_REFUND)
        next->n_more--;
    next->restock = seeded(plan->seed, SEEDED_PART, (uint64_t)n) % 2 == 0;
    change_kind(next, choice <= plan->cancel ? KIND_CANCEL : KIND_REFUND);
    return choice <= plan->cancel + plan->refund;
}

// Half of the redemptions are rolled back, and one in eight of these again.
static bool follow_redemption(const struct plan *plan, int64_t n, const struct task *task,
                              const struct answer *answer, struct task *next)
{
    double share = task->kind == KIND_REDEEM ? 0.5 : 0.125;
    *next = *task;
    change_kind(next, KIND_ROLLBACK);
    return seeded_share(plan->seed, SEEDED_BACK, n, share) &&
           text_copy(next->order, sizeof next->order, answer->detail);
}

static bool follow_hold(const struct plan *plan, int64_t n, const struct task *task,
                        const struct answer *answer, struct follow_up *next)
{
    enum then then = choose(plan, n);
    if (then == THEN_LEAVE)
        return false;
    next->task = *task;
    if (task->kind == KIND_RESERVE)
        (void)text_copy(next->task.reservation, sizeof next->task.reservation, answer->detail);
    if (then == THEN_RETURN)
        next->at_ms = answer->expires_at_ms.value;
    next->task.partial = seeded_share(plan->seed, SEEDED_PART, n, plan->partial);
    bool orders = plan->mix[KIND_ORDER] > 0 && then == THEN_CONFIRM && !next->task.partial;
    change_kind(&next->task, orders ? KIND_ORDER : kinds[then]);
    return true;
}

bool follow_up(const struct plan *plan, int64_t n, const struct task *task,
               const struct answer *answer, struct follow_up *ret_next)
{
    bool ok = answer->outcome == OUTCOME_OK;
    ret_next->at_ms = 0;
    if (ok && (task->kind == KIND_RESERVE || task->kind == KIND_EXTEND))
        return follow_hold(plan, n, task, answer, ret_next);
    if (ok && (task->kind == KIND_ORDER || task->kind == KIND_REFUND))
        return follow_order(plan, n, task, &ret_next->task);
    if (ok && (task->kind == KIND_REDEEM || task->kind == KIND_ROLLBACK))
        return follow_redemption(plan, n, task, answer, &ret_next->task);
    if (!is_too_late(task, answer))
        return false;
    ret_next->task = *task;
    change_to_deduct(&ret_next->task);
    return true;
}
