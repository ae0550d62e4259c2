// Who waits for a lock in Redis, on a thread of its own, and what can be seen of that from outside.
#pragma once

#include "guards.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

// A guard entered on a thread with enter_one, which leaves at once.
struct visitor {
    struct rig *rig;
    struct guard *guard;
    pthread_t thread;
    atomic_int *order; // counts who came in; may be NULL
    atomic_int thread_id;
    int came;         // its place in that order
    enum rc rc, left; // of entering and leaving
    uint64_t token;
    int64_t waited_ns;
};

void visit(struct visitor *visitor, struct rig *rig, struct guard *guard, atomic_int *order);
// Waits for it; what entering answered.
enum rc visited(struct visitor *visitor);

// Until its thread sleeps: it waits for its turn inside the process, where Redis cannot see it.
void await_sleep(struct visitor *visitor);

// How many owners stand in line in Redis for the rig's first key.
long long in_line(struct rig *rig, int port);
void await_line(struct rig *rig, int port, long long length);
// The first of them.
void first_in_line(struct rig *rig, int port, char *ret_owner, size_t size);

// The subject of all tests of redis-lock, and where its server listens.
extern const struct subject redis_subject;
int redis_port(void);

// rig_open with lock.wait = notify.
bool open_notify(struct rig *rig, struct rig_options options);
