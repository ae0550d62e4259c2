#include "engine/queue.h"

#include "engine/job.h"

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

void queue_move_expired(struct queue *queue, int64_t now_ns, struct queue *expired)
{
    for (size_t n = queue->n; n > 0; n--) {
        struct job *job = queue_pop(queue);
        queue_push(job->deadline_ns <= now_ns ? expired : queue, job);
    }
}
