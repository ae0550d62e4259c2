// The event loop of a client thread. It moves requests from the operations, which decide what is
// sent and when, to the connection pool, which sends it, and back:
//
//     schedule, users, retries --> operations --- ready ---> pool --> server
//                                  operations <- finished -- pool <--
//
// Operations and pool do not call each other; they share only the two queues (run/request.h).
#include "run/client.h"

#include "base/clock.h"
#include "base/text.h"
#include "run/arrival.h"
#include "run/operations.h"
#include "run/pool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#define EVENTS_MAX 256
#define WAIT_MAX_NS (100 * NS_PER_MS) // how soon the thread notices that the run is stopped

struct client {
    struct context context;
    struct recorder recorder;
    struct operations operations;
    struct pool pool;
    struct arrival arrival;
    int64_t next_arrival_ns; // since the run began; ARRIVAL_NEVER: none
    bool without_pwait2;     // the system call is not there, or not allowed
    pthread_t thread;
};

// ---- the loop -----------------------------------------------------------------------------------

static void finish_requests(struct client *client)
{
    struct request *request;
    while ((request = request_pop(&client->context.finished)) != NULL)
        operations_finish(&client->operations, request);
}

// Finishes what is finished and sends what is ready, until nothing can be sent.
static void move_requests(struct client *client)
{
    do {
        finish_requests(client);
    } while (pool_send(&client->pool));
}

// Begins every operation whose intended start lies within the run's duration, however late the
// thread is; begins no others.
static void begin_scheduled(struct client *client)
{
    const struct context *context = &client->context;
    int64_t now_ns = context->now_ns - context->run->start_ns;
    int64_t end_ns = context->plan->duration_ns > 0 ? context->plan->duration_ns : INT64_MAX;
    if (client->next_arrival_ns == ARRIVAL_NEVER)
        return;
    while (client->next_arrival_ns <= now_ns && client->next_arrival_ns < end_ns) {
        if (!operations_begin(&client->operations, client->next_arrival_ns, false)) {
            client->next_arrival_ns = ARRIVAL_NEVER;
            return;
        }
        client->next_arrival_ns = arrival_next(&client->arrival);
    }
    if (now_ns >= end_ns) {
        client->next_arrival_ns = ARRIVAL_NEVER;
        client->operations.exhausted = true;
    }
}

// Waits with the precision of a schedule. The kernel before 5.11 and some sandboxes do not have
// epoll_pwait2; there ppoll waits for the epoll instance, which costs a second call.
static int await_events(struct client *client, struct epoll_event *events, int64_t wait_ns)
{
    const struct timespec timeout = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
    if (!client->without_pwait2) {
        int n = epoll_pwait2(client->pool.epoll, events, EVENTS_MAX, &timeout, NULL);
        if (n >= 0 || errno == EINTR)
            return n;
        client->without_pwait2 = true;
    }
    struct pollfd poll = {.fd = client->pool.epoll, .events = POLLIN};
    (void)ppoll(&poll, 1, &timeout, NULL);
    return epoll_wait(client->pool.epoll, events, EVENTS_MAX, 0);
}

static void wait_for_events(struct client *client)
{
    struct context *context = &client->context;
    int64_t until_ns = context->now_ns + WAIT_MAX_NS;
    int64_t candidates[] = {operations_next_ns(&client->operations), pool_next_ns(&client->pool),
                            client->next_arrival_ns == ARRIVAL_NEVER
                                ? INT64_MAX
                                : client->next_arrival_ns + context->run->start_ns};
    for (size_t i = 0; i < ARRAY_LENGTH(candidates); i++) {
        if (candidates[i] < until_ns)
            until_ns = candidates[i];
    }
    context->now_ns = clock_now_ns();
    int64_t wait_ns = until_ns > context->now_ns ? until_ns - context->now_ns : 0;
    struct epoll_event events[EVENTS_MAX];
    int n = await_events(client, events, wait_ns);
    context->now_ns = clock_now_ns();
    for (int i = 0; i < n; i++) {
        pool_event(&client->pool, events[i].data.ptr, events[i].events);
        move_requests(client);
    }
}

