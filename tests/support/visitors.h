// Waiters for a redis-lock, each on its own thread, and the lock's queue as seen from outside.
#pragma once

#include "guards.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

// A waiter: its thread enters the guard with enter_one and leaves at once.
struct visitor {
    struct rig *rig;
    struct guard *guard;
    pthread_t thread;
    atomic_int *order; // counts entries; may be NULL
    atomic_int thread_id;
    int came;         // its position in `order`, from 0
    enum rc rc, left; // results of entering and leaving
    uint64_t token;
    int64_t waited_ns;
};

// Starts the waiter's thread. `order` may be NULL.
void visit(struct visitor *visitor, struct rig *rig, struct guard *guard, atomic_int *order);

// Joins the waiter's thread. Returns the result of entering.
enum rc visited(struct visitor *visitor);

// Waits until the waiter's thread sleeps: it is then queued inside the process, where Redis cannot
// see it.
void await_sleep(struct visitor *visitor);

// The number of owners in Redis' queue for the rig's first key.
long long in_line(struct rig *rig, int port);
// Waits until that queue has `length` owners.
void await_line(struct rig *rig, int port, long long length);
// The owner at the head of that queue.
void first_in_line(struct rig *rig, int port, char *ret_owner, size_t size);

// The subject of all redis-lock tests, and the port of its server.
extern const struct subject redis_subject;
int redis_port(void);

// rig_open with lock.wait = notify.
bool open_notify(struct rig *rig, struct rig_options options);
