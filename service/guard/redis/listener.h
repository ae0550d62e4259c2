// The one connection of a process that listens for locks that were granted to it.
//
// Who waits says whom it waits for (redis_listener_expect) before it asks Redis for the lock, so
// that no grant comes too early to be heard. When the connection breaks messages may be lost:
// everybody is woken then, and again when it is back, and asks anew.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_address;
struct redis_listener;

// One that waits. Memory of the caller, from redis_listener_expect to redis_listener_forget.
struct redis_grant {
    struct redis_grant *next;
    const char *owner; // borrowed
    unsigned asks;     // so many times
    pthread_cond_t cond;
    uint64_t token; // the highest of those granted; 0: not yet
    bool stirred;   // the connection broke or came back since it was last looked at
};

// Connects to nothing, starts no thread yet. The address is borrowed.
MUST_CHECK enum rc redis_listener_new(const struct redis_address *address,
                                      struct redis_listener **ret_listener);
void redis_listener_free(struct redis_listener *listener); // nobody may be waiting; NULL is fine

// The name of the channel, for grants to be announced on, if it is being listened to; else "".
// `start` starts the thread if nobody did yet. Any thread.
const char *redis_listener_channel(struct redis_listener *listener, bool start);

// How often the connection was lost and made again. Any thread.
uint64_t redis_listener_reconnects(struct redis_listener *listener);

void redis_listener_expect(struct redis_listener *listener, struct redis_grant *grant,
                           const char *owner);
// About to ask once more. Returns the number that the grant must bear: an older one may be a
// message that was so late that its lease is over.
unsigned redis_listener_ask(struct redis_listener *listener, struct redis_grant *grant);
void redis_listener_forget(struct redis_listener *listener, struct redis_grant *grant);

// Until the grant is there (its token), or the connection stirs, or the time has come (0).
uint64_t redis_listener_wait(struct redis_listener *listener, struct redis_grant *grant,
                             int64_t until_ns);
