// zookeeper-lock: a queue of ephemeral nodes in ZooKeeper with fencing tokens, and a save that
// demands the token and the version.
//
// Idea
//   Each key has a queue. Enter adds an ephemeral sequential node to it, and the node with the
//   lowest number holds the key. Each waiter watches only the node right before its own. One
//   transaction makes all nodes of a set. Leave deletes the hold's own nodes, known by the random
//   owner in their names; their content is the instance's name, for people who look. The token is
//   the number of the transaction that made the nodes (czxid), plus a floor: a number kept in a
//   node beside the queues. The save:
//
//     UPDATE counter SET remaining = remaining + :delta, version = version + :operations,
//      fence = :token
//      WHERE name = :name AND version = :read AND fence <= :token
//
// Guarantees
//   Across the cluster, while the session lives: one holder per key, first come, first served, and
//   sets without deadlock. Later holders have higher tokens. The save demands token and version
//   together; that demand, not the lock, keeps the numbers right.
//
// Fails when
//   A holder stops, or is cut off, for longer than the session's timeout (lock.ttl_ms, as the
//   server grants it). The server then deletes its nodes, and the next holder enters. The stale
//   holder's save is refused.
//
//   A holder stops trusting its lock earlier: as soon as the connection is lost, or when no write
//   sent within the last two thirds of the timeout has been acknowledged by the quorum. This
//   relies on clocks that run at the same speed. It also relies on the leader having heard of the
//   session, through the member it is connected to, at most a third of the timeout before that
//   write.
//
//   All locks of a process share one session, and end with it. A holder that dies keeps all others
//   out until the session expires. A holder that lives but is stuck loses its lock after
//   lock.max_hold_ms. A ZooKeeper that is set up anew counts from the start; then the floor is
//   raised, and lifts the tokens above the database's fence.
//
// Cost
//   Two writes through the quorum's logs (enter, leave): milliseconds where Redis takes
//   microseconds. While the session lasts, leave does not wait for its delete to be acknowledged;
//   the delete is retried in the background until the nodes are gone. A process that has written
//   nothing for a third of the timeout sends one write that changes nothing. Waiting costs one
//   watch, and `spin` and `notify` are the same here. After lock.wait_ms, or at once with
//   lock.wait = fail, the waiter deletes its nodes and the request is answered 503 `lock-busy`. If
//   ZooKeeper does not answer, it is 503 `backend-unavailable`.
#include "guard/guard.h"
#include "guard/trouble.h"
#include "guard/zookeeper/claim.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_zookeeper_lock;

#define ROOT "/holdfast"
#define FLOOR ROOT "/floor"
#define QUOTA_EXCEEDED (-125) // ZQUOTAEXCEEDED of ZooKeeper 3.7 and later
#define RELEASE_NS NS_PER_S   // timeout of leave, lift and ping, which have no deadline
#define LIFT_ATTEMPTS 8

struct zookeeper_lock {
    struct guard guard;
    const struct guard_settings *settings;
    struct zookeeper_session *session;
    _Atomic int64_t floor; // as last read; a stale one makes tokens too low, which the save refuses
};

static struct zookeeper_lock *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct zookeeper_lock, guard);
}

static enum rc zookeeper_lock_open(const struct guard_settings *settings, struct guard **ret_guard,
                                   char *ret_why)
{
    if (settings->zookeeper == NULL || settings->zookeeper[0] == '\0') {
        text_copy(
            ret_why, GUARD_ERROR_MAX,
            "zookeeper-lock needs the setting zookeeper (host[:port][,host[:port]...][/path])");
        return RC_USAGE;
    }
    struct zookeeper_lock *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->settings = settings;
    enum rc rc = zookeeper_session_new(settings->zookeeper, settings->lock_ttl_ms, &self->session,
                                       ret_why, GUARD_ERROR_MAX);
    if (rc != RC_OK) {
        free(self);
        return rc;
    }
    *ret_guard = &self->guard;
    return RC_OK;
}

static void zookeeper_lock_close(struct guard *guard)
{
    struct zookeeper_lock *self = of(guard);
    zookeeper_session_free(self->session);
    free(self);
}

// lock.max_hold_ms, but at least lock.ttl_ms.
static int64_t max_hold_ns(const struct guard_settings *settings)
{
    int64_t hold_ms = settings->lock_max_hold_ms > settings->lock_ttl_ms
                          ? settings->lock_max_hold_ms
                          : settings->lock_ttl_ms;
    return hold_ms * NS_PER_MS;
}

