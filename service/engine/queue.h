// A FIFO of jobs, linked by their `next`. Not thread-safe: the engine's mutex protects it.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct job;

struct queue {
    struct job *head, *tail;
    size_t n;
};

void queue_push(struct queue *queue, struct job *job);
void queue_push_front(struct queue *queue, struct job *job);
struct job *queue_pop(struct queue *queue); // only when it is not empty

// Moves the jobs whose deadline has passed at `now_ns` to the end of another queue. Returns the
// first deadline of the jobs that remain; INT64_MAX if none does.
int64_t queue_move_expired(struct queue *queue, int64_t now_ns, struct queue *expired);
