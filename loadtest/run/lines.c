// The connections of a client thread and what they carry. A shot takes the connection that has been
// idle longest, so that the targets share the load evenly.
//
// A connection that breaks is opened again at once, then ever more slowly; while none is up, shots
// that wait are answered with the reason, so that a dead server ends in figures instead of silence.
#include "run/client_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define REOPEN_FIRST_NS (10 * NS_PER_MS)
#define REOPEN_MAX_NS (500 * NS_PER_MS)

// ---- lists -------------------------------------------------------------------------------------

// One that broke while it was idle, and is up again, is still in the list, and must not be twice.
void line_idle(struct client *client, struct line *line)
{
    if (line->idle)
        return;
    line->idle = true;
    line->idle_next = NULL;
    if (client->idle_last != NULL)
        client->idle_last->idle_next = line;
    else
        client->idle_first = line;
    client->idle_last = line;
}

// Those that broke while they were idle are passed over.
struct line *line_take(struct client *client)
{
    struct line *line;
    while ((line = client->idle_first) != NULL) {
        client->idle_first = line->idle_next;
        if (client->idle_first == NULL)
            client->idle_last = NULL;
        line->idle = false;
        if (line->connection.state == CONNECTION_UP)
            return line;
    }
    return NULL;
}

// All have the same patience, so the one that was put in last is the last to lose it.
static void line_watch(struct client *client, struct line *line, int64_t from_ns)
{
    line->deadline_ns = from_ns + client->plan->timeout_ns;
    line->watched = true;
    line->newer = NULL;
    line->older = client->newest;
    if (client->newest != NULL)
        client->newest->newer = line;
    else
        client->oldest = line;
    client->newest = line;
}

static void line_unwatch(struct client *client, struct line *line)
{
    if (!line->watched)
        return;
    line->watched = false;
    if (line->older != NULL)
        line->older->newer = line->newer;
    else
        client->oldest = line->newer;
    if (line->newer != NULL)
        line->newer->older = line->older;
    else
        client->newest = line->older;
}

// ---- lines -------------------------------------------------------------------------------------

void line_open(struct client *client, struct line *line)
{
    int code = connection_open(&line->connection, &client->run->addresses[line->target]);
    if (code != 0)
        line_broken(client, line, strerror(code));
    else
        line_watch(client, line, client->now_ns);
}

static void reopen_later(struct client *client, struct line *line)
{
    int64_t delay_ns = line->backoff_ns;
    line->backoff_ns = delay_ns == 0 ? REOPEN_FIRST_NS : 2 * delay_ns;
    if (line->backoff_ns > REOPEN_MAX_NS)
        line->backoff_ns = REOPEN_MAX_NS;
    if (!timers_set(&client->reopening, &line->reopen, client->now_ns + delay_ns))
        client->failed_to_allocate = true;
}

void line_broken(struct client *client, struct line *line, const char *why)
{
    struct shot *shot = line->shot;
    bool was_opening = line->connection.state != CONNECTION_UP;
    line->shot = NULL;
    line_unwatch(client, line);
    connection_close(&line->connection);
    if (!was_opening)
        client->n_up--;
    reopen_later(client, line);
    if (shot != NULL) {
        struct answer answer;
        answer_missing(why, &answer);
        shot_finish(client, shot, &answer, line->target);
        return;
    }
    if (was_opening)
        record_connect_failure(client, why);
    if (was_opening && client->n_up == 0 && (shot = ready_pop(client)) != NULL)
        shot_never_sent(client, shot, why);
}

void line_load(struct client *client, struct line *line, struct shot *shot)
{
    const struct operation *operation = shot->operation;
    line->shot = shot;
    const struct template_values values = {
        .resource = operation->task.resource,
        .key = operation->key,
        .user = operation->user,
        .quantity = operation->task.quantity,
        .n = operation->n,
        .seed = client->plan->seed,
    };
    connection_next(&line->connection);
    size_t at = line->target * client->n_requests + operation->task.request;
    template_render(client->templates[at], &values, &line->connection.out);
}

// From here on the request may have its effect.
void line_invoke(struct client *client, struct line *line)
{
    struct shot *shot = line->shot;
    client->now_ns = clock_now_ns();
    shot->invoke_ns = client->now_ns - client->run->start_ns;
    operation_mark_begun(client, shot);
    line_watch(client, line, client->now_ns);
    record_sent(client, line->connection.out.length);
    int code = connection_send(&line->connection);
    if (code != 0)
        line_broken(client, line, strerror(code));
}

void lines_pump(struct client *client)
{
    struct line *line;
    while (client->ready_first != NULL && (line = line_take(client)) != NULL) {
        line_load(client, line, ready_pop(client));
        line_invoke(client, line);
    }
}

static void take_answer(struct client *client, struct line *line)
{
    const struct response *response = &line->connection.parser.response;
    struct shot *shot = line->shot;
    struct answer answer;
    answer_read(response, client->run->writer != NULL, &answer);
    client->now_ns = clock_now_ns();
    line_unwatch(client, line);
    line->shot = NULL;
    if (response->close) {
        connection_close(&line->connection);
        client->n_up--;
        line->backoff_ns = 0;
        reopen_later(client, line);
    } else {
        connection_next(&line->connection);
        line_idle(client, line);
    }
    shot_finish(client, shot, &answer, line->target);
}

static const char *describe(int code, bool got_bytes)
{
    if (code == 0)
        return got_bytes ? "broken answer" : "connection closed";
    return code == ECONNRESET ? "connection reset" : strerror(code);
}

static void on_readable(struct client *client, struct line *line)
{
    int code = 0;
    enum response_state state = connection_receive(&line->connection, &code);
    if (state == RESPONSE_PARTIAL)
        return;
    if (state == RESPONSE_DONE && line->shot != NULL && line->connection.held == 0)
        take_answer(client, line);
    else
        line_broken(client, line, describe(code, line->connection.in_length > 0));
}

static void on_open(struct client *client, struct line *line)
{
    int code = connection_opened(&line->connection);
    line_unwatch(client, line);
    if (code != 0) {
        line_broken(client, line, strerror(code));
        return;
    }
    client->n_up++;
    line->backoff_ns = 0;
    line_idle(client, line);
}

void line_event(struct client *client, struct line *line, uint32_t events)
{
    if (line->connection.state == CONNECTION_OPENING) {
        on_open(client, line);
    } else if (line->connection.state == CONNECTION_UP) {
        int code = (events & EPOLLOUT) != 0 ? connection_send(&line->connection) : 0;
        if (code != 0)
            line_broken(client, line, strerror(code));
        else if ((events & ~(uint32_t)EPOLLOUT) != 0)
            on_readable(client, line);
    }
    lines_pump(client);
}