static enum rc zookeeper_lock_enter(struct guard *guard, struct db *db, const char *const *keys,
                                    size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)db;
    struct zookeeper_lock *self = of(guard);
    bool wait = strcmp(self->settings->lock_wait, "fail") != 0;
    int64_t limit_ns = clock_now_ns() + self->settings->lock_wait_ms * NS_PER_MS;
    if (deadline_ns < limit_ns)
        limit_ns = deadline_ns;
    // Each attempt after a broken connection or session is a new claim, with its own tag.
    for (int attempt = 'a'; attempt <= 'z'; attempt++) {
        uint64_t generation;
        struct zookeeper_claim *claim;
        enum rc rc = zookeeper_session_ready(self->session, limit_ns, &generation);
        if (rc == RC_OK)
            rc = zookeeper_claim_new(self->session, generation, keys, n_keys, ret_hold->owner,
                                     (char)attempt, &claim);
        if (rc != RC_OK)
            return rc;
        rc = zookeeper_claim_acquire(claim, self->settings->instance, wait, limit_ns);
        if (rc == RC_OK) {
            ret_hold->state = claim;
            ret_hold->token = (uint64_t)(claim->czxid + self->floor);
            ret_hold->expires_ns = clock_now_ns() + max_hold_ns(self->settings);
            zookeeper_claim_set_max_hold(claim, ret_hold->expires_ns);
            return RC_OK;
        }
        zookeeper_claim_withdraw(claim);
        if (rc != RC_LOCK_LOST)
            return rc;
    }
    return RC_BACKEND_UNAVAILABLE;
}

// While the session cannot have expired by this process's clock, the nodes exist, and leave need
// not wait for their deletion. After that only the server knows.
static enum rc zookeeper_lock_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    (void)guard, (void)db;
    struct zookeeper_claim *claim = hold->state;
    hold->state = NULL;
    if (!zookeeper_claim_clear_max_hold(claim)) {
        free(claim);
        return RC_LOCK_LOST;
    }
    if (!zookeeper_session_unexpired(claim->session, claim->generation))
        return zookeeper_claim_release(claim, clock_now_ns() + RELEASE_NS);
    zookeeper_claim_withdraw(claim);
    return RC_OK;
}

static bool zookeeper_lock_held(struct guard *guard, const struct guard_hold *hold)
{
    const struct zookeeper_claim *claim = hold->state;
    return zookeeper_session_trusted(of(guard)->session, claim->generation);
}

// Reads the current floor and its version. Makes the node if it is missing.
static enum rc read_floor(struct zookeeper_lock *self, int64_t *ret_floor, int *ret_version)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(self->session, 2, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_create(batch, FLOOR, "0", ZOO_PERSISTENT);
    zookeeper_batch_get(batch, FLOOR, false);
    if (!zookeeper_batch_wait(batch, clock_now_ns() + RELEASE_NS))
        return RC_BACKEND_UNAVAILABLE;
    const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, 1);
    if (reply->rc != ZOK)
        return RC_BACKEND_UNAVAILABLE;
    if (!text_to_int64(reply->data, ret_floor) || *ret_floor < 0)
        return RC_INTERNAL;
    *ret_version = reply->version;
    return RC_OK;
}

// One transaction: checks that the hold's node still exists, and sets the floor unless it is NULL.
// RC_LOCK_LOST: the node is gone. RC_CONFLICT: another process has changed the floor; read again.
static enum rc write_floor(struct zookeeper_lock *self, const struct zookeeper_claim *claim,
                           const int64_t *floor, int version)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(self->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    char path[ZOOKEEPER_PATH_MAX], text[24];
    zookeeper_node_path(path, &claim->places[0], claim->places[0].own);
    struct zookeeper_op ops[2] = {{.type = ZOOKEEPER_CHECK, .path = path}};
    if (floor != NULL) {
        text_format(text, sizeof text, "%" PRId64, *floor);
        ops[1] = (struct zookeeper_op){
            .type = ZOOKEEPER_SET, .path = FLOOR, .data = text, .version = version};
    }
    zookeeper_batch_multi(batch, ops, floor != NULL ? 2 : 1);
    if (!zookeeper_batch_wait(batch, clock_now_ns() + RELEASE_NS))
        return RC_BACKEND_UNAVAILABLE;
    switch (zookeeper_batch_reply(batch, 0)->rc) {
    case ZOK:
        return RC_OK;
    case ZNONODE:
    case ZSESSIONEXPIRED:
        return RC_LOCK_LOST;
    case ZBADVERSION:
        return RC_CONFLICT;
    default:
        return RC_BACKEND_UNAVAILABLE;
    }
}

