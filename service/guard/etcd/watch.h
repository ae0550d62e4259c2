// One watch per process for the deletions of keys in etcd. A waiter adds the keys that it waits
// for, and its own. The watch wakes it when they are deleted.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/etcd/client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct etcd_watch;
struct etcd_watched_key;

// A waiter, and later the lock holder. The watch writes it; its owner may read it.
struct etcd_waiter {
    pthread_cond_t cond;
    // Under the watch's mutex:
    size_t ahead;   // added keys of other claims that still exist
    size_t wake_at; // wake the waiter when `ahead` is at most this
    bool gap;       // the watch may have missed a deletion: read the queue again

    atomic_bool lost; // one of the waiter's own keys was deleted
};

// A watched key. Its name is kept as a hash. A collision would cost one more read of the queue, and
// only if both keys were watched at the same moment.
struct etcd_watched_key {
    struct etcd_watched_key *next, **pointer; // in the watch's table; pointer: to this key
    struct etcd_waiter *waiter;
    uint64_t name;    // etcd_name_hash
    int64_t revision; // of the store when the key was read; only later deletions count
    bool own;         // the waiter's own key; else one ahead of it
};

// Watches all keys below the prefix (plain text that ends in a slash). Connects when the first
// waiter comes. The client is borrowed until the watch is freed. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_watch_new(struct etcd_client *client, const char *prefix,
                                  struct etcd_watch **ret_watch);
void etcd_watch_free(struct etcd_watch *watch); // no key may be left in it; NULL is fine

void etcd_waiter_init(struct etcd_watch *watch, struct etcd_waiter *waiter);
void etcd_waiter_destroy(struct etcd_waiter *waiter);

// Adds keys that existed at this revision; the caller has filled in `name`, `waiter` and `own`, and
// must not move them until they are removed. Counts the keys ahead in waiter->ahead. Keys that were
// deleted since are reported before it returns; if the watch cannot know that, it sets waiter->gap.
// Any thread.
void etcd_watch_add(struct etcd_watch *watch, struct etcd_watched_key *keys, size_t n,
                    int64_t revision);
// The watch does not touch these keys any more after the return.
void etcd_watch_remove(struct etcd_watch *watch, struct etcd_watched_key *keys, size_t n);

// A waiter has read the queue and found that a key, which existed at this revision, is deleted. If
// the watch should have reported it, and no event comes for a while, the watch reconnects, to the
// member that answered last. Any thread.
void etcd_watch_report_missed(struct etcd_watch *watch, uint64_t name, int64_t revision);

// Waits until at most `wake_at` keys are ahead, an own key is lost, there is a gap, or limit_ns
// (monotonic). True in the first case only, and without a gap. Resets waiter->gap.
bool etcd_watch_wait(struct etcd_watch *watch, struct etcd_waiter *waiter, size_t wake_at,
                     int64_t limit_ns);
