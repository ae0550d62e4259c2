// Counts what a client thread does, and writes the history's lines.
//
// Each thread has its own counts under its own mutex. Only the live line's sampling ever contends
// for it, so taking it costs next to nothing.
#include "run/record.h"

#include "base/clock.h"
#include "history/writer.h"
#include "run/cart.h"

#include <assert.h>

#define FLUSH_AT ((size_t)256 * 1024)

bool recorder_init(struct recorder *recorder, const struct context *context)
{
    recorder->context = context;
    pthread_mutex_init(&recorder->mutex, NULL);
    return measure_init(&recorder->measure) && measure_init(&recorder->recent);
}

void recorder_release(struct recorder *recorder)
{
    measure_release(&recorder->measure);
    measure_release(&recorder->recent);
    buffer_release(&recorder->history);
    pthread_mutex_destroy(&recorder->mutex);
}

// ---- by the client thread -----------------------------------------------------------------------

void record_one(struct recorder *recorder, int64_t *counter)
{
    pthread_mutex_lock(&recorder->mutex);
    ++*counter;
    pthread_mutex_unlock(&recorder->mutex);
}

void record_sent(struct recorder *recorder, size_t bytes, bool begins)
{
    pthread_mutex_lock(&recorder->mutex);
    recorder->measure.operations_begun += begins;
    recorder->measure.requests_sent++;
    recorder->measure.bytes_written += (int64_t)bytes;
    pthread_mutex_unlock(&recorder->mutex);
}

static_assert(KIND_COUNT <= MEASURE_KINDS_MAX, "a measure has a place for each kind");

static void count(struct measure *measure, enum attempt_kind kind, const struct answer *answer,
                  int64_t latency_ns)
{
    histogram_add(&measure->latency, latency_ns);
    if (answer->answer_class == ANSWER_OK)
        histogram_add(&measure->ok_latency, latency_ns);
    measure->kinds[kind][answer->answer_class]++;
    measure->statuses[answer->status]++;
    measure->classes[answer->answer_class]++;
    if (answer->detail[0] != '\0' && answer->answer_class != ANSWER_OK)
        measure_problem(measure, answer->detail);
    measure->replays += answer->replayed;
    measure->unknown += answer->outcome == OUTCOME_INFO;
}

static void write_line(struct recorder *recorder, const struct request *request,
                       int64_t complete_ns)
{
    struct run *run = recorder->context->run;
    const struct operation *operation = request->operation;
    const struct task *task = &operation->task;
    const struct answer *answer = &request->answer;
    struct cart_room room;
    struct attempt attempt = {
        .op = operation->n,
        .attempt = request->number,
        .kind = task->kind,
        .outcome = answer->outcome,
        .target = request->target,
        .status = answer->status,
        .replayed = answer->replayed,
        .invoke_ns = request->invoke_ns,
        .complete_ns = answer->outcome == OUTCOME_INFO ? HISTORY_NEVER : complete_ns,
        .version = answer->version,
        .remaining = answer->remaining,
        .expires_at_ms = answer->expires_at_ms,
        .key = operation->key,
        .user = operation->user,
        .detail = answer->detail,
    };
    cart_describe(run->scenario, task, answer, &room, &attempt);
    history_line(&recorder->history, run->head, &attempt);
    atomic_fetch_add_explicit(&run->attempts, 1, memory_order_relaxed);
    if (recorder->history.length > FLUSH_AT)
        history_flush(run->writer, &recorder->history);
}

void record_finished(struct recorder *recorder, const struct request *request)
{
    const struct context *context = recorder->context;
    const struct answer *answer = &request->answer;
    enum attempt_kind kind = request->operation->task.kind;
    int64_t now_ns = context->now_ns - context->run->start_ns;
    int64_t from_ns = request->intended_ns >= 0 ? request->intended_ns : request->invoke_ns;
    int64_t latency_ns = now_ns - from_ns;
    if (answer->status != 0)
        recorder->last_answer_ns = now_ns;
    pthread_mutex_lock(&recorder->mutex);
    count(&recorder->measure, kind, answer, latency_ns);
    count(&recorder->recent, kind, answer, latency_ns);
    timeline_add(&recorder->measure.timeline, now_ns, answer->answer_class, latency_ns);
    pthread_mutex_unlock(&recorder->mutex);
    if (context->run->writer != NULL && request->target != REQUEST_NOT_SENT)
        write_line(recorder, request, now_ns);
}

void record_operation_end(struct recorder *recorder, const struct operation *operation)
{
    const struct context *context = recorder->context;
    pthread_mutex_lock(&recorder->mutex);
    recorder->measure.operations_done++;
    histogram_add(&recorder->measure.operations,
                  context->now_ns - context->run->start_ns - operation->begun_ns);
    pthread_mutex_unlock(&recorder->mutex);
}

void record_connect_failure(struct recorder *recorder, const char *why)
{
    pthread_mutex_lock(&recorder->mutex);
    measure_problem(&recorder->measure, why);
    pthread_mutex_unlock(&recorder->mutex);
}

void record_flush(struct recorder *recorder)
{
    if (recorder->context->run->writer != NULL && recorder->history.length > 0)
        history_flush(recorder->context->run->writer, &recorder->history);
}

// ---- by any thread ------------------------------------------------------------------------------

void recorder_sample(struct recorder *recorder, struct measure *total, struct measure *recent)
{
    pthread_mutex_lock(&recorder->mutex);
    if (total != NULL)
        measure_merge(total, &recorder->measure);
    if (recent != NULL) {
        measure_merge(recent, &recorder->recent);
        measure_clear(&recorder->recent);
    }
    pthread_mutex_unlock(&recorder->mutex);
}
