// etcd-lock: a queue of keys in etcd that hang on a lease, and a save that demands the fencing
// token and the version.
//
// Idea
//   Each lock key has a queue. Enter makes a key of its own in the queue, bound to this process's
//   lease, unless it exists already; the lowest create revision holds the lock. All keys of a set
//   are made in one transaction, which also lists the keys ahead, and the other claims wait until
//   those ahead are deleted. Leave deletes the own keys if their create revision is still the
//   hold's, so only the holder frees the lock. The keys' values name the instance, for people who
//   look, and a random owner. The save:
//
//     UPDATE counter SET remaining = remaining + :delta, version = version + :operations,
//      fence = :token
//      WHERE name = :name AND version = :read AND fence <= :token
//
// Guarantees
//   Across the cluster, while the lease lasts: one holder per key, first come, first served, and
//   sets of keys without deadlock. The fencing token is the create revision, which grows with every
//   change in the whole etcd cluster, plus a floor stored beside the locks. So later holders have
//   higher tokens. The save demands token and version together; that demand, not the lock, keeps
//   the numbers right.
//
// Fails when
//   The lease ends unnoticed, because the holder stopped or was cut off for longer than lock.ttl_ms
//   (whole seconds, at least two), or because an operator revoked it. Then the keys are deleted,
//   the next holder enters, and the stale holder's save is refused. A holder stops trusting its
//   lock earlier: when its own clock says that the lease may have expired, when the answer to a
//   keep-alive says that it has ended, or when the watch reports that its key was deleted. One
//   lease serves the process, so all its locks end together. A holder that dies keeps all others
//   out until the lease ends. lock.max_hold_ms frees a lock whose holder lives but is stuck. An
//   etcd restored from a backup counts from an older revision; then raising the floor lifts the
//   tokens above the database's fence.
//
// Cost
//   Two writes through the cluster's logs (enter, leave), each one round trip. The lease costs none
//   per lock: one keep-alive at a third of its length serves all locks. notify uses one watch that
//   the process keeps open for all its waiters, and costs no further request. spin reads the queue
//   again, in the same order of waiters, and less often the more keys are ahead and the slower the
//   queue moves. After lock.wait_ms, or at once with lock.wait = fail, the request is answered 503
//   `lock-busy`. If etcd does not answer, it is 503 `backend-unavailable`. A waiter that gives up
//   deletes its keys. JSON over HTTP instead of gRPC costs etcd and this service more than the lock
//   itself does. etcd keeps all that was ever written, so it must be compacted now and then
//   (--auto-compaction-retention).
#include "guard/etcd/queue.h"
#include "guard/guard.h"
#include "guard/trouble.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_etcd_lock;

#define FLOOR "holdfast/floor"
#define RELEASE_NS NS_PER_S // timeout of leave, lift and ping, which have no deadline
#define LIFT_ATTEMPTS 8

struct etcd_lock {
    struct guard guard;
    const struct guard_settings *settings;
    struct etcd_queue queue;
    // As last written by this process. A stale one only makes a token too low: the save is refused
    // and the token lifted.
    _Atomic int64_t floor;
};

static struct etcd_lock *of(struct guard *guard)
{
    return CONTAINER_OF(guard, struct etcd_lock, guard);
}

static void etcd_lock_close(struct guard *guard)
{
    struct etcd_lock *self = of(guard);
    etcd_session_free(self->queue.session);
    etcd_watch_free(self->queue.watch);
    etcd_client_free(self->queue.client);
    free(self);
}

static enum rc etcd_lock_open(const struct guard_settings *settings, struct guard **ret_guard,
                              char *ret_why)
{
    if (settings->etcd == NULL || settings->etcd[0] == '\0') {
        text_copy(ret_why, GUARD_ERROR_MAX,
                  "etcd-lock needs the setting etcd (http://host:port[,http://host:port...])");
        return RC_USAGE;
    }
    struct etcd_lock *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RC_NO_MEMORY;
    self->settings = settings;
    self->queue.label = settings->instance;
    self->queue.waiting = strcmp(settings->lock_wait, "fail") == 0   ? ETCD_FAIL
                          : strcmp(settings->lock_wait, "spin") == 0 ? ETCD_SPIN
                                                                     : ETCD_NOTIFY;
    enum rc rc = etcd_client_new(settings->etcd, &self->queue.client, ret_why, GUARD_ERROR_MAX);
    if (rc == RC_OK)
        rc = etcd_watch_new(self->queue.client, ETCD_LOCKS, &self->queue.watch);
    if (rc == RC_OK)
        rc = etcd_session_new(self->queue.client, settings->lock_ttl_ms, &self->queue.session);
    if (rc != RC_OK) {
        etcd_lock_close(&self->guard);
        return rc;
    }
    *ret_guard = &self->guard;
    return RC_OK;
}

