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
struct etcd_mark;

// One who waits, or is inside. Open to etcd_watch.c and to the one who waits, for reading.
struct etcd_wait {
    pthread_cond_t wake;
    size_t ahead;     // how many of those ahead have not gone yet; under the watch's mutex
    size_t enough;    // wake when no more than these are; under the watch's mutex
    bool blind;       // something may have been missed: look again; under the watch's mutex
    atomic_bool lost; // one of our own keys has gone
};

// A key that somebody wants to hear of, as a hash: a false alarm would only make one look again,
// and would have to come in the same moment.
struct etcd_mark {
    struct etcd_mark *next, **link; // in the watch's table; link NULL: not in it
    struct etcd_wait *wait;
    uint64_t name;    // etcd_name_hash
    int64_t revision; // it was there then
    bool own;
};

// Watches everything below the prefix (plain text that ends in a slash) once somebody has enlisted.
// The client is borrowed until the watch is freed. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_watch_new(struct etcd_client *client, const char *prefix,
                                  struct etcd_watch **ret_watch);
void etcd_watch_free(struct etcd_watch *watch); // nobody may be enlisted; NULL is fine

void etcd_watch_begin(struct etcd_watch *watch, struct etcd_wait *wait);
void etcd_watch_end(struct etcd_wait *wait);

// These keys existed at this revision; `name`, `wait` and `own` are filled in. Counts those ahead
// in wait->ahead. What has gone since is told at once, unless the watch cannot know: then the wait
// is blind. Any thread; the marks stay where they are until dismissed.
void etcd_watch_enlist(struct etcd_watch *watch, struct etcd_mark *marks, size_t n,
                       int64_t revision);
// From the return on the marks are not touched any more.
void etcd_watch_dismiss(struct etcd_watch *watch, struct etcd_mark *marks, size_t n);

// A key that was there at this revision has gone, as somebody has seen who looked. A watch that
// owes this, seems to stand, and tells nothing for a while, is made anew, by the member that
// answers. Any thread.
void etcd_watch_missed(struct etcd_watch *watch, uint64_t name, int64_t revision);

// Returns when no more than `enough` are ahead, our own key is lost, the wait is blind, or the
// limit has come. True: the first, by what the watch has seen without a gap.
bool etcd_watch_sleep(struct etcd_watch *watch, struct etcd_wait *wait, size_t enough,
                      int64_t limit_ns);
