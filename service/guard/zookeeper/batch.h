// A batch of requests to ZooKeeper, sent back to back and awaited together. It costs one round
// trip, because the server executes and answers a session's requests in the order it gets them.
//
// ZooKeeper's synchronous calls have no timeout; waiting for a batch has one. After a timeout the
// batch lives on until its last answer has arrived, and then frees itself.
//
// A batch is used by one thread at a time. ZooKeeper's own threads must not wait for a batch.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct String_vector;
struct zookeeper_batch;
struct zookeeper_session;

#define ZOOKEEPER_TAG_LENGTH 33 // an owner of 32 characters, and the attempt
#define ZOOKEEPER_NODE_MAX 56   // tag, a dash, and a sequence number

struct zookeeper_reply {
    // ZOK or the server's error. ZINVALIDSTATE, and ZSYSTEMERROR (no memory): not sent. After
    // ZCONNECTIONLOSS, ZOPERATIONTIMEOUT and ZCLOSING the outcome is unknown: the server may have
    // executed the request.
    int rc;
    int64_t czxid;                  // of a create (but not of a multi) and a get: made the node
    int32_t version;                // of a get
    char data[24];                  // of a get: the beginning, as text
    char own[ZOOKEEPER_NODE_MAX];   // of a list: the node with the tag; "" if there is none
    char ahead[ZOOKEEPER_NODE_MAX]; // of a list: the node right before it; "" if it is the first
};

// For at most n requests. Ends with zookeeper_batch_wait and _free, or with _detach. The session is
// borrowed. RC_NO_MEMORY.
MUST_CHECK enum rc zookeeper_batch_new(struct zookeeper_session *session, size_t n,
                                       struct zookeeper_batch **ret_batch);
void zookeeper_batch_free(struct zookeeper_batch *batch); // after _wait; NULL is fine
static inline void zookeeper_batch_cleanup(struct zookeeper_batch **batch)
{
    zookeeper_batch_free(*batch);
}

// Requests added from now on go only to the session of this generation. If it has been replaced,
// they are not sent and fail with ZINVALIDSTATE. Without a bind they go to the current session.
// For ephemeral nodes, which must end with the session that their owner knows.
void zookeeper_batch_bind(struct zookeeper_batch *batch, uint64_t generation);

// Each sends one request. Its reply has the next index, from 0. Texts are borrowed for the call.
// `mode` is one of ZooKeeper's ZOO_PERSISTENT, ZOO_CONTAINER, ZOO_EPHEMERAL_SEQUENTIAL.
void zookeeper_batch_create(struct zookeeper_batch *batch, const char *path, const char *data,
                            int mode);
void zookeeper_batch_delete(struct zookeeper_batch *batch, const char *path);
// With `watch` a change of the node, such as its deletion, wakes the session's waiters for it.
void zookeeper_batch_get(struct zookeeper_batch *batch, const char *path, bool watch);
// Finds the place of the node with this tag among the children of `parent`.
void zookeeper_batch_list(struct zookeeper_batch *batch, const char *parent, const char *tag);

// One transaction: all operations happen or none. The reply's rc is that of the first one that
// failed.
enum zookeeper_op_type { ZOOKEEPER_CREATE, ZOOKEEPER_DELETE, ZOOKEEPER_CHECK, ZOOKEEPER_SET };
struct zookeeper_op {
    enum zookeeper_op_type type;
    const char *path;
    const char *data; // create, set
    int mode;         // create
    int version;      // set: fails with ZBADVERSION if the node has another
};
void zookeeper_batch_multi(struct zookeeper_batch *batch, const struct zookeeper_op *ops, size_t n);
// A write that changes nothing. Unlike a read it passes through the leader and the quorum, behind
// all writes that the leader has accepted before it.
void zookeeper_batch_noop(struct zookeeper_batch *batch);

// No request may be added after this. True: all are answered by the limit (monotonic), and the
// replies may be read. False: timeout.
bool zookeeper_batch_wait(struct zookeeper_batch *batch, int64_t limit_ns);
const struct zookeeper_reply *zookeeper_batch_reply(const struct zookeeper_batch *batch, size_t i);

// Takes ownership and returns without waiting. When all requests are answered, `finished` (may be
// NULL) is called once and the batch is freed. The call usually comes on ZooKeeper's event thread,
// so it must not block.
void zookeeper_batch_detach(struct zookeeper_batch *batch,
                            void (*finished)(void *arg, const struct zookeeper_batch *batch),
                            void *arg);

// Called by the session before it closes its handle: waits until no request is in flight, or the
// limit. The client library drops answers that arrive during the close, and leaks their memory.
void zookeeper_batch_drain(struct zookeeper_session *session, int64_t limit_ns);
// Called by the session after its handle is closed: fails all requests in flight with ZCLOSING.
void zookeeper_batch_fail_all(struct zookeeper_session *session);

// Among the children of a queue: the node with this tag ("" if there is none), and the node right
// before it ("" if it is the first). Both buffers have ZOOKEEPER_NODE_MAX bytes. Names of another
// form are ignored.
void zookeeper_find_place(const struct String_vector *children, const char *tag, char *ret_own,
                          char *ret_ahead);
