#include "engine/queue.h"

#include "engine/engine.h"

void queue_push(struct queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->tail != NULL)
        queue->tail->next = job;
    else
        queue->head = job;
    queue->tail = job;
    queue->n++;
}

struct job *queue_pop(struct queue *queue)
{
    struct job *job = queue->head;
    queue->head = job->next;
    if (queue->head == NULL)
        queue->tail = NULL;
    queue->n--;
    return job;
}

void queue_move_late(struct queue *queue, int64_t now_ns, struct queue *late)
{
    for (size_t n = queue->n; n > 0; n--) {
        struct job *job = queue_pop(queue);
        queue_push(job->deadline_ns <= now_ns ? late : queue, job);
    }
}
