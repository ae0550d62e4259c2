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
