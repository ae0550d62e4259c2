// Jobs in order of arrival, linked by their `next`. Not locked: the engine's mutex protects it.
#pragma once

#include <stddef.h>

struct job;

struct queue {
    struct job *head, *tail;
    size_t n;
};

void queue_push(struct queue *queue, struct job *job);
struct job *queue_pop(struct queue *queue); // only when it is not empty