static bool is_over(const struct client *client)
{
    int stop = run_stop(client->context.run);
    bool may_begin =
        stop == STOP_NOT && !client->operations.exhausted && !client->context.out_of_memory;
    return stop == STOP_AT_ONCE || (client->operations.unfinished == 0 && !may_begin);
}

static void work(struct client *client)
{
    struct context *context = &client->context;
    while (!is_over(client)) {
        begin_scheduled(client);
        pool_reopen(&client->pool);
        if (run_stop(context->run) >= STOP_NO_RETRY)
            operations_drop(&client->operations);
        operations_resume(&client->operations);
        pool_expire(&client->pool);
        move_requests(client);
        if (!is_over(client))
            wait_for_events(client);
    }
    context->now_ns = clock_now_ns();
    pool_abandon(&client->pool);
    finish_requests(client);
    operations_drop(&client->operations);
    record_flush(&client->recorder);
    int64_t last_ns = client->recorder.last_answer_ns;
    long long known_ns = atomic_load(&context->run->last_answer_ns);
    while (known_ns < last_ns &&
           !atomic_compare_exchange_weak(&context->run->last_answer_ns, &known_ns, last_ns))
        ;
}

// ---- the thread ---------------------------------------------------------------------------------

// Fails the run, unless another thread did so already.
static void fail_run(struct run *run, const char *why)
{
    pthread_mutex_lock(&run->mutex);
    if (run->failed[0] == '\0')
        (void)text_copy(run->failed, sizeof run->failed, why);
    pthread_mutex_unlock(&run->mutex);
}

static void preload_latch(struct client *client)
{
    client->context.now_ns = clock_now_ns();
    while (client->pool.idle[0].first != NULL) {
        if (client->context.ready.first == NULL &&
            !operations_begin(&client->operations, -1, false))
            return;
        if (!pool_preload(&client->pool))
            return;
    }
}

static void begin(struct client *client)
{
    const struct plan *plan = client->context.plan;
    client->context.now_ns = clock_now_ns();
    client->next_arrival_ns = ARRIVAL_NEVER;
    if (plan->arrival == ARRIVAL_LATCH) {
        pool_release_latch(&client->pool);
    } else if (plan->arrival == ARRIVAL_CLOSED) {
        for (size_t i = 0; i < context_connections(&client->context); i++)
            (void)operations_begin(&client->operations, -1, true);
    } else {
        arrival_init(&client->arrival, plan, client->context.number);
        client->next_arrival_ns = arrival_next(&client->arrival);
    }
}

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct run *run = client->context.run;
    char error[HISTORY_ERROR_MAX];
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); // the default of 50 us would blur the schedule
    if (!pool_open(&client->pool, error) && error[0] != '\0')
        fail_run(run, error);
    pthread_barrier_wait(&run->opened);
    if (!run_failed(run)) {
        if (client->context.plan->arrival == ARRIVAL_LATCH)
            preload_latch(client);
        pthread_barrier_wait(&run->loaded);
        pthread_barrier_wait(&run->go);
        begin(client);
        work(client);
    }
    atomic_fetch_add(&run->finished, 1);
    return NULL;
}

bool client_new(struct run *run, int64_t number, struct client **ret_client, char *ret_error)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    client->context = (struct context){.run = run, .plan = run->plan, .number = number};
    operations_init(&client->operations, &client->context, &client->recorder);
    bool has_memory = recorder_init(&client->recorder, &client->context);
    bool prepared = pool_init(&client->pool, &client->context, &client->recorder, ret_error);
    if (!has_memory)
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
    if (!has_memory || !prepared) {
        client_free(client);
        return false;
    }
    *ret_client = client;
    return true;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    pool_release(&client->pool);
    operations_release(&client->operations);
    recorder_release(&client->recorder);
    free(client);
}

bool client_start(struct client *client)
{
    return pthread_create(&client->thread, NULL, client_main, client) == 0;
}

void client_join(struct client *client)
{
    pthread_join(client->thread, NULL);
}

void client_sample(struct client *client, struct measure *total, struct measure *recent)
{
    recorder_sample(&client->recorder, total, recent);
}