// ---- enter and leave ----------------------------------------------------------------------------

static enum rc enter_once(struct etcd_lock *self, char attempt, int64_t limit_ns,
                          struct guard_hold *ret_hold)
{
    uint64_t generation;
    char lease[ETCD_LEASE_MAX];
    struct etcd_claim *claim;
    enum rc rc = etcd_session_ready(self->queue.session, limit_ns, &generation, lease);
    if (rc == RC_OK)
        rc = etcd_claim_new(&self->queue, generation, lease, ret_hold->keys, ret_hold->n_keys,
                            ret_hold->owner, attempt, &claim);
    if (rc != RC_OK)
        return rc;
    rc = etcd_claim_acquire(claim, limit_ns);
    if (rc != RC_OK) {
        etcd_withdraw(claim);
        return rc;
    }
    const struct guard_settings *settings = self->settings;
    int64_t hold_ms = settings->lock_max_hold_ms > settings->lock_ttl_ms
                          ? settings->lock_max_hold_ms
                          : settings->lock_ttl_ms;
    ret_hold->state = claim;
    ret_hold->token = (uint64_t)(claim->revision + self->floor);
    ret_hold->expires_ns = clock_now_ns() + hold_ms * NS_PER_MS;
    etcd_claim_set_max_hold(claim, ret_hold->expires_ns);
    return RC_OK;
}

static enum rc etcd_lock_enter(struct guard *guard, struct db *db, const char *const *keys,
                               size_t n_keys, int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)db, (void)keys, (void)n_keys;
    struct etcd_lock *self = of(guard);
    int64_t limit_ns = clock_now_ns() + self->settings->lock_wait_ms * NS_PER_MS;
    if (deadline_ns < limit_ns)
        limit_ns = deadline_ns;
    enum rc rc = RC_LOCK_LOST;
    for (int attempt = 'a'; attempt <= 'z' && rc == RC_LOCK_LOST; attempt++)
        rc = enter_once(self, (char)attempt, limit_ns, ret_hold);
    return rc == RC_LOCK_LOST ? RC_BACKEND_UNAVAILABLE : rc;
}

static enum rc etcd_lock_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    (void)guard, (void)db;
    struct etcd_claim *claim = hold->state;
    hold->state = NULL;
    if (!etcd_claim_clear_max_hold(claim) ||
        !etcd_session_alive(claim->queue->session, claim->generation)) {
        etcd_claim_free(claim);
        return RC_LOCK_LOST;
    }
    enum rc rc = etcd_claim_release(claim, clock_now_ns() + RELEASE_NS);
    if (rc == RC_LOCK_LOST)
        etcd_session_recheck(claim->queue->session, claim->generation);
    if (rc == RC_BACKEND_UNAVAILABLE || claim->uncertain)
        etcd_withdraw(claim);
    else
        etcd_claim_free(claim);
    return rc;
}

static bool etcd_lock_held(struct guard *guard, const struct guard_hold *hold)
{
    const struct etcd_claim *claim = hold->state;
    return !claim->waiter.lost && etcd_session_trusted(of(guard)->queue.session, claim->generation);
}

// ---- the floor below the tokens -----------------------------------------------------------------

// The current floor and the revision that set it; both 0 if there is none.
static enum rc read_floor(struct etcd_lock *self, int64_t *ret_floor, int64_t *ret_revision)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    char name64[ETCD_NAME64_MAX];
    etcd_name(name64, FLOOR);
    etcd_get(&txn.success, name64);
    enum rc rc =
        etcd_txn_send(self->queue.client, &txn, clock_now_ns() + RELEASE_NS, &answer, NULL);
    if (rc != RC_OK)
        return rc;
    const json_t *kv = etcd_first_kv(answer);
    *ret_floor = 0;
    *ret_revision = etcd_number(kv, "mod_revision");
    if (kv != NULL && (!etcd_value(kv, ret_floor) || *ret_floor < 0))
        return RC_INTERNAL;
    return RC_OK;
}

