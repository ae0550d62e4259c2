// A process's subscription to the Redis channel on which granted locks are announced.
//
// A waiter registers before it sends the script that queues it, so that a grant finds it however
// early it comes. A broken connection may lose messages. So every waiter wakes up when the
// connection breaks and when it is back, and tries to acquire again.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_address;
struct redis_listener;

// One registered waiter. Memory of the caller, from register to unregister.
struct redis_waiter {
    struct redis_waiter *next;
    const char *owner; // borrowed
    unsigned attempts; // how many were begun
    pthread_cond_t cond;
    uint64_t token;          // the highest token of the grant; 0: not granted
    bool connection_changed; // the connection broke or came back since the last wait
};

// Connects lazily and starts no thread yet. The address is borrowed.
MUST_CHECK enum rc redis_listener_new(const struct redis_address *address,
                                      struct redis_listener **ret_listener);
void redis_listener_free(struct redis_listener *listener); // no waiter may be left; NULL is fine

// The channel on which grants are to be announced; "" while it is not subscribed. `start` starts
// the thread if it does not run yet. Any thread.
const char *redis_listener_channel(struct redis_listener *listener, bool start);

// How many times the connection was lost and replaced. Any thread.
uint64_t redis_listener_reconnects(struct redis_listener *listener);

void redis_listener_register(struct redis_listener *listener, struct redis_waiter *waiter,
                             const char *owner);
// Begins an attempt to acquire. Returns the number that its grant must carry: a grant with an older
// number is stale, and its lease may be over.
unsigned redis_listener_attempt(struct redis_listener *listener, struct redis_waiter *waiter);
void redis_listener_unregister(struct redis_listener *listener, struct redis_waiter *waiter);

// Waits for the grant and returns its token. 0: the connection changed, or the time is over.
uint64_t redis_listener_wait(struct redis_listener *listener, struct redis_waiter *waiter,
                             int64_t until_ns);
