// A claim: one owner's nodes in the queues of a set of keys, from their creation to their deletion.
//
// Each key has a queue, a node in ZooKeeper. The claim adds one ephemeral sequential node to each
// queue, all in one transaction. The node with the lowest number in a queue holds the key.
//
// A claim is used by one thread at a time, except for its max-hold chore.
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
    char own[ZOOKEEPER_NODE_MAX];      // the claim's node; "" while unknown
    char ahead[ZOOKEEPER_NODE_MAX];    // the node right before it; "" if it is the first
};

// One attempt to acquire, and then the hold.
struct zookeeper_claim {
    struct chore chore; // first; the max-hold chore, and later the cleanup chore
    struct zookeeper_session *session;
    uint64_t generation;
    char tag[ZOOKEEPER_TAG_LENGTH + 1]; // prefix of the names of this claim's nodes only
    bool may_exist; // the nodes exist, or a create in flight may still make them
    int64_t czxid;  // of the transaction that made the nodes
    int clean;      // searches in a row that found no node of the claim
    size_t n;
    struct zookeeper_place places[];
};

// No I/O. The session is borrowed; `keys` and `owner` (32 characters) are copied. `attempt` makes
// the tag unique when the same owner tries again. RC_NO_MEMORY.
MUST_CHECK enum rc zookeeper_claim_new(struct zookeeper_session *session, uint64_t generation,
                                       const char *const *keys, size_t n, const char *owner,
                                       char attempt, struct zookeeper_claim **ret_claim);

// Makes the nodes, all or none, with `label` as their content, and waits until each is the first in
// its queue. Without `wait` it checks once. Must be followed by a withdraw unless it returns RC_OK:
//   RC_LOCK_BUSY            another claim was ahead until the limit
//   RC_LOCK_LOST            the connection or the session broke meanwhile: retry with a new claim
//   RC_BACKEND_UNAVAILABLE  no answer by the limit
//   RC_NO_MEMORY
MUST_CHECK enum rc zookeeper_claim_acquire(struct zookeeper_claim *claim, const char *label,
                                           bool wait, int64_t limit_ns);

// Takes ownership and returns at once. Deletes the nodes in the background, and retries until it is
// certain that they are gone, or that their session has ended. Any thread.
void zookeeper_claim_withdraw(struct zookeeper_claim *claim);

// Takes ownership, deletes the nodes and waits for the answer until the limit. RC_OK: the nodes
// existed until now. RC_LOCK_LOST: they were gone already, or the outcome is unknown; then the
// deletion is retried in the background. For a claim that was acquired.
MUST_CHECK enum rc zookeeper_claim_release(struct zookeeper_claim *claim, int64_t limit_ns);

// Withdraws the nodes of an acquired claim at `until_ns` (monotonic), also while its worker still
// uses the claim: a stuck worker must not keep the lock.
void zookeeper_claim_set_max_hold(struct zookeeper_claim *claim, int64_t until_ns);
// Cancels that; required before the claim is withdrawn or released. False: the nodes were withdrawn
// by then, or their session has ended. The caller then frees the claim with free().
MUST_CHECK bool zookeeper_claim_clear_max_hold(struct zookeeper_claim *claim);

// The path of a node in the queue of this place; ret_path has ZOOKEEPER_PATH_MAX bytes.
void zookeeper_node_path(char *ret_path, const struct zookeeper_place *place, const char *node);
