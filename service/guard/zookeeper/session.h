// One ZooKeeper session that is kept alive, or replaced when it has ended, by a thread of its own.
//
// ZooKeeper's handle has threads that must never be blocked, a connection that comes and goes below
// a session that stays, and a session whose end is told only after reconnecting. All of that is
// dealt with here: only the session's thread opens and closes handles, and watchers only set flags.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/chores.h"
#include "guard/zookeeper/api.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zookeeper_batch;

// One thread that waits for a node to go.
struct zookeeper_waiter {
    struct zookeeper_waiter *next;
    const char *path;
    bool woken;
    pthread_cond_t wake;
};

// Open to the other zookeeper_*.c files only. The mutex guards all but the handle, which is used
// under `handle_lock`, so that it is not closed meanwhile.
struct zookeeper_session {
    char *servers;
    int timeout_ms; // asked for, then as agreed with the server
    pthread_t thread;

    pthread_rwlock_t handle_lock;
    zhandle_t *handle;

    pthread_mutex_t mutex;
    pthread_cond_t changed; // connected, ended, stopping, settled, a chore
    uint64_t generation;    // counts sessions; ephemeral nodes of an older one are gone
    bool wanted, stopping, draining;
    bool open;               // the handle may be used
    bool connected;          // as far as we know; false from CONNECTING on
    bool ended;              // EXPIRED or AUTH_FAILED: never again with this handle
    bool logged_lost;        // in the log, once
    int64_t disconnected_ns; // monotonic: since when not connected
    int64_t acked_ns;        // monotonic: before the last answered change was sent; 0: none
    int64_t heartbeat_ns;    // monotonic: when a change was last asked for only to hear the answer
    int64_t wake_ns;         // monotonic: when the thread wakes by itself
    uint64_t connections;    // made until now
    struct chores chores;
    struct zookeeper_waiter *waiters;
    struct zookeeper_batch *in_flight;
};

// Starts the thread; connects when first used. The servers are copied:
// host:port[,host:port...][/path].
MUST_CHECK enum rc zookeeper_session_new(const char *servers, int64_t timeout_ms,
                                         struct zookeeper_session **ret_session);
// Waits a second at most for what is under way, closes the session, which deletes its ephemeral
// nodes, and frees chores that are left. Nobody may be using it; NULL is fine.
void zookeeper_session_free(struct zookeeper_session *session);

// Waits for the connection. RC_BACKEND_UNAVAILABLE if there is none by the limit. Any thread but
// ZooKeeper's own.
MUST_CHECK enum rc zookeeper_session_ready(struct zookeeper_session *session, int64_t limit_ns,
                                           uint64_t *ret_generation);

// Connected, still the session of this generation, and it cannot have ended by our own clock: its
// ephemeral nodes are there. No I/O.
bool zookeeper_session_trusted(struct zookeeper_session *session, uint64_t generation);
// Not known to have ended: its ephemeral nodes may be there.
bool zookeeper_session_alive(struct zookeeper_session *session, uint64_t generation);

// By our own clock it cannot have ended, connected or not. No I/O.
bool zookeeper_session_unexpired(struct zookeeper_session *session, uint64_t generation);

// How often a connection was made after the first.
uint64_t zookeeper_session_reconnects(struct zookeeper_session *session);

// Any thread, ZooKeeper's own too. The chore is the session's until its run says that it is done.
void zookeeper_session_add_chore(struct zookeeper_session *session, struct chore *chore);
// Waits while it runs; not for ZooKeeper's own threads. True: taken back, it will not run any more.
// False: it is done.
MUST_CHECK bool zookeeper_session_cancel_chore(struct zookeeper_session *session,
                                               struct chore *chore);

// Begin before setting the watch, so that no event is missed; end in any case.
void zookeeper_waiter_begin(struct zookeeper_session *session, struct zookeeper_waiter *waiter,
                            const char *path);
// Returns when the node has gone, the session's state has changed, or the limit has come: look
// again.
void zookeeper_waiter_sleep(struct zookeeper_session *session, struct zookeeper_waiter *waiter,
                            int64_t limit_ns);
void zookeeper_waiter_end(struct zookeeper_session *session, struct zookeeper_waiter *waiter);
