// Operations and their shots. An operation begins with one shot, or with two of the same key where
// a duplicate is wanted; a shot that came to nothing is sent again, as often as --retry allows, and
// when the server wished it to be. The operation is over when none of its shots is left; then, in a
// closed loop, the user who waited for it goes on to the next.
//
// A user is not a connection: a user who thinks or waits for a retry leaves the connection to
// others.
#include "run/client_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_NS (50 * NS_PER_MS)
#define BACKOFF_MAX_NS (2 * NS_PER_S)

static uint64_t next_random(struct client *client)
{
    // xorshift64* (Vigna 2016): jitter needs no more.
    uint64_t x = client->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    client->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

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

static bool takes_new(const struct client *client)
{
    return !client->exhausted && client_stop(client) == STOP_NOT;
}

static bool is_closed(const struct plan *plan)
{
    return plan->arrival == ARRIVAL_CLOSED || plan->arrival == ARRIVAL_LATCH;
}

static struct shot *new_shot(struct client *client, struct operation *operation)
{
    struct shot *shot = client->spare_shots;
    if (shot != NULL)
        client->spare_shots = shot->next;
    else
        shot = malloc(sizeof *shot);
    if (shot == NULL) {
        client->failed_to_allocate = true;
        return NULL;
    }
    *shot = (struct shot){.operation = operation, .number = operation->shots++, .intended_ns = -1};
    operation->alive++;
    client->alive++;
    return shot;
}

static struct operation *new_operation(struct client *client)
{
    struct operation *operation = client->spare_operations;
    if (operation != NULL)
        client->spare_operations = operation->next;
    else
        operation = malloc(sizeof *operation);
    if (operation == NULL)
        client->failed_to_allocate = true;
    return operation;
}

// "k3x9-" and 17 as "k3x9-17"; a printf for each key would cost more than the request's rendering.
static void name(char *target, size_t size, const char *before, int64_t number)
{
    char digits[24];
    char *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    size_t length = strlen(before);
    if (text_copy(target, size, before))
        (void)text_copy(target + length, size - length, at);
}

// Into the ready queue now, or after a while to think.
static void schedule(struct client *client, struct shot *shot, int64_t delay_ns)
{
    if (delay_ns <= 0)
        ready_push(client, shot);
    else if (!timers_set(&client->due, &shot->timer, client->now_ns + delay_ns))
        shot_never_sent(client, shot, "out of memory");
}

static int64_t thinking_time(struct client *client)
{
    // Between half and one and a half of it, so that users do not march in step.
    int64_t think_ns = client->plan->think_ns;
    return think_ns > 0 ? think_ns / 2 + (int64_t)(next_random(client) % (uint64_t)think_ns) : 0;
}

bool operation_begin(struct client *client, int64_t intended_ns, bool think)
{
    const struct plan *plan = client->plan;
    if (!takes_new(client))
        return false;
    int64_t n = atomic_fetch_add_explicit(&client->run->next_operation, 1, memory_order_relaxed);
    if (plan->requests > 0 && n >= plan->requests) {
        client->exhausted = true;
        return false;
    }
    struct operation *operation = new_operation(client);
    if (operation == NULL)
        return false;
    *operation = (struct operation){.n = n, .begun_ns = -1, .retries_left = plan->retries};
    scenario_task(client->run->scenario, n, &operation->task);
    char prefix[HISTORY_RUN_MAX + 2];
    (void)text_format(prefix, sizeof prefix, "%s-", plan->run);
    name(operation->key, sizeof operation->key, prefix, n);
    name(operation->user, sizeof operation->user, "u", operation->task.user);
    int64_t delay_ns = think ? thinking_time(client) : 0;
    int64_t copies = is_duplicated(plan, n) ? 2 : 1;
    for (int64_t i = 0; i < copies; i++) {
        struct shot *shot = new_shot(client, operation);
        if (shot == NULL)
            break;
        shot->intended_ns = intended_ns;
        schedule(client, shot, delay_ns);
    }
    if (copies == 2) {
        pthread_mutex_lock(&client->mutex);
        client->measure.duplicates++;
        pthread_mutex_unlock(&client->mutex);
    }
    return true;
}

void operation_mark_begun(struct client *client, const struct shot *shot)
{
    struct operation *operation = shot->operation;
    if (operation->begun_ns >= 0)
        return;
    operation->begun_ns = shot->intended_ns >= 0 ? shot->intended_ns : shot->invoke_ns;
    record_begin(client);
}

static int64_t retry_delay(struct client *client, const struct operation *operation,
                           const struct answer *answer)
{
    if (answer->retry_after_s >= 0)
        return answer->retry_after_s * NS_PER_S +
               (int64_t)(next_random(client) % (100 * NS_PER_MS));
    int64_t tries = client->plan->retries - operation->retries_left;
    int64_t backoff_ns = tries < 6 ? BACKOFF_FIRST_NS << tries : BACKOFF_MAX_NS;
    if (backoff_ns > BACKOFF_MAX_NS)
        backoff_ns = BACKOFF_MAX_NS;
    return backoff_ns / 2 + (int64_t)(next_random(client) % (uint64_t)backoff_ns);
}

static void retry(struct client *client, struct operation *operation, const struct answer *answer)
{
    int64_t delay_ns = retry_delay(client, operation, answer);
    struct shot *shot = new_shot(client, operation);
    if (shot == NULL)
        return;
    operation->retries_left--;
    if (!is_closed(client->plan))
        shot->intended_ns = client->now_ns + delay_ns - client->run->start_ns;
    pthread_mutex_lock(&client->mutex);
    client->measure.retries++;
    pthread_mutex_unlock(&client->mutex);
    schedule(client, shot, delay_ns);
}

static void end_operation(struct client *client, struct operation *operation)
{
    record_end(client, operation);
    operation->next = client->spare_operations;
    client->spare_operations = operation;
    if (is_closed(client->plan))
        (void)operation_begin(client, -1, true);
}

static void free_shot(struct client *client, struct shot *shot)
{
    shot->operation->alive--;
    client->alive--;
    shot->next = client->spare_shots;
    client->spare_shots = shot;
}

void shot_finish(struct client *client, struct shot *shot, const struct answer *answer,
                 size_t target)
{
    struct operation *operation = shot->operation;
    record_shot(client, shot, answer, target);
    free_shot(client, shot);
    operation->ok = operation->ok || answer->outcome == OUTCOME_OK;
    int stop = client_stop(client);
    if (!operation->ok && answer->retryable && operation->retries_left > 0 && stop < STOP_NO_RETRY)
        retry(client, operation, answer);
    if (operation->alive == 0)
        end_operation(client, operation);
}

void shot_never_sent(struct client *client, struct shot *shot, const char *why)
{
    struct answer answer;
    answer_missing(why, &answer);
    answer.outcome = OUTCOME_FAIL;
    shot->invoke_ns = client->now_ns - client->run->start_ns;
    operation_mark_begun(client, shot);
    shot_finish(client, shot, &answer, NOT_SENT);
}

void shot_forget(struct client *client, struct shot *shot)
{
    struct operation *operation = shot->operation;
    free_shot(client, shot);
    if (operation->alive == 0) {
        operation->next = client->spare_operations;
        client->spare_operations = operation;
    }
}

void ready_push(struct client *client, struct shot *shot)
{
    shot->queued_ns = client->now_ns;
    shot->next = NULL;
    if (client->ready_last != NULL)
        client->ready_last->next = shot;
    else
        client->ready_first = shot;
    client->ready_last = shot;
}

struct shot *ready_pop(struct client *client)
{
    struct shot *shot = client->ready_first;
    if (shot != NULL) {
        client->ready_first = shot->next;
        if (client->ready_first == NULL)
            client->ready_last = NULL;
    }
    return shot;
}

void shots_due(struct client *client)
{
    int stop = client_stop(client);
    struct timer *timer;
    while ((timer = timers_pop(&client->due, client->now_ns)) != NULL) {
        struct shot *shot = CONTAINER_OF(timer, struct shot, timer);
        if (stop != STOP_NOT && shot->operation->begun_ns < 0)
            shot_forget(client, shot); // the user was still thinking when the run ended
        else
            ready_push(client, shot);
    }
}

void shots_drop(struct client *client)
{
    struct shot *shot;
    while ((shot = ready_pop(client)) != NULL)
        shot_forget(client, shot);
    struct timer *timer;
    while ((timer = timers_pop(&client->due, INT64_MAX)) != NULL)
        shot_forget(client, CONTAINER_OF(timer, struct shot, timer));
}

void pools_release(struct client *client)
{
    for (struct shot *next; client->spare_shots != NULL; client->spare_shots = next) {
        next = client->spare_shots->next;
        free(client->spare_shots);
    }
    for (struct operation *next; client->spare_operations != NULL;
         client->spare_operations = next) {
        next = client->spare_operations->next;
        free(client->spare_operations);
    }
}