static enum rc zookeeper_lock_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                                   uint64_t floor)
{
    (void)db;
    struct zookeeper_lock *self = of(guard);
    const struct zookeeper_claim *claim = hold->state;
    if (floor >= INT64_MAX)
        return RC_INTERNAL;
    for (int tries = 0; tries < LIFT_ATTEMPTS; tries++) {
        int64_t current;
        int version;
        if (!guard_held(guard, hold))
            return RC_LOCK_LOST;
        enum rc rc = read_floor(self, &current, &version);
        if (rc != RC_OK)
            return rc;
        int64_t enough = (int64_t)floor + 1 - claim->czxid;
        bool raise = current < enough;
        if (raise)
            current = enough;
        rc = write_floor(self, claim, raise ? &current : NULL, version);
        if (rc == RC_OK) {
            self->floor = current;
            hold->token = (uint64_t)(claim->czxid + current);
            return RC_OK;
        }
        if (rc != RC_CONFLICT)
            return rc;
    }
    return RC_BACKEND_UNAVAILABLE;
}

static uint64_t zookeeper_lock_reconnects(struct guard *guard)
{
    return zookeeper_session_reconnects(of(guard)->session);
}

static const char *reason_of(int rc)
{
    switch (rc) {
    case ZNOAUTH:
    case ZAUTHFAILED:
        return TROUBLE_DENIED;
    case ZNOTREADONLY:
        return TROUBLE_READ_ONLY;
    case ZNONODE: // the address ends in a path
        return TROUBLE_MISSING;
    case QUOTA_EXCEEDED:
        return TROUBLE_FULL;
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZCLOSING:
    case ZINVALIDSTATE:
    case ZSESSIONEXPIRED:
        return TROUBLE_NO_ANSWER;
    default:
        return TROUBLE_REFUSED;
    }
}

// Makes and deletes an ephemeral node in one transaction, which no other client sees.
static enum rc zookeeper_lock_ping(struct guard *guard, struct guard_trouble *ret_trouble)
{
    struct zookeeper_lock *self = of(guard);
    int64_t limit_ns = clock_now_ns() + RELEASE_NS;
    uint64_t generation;
    trouble_set(ret_trouble, TROUBLE_NO_ANSWER, "zookeeper: no connection, or no answer in time");
    enum rc rc = zookeeper_session_ready(self->session, limit_ns, &generation);
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    if (rc == RC_OK)
        rc = zookeeper_batch_new(self->session, 2, &batch);
    if (rc != RC_OK)
        return RC_BACKEND_UNAVAILABLE;
    char path[ZOOKEEPER_PATH_MAX];
    text_format(path, sizeof path, ROOT "/probe-%s", self->settings->instance);
    const struct zookeeper_op ops[] = {
        {.type = ZOOKEEPER_CREATE, .path = path, .data = "", .mode = ZOO_EPHEMERAL},
        {.type = ZOOKEEPER_DELETE, .path = path},
    };
    zookeeper_batch_create(batch, ROOT, "", ZOO_PERSISTENT);
    zookeeper_batch_multi(batch, ops, ARRAY_LENGTH(ops));
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    int root = zookeeper_batch_reply(batch, 0)->rc, made = zookeeper_batch_reply(batch, 1)->rc;
    if (made == ZOK)
        return RC_OK;
    int why = root != ZOK && root != ZNODEEXISTS ? root : made;
    trouble_set(ret_trouble, reason_of(why), zerror(why));
    return RC_BACKEND_UNAVAILABLE;
}

const struct strategy strategy_zookeeper_lock = {
    .name = "zookeeper-lock",
    .summary = "A fair queue of ephemeral nodes in ZooKeeper, with a fencing token.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .may_keep = true,
    .open = zookeeper_lock_open,
    .close = zookeeper_lock_close,
    .enter = zookeeper_lock_enter,
    .leave = zookeeper_lock_leave,
    .held = zookeeper_lock_held,
    .lift = zookeeper_lock_lift,
    .reconnects = zookeeper_lock_reconnects,
    .ping = zookeeper_lock_ping,
};
