// The process's session with ZooKeeper. A thread of its own keeps it alive, and replaces it when it
// has ended.
//
// The C client has one handle per session. Its threads must never be blocked, its connection may
// break while the session lives on, and it reports the end of a session only after it has
// reconnected. So only the session's thread opens and closes handles, and ZooKeeper's event thread
// only sets flags and wakes waiters.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/chores.h"
#include "guard/zookeeper/api.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zookeeper_address;
struct zookeeper_batch;

// A thread that waits until a node is deleted.
struct zookeeper_waiter {
    struct zookeeper_waiter *next;
    const char *path;
    bool woken;
    pthread_cond_t wake;
};

// Private to this room. The mutex guards all that changes, except `handle`. The handle is used
// under the read lock of handle_lock, so that it is not closed meanwhile, and is replaced under the
// write lock. A thread that needs both locks takes handle_lock first.
struct zookeeper_session {
    struct zookeeper_address *address;
    char *servers;                // for the library: the hosts, then the chroot
    const struct ACL_vector *acl; // of the nodes that this session creates
    int timeout_ms;               // requested; after connecting, as the server granted it
    pthread_t thread;

    pthread_rwlock_t handle_lock;
    zhandle_t *handle;

    pthread_mutex_t mutex;
    pthread_cond_t changed; // a flag, the list of batches in flight, or a chore
    uint64_t generation;    // counts sessions; older ones have ended, or will expire
    bool wanted;            // a caller has needed the connection
    bool stopping;
    bool draining;
    bool open;               // the handle may be used
    bool connected;          // as the library has reported; false from CONNECTING on
    bool ended;              // EXPIRED or AUTH_FAILED: this handle will not connect any more
    bool logged_lost;        // so that one outage is one line in the log
    bool has_chroot;         // the chroot exists, or the address has none
    bool logged_denied;      // until a write succeeds
    bool logged_chroot;      // that it cannot be made
    int64_t disconnected_ns; // monotonic: when the connection was lost
    int64_t acked_ns;        // monotonic: when the last acknowledged write was sent; 0: none yet
    int64_t heartbeat_ns;    // monotonic: when the last heartbeat was sent
    int64_t wake_ns;         // monotonic: until when the thread sleeps
    uint64_t connections;    // established since the start
    struct chores chores;
    struct zookeeper_waiter *waiters;
    struct zookeeper_batch *in_flight;
};

// Starts the thread; connects when first used, and makes the chroot if it is missing. `servers` is
// the setting zookeeper. RC_NO_MEMORY. RC_USAGE with a sentence in ret_why (of `size` bytes) if it
// is malformed.
MUST_CHECK enum rc zookeeper_session_new(const char *servers, int64_t timeout_ms,
                                         struct zookeeper_session **ret_session, char *ret_why,
                                         size_t size);
// Waits a second at most for requests in flight, closes the session, and frees pending chores. The
// server deletes the session's ephemeral nodes. No thread may be using it; NULL is fine.
void zookeeper_session_free(struct zookeeper_session *session);

// Waits until it is connected. RC_BACKEND_UNAVAILABLE: not by the limit (monotonic). Any thread but
// ZooKeeper's own.
MUST_CHECK enum rc zookeeper_session_ready(struct zookeeper_session *session, int64_t limit_ns,
                                           uint64_t *ret_generation);

// Three questions about the session of this generation, without I/O, from the strictest on.
// Connected, and by this process's clock it cannot have expired: its ephemeral nodes exist.
bool zookeeper_session_trusted(struct zookeeper_session *session, uint64_t generation);
// By this process's clock it cannot have expired, whether connected or not.
bool zookeeper_session_unexpired(struct zookeeper_session *session, uint64_t generation);
// Not known to have ended: its ephemeral nodes may exist.
bool zookeeper_session_alive(struct zookeeper_session *session, uint64_t generation);

// How many connections followed the first.
uint64_t zookeeper_session_reconnects(struct zookeeper_session *session);

// Takes ownership of the chore until its run returns true. Any thread, also ZooKeeper's own.
void zookeeper_session_add_chore(struct zookeeper_session *session, struct chore *chore);
// Cancels a chore; waits while it runs. True: cancelled, and the caller owns it again. False: it
// was done already. Any thread but ZooKeeper's own.
MUST_CHECK bool zookeeper_session_cancel_chore(struct zookeeper_session *session,
                                               struct chore *chore);

// Registers a waiter. To be called before the watch is set, so that no event is missed. The path is
// borrowed until zookeeper_waiter_end, which must follow.
void zookeeper_waiter_begin(struct zookeeper_session *session, struct zookeeper_waiter *waiter,
                            const char *path);
// Returns when the watch has fired, the session's state has changed, or the limit has come. The
// caller reads the queue again after that.
void zookeeper_waiter_sleep(struct zookeeper_session *session, struct zookeeper_waiter *waiter,
                            int64_t limit_ns);
void zookeeper_waiter_end(struct zookeeper_session *session, struct zookeeper_waiter *waiter);
