// The requests of a batch, their answers, and the place of a node in a list of children.
//
// A batch has two references: its caller's, and one for all its requests in flight. The last one to
// be dropped frees it, so a caller may leave after a timeout. `pending` counts the unanswered
// requests, plus one while the caller may still add some: the first may be answered before the last
// is sent.
//
// The session's mutex guards the list of batches in flight, `refs`, `pending` and the replies. A
// request is sent under the session's handle_lock, so the handle is not closed meanwhile. A request
// in flight when the handle is closed gets no answer from the library; the session fails it then.
#include "guard/zookeeper/batch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/zookeeper/session.h"

#include <stdlib.h>
#include <string.h>

struct request {
    struct zookeeper_batch *batch;
    bool sent, answered;
    bool writes; // needs the leader and the quorum, so its answer proves that the session is alive
    int64_t sent_ns;                    // monotonic, from before it was sent
    char tag[ZOOKEEPER_TAG_LENGTH + 1]; // of a list
    zoo_op_result_t *results;           // of a multi; the library writes to it
    struct zookeeper_reply reply;
};

struct zookeeper_batch {
    struct zookeeper_session *session;
    uint64_t generation;                     // of the session it is bound to; 0: of any
    struct zookeeper_batch *next, *previous; // in the list of batches in flight
    pthread_cond_t done;
    unsigned refs;
    size_t pending;
    void (*finished)(void *arg, const struct zookeeper_batch *batch);
    void *arg;
    size_t n, used;
    struct request requests[];
};

enum rc zookeeper_batch_new(struct zookeeper_session *session, size_t n,
                            struct zookeeper_batch **ret_batch)
{
    struct zookeeper_batch *batch = calloc(1, sizeof *batch + n * sizeof batch->requests[0]);
    if (batch == NULL)
        return RC_NO_MEMORY;
    batch->session = session;
    batch->n = n;
    batch->refs = 2;
    batch->pending = 1;
    pthread_cond_init(&batch->done, NULL);
    pthread_mutex_lock(&session->mutex);
    batch->next = session->in_flight;
    if (batch->next != NULL)
        batch->next->previous = batch;
    session->in_flight = batch;
    pthread_mutex_unlock(&session->mutex);
    *ret_batch = batch;
    return RC_OK;
}

void zookeeper_batch_bind(struct zookeeper_batch *batch, uint64_t generation)
{
    batch->generation = generation;
}

void zookeeper_batch_free(struct zookeeper_batch *batch)
{
    if (batch == NULL)
        return;
    pthread_mutex_lock(&batch->session->mutex);
    bool last = --batch->refs == 0;
    pthread_mutex_unlock(&batch->session->mutex);
    if (!last)
        return;
    pthread_cond_destroy(&batch->done);
    for (size_t i = 0; i < batch->used; i++)
        free(batch->requests[i].results);
    free(batch);
}

// Under the session's mutex. True for the last pending request: the caller must then call finish,
// without the mutex.
static bool count_answer(struct zookeeper_batch *batch)
{
    if (--batch->pending > 0)
        return false;
    struct zookeeper_batch **link =
        batch->previous != NULL ? &batch->previous->next : &batch->session->in_flight;
    *link = batch->next;
    if (batch->next != NULL)
        batch->next->previous = batch->previous;
    pthread_cond_broadcast(&batch->done);
    if (batch->session->draining)
        pthread_cond_broadcast(&batch->session->changed);
    return true;
}

static void finish(struct zookeeper_batch *batch)
{
    if (batch->finished != NULL)
        batch->finished(batch->arg, batch);
    zookeeper_batch_free(batch);
}

static void complete_request(struct request *request, int rc)
{
    struct zookeeper_batch *batch = request->batch;
    pthread_mutex_lock(&batch->session->mutex);
    if (request->writes && (rc == ZOK || rc == ZNONODE) &&
        batch->session->acked_ns < request->sent_ns)
        batch->session->acked_ns = request->sent_ns;
    request->reply.rc = rc;
    request->answered = true;
    bool log_denied = rc == ZNOAUTH && !batch->session->logged_denied;
    if (rc == ZNOAUTH || (request->writes && rc == ZOK))
        batch->session->logged_denied = rc == ZNOAUTH;
    struct zookeeper_session *session = batch->session;
    bool last = count_answer(batch);
    pthread_mutex_unlock(&session->mutex);
    if (log_denied)
        LOG_WARNING(
            "zookeeper %s: %s; its nodes belong to another login: check user:password@ in the "
            "setting zookeeper, or name another path",
            session->servers, zerror(rc));
    if (last)
        finish(batch);
}

// The caller adds no more requests.
static void seal(struct zookeeper_batch *batch)
{
    pthread_mutex_lock(&batch->session->mutex);
    bool last = count_answer(batch);
    pthread_mutex_unlock(&batch->session->mutex);
    if (last)
        finish(batch);
}

