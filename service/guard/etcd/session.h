// The session: one lease in etcd for all lock keys of this process, kept alive by a thread of its
// own, and replaced when it has ended. etcd deletes the keys when their lease ends.
//
// A generation is the life of one lease. A claim remembers the generation of its keys.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/chores.h"
#include "guard/etcd/client.h"
#include "guard/etcd/messages.h"

#include <stdbool.h>
#include <stdint.h>

struct etcd_session;

// Starts the thread; it requests a lease when the first caller needs one. The client is borrowed
// until the session is freed. etcd counts whole seconds, so ttl_ms is rounded up. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_session_new(struct etcd_client *client, int64_t ttl_ms,
                                    struct etcd_session **ret_session);
// Revokes the lease, which deletes its keys, and frees the remaining chores. No other thread may
// still use the session. NULL is fine.
void etcd_session_free(struct etcd_session *session);

// The functions below: any thread.

// Waits for a trusted lease. RC_BACKEND_UNAVAILABLE if there is none by limit_ns (monotonic).
// ret_lease has ETCD_LEASE_MAX bytes.
MUST_CHECK enum rc etcd_session_ready(struct etcd_session *session, int64_t limit_ns,
                                      uint64_t *ret_generation, char *ret_lease);

// The lease of this generation cannot have expired, by our own clock. No I/O.
bool etcd_session_trusted(struct etcd_session *session, uint64_t generation);
// The lease of this generation is not known to have ended, so its keys may still exist. No I/O.
bool etcd_session_alive(struct etcd_session *session, uint64_t generation);

// There is a sign that the lease of this generation has ended: checks it with etcd now, in the
// background.
void etcd_session_recheck(struct etcd_session *session, uint64_t generation);
// etcd has answered that the lease of this generation does not exist: requests a new one now, in
// the background.
void etcd_session_ended(struct etcd_session *session, uint64_t generation);

// Takes ownership of the chore until its run returns true.
void etcd_session_add(struct etcd_session *session, struct chore *chore);
// Cancels a chore; waits while it runs, which takes a bounded time. True: cancelled, and the caller
// owns it again. False: it was done already.
MUST_CHECK bool etcd_session_cancel_chore(struct etcd_session *session, struct chore *chore);
