// Standing in line for a set of keys in ZooKeeper: one ephemeral sequential node a key, all made in
// one step, and whoever has the lowest number in a key's queue holds the key.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"
#include "guard/zookeeper/batch.h"
#include "guard/zookeeper/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZOOKEEPER_PARENT_MAX (COUNTER_NAME_MAX + 32)
#define ZOOKEEPER_PATH_MAX (ZOOKEEPER_PARENT_MAX + ZOOKEEPER_NODE_MAX)

struct zookeeper_place {
    char parent[ZOOKEEPER_PARENT_MAX]; // the key's queue
    char own[ZOOKEEPER_NODE_MAX];      // our node; "" while unknown
    char ahead[ZOOKEEPER_NODE_MAX];    // whom we wait for; "" if nobody
};

// One attempt to get in, and then the stay inside.
struct zookeeper_claim {
    struct chore chore; // first: what is left to clean up becomes the session's chore
    struct zookeeper_session *session;
    uint64_t generation;
    char tag[ZOOKEEPER_TAG_LENGTH + 1]; // in the names of all our nodes and no others
    bool may_exist;                     // our nodes, or one day
    int64_t czxid;                      // the transaction that made our nodes
    int clean;                          // looks in a row that found nothing of ours left
    size_t n;
    struct zookeeper_place places[];
};

// The attempt makes the tag unique where the same owner tries again.
MUST_CHECK enum rc zookeeper_claim_new(struct zookeeper_session *session, uint64_t generation,
                                       const char *const *keys, size_t n, const char *owner,
                                       char attempt, struct zookeeper_claim **ret_claim);

// Makes our nodes, all or none, with `label` as their content, and waits until they are the first
// in every queue; without `wait` only looks once. In all cases but RC_OK the stay must be
// withdrawn:
//   RC_LOCK_BUSY            somebody was ahead until the limit
//   RC_LOCK_LOST            the connection or the session broke on the way: try again with a new
//   stay RC_BACKEND_UNAVAILABLE  no answer by the limit
MUST_CHECK enum rc zookeeper_claim_acquire(struct zookeeper_claim *claim, const char *label,
                                           bool wait, int64_t limit_ns);

// Takes ownership and returns at once. Our nodes are deleted in the background, again and again
// until it is certain that they are gone, or their session.
void zookeeper_claim_withdraw(struct zookeeper_claim *claim);

// Takes ownership and waits until the limit for certainty: RC_OK if our nodes were there until now,
// else RC_LOCK_LOST; what remains unknown is lost, and is left to the background.
MUST_CHECK enum rc zookeeper_claim_release(struct zookeeper_claim *claim, int64_t limit_ns);

// A worker that is stuck does not keep its place for ever: at this time its nodes are withdrawn
// under it.
void zookeeper_claim_set_limit(struct zookeeper_claim *claim, int64_t until_ns);
// Before anything else that ends the stay. False: they were withdrawn, or their session is over;
// what is left is plain memory, one piece of it, to be freed.
MUST_CHECK bool zookeeper_claim_clear_limit(struct zookeeper_claim *claim);

void zookeeper_node_path(char *ret_path, const struct zookeeper_place *place, const char *node);
