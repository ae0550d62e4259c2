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

void queue_push_front(struct queue *queue, struct job *job)
{
    job->next = queue->head;
    queue->head = job;
    if (queue->tail == NULL)
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

int64_t queue_move_expired(struct queue *queue, int64_t now_ns, struct queue *expired)
{
    struct job **link = &queue->head;
    int64_t first_ns = INT64_MAX;
    queue->tail = NULL;
    while (*link != NULL) {
        struct job *job = *link;
        if (job->deadline_ns <= now_ns) {
            *link = job->next;
            queue->n--;
            queue_push(expired, job);
        } else {
            first_ns = job->deadline_ns < first_ns ? job->deadline_ns : first_ns;
            queue->tail = job;
            link = &job->next;
        }
    }
    return first_ns;
}
