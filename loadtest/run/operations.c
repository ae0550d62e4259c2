// Decides which requests an operation has, and when.
//
// An operation begins with one request, or with two under the same key if a duplicate is wanted. A
// request without success is retried, at most --retry times, after the server's Retry-After or a
// backoff. The operation ends when none of its requests is left. In a closed loop its user then
// goes on to the next operation.
//
// A user is not a connection: while a user thinks or waits for a retry, the connection is free for
// other users.
#include "run/operations.h"

#include "base/clock.h"
#include "base/text.h"
#include "run/arrival.h"
#include "run/follow.h"
#include "run/keys.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_NS (50 * NS_PER_MS)
#define BACKOFF_MAX_NS (2 * NS_PER_S)
#define RETRY_AFTER_MAX_S 60 // a server that names a longer wait could hold the run for ever

static uint64_t next_random(struct operations *operations)
{
    // xorshift64* (Vigna 2016) is good enough for jitter.
    uint64_t x = operations->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    operations->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

void operations_init(struct operations *operations, struct context *context,
                     struct recorder *recorder)
{
    *operations = (struct operations){.context = context, .recorder = recorder};
    operations->random =
        (context->plan->seed ^ ((uint64_t)context->number + 1) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

void operations_release(struct operations *operations)
{
    for (struct request *next; operations->spare_requests != NULL;
         operations->spare_requests = next) {
        next = operations->spare_requests->next;
        free(operations->spare_requests);
    }
    for (struct operation *next; operations->spare_operations != NULL;
         operations->spare_operations = next) {
        next = operations->spare_operations->next;
        free(operations->spare_operations);
    }
    timers_release(&operations->delayed);
}

// ---- requests and operations --------------------------------------------------------------------

static struct request *new_request(struct operations *operations, struct operation *operation,
                                   int64_t intended_ns)
{
    struct request *request = operations->spare_requests;
    if (request != NULL)
        operations->spare_requests = request->next;
    else
        request = malloc(sizeof *request);
    if (request == NULL) {
        operations->context->out_of_memory = true;
        return NULL;
    }
    // Member by member, so that the answer is not cleared for nothing.
    request->timer = (struct timer){0};
    request->operation = operation;
    request->number = operation->requests++;
    request->intended_ns = intended_ns;
    request->invoke_ns = 0;
    request->target = REQUEST_NOT_SENT;
    operation->unfinished++;
    operations->unfinished++;
    return request;
}

static void free_request(struct operations *operations, struct request *request)
{
    request->operation->unfinished--;
    operations->unfinished--;
    request->next = operations->spare_requests;
    operations->spare_requests = request;
}

static struct operation *new_operation(struct operations *operations)
{
    struct operation *operation = operations->spare_operations;
    if (operation != NULL)
        operations->spare_operations = operation->next;
    else
        operation = malloc(sizeof *operation);
    if (operation == NULL)
        operations->context->out_of_memory = true;
    return operation;
}

static void free_operation(struct operations *operations, struct operation *operation)
{
    operation->next = operations->spare_operations;
    operations->spare_operations = operation;
}

// Frees the request as if it had never been wanted.
static void drop_request(struct operations *operations, struct request *request)
{
    struct operation *operation = request->operation;
    free_request(operations, request);
    if (operation->unfinished == 0)
        free_operation(operations, operation);
}

static void make_ready(struct operations *operations, struct request *request)
{
    request->ready_ns = operations->context->now_ns;
    request_push(&operations->context->ready, request);
}

static void make_ready_after(struct operations *operations, struct request *request,
                             int64_t delay_ns)
{
    struct context *context = operations->context;
    if (delay_ns <= 0)
        make_ready(operations, request);
    else if (!timers_set(&operations->delayed, &request->timer, context->now_ns + delay_ns))
        context_fail_unsent(context, request, "out of memory");
}

// The run ends. Users who think or are away do not come any more; retries do.
static void drop_not_begun(struct operations *operations)
{
    struct context *context = operations->context;
    struct request_queue retries = {0};
    struct request *request;
    struct timer *timer;
    operations->ended = true;
    while ((timer = timers_pop(&operations->delayed, INT64_MAX)) != NULL) {
        request = CONTAINER_OF(timer, struct request, timer);
        if (request->operation->begun_ns < 0)
            drop_request(operations, request);
        else
            request_push(&retries, request);
    }
    while ((request = request_pop(&retries)) != NULL)
        make_ready_after(operations, request, request->timer.due_ns - context->now_ns);
}

void operations_resume(struct operations *operations)
{
    struct timer *timer;
    if (run_stop(operations->context->run) != STOP_NOT && !operations->ended)
        drop_not_begun(operations);
    while ((timer = timers_pop(&operations->delayed, operations->context->now_ns)) != NULL)
        make_ready(operations, CONTAINER_OF(timer, struct request, timer));
}

int64_t operations_next_ns(const struct operations *operations)
{
    return timers_next(&operations->delayed);
}

void operations_drop(struct operations *operations)
{
    struct request *request;
    while ((request = request_pop(&operations->context->ready)) != NULL)
        drop_request(operations, request);
    struct timer *timer;
    while ((timer = timers_pop(&operations->delayed, INT64_MAX)) != NULL)
        drop_request(operations, CONTAINER_OF(timer, struct request, timer));
}

// ---- beginning ----------------------------------------------------------------------------------

// Whether the n-th operation is sent twice: the same for every run with this seed.
static bool is_duplicated(const struct plan *plan, int64_t n)
{
    if (plan->duplicate <= 0)
        return false;
    uint64_t hash = text_hash(TEXT_HASH_START ^ plan->seed, &n, sizeof n);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return (double)(hash >> 11) * 0x1p-53 < plan->duplicate;
}

// Between half and one and a half of --think, so that users do not march in step.
static int64_t think_time(struct operations *operations)
{
    int64_t think_ns = operations->context->plan->think_ns;
    return think_ns > 0 ? think_ns / 2 + (int64_t)(next_random(operations) % (uint64_t)think_ns)
                        : 0;
}

// Begins an operation: the next of the scenario, or what follows an answer (`follow`, else NULL).
static bool begin(struct operations *operations, const struct task *follow, int64_t intended_ns,
                  int64_t delay_ns, bool returned)
{
    struct context *context = operations->context;
    const struct plan *plan = context->plan;
    if (operations->exhausted || run_stop(context->run) != STOP_NOT)
        return false;
    int64_t n = atomic_fetch_add_explicit(&context->run->next_operation, 1, memory_order_relaxed);
    if (plan->requests > 0 && n >= plan->requests) {
        operations->exhausted = true;
        return false;
    }
    struct operation *operation = new_operation(operations);
    if (operation == NULL)
        return false;
    *operation = (struct operation){
        .n = n, .begun_ns = -1, .retries_left = plan->retries, .returned = returned};
    if (follow != NULL)
        operation->task = *follow;
    if (follow != NULL && follow->kind == KIND_ORDER)
        text_format(operation->task.order, sizeof operation->task.order, "%s-%lld", plan->run,
                    (long long)n);
    if (follow == NULL)
        scenario_task(context->run->scenario, n, &operation->task);
    key_write(plan, n, plan->keys == KEYS_UUID7 ? clock_wall_ms() : 0, operation->key);
    if (operation->task.owner != NULL)
        (void)text_copy(operation->user, sizeof operation->user, operation->task.owner);
    else
        user_write(operation->task.user, operation->user);
    int64_t copies = is_duplicated(plan, n) ? 2 : 1;
    for (int64_t i = 0; i < copies; i++) {
        struct request *request = new_request(operations, operation, intended_ns);
        if (request == NULL)
            break;
        make_ready_after(operations, request, delay_ns);
    }
    if (copies == 2)
        record_one(operations->recorder, &operations->recorder->measure.duplicates);
    return true;
}

bool operations_begin(struct operations *operations, int64_t intended_ns, bool think)
{
    return begin(operations, NULL, intended_ns, think ? think_time(operations) : 0, false);
}

// ---- ending -------------------------------------------------------------------------------------

// A random time of half to one and a half of the backoff, which doubles with each retry; or the
// server's Retry-After, at most a minute, and up to 100 ms more.
static int64_t retry_delay(struct operations *operations, const struct operation *operation,
                           const struct answer *answer)
{
    int64_t wait_s = answer->retry_after_s;
    if (wait_s >= 0)
        return (wait_s < RETRY_AFTER_MAX_S ? wait_s : RETRY_AFTER_MAX_S) * NS_PER_S +
               (int64_t)(next_random(operations) % (100 * NS_PER_MS));
    int64_t tries = operations->context->plan->retries - operation->retries_left;
    int64_t backoff_ns = tries < 6 ? BACKOFF_FIRST_NS << tries : BACKOFF_MAX_NS;
    if (backoff_ns > BACKOFF_MAX_NS)
        backoff_ns = BACKOFF_MAX_NS;
    return backoff_ns / 2 + (int64_t)(next_random(operations) % (uint64_t)backoff_ns);
}

static void retry(struct operations *operations, struct operation *operation,
                  const struct answer *answer)
{
    const struct context *context = operations->context;
    int64_t delay_ns = retry_delay(operations, operation, answer);
    int64_t intended_ns = arrival_is_scheduled(context->plan)
                              ? context->now_ns + delay_ns - context->run->start_ns
                              : -1;
    struct request *request = new_request(operations, operation, intended_ns);
    if (request == NULL)
        return;
    operation->retries_left--;
    record_one(operations->recorder, &operations->recorder->measure.retries);
    make_ready_after(operations, request, delay_ns);
}

// Begins what follows the operation because of its answer. A user who will come back later leaves
// the place to the next one. False if nothing follows.
static bool begin_following(struct operations *operations, const struct operation *operation)
{
    const struct context *context = operations->context;
    struct follow_up next;
    if (!follow_up(context->plan, operation->n, &operation->task, &operation->answer, &next))
        return false;
    int64_t delay_ns =
        next.at_ms > 0 ? (next.at_ms - clock_wall_ms()) * NS_PER_MS : think_time(operations);
    delay_ns = delay_ns > 0 ? delay_ns : 0;
    int64_t intended_ns = arrival_is_scheduled(context->plan)
                              ? context->now_ns + delay_ns - context->run->start_ns
                              : -1;
    bool away = next.at_ms > 0 || operation->returned;
    return begin(operations, &next.task, intended_ns, delay_ns, away) && next.at_ms == 0;
}

void operations_finish(struct operations *operations, struct request *request)
{
    struct operation *operation = request->operation;
    const struct plan *plan = operations->context->plan;
    const struct answer *answer = &request->answer;
    if (request->target == REQUEST_NOT_SENT && request_begins_operation(request))
        record_one(operations->recorder, &operations->recorder->measure.operations_begun);
    record_finished(operations->recorder, request);
    if (!operation->ok)
        operation->answer = *answer;
    operation->ok = operation->ok || answer->outcome == OUTCOME_OK;
    if (!operation->ok && answer->retryable && operation->retries_left > 0 &&
        run_stop(operations->context->run) < STOP_NO_RETRY)
        retry(operations, operation, answer);
    free_request(operations, request);
    if (operation->unfinished > 0)
        return;
    record_operation_end(operations->recorder, operation);
    bool follows = begin_following(operations, operation), returned = operation->returned;
    free_operation(operations, operation);
    if (!follows && !returned && !arrival_is_scheduled(plan))
        (void)operations_begin(operations, -1, true);
}