void zookeeper_batch_drain(struct zookeeper_session *session, int64_t limit_ns)
{
    pthread_mutex_lock(&session->mutex);
    session->draining = true;
    while (session->in_flight != NULL && clock_wait(&session->changed, &session->mutex, limit_ns))
        continue;
    session->draining = false;
    pthread_mutex_unlock(&session->mutex);
}

void zookeeper_batch_fail_all(struct zookeeper_session *session)
{
    pthread_mutex_lock(&session->mutex);
    struct zookeeper_batch *batch = session->in_flight;
    while (batch != NULL) {
        struct zookeeper_batch *next = batch->next;
        bool last = false;
        for (size_t i = 0; i < batch->used; i++) {
            struct request *request = &batch->requests[i];
            if (!request->sent || request->answered)
                continue;
            request->reply.rc = ZCLOSING;
            request->answered = true;
            last = count_answer(batch);
        }
        if (last) {
            pthread_mutex_unlock(&session->mutex);
            finish(batch);
            pthread_mutex_lock(&session->mutex);
            next = session->in_flight; // the list may have changed meanwhile
        }
        batch = next;
    }
    pthread_mutex_unlock(&session->mutex);
}

// ---- the place in a queue -----------------------------------------------------------------------

// Reads the sequence number of a name such as "<tag>-0000000042". False: the name has another form.
static bool sequence_of(const char *name, uint32_t *ret_sequence)
{
    int64_t number;
    if (strnlen(name, ZOOKEEPER_NODE_MAX) >= ZOOKEEPER_NODE_MAX ||
        strlen(name) <= ZOOKEEPER_TAG_LENGTH + 1 || name[ZOOKEEPER_TAG_LENGTH] != '-' ||
        !text_to_int64(name + ZOOKEEPER_TAG_LENGTH + 1, &number))
        return false;
    *ret_sequence = (uint32_t)number;
    return true;
}

// Sequence numbers are signed 32-bit and wrap round after 2^31 - 1, on a hot key within weeks. The
// nodes that are in a queue at one time are close together, so the sign of the difference orders
// them.
static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

void zookeeper_find_place(const struct String_vector *children, const char *tag, char *ret_own,
                          char *ret_ahead)
{
    uint32_t own = 0, ahead = 0, sequence;
    ret_own[0] = ret_ahead[0] = '\0';
    for (int32_t i = 0; i < children->count; i++)
        if (strncmp(children->data[i], tag, ZOOKEEPER_TAG_LENGTH) == 0 &&
            sequence_of(children->data[i], &own))
            text_copy(ret_own, ZOOKEEPER_NODE_MAX, children->data[i]);
    if (ret_own[0] == '\0')
        return;
    for (int32_t i = 0; i < children->count; i++) {
        const char *name = children->data[i];
        if (!sequence_of(name, &sequence) || !before(sequence, own))
            continue;
        if (ret_ahead[0] == '\0' || before(ahead, sequence)) {
            text_copy(ret_ahead, ZOOKEEPER_NODE_MAX, name);
            ahead = sequence;
        }
    }
}

// ---- answers, on ZooKeeper's event thread -------------------------------------------------------

static void on_created(int rc, const char *path, const struct Stat *stat, const void *data)
{
    (void)path;
    struct request *request = (struct request *)data;
    if (rc == ZOK && stat != NULL)
        request->reply.czxid = stat->czxid;
    complete_request(request, rc);
}

static void on_void(int rc, const void *data)
{
    complete_request((struct request *)data, rc);
}

static void on_data(int rc, const char *value, int length, const struct Stat *stat,
                    const void *data)
{
    struct request *request = (struct request *)data;
    struct zookeeper_reply *reply = &request->reply;
    if (rc == ZOK && stat != NULL) {
        reply->czxid = stat->czxid;
        reply->version = stat->version;
        size_t size = length > 0 ? (size_t)length : 0;
        if (size >= sizeof reply->data)
            size = sizeof reply->data - 1;
        if (size > 0)
            memcpy(reply->data, value, size);
    }
    complete_request(request, rc);
}

static void on_children(int rc, const struct String_vector *children, const void *data)
{
    struct request *request = (struct request *)data;
    if (rc == ZOK && children != NULL)
        zookeeper_find_place(children, request->tag, request->reply.own, request->reply.ahead);
    complete_request(request, rc);
}

// ---- requests -----------------------------------------------------------------------------------

// The handle stays open until end_request(). NULL: there is none, or the batch is bound to another
// generation. A handle that is set always belongs to the current generation (replace_handle() sees
// to that).
static struct request *begin_request(struct zookeeper_batch *batch, bool writes,
                                     zhandle_t **ret_handle)
{
    struct zookeeper_session *session = batch->session;
    struct request *request = &batch->requests[batch->used];
    request->batch = batch;
    request->reply.rc = ZOPERATIONTIMEOUT;
    request->writes = writes;
    request->sent_ns = clock_now_ns();
    pthread_rwlock_rdlock(&session->handle_lock);
    pthread_mutex_lock(&session->mutex);
    batch->used++;
    batch->pending++;
    bool stale = batch->generation != 0 && batch->generation != session->generation;
    *ret_handle = stale ? NULL : session->handle;
    request->sent = *ret_handle != NULL;
    pthread_mutex_unlock(&session->mutex);
    return request;
}

