// Requests that are sent to ZooKeeper back to back and awaited together: one round trip for
// several, because a session's requests are carried out and answered in the order they were sent.
//
// ZooKeeper's synchronous calls have no timeout. Here the caller waits as long as it likes; a batch
// that nobody waits for any more lives on until its last answer has come, and then frees itself.
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

// ZOK, an error of the server's, or ZCONNECTIONLOSS, ZOPERATIONTIMEOUT, ZCLOSING: nobody knows
// whether it happened.
struct zookeeper_reply {
    int rc;
    int64_t czxid;                  // create of one node, get
    int32_t version;                // get
    char data[24];                  // get: the beginning
    char own[ZOOKEEPER_NODE_MAX];   // list: our node, "" if it is not there
    char ahead[ZOOKEEPER_NODE_MAX]; // list: the node right before ours, "" if ours is the first
};

// For at most n requests. The batch must be ended by zookeeper_batch_wait and _free, or by _send.
MUST_CHECK enum rc zookeeper_batch_new(struct zookeeper_session *session, size_t n,
                                       struct zookeeper_batch **ret_batch);
void zookeeper_batch_free(struct zookeeper_batch *batch); // after wait; NULL is fine
static inline void zookeeper_batch_cleanup(struct zookeeper_batch **batch)
{
    zookeeper_batch_free(*batch);
}

// What is added from now on goes to the session of this generation only; if that has been replaced
// it is not sent and fails with ZINVALIDSTATE. Else to whichever session there is. For what must
// end with a session.
void zookeeper_batch_bind(struct zookeeper_batch *batch, uint64_t generation);

// Each adds one request, whose reply has the next index. Texts are copied or sent at once.
void zookeeper_batch_create(struct zookeeper_batch *batch, const char *path, const char *data,
                            int mode);
void zookeeper_batch_delete(struct zookeeper_batch *batch, const char *path);
// With `watch` the session's waiters for this path are woken when the node goes.
void zookeeper_batch_get(struct zookeeper_batch *batch, const char *path, bool watch);
// Where in the queue the node with this tag stands.
void zookeeper_batch_list(struct zookeeper_batch *batch, const char *parent, const char *tag);

// One request of several parts: all happen or none. The reply's rc is the first part's that failed.
enum zookeeper_op_type { ZOOKEEPER_CREATE, ZOOKEEPER_DELETE, ZOOKEEPER_CHECK, ZOOKEEPER_SET };
struct zookeeper_op {
    enum zookeeper_op_type type;
    const char *path;
    const char *data; // create, set
    int mode;         // create
    int version;      // set
};
void zookeeper_batch_multi(struct zookeeper_batch *batch, const struct zookeeper_op *parts,
                           size_t n);

// True when all are answered by the limit; only then may replies be read.
bool zookeeper_batch_wait(struct zookeeper_batch *batch, int64_t limit_ns);
const struct zookeeper_reply *zookeeper_batch_reply(const struct zookeeper_batch *batch, size_t i);

// Does not wait. When all are answered `finished` is called once, on a thread of ZooKeeper's, where
// it must not block; then the batch is freed.
void zookeeper_batch_detach(struct zookeeper_batch *batch,
                            void (*finished)(void *arg, const struct zookeeper_batch *batch),
                            void *arg);

// For the session, before it closes its handle: waits until nothing is under way. The library drops
// what comes meanwhile, and what it knows of it leaks.
void zookeeper_batch_drain(struct zookeeper_session *session, int64_t limit_ns);
// For the session, after its handle was closed: no answer will come any more (ZCLOSING).
void zookeeper_batch_fail_all(struct zookeeper_session *session);

// Among the children of a queue: the node with this tag, "" if it is not there, and the one right
// before it, "" if it is the first. Both of ZOOKEEPER_NODE_MAX bytes. Foreign names are passed
// over.
void zookeeper_find_place(const struct String_vector *children, const char *tag, char *ret_own,
                          char *ret_ahead);
