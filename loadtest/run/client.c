// The event loop of a client thread: shots become ready (by a schedule, by a user who goes on, by a
// retry), take an idle connection, and are answered, or not.
#include "run/client_internal.h"

#include "base/clock.h"

#include <sys/epoll.h>
#include <sys/prctl.h>

#define EVENTS_MAX 256
#define LOOK_AT_LEAST_NS (100 * NS_PER_MS) // how soon a stop is noticed

static void expire(struct client *client)
{
    struct line *line;
    while ((line = client->oldest) != NULL && line->deadline_ns <= client->now_ns) {
        if (line->shot != NULL) {
            pthread_mutex_lock(&client->mutex);
            client->measure.timeouts++;
            pthread_mutex_unlock(&client->mutex);
        }
        line_broken(client, line, "timeout");
    }
    struct shot *shot;
    while ((shot = client->ready_first) != NULL &&
           shot->queued_ns + client->plan->timeout_ns <= client->now_ns) {
        (void)ready_pop(client);
        shot_never_sent(client, shot, "no connection in time");
    }
}

static void reopen_due(struct client *client)
{
    struct timer *timer;
    while ((timer = timers_pop(&client->reopening, client->now_ns)) != NULL)
        line_open(client, CONTAINER_OF(timer, struct line, reopen));
}

// What was to begin within the duration begins, however late we are; nothing else does.
static void arrive(struct client *client)
{
    int64_t now_ns = client->now_ns - client->run->start_ns;
    int64_t end_ns = client->plan->duration_ns > 0 ? client->plan->duration_ns : INT64_MAX;
    if (client->next_arrival_ns == INT64_MAX)
        return;
    while (client->next_arrival_ns <= now_ns && client->next_arrival_ns < end_ns) {
        if (!operation_begin(client, client->next_arrival_ns, false)) {
            client->next_arrival_ns = INT64_MAX;
            return;
        }
        client->next_arrival_ns = arrival_next(&client->arrival);
    }
    if (now_ns >= end_ns) {
        client->next_arrival_ns = INT64_MAX;
        client->exhausted = true;
    }
}

static void wait_for_events(struct client *client)
{
    int64_t until_ns = client->now_ns + LOOK_AT_LEAST_NS;
    int64_t candidates[] = {timers_next(&client->due), timers_next(&client->reopening),
                            client->next_arrival_ns == INT64_MAX
                                ? INT64_MAX
                                : client->next_arrival_ns + client->run->start_ns,
                            client->oldest != NULL ? client->oldest->deadline_ns : INT64_MAX};
    for (size_t i = 0; i < ARRAY_LENGTH(candidates); i++) {
        if (candidates[i] < until_ns)
            until_ns = candidates[i];
    }
    client->now_ns = clock_now_ns();
    int64_t wait_ns = until_ns > client->now_ns ? until_ns - client->now_ns : 0;
    struct timespec timeout = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_pwait2(client->epoll, events, EVENTS_MAX, &timeout, NULL);
    client->now_ns = clock_now_ns();
    for (int i = 0; i < n; i++)
        line_event(client, events[i].data.ptr, events[i].events);
}

static bool is_over(struct client *client)
{
    int stop = client_stop(client);
    bool may_begin = stop == STOP_NOT && !client->exhausted && !client->failed_to_allocate;
    return stop == STOP_AT_ONCE || (client->alive == 0 && !may_begin);
}

static void give_up(struct client *client)
{
    struct answer answer;
    answer_missing("given up", &answer);
    for (size_t i = 0; i < client->n_lines; i++) {
        struct shot *shot = client->lines[i].shot;
        client->lines[i].shot = NULL;
        if (shot != NULL)
            shot_finish(client, shot, &answer, client->lines[i].target);
    }
    shots_drop(client);
}

static void work(struct client *client)
{
    while (!is_over(client)) {
        arrive(client);
        reopen_due(client);
        if (client_stop(client) >= STOP_NO_RETRY)
            shots_drop(client);
        shots_due(client);
        expire(client);
        lines_pump(client);
        if (!is_over(client))
            wait_for_events(client);
    }
    client->now_ns = clock_now_ns();
    give_up(client);
    record_flush(client, true);
    long long last_ns = atomic_load(&client->run->last_answer_ns);
    while (last_ns < client->last_answer_ns &&
           !atomic_compare_exchange_weak(&client->run->last_answer_ns, &last_ns,
                                         client->last_answer_ns))
        ;
}

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct run *run = client->run;
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); // a schedule of microseconds must not be rounded away
    client_open_all(client);
    pthread_barrier_wait(&run->opened);
    if (!client_run_failed(client)) {
        if (client->plan->arrival == ARRIVAL_LATCH)
            client_load_latch(client);
        pthread_barrier_wait(&run->loaded);
        pthread_barrier_wait(&run->go);
        client_begin(client);
        work(client);
    }
    atomic_fetch_add(&run->finished, 1);
    return NULL;
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
    pthread_mutex_lock(&client->mutex);
    if (total != NULL)
        measure_merge(total, &client->measure);
    if (recent != NULL) {
        measure_merge(recent, &client->recent);
        measure_clear(&client->recent);
    }
    pthread_mutex_unlock(&client->mutex);
}
