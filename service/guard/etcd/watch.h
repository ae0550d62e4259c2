// Waiting for keys to go, and hearing that one's own have gone: one watch of all locks' deletions a
// process, whatever the number of its waiters.
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

// One who waits, or is inside. Open to etcd_watch.c and to the one who waits, for reading.
struct etcd_waiter {
    pthread_cond_t cond;
    size_t ahead;     // how many of those ahead have not gone yet; under the watch's mutex
    size_t wake_at;   // wake when no more than these are; under the watch's mutex
    bool gap;         // something may have been missed: look again; under the watch's mutex
    atomic_bool lost; // one of our own keys has gone
};

// A key that somebody wants to hear of, as a hash: a false alarm would only make one look again,
// and would have to come in the same moment.
struct etcd_watched_key {
    struct etcd_watched_key *next, **pointer; // in the watch's table; link NULL: not in it
    struct etcd_waiter *waiter;
    uint64_t name;    // etcd_name_hash
    int64_t revision; // it was there then
    bool own;
};

// Watches everything below the prefix (plain text that ends in a slash) once somebody has enlisted.
// The client is borrowed until the watch is freed. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_watch_new(struct etcd_client *client, const char *prefix,
                                  struct etcd_watch **ret_watch);
void etcd_watch_free(struct etcd_watch *watch); // nobody may be enlisted; NULL is fine

void etcd_waiter_init(struct etcd_watch *watch, struct etcd_waiter *waiter);
void etcd_waiter_destroy(struct etcd_waiter *waiter);

// These keys existed at this revision; `name`, `wait` and `own` are filled in. Counts those ahead
// in waiter->ahead. What has gone since is told at once, unless the watch cannot know: then the wait
// is blind. Any thread; the keys stay where they are until dismissed.
void etcd_watch_add(struct etcd_watch *watch, struct etcd_watched_key *keys, size_t n,
                    int64_t revision);
// From the return on the keys are not touched any more.
void etcd_watch_remove(struct etcd_watch *watch, struct etcd_watched_key *keys, size_t n);

// A key that was there at this revision has gone, as somebody has seen who looked. A watch that
// owes this, seems to stand, and tells nothing for a while, is made anew, by the member that
// answers. Any thread.
void etcd_watch_report_missed(struct etcd_watch *watch, uint64_t name, int64_t revision);

// Returns when no more than `wake_at` are ahead, our own key is lost, the wait is blind, or the
// limit has come. True: the first, by what the watch has seen without a gap.
bool etcd_watch_wait(struct etcd_watch *watch, struct etcd_waiter *waiter, size_t wake_at,
                     int64_t limit_ns);