// `rc` is ZOK if the request was sent; else no answer will come, and it fails with `rc` now.
static void end_request(struct request *request, int rc)
{
    pthread_rwlock_t *handle_lock = &request->batch->session->handle_lock;
    if (rc != ZOK)
        complete_request(request, rc);
    pthread_rwlock_unlock(handle_lock);
}

void zookeeper_batch_create(struct zookeeper_batch *batch, const char *path, const char *data,
                            int mode)
{
    zhandle_t *handle;
    struct request *request = begin_request(batch, true, &handle);
    end_request(request, handle == NULL
                             ? ZINVALIDSTATE
                             : zoo_acreate2(handle, path, data, (int)strlen(data),
                                            batch->session->acl, mode, on_created, request));
}

void zookeeper_batch_delete(struct zookeeper_batch *batch, const char *path)
{
    zhandle_t *handle;
    struct request *request = begin_request(batch, true, &handle);
    end_request(request,
                handle == NULL ? ZINVALIDSTATE : zoo_adelete(handle, path, -1, on_void, request));
}

void zookeeper_batch_get(struct zookeeper_batch *batch, const char *path, bool watch)
{
    zhandle_t *handle;
    struct request *request = begin_request(batch, false, &handle);
    end_request(request, handle == NULL ? ZINVALIDSTATE
                                        : zoo_aget(handle, path, watch ? 1 : 0, on_data, request));
}

void zookeeper_batch_list(struct zookeeper_batch *batch, const char *parent, const char *tag)
{
    zhandle_t *handle;
    struct request *request = begin_request(batch, false, &handle);
    text_copy(request->tag, sizeof request->tag, tag);
    end_request(request, handle == NULL
                             ? ZINVALIDSTATE
                             : zoo_aget_children(handle, parent, 0, on_children, request));
}

static void init_op(zoo_op_t *ret_op, const struct zookeeper_op *op, const struct ACL_vector *acl)
{
    switch (op->type) {
    case ZOOKEEPER_CREATE:
        zoo_create_op_init(ret_op, op->path, op->data, (int)strlen(op->data), acl, op->mode, NULL,
                           0);
        break;
    case ZOOKEEPER_DELETE:
        zoo_delete_op_init(ret_op, op->path, -1);
        break;
    case ZOOKEEPER_CHECK:
        zoo_check_op_init(ret_op, op->path, -1);
        break;
    case ZOOKEEPER_SET:
        zoo_set_op_init(ret_op, op->path, op->data, (int)strlen(op->data), op->version, NULL);
        break;
    }
}

void zookeeper_batch_multi(struct zookeeper_batch *batch, const struct zookeeper_op *ops, size_t n)
{
    zhandle_t *handle;
    struct request *request = begin_request(batch, true, &handle);
    int rc = ZINVALIDSTATE;
    zoo_op_t *zoo_ops = calloc(n, sizeof *zoo_ops);
    request->results = calloc(n, sizeof *request->results);
    if (zoo_ops == NULL || request->results == NULL) {
        rc = ZSYSTEMERROR;
    } else if (handle != NULL) {
        for (size_t i = 0; i < n; i++)
            init_op(&zoo_ops[i], &ops[i], batch->session->acl);
        rc = zoo_amulti(handle, (int)n, zoo_ops, request->results, on_void, request);
    }
    free(zoo_ops);
    end_request(request, rc);
}

void zookeeper_batch_noop(struct zookeeper_batch *batch)
{
    static const struct zookeeper_op noop = {.type = ZOOKEEPER_CHECK, .path = "/"};
    zookeeper_batch_multi(batch, &noop, 1);
}

bool zookeeper_batch_wait(struct zookeeper_batch *batch, int64_t limit_ns)
{
    seal(batch);
    pthread_mutex_lock(&batch->session->mutex);
    while (batch->pending > 0 && clock_wait(&batch->done, &batch->session->mutex, limit_ns))
        continue;
    bool done = batch->pending == 0;
    pthread_mutex_unlock(&batch->session->mutex);
    return done;
}

const struct zookeeper_reply *zookeeper_batch_reply(const struct zookeeper_batch *batch, size_t i)
{
    return &batch->requests[i].reply;
}

void zookeeper_batch_detach(struct zookeeper_batch *batch,
                            void (*finished)(void *arg, const struct zookeeper_batch *batch),
                            void *arg)
{
    batch->finished = finished;
    batch->arg = arg;
    seal(batch);
    zookeeper_batch_free(batch);
}
