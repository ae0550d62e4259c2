// The queues for locks in etcd. A claim makes one name of its own in the queue of each of its keys,
// all in one transaction. The name with the lowest create revision in a queue holds that lock.
//
// In this file and in withdraw.c a "key" is a lock's key, and a "name" is a key in etcd.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"
#include "guard/etcd/messages.h"
#include "guard/etcd/session.h"
#include "guard/etcd/watch.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum etcd_waiting { ETCD_FAIL, ETCD_SPIN, ETCD_NOTIFY };

#define ETCD_SLOT_WORDS 64 // of 64 slots each, more than the claims that a process ever has at once

// What all claims of a process share. The pointers are borrowed.
struct etcd_queue {
    struct etcd_client *client;
    struct etcd_session *session;
    struct etcd_watch *watch;
    enum etcd_waiting waiting;
    _Atomic uint64_t slots_used[ETCD_SLOT_WORDS]; // a bit per slot, see etcd_claim.slot
    const char *label;                            // the instance, in the names' values for people
};

// One attempt to get a lock or a set of them, and then the hold.
struct etcd_claim {
    struct chore chore; // first in memory: a withdrawal becomes a chore of the session
    struct etcd_queue *queue;
    uint64_t generation; // of the session
    char lease[ETCD_LEASE_MAX];
    char tag[ETCD_TAG_LENGTH + 1]; // in the values of this claim's names and no others
    int slot;       // its names are made of lease and slot, as long as they may exist
    bool requested; // its names may exist
    // A request that makes the names was repeated or not acknowledged, so a copy may be in flight;
    // or the first name was deleted, and the other names may still exist.
    bool uncertain;
    int64_t revision; // of the transaction that made the names; 0 while unknown
    bool more;        // there are names ahead that the last read did not list
    struct etcd_waiter waiter;
    struct etcd_watched_key *ahead; // n_ahead in use; owned
    size_t n_ahead;
    size_t n;
    struct etcd_watched_key *own; // n; owned
    char keys[][COUNTER_NAME_MAX + 1];
};

// `attempt` makes the tag unique when the same owner tries again. RC_NO_MEMORY.
// RC_BACKEND_UNAVAILABLE if all slots are taken, because too many withdrawals are in progress.
MUST_CHECK enum rc etcd_claim_new(struct etcd_queue *queue, uint64_t generation, const char *lease,
                                  const char *const *keys, size_t n, const char *owner,
                                  char attempt, struct etcd_claim **ret_claim);
// Takes the claim out of the watch, for etcd_withdraw. What remains is one block of memory and the
// slot, and discard frees these. While the lease lives, discard must wait until none of the claim's
// names exists and no request that makes them is in flight.
void etcd_claim_unwatch(struct etcd_claim *claim);
void etcd_claim_discard(struct etcd_claim *claim);
// Both: unwatch and discard.
void etcd_claim_free(struct etcd_claim *claim);

// Joins the queues, all or none, and waits until the claim is the head of each, until limit_ns
// (monotonic) at most. Unless it returns RC_OK, the caller must withdraw the claim:
//   RC_LOCK_BUSY            another claim was ahead until the limit
//   RC_LOCK_LOST            the names or the lease were deleted meanwhile: retry with a new claim
//   RC_BACKEND_UNAVAILABLE  no answer by the limit
//   RC_NO_MEMORY
MUST_CHECK enum rc etcd_claim_acquire(struct etcd_claim *claim, int64_t limit_ns);

// The names in etcd, in buffers of ETCD_NAME64_MAX bytes: of the claim in the queue of keys[i], and
// of its tombstone.
#define ETCD_LOCKS "holdfast/lock/"
void etcd_own_name(char *ret_name64, const struct etcd_claim *claim, size_t i);
void etcd_tombstone_name(char *ret_name64, const struct etcd_claim *claim);

// ---- withdraw.c ---------------------------------------------------------------------------------

// Deletes the claim's names if they are still the ones that it made. RC_LOCK_LOST: they were not.
// RC_BACKEND_UNAVAILABLE: no answer by the limit. Then, and if the claim has become uncertain, the
// caller must withdraw it.
MUST_CHECK enum rc etcd_claim_release(struct etcd_claim *claim, int64_t limit_ns);

// Takes ownership and returns at once. The session's thread retries in the background until the
// names are certain to be deleted and not to come back, or their lease has ended.
void etcd_withdraw(struct etcd_claim *claim);

// Deletes the names at until_ns (monotonic), so that a worker that is stuck loses its lock.
void etcd_claim_set_max_hold(struct etcd_claim *claim, int64_t until_ns);
// Cancels that; before release, withdraw and free. False: the names were deleted already.
MUST_CHECK bool etcd_claim_clear_max_hold(struct etcd_claim *claim);
