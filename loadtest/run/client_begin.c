// Before the run begins: all connections are opened, and behind the latch all requests are laid
// out.
//
// The latch: every connection is given a request, all but its last byte is sent, all threads meet,
// and then the last bytes are written one after the other. The server has parsed everything by
// then, and the requests become whole within the time of so many writes of one byte.
#include "run/client_internal.h"

#include "base/clock.h"

#include <string.h>
#include <sys/epoll.h>

#define EVENTS_MAX 128

static void fail_run(struct client *client, const char *format, const char *url, const char *why)
{
    pthread_mutex_lock(&client->run->mutex);
    if (client->run->failed[0] == '\0')
        (void)text_format(client->run->failed, sizeof client->run->failed, format, url, why);
    pthread_mutex_unlock(&client->run->mutex);
}

bool client_run_failed(struct client *client)
{
    pthread_mutex_lock(&client->run->mutex);
    bool failed = client->run->failed[0] != '\0';
    pthread_mutex_unlock(&client->run->mutex);
    return failed;
}

// One answer for one event: a line is up, or the run cannot begin.
static void finish_opening(struct client *client, struct line *line)
{
    const char *url = client->plan->targets[line->target].url;
    int code =
        line->connection.state == CONNECTION_OPENING ? connection_opened(&line->connection) : 0;
    if (code != 0) {
        fail_run(client, "no connection to %s: %s", url, strerror(code));
    } else if (!line->idle) {
        client->n_up++;
        line_idle(client, line);
    }
}

static void await_opening(struct client *client)
{
    int64_t deadline_ns = clock_now_ns() + client->plan->timeout_ns;
    while (client->n_up < client->n_lines && !client_run_failed(client)) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(client->epoll, events, EVENTS_MAX, 50);
        for (int i = 0; i < n; i++)
            finish_opening(client, events[i].data.ptr);
        if (client_stop(client) != STOP_NOT)
            fail_run(client, "%s%s", "interrupted before it began", "");
        else if (clock_now_ns() > deadline_ns)
            fail_run(client, "%s did not take all connections in time%s",
                     client->plan->targets[0].url, "");
    }
}

// A few hundred at a time: a listening socket's queue is finite, and a SYN that is dropped costs a
// second.
void client_open_all(struct client *client)
{
    const size_t burst = 128;
    for (size_t i = 0; i < client->n_lines && !client_run_failed(client); i++) {
        struct line *line = &client->lines[i];
        int code = connection_open(&line->connection, &client->run->addresses[line->target]);
        if (code != 0)
            fail_run(client, "no connection to %s: %s", client->plan->targets[line->target].url,
                     strerror(code));
        while (i + 1 >= client->n_up + burst && !client_run_failed(client)) {
            struct epoll_event events[EVENTS_MAX];
            int n = epoll_wait(client->epoll, events, EVENTS_MAX, 50);
            for (int j = 0; j < n; j++)
                finish_opening(client, events[j].data.ptr);
            if (n == 0)
                break;
        }
    }
    await_opening(client);
}

// Puts a request on every line and sends all but its last byte.
void client_load_latch(struct client *client)
{
    struct line *line;
    client->now_ns = clock_now_ns();
    while ((line = client->idle_first) != NULL) {
        if (client->ready_first == NULL && !operation_begin(client, -1, false))
            return;
        line = line_take(client);
        line_load(client, line, ready_pop(client));
        line->connection.held = 1;
        if (connection_send(&line->connection) != 0) {
            line->connection.state = CONNECTION_DOWN;
            client->n_up--;
        }
    }
}

static void release_latch(struct client *client)
{
    client->now_ns = clock_now_ns();
    for (size_t i = 0; i < client->n_lines; i++) {
        struct line *line = &client->lines[i];
        if (line->shot == NULL)
            continue;
        line->connection.held = 0;
        if (line->connection.state == CONNECTION_UP)
            line_invoke(client, line);
        else
            line_broken(client, line, "connection reset");
    }
}

void client_begin(struct client *client)
{
    const struct plan *plan = client->plan;
    client->now_ns = clock_now_ns();
    client->next_arrival_ns = INT64_MAX;
    if (plan->arrival == ARRIVAL_LATCH) {
        release_latch(client);
    } else if (plan->arrival == ARRIVAL_CLOSED) {
        for (size_t i = 0; i < client->n_lines; i++)
            (void)operation_begin(client, -1, true);
    } else {
        arrival_init(&client->arrival, plan, client->number);
        client->next_arrival_ns = arrival_next(&client->arrival);
    }
}
