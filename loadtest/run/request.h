// An operation and its requests. An operation is one thing that a user wants, under one idempotency
// key. It has one or more requests: the first, a duplicate sent at the same time, and retries.
//
// A client thread passes requests around in two queues:
//
//     operations  -- ready -->  pool  -- finished -->  operations
//
// A request is ready when it may be sent. The pool takes it, sends it on an idle connection, and
// appends it to `finished` with its answer, or with the reason why there is none. Queues are linked
// through the requests themselves, so that passing one on allocates nothing.
#pragma once

#include "run/answer.h"
#include "run/scenario.h"
#include "run/timers.h"

#define REQUEST_NOT_SENT SIZE_MAX

struct operation {
    int64_t n;
    struct task task;
    char key[HISTORY_TEXT_MAX + 1], user[HISTORY_TEXT_MAX + 1];
    int64_t begun_ns;             // its intended start, since the run began; -1: not begun
    int64_t requests, unfinished; // made so far; of these, those without a result
    int64_t retries_left;
    bool ok;                // one of its requests was answered with a 2xx
    bool returned;          // its user went away before, and the next one has come already
    struct answer answer;   // its first 2xx, else its last
    struct operation *next; // in the pool of spare operations
};

struct request {
    struct timer timer; // until it is ready
    struct operation *operation;
    int64_t number;       // among the operation's requests, from 0
    int64_t intended_ns;  // since the run began; -1: the moment at which it is sent
    int64_t invoke_ns;    // when it was sent, since the run began
    int64_t ready_ns;     // when it became ready, monotonic
    size_t target;        // where it was sent, or REQUEST_NOT_SENT
    struct request *next; // in a queue, or in the pool of spare requests
    struct answer answer; // once it is finished
};

struct request_queue {
    struct request *first, *last;
};

static inline void request_push(struct request_queue *queue, struct request *request)
{
    request->next = NULL;
    if (queue->last != NULL)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
}

// NULL if the queue is empty.
static inline struct request *request_pop(struct request_queue *queue)
{
    struct request *request = queue->first;
    if (request != NULL) {
        queue->first = request->next;
        if (queue->first == NULL)
            queue->last = NULL;
    }
    return request;
}

// The request is about to be sent, or never will be. True if that begins its operation.
static inline bool request_begins_operation(const struct request *request)
{
    struct operation *operation = request->operation;
    if (operation->begun_ns >= 0)
        return false;
    operation->begun_ns = request->intended_ns >= 0 ? request->intended_ns : request->invoke_ns;
    return true;
}
