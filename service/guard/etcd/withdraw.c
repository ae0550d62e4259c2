// Deletes the names of a claim: at its release, at lock.max_hold_ms, and when it gives up.
//
// A name that no thread knows of would live as long as the session, and block every claim behind
// it. So a deletion that is not certain becomes a chore of the session's thread, which retries it.
//
// To delete the names is not enough if the request that makes them was repeated or not
// acknowledged, because a copy of it may still be in flight. So the same transaction makes a
// tombstone, a name for this claim's tag. Both requests check for it: the one that makes the names,
// and the deletion itself, because a copy of the deletion may arrive when the names belong to a
// later claim. The tombstone has a lease of its own, TOMBSTONE_S long. No copy can be in flight
// after that.
//
// The first name stands for the set: while it is the one that the claim made, so are the others. If
// it is deleted although the lease lives, another program deleted it, and the other names still
// block their queues. They are then deleted by name, whatever their revision, with the tombstone.
//
// What breaks it: a request that is in flight for longer than TOMBSTONE_S.
#include "guard/etcd/queue.h"

#include "base/clock.h"
#include "base/log.h"

#define CHORE_TIMEOUT_NS (300 * NS_PER_MS) // short, because the keep-alive waits meanwhile
#define RETRY_NS (200 * NS_PER_MS)
#define TOMBSTONE_S 60

// Without a tombstone_lease (NULL): deletes the names if the first one has the claim's revision.
// With it: deletes them whatever their revision, and makes the tombstone on that lease. That is
// safe, because no other claim uses these names until the slot is returned. If the tombstone exists
// already, an earlier copy has done everything.
static enum rc delete_names(const struct etcd_claim *claim, const char *tombstone_lease,
                            int64_t limit_ns, bool *ret_ours, bool *ret_uncertain)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    char name64[ETCD_NAME64_MAX];
    if (tombstone_lease == NULL)
        etcd_own_name(name64, claim, 0);
    else
        etcd_tombstone_name(name64, claim);
    etcd_compare_created(&txn, name64, tombstone_lease == NULL ? claim->revision : 0);
    txn.success.expected = claim->n + 1;
    for (size_t i = 0; i < claim->n; i++) {
        etcd_own_name(name64, claim, i);
        etcd_delete(&txn.success, name64);
    }
    etcd_tombstone_name(name64, claim);
    if (tombstone_lease != NULL)
        etcd_put(&txn.success, name64, "", tombstone_lease);
    enum rc rc = etcd_txn_send(claim->queue->client, &txn, limit_ns, &answer, ret_uncertain);
    *ret_ours = rc == RC_OK && etcd_succeeded(answer);
    return rc;
}

static bool grant_tombstone_lease(const struct etcd_claim *claim, char *ret_lease, int64_t limit_ns)
{
    char body[32];
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    text_format(body, sizeof body, "{\"TTL\":\"%d\"}", TOMBSTONE_S);
    if (etcd_request(claim->queue->client, "/v3/lease/grant", body, limit_ns, &answer, NULL) !=
        RC_OK)
        return false;
    const char *id = json_string_value(json_object_get(answer, "ID"));
    return id != NULL && text_copy(ret_lease, ETCD_LEASE_MAX, id);
}

// One attempt. True: none of the names exists, and none can come back.
static bool delete_for_good(struct etcd_claim *claim)
{
    char lease[ETCD_LEASE_MAX];
    bool ours, uncertain;
    int64_t limit_ns = clock_now_ns() + CHORE_TIMEOUT_NS;
    if (!claim->uncertain && claim->revision != 0) {
        if (delete_names(claim, NULL, limit_ns, &ours, &uncertain) != RC_OK)
            return false;
        if (ours || claim->n == 1)
            return true;
        claim->uncertain = true;
    }
    return grant_tombstone_lease(claim, lease, limit_ns) &&
           delete_names(claim, lease, limit_ns, &ours, &uncertain) == RC_OK;
}

// ---- a hold ends --------------------------------------------------------------------------------

enum rc etcd_claim_release(struct etcd_claim *claim, int64_t limit_ns)
{
    bool ours, uncertain;
    etcd_watch_remove(claim->queue->watch, claim->own, claim->n);
    enum rc rc = delete_names(claim, NULL, limit_ns, &ours, &uncertain);
    if (rc != RC_OK)
        return rc;
    claim->uncertain = claim->uncertain || (!ours && claim->n > 1);
    // A repeated request: its first copy deleted the names, if nothing else can have done so.
    bool first_copy = uncertain && !claim->waiter.lost &&
                      etcd_session_trusted(claim->queue->session, claim->generation);
    return ours || first_copy ? RC_OK : RC_LOCK_LOST;
}

static bool end_hold(struct chore *chore)
{
    struct etcd_claim *claim = CONTAINER_OF(chore, struct etcd_claim, chore);
    chore->due_ns = clock_now_ns() + RETRY_NS;
    if (!etcd_session_alive(claim->queue->session, claim->generation))
        return true;
    if (!delete_for_good(claim))
        return false;
    LOG_WARNING("etcd: released a lock that was held for longer than lock.max_hold_ms");
    return true;
}

void etcd_claim_set_max_hold(struct etcd_claim *claim, int64_t until_ns)
{
    claim->chore.run = end_hold;
    claim->chore.generation = claim->generation;
    claim->chore.due_ns = until_ns;
    etcd_session_add(claim->queue->session, &claim->chore);
}

bool etcd_claim_clear_max_hold(struct etcd_claim *claim)
{
    return etcd_session_cancel_chore(claim->queue->session, &claim->chore);
}

// ---- a claim gives up ---------------------------------------------------------------------------

static bool retry_withdrawal(struct chore *chore)
{
    struct etcd_claim *claim = CONTAINER_OF(chore, struct etcd_claim, chore);
    chore->due_ns = clock_now_ns() + RETRY_NS;
    if (etcd_session_alive(claim->queue->session, claim->generation) && !delete_for_good(claim))
        return false;
    etcd_claim_discard(claim);
    return true;
}

void etcd_withdraw(struct etcd_claim *claim)
{
    etcd_claim_unwatch(claim);
    if (!claim->requested || !etcd_session_alive(claim->queue->session, claim->generation)) {
        etcd_claim_discard(claim);
        return;
    }
    claim->chore.run = retry_withdrawal;
    claim->chore.generation = claim->generation;
    claim->chore.due_ns = 0;
    etcd_session_add(claim->queue->session, &claim->chore);
}
