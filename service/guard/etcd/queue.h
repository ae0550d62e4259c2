// Standing in line for a set of keys in etcd: one key of our own below each, all made in one step,
// and whoever has the lowest create revision below a key holds it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"
#include "guard/etcd/session.h"
#include "guard/etcd/slots.h"
#include "guard/etcd/text.h"
#include "guard/etcd/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETCD_LOCKS "holdfast/lock/"

enum etcd_waiting { ETCD_FAIL, ETCD_SPIN, ETCD_NOTIFY };

// What all stays of a process share. All pointers are borrowed.
struct etcd_queue {
    struct etcd_client *client;
    struct etcd_session *session;
    struct etcd_watch *watch;
    enum etcd_waiting waiting;
    struct etcd_slots slots;
    const char *label; // in the keys' values, for people who look
};

// One attempt to get in, and then the claim inside.
struct etcd_claim {
    struct chore chore; // first: what is left to clean up becomes the session's chore
    struct etcd_queue *queue;
    uint64_t generation;
    char lease[ETCD_LEASE_MAX];
    char tag[ETCD_TAG_LENGTH + 1]; // in the values of all our keys and no others
    int slot;                      // with the lease: their names, as long as they may exist
    bool requested;                // our keys may exist
    bool uncertain;   // a request that makes them was repeated, or not answered: they may come yet;
                      // or the first is gone, and the others may be there
    int64_t revision; // of the transaction that made them; 0 while unknown
    bool more;        // others are ahead that were not listed
    struct etcd_waiter waiter;
    struct etcd_watched_key *ahead; // n_ahead of them, room for more
    size_t n_ahead;
    size_t n;
    struct etcd_watched_key *own;
    char keys[][COUNTER_NAME_MAX];
};

// The attempt makes the tag unique where the same owner tries again. RC_NO_MEMORY;
// RC_BACKEND_UNAVAILABLE if too many stays are waiting for etcd to clean up after them.
MUST_CHECK enum rc etcd_claim_new(struct etcd_queue *queue, uint64_t generation, const char *lease,
                                  const char *const *keys, size_t n, const char *owner,
                                  char attempt, struct etcd_claim **ret_stay);
// Nobody waits any more: what is left is plain memory, one piece of it, and the slot.
void etcd_claim_unwatch(struct etcd_claim *claim);
// Settles too. None of its keys may be in etcd any more, or on the way there, while the lease
// lives.
void etcd_claim_free(struct etcd_claim *claim);

// Makes our keys, all or none, and waits until they are the first in every line. In all cases but
// RC_OK the claim must be withdrawn:
//   RC_LOCK_BUSY            somebody was ahead until the limit
//   RC_LOCK_LOST            our keys or the lease went on the way: try again with a new claim
//   RC_BACKEND_UNAVAILABLE  no answer by the limit
MUST_CHECK enum rc etcd_claim_acquire(struct etcd_claim *claim, int64_t limit_ns);

// ---- etcd_withdraw.c ----------------------------------------------------------------------------

// Deletes our keys if they are still those that we made. RC_LOCK_LOST: they were not.
// RC_BACKEND_UNAVAILABLE: no answer by the limit. After that, and where the claim has become
// uncertain, it must be withdrawn.
MUST_CHECK enum rc etcd_claim_release(struct etcd_claim *claim, int64_t limit_ns);

// Takes ownership and returns at once. Our keys are deleted in the background, again and again
// until it is certain that they are gone and will not come, or that their lease has ended.
void etcd_withdraw(struct etcd_claim *claim);

// A worker that is stuck does not keep its lock for ever: at this time it is deleted under it.
void etcd_claim_set_max_hold(struct etcd_claim *claim, int64_t until_ns);
// Before anything else that ends the claim. False: it was deleted.
MUST_CHECK bool etcd_claim_clear_max_hold(struct etcd_claim *claim);

void etcd_own_name(char *ret_name64, const struct etcd_claim *claim, size_t i);
void etcd_tombstone_name(char *ret_name64, const struct etcd_claim *claim);
