// One lease in etcd that is kept alive, or replaced when it has ended, by a thread of its own. All
// keys of this process hang on it: they go when it goes.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/chores.h"
#include "guard/etcd/client.h"
#include "guard/etcd/text.h"

#include <stdbool.h>
#include <stdint.h>

struct etcd_session;

// Starts the thread; asks for a lease when first used. The client is borrowed until the session is
// freed. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_session_new(struct etcd_client *client, int64_t ttl_ms,
                                    struct etcd_session **ret_session);
// Revokes the lease, which deletes its keys, and frees chores that are left. Nobody may be using
// it; NULL is fine.
void etcd_session_free(struct etcd_session *session);

// Waits for a lease that can be trusted. RC_BACKEND_UNAVAILABLE if there is none by the limit.
// ret_lease has ETCD_LEASE_MAX bytes.
MUST_CHECK enum rc etcd_session_ready(struct etcd_session *session, int64_t limit_ns,
                                      uint64_t *ret_generation, char *ret_lease);

// Still the lease of this generation, and it cannot have run out by our own clock: its keys are
// there. No I/O.
bool etcd_session_trusted(struct etcd_session *session, uint64_t generation);
// Not known to have ended: its keys may be there.
bool etcd_session_alive(struct etcd_session *session, uint64_t generation);

// Somebody met a sign that the lease of this generation is gone: asks etcd now.
void etcd_session_recheck(struct etcd_session *session, uint64_t generation);
// etcd said so: a new lease, at once.
void etcd_session_ended(struct etcd_session *session, uint64_t generation);

// Any thread. The chore is the session's until its run says that it is done.
void etcd_session_add(struct etcd_session *session, struct chore *chore);
// Waits while it runs, which takes a bounded time. True: taken back, it will not run any more.
// False: it is done.
MUST_CHECK bool etcd_session_take_back(struct etcd_session *session, struct chore *chore);