// Sets the floor in one transaction, if no other process has set it meanwhile and the hold's first
// key still exists. RC_CONFLICT: read again.
static enum rc write_floor(struct etcd_lock *self, const struct etcd_claim *claim, int64_t floor,
                           int64_t revision)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    char name64[ETCD_NAME64_MAX], own64[ETCD_NAME64_MAX], value64[ETCD_NAME64_MAX];
    etcd_name(name64, FLOOR);
    etcd_own_name(own64, claim, 0);
    etcd_name(value64, "%lld", (long long)floor);
    etcd_compare_created(&txn, own64, claim->revision);
    etcd_compare_modified(&txn, name64, revision);
    etcd_put(&txn.success, name64, value64, "0");
    etcd_get(&txn.failure, own64);
    enum rc rc =
        etcd_txn_send(self->queue.client, &txn, clock_now_ns() + RELEASE_NS, &answer, NULL);
    if (rc != RC_OK || etcd_succeeded(answer))
        return rc;
    return etcd_first_kv(answer) != NULL ? RC_CONFLICT : RC_LOCK_LOST;
}

static enum rc etcd_lock_lift(struct guard *guard, struct db *db, struct guard_hold *hold,
                              uint64_t floor)
{
    (void)db;
    struct etcd_lock *self = of(guard);
    const struct etcd_claim *claim = hold->state;
    if (floor >= INT64_MAX)
        return RC_INTERNAL;
    for (int i = 0; i < LIFT_ATTEMPTS; i++) {
        int64_t current, revision;
        if (!guard_held(guard, hold))
            return RC_LOCK_LOST;
        enum rc rc = read_floor(self, &current, &revision);
        if (rc != RC_OK)
            return rc;
        int64_t needed = (int64_t)floor + 1 - claim->revision;
        // Writes a floor that is high enough as well: that proves that the key is still ours.
        if (current < needed)
            current = needed;
        rc = write_floor(self, claim, current, revision);
        if (rc == RC_OK) {
            self->floor = current;
            hold->token = (uint64_t)(claim->revision + current);
            return RC_OK;
        }
        if (rc != RC_CONFLICT)
            return rc;
    }
    return RC_BACKEND_UNAVAILABLE;
}

// A transaction with a condition that never holds and a write that it therefore does not make. etcd
// checks it as every write (quorum, rights, room), and the history of its keys does not grow.
static enum rc etcd_lock_ping(struct guard *guard, struct guard_trouble *ret_trouble)
{
    static const struct trouble_sign signs[] = {
        {"space exceeded", TROUBLE_FULL},
        {"permission denied", TROUBLE_DENIED},
        {"rejected the user", TROUBLE_DENIED},
        {"user name is empty", TROUBLE_DENIED},
        {"auth", TROUBLE_DENIED},
        {"corrupt", TROUBLE_REFUSED},
        {"no leader", TROUBLE_NO_ANSWER},
        {"timed out", TROUBLE_NO_ANSWER},
        {"too many requests", TROUBLE_LOADING},
    };
    struct etcd_client *client = of(guard)->queue.client;
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    char name64[ETCD_NAME64_MAX], why[TROUBLE_WORDS_MAX] = "";
    etcd_name(name64, ETCD_LOCKS "probe");
    etcd_compare_created(&txn, name64, 1); // the first key of a store is created at revision 2
    etcd_put(&txn.success, name64, "", "0");
    if (etcd_txn_send(client, &txn, clock_now_ns() + RELEASE_NS, &answer, NULL) == RC_OK)
        return RC_OK;
    etcd_client_why(client, why, sizeof why);
    trouble_set(ret_trouble, trouble_reason(signs, ARRAY_LENGTH(signs), why, TROUBLE_NO_ANSWER),
                why);
    return RC_BACKEND_UNAVAILABLE;
}

static uint64_t etcd_lock_reconnects(struct guard *guard)
{
    return etcd_client_reconnects(of(guard)->queue.client);
}

const struct strategy strategy_etcd_lock = {
    .name = "etcd-lock",
    .summary =
        "A fair queue of keys with a lease in etcd; the create revision is the fencing token.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .may_keep = true,
    .open = etcd_lock_open,
    .close = etcd_lock_close,
    .enter = etcd_lock_enter,
    .leave = etcd_lock_leave,
    .held = etcd_lock_held,
    .lift = etcd_lock_lift,
    .ping = etcd_lock_ping,
    .reconnects = etcd_lock_reconnects,
};
