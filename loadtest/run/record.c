// What a client thread counts. The mutex is its own and only the sampling of the live line ever
// contends for it, so taking it costs next to nothing.
#include "run/client_internal.h"

#include "base/clock.h"
#include "history/writer.h"

#include <inttypes.h>

#define FLUSH_AT ((size_t)256 * 1024)

static void count(struct measure *measure, const struct answer *answer, int64_t latency_ns)
{
    histogram_add(&measure->latency, latency_ns);
    measure->statuses[answer->status]++;
    measure->classes[answer->answer_class]++;
    if (answer->detail[0] != '\0' && answer->answer_class != ANSWER_OK)
        measure_problem(measure, answer->detail);
    measure->replays += answer->replayed;
    measure->unknown += answer->outcome == OUTCOME_INFO;
}

static void write_line(struct client *client, const struct shot *shot, const struct answer *answer,
                       size_t target, int64_t complete_ns)
{
    const struct operation *operation = shot->operation;
    const struct attempt attempt = {
        .op = operation->n,
        .attempt = shot->number,
        .kind = operation->task.kind,
        .outcome = answer->outcome,
        .counter = operation->task.counter,
        .target = target,
        .status = answer->status,
        .replayed = answer->replayed,
        .invoke_ns = shot->invoke_ns,
        .complete_ns = answer->outcome == OUTCOME_INFO ? HISTORY_NEVER : complete_ns,
        .quantity = operation->task.quantity,
        .version = answer->version,
        .remaining = answer->remaining,
        .key = operation->key,
        .user = operation->user,
        .detail = answer->detail,
    };
    history_line(&client->history, client->run->head, &attempt);
    atomic_fetch_add_explicit(&client->run->attempts, 1, memory_order_relaxed);
}

void record_shot(struct client *client, const struct shot *shot, const struct answer *answer,
                 size_t target)
{
    int64_t now_ns = client->now_ns - client->run->start_ns;
    int64_t from_ns = shot->intended_ns >= 0 ? shot->intended_ns : shot->invoke_ns;
    int64_t latency_ns = now_ns - from_ns;
    if (answer->status != 0)
        client->last_answer_ns = now_ns;
    pthread_mutex_lock(&client->mutex);
    count(&client->measure, answer, latency_ns);
    count(&client->recent, answer, latency_ns);
    timeline_add(&client->measure.timeline, now_ns, answer->answer_class, latency_ns);
    pthread_mutex_unlock(&client->mutex);
    if (client->run->writer != NULL && target != NOT_SENT) {
        write_line(client, shot, answer, target, now_ns);
        record_flush(client, false);
    }
}

void record_begin(struct client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->measure.operations_begun++;
    pthread_mutex_unlock(&client->mutex);
}

void record_end(struct client *client, const struct operation *operation)
{
    pthread_mutex_lock(&client->mutex);
    client->measure.operations_done++;
    histogram_add(&client->measure.operations,
                  client->now_ns - client->run->start_ns - operation->begun_ns);
    pthread_mutex_unlock(&client->mutex);
}

void record_sent(struct client *client, size_t bytes)
{
    pthread_mutex_lock(&client->mutex);
    client->measure.requests_sent++;
    client->measure.bytes_written += (int64_t)bytes;
    pthread_mutex_unlock(&client->mutex);
}

void record_connect_failure(struct client *client, const char *why)
{
    pthread_mutex_lock(&client->mutex);
    measure_problem(&client->measure, why);
    pthread_mutex_unlock(&client->mutex);
}

void record_flush(struct client *client, bool all)
{
    if (client->run->writer != NULL && client->history.length > (all ? 0 : FLUSH_AT))
        history_flush(client->run->writer, &client->history);
}
