// Leaving the line. A key that nobody knows of would live as long as our session, and nobody behind
// it would ever get in. So whatever is not certain becomes a chore of the session's thread, until
// it is.
//
// Deleting what is there is not enough where the request that makes it was not answered, or was
// repeated: a copy may arrive yet. Such a tag is marked as given up in the same step, and that
// request asks for the mark. So does the deletion itself: a copy of it may arrive when the names
// are somebody else's. The mark has a lease of its own and goes when no copy can be under way any
// more.
//
// The first key speaks for the set: while it is the one that we made, so are the others. Where it
// is gone and the lease is not, somebody deleted it, and the others are still in everybody's way.
// They are deleted by their names then, whatever their revision, with the mark.
#include "guard/etcd/queue.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHORE_TIMEOUT_NS (300 * NS_PER_MS) // for an answer; the keep-alive waits meanwhile
#define RETRY_NS (200 * NS_PER_MS)
#define TOMBSTONE_S 60

// `tombstone_lease` is of the mark that is to be made, NULL without. With it our revision may be
// unknown; the names are ours alone until we give the slot back, so that whatever has them is ours.
// Where the mark is already there an earlier copy has done it all.
static enum rc delete_keys(const struct etcd_claim *claim, const char *tombstone_lease,
                           int64_t limit_ns, bool *ret_ours, bool *ret_uncertain)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    struct buffer text CLEANUP(buffer_release) = {0};
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
    const char *body = etcd_txn_text(&txn, &text);
    if (body == NULL)
        return RC_NO_MEMORY;
    enum rc rc =
        etcd_request(claim->queue->client, "/v3/kv/txn", body, limit_ns, &answer, ret_uncertain);
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

// True: none of our keys is there, nor will be.
static bool delete_for_good(struct etcd_claim *claim)
{
    char lease[ETCD_LEASE_MAX];
    bool ours, uncertain;
    int64_t limit_ns = clock_now_ns() + CHORE_TIMEOUT_NS;
    if (!claim->uncertain && claim->revision != 0) {
        if (delete_keys(claim, NULL, limit_ns, &ours, &uncertain) != RC_OK)
            return false;
        if (ours || claim->n == 1)
            return true;
        claim->uncertain = true;
    }
    return grant_tombstone_lease(claim, lease, limit_ns) &&
           delete_keys(claim, lease, limit_ns, &ours, &uncertain) == RC_OK;
}

// ---- for those who have been inside -------------------------------------------------------------

enum rc etcd_claim_release(struct etcd_claim *claim, int64_t limit_ns)
{
    bool ours, uncertain;
    etcd_watch_remove(claim->queue->watch, claim->own, claim->n);
    enum rc rc = delete_keys(claim, NULL, limit_ns, &ours, &uncertain);
    if (rc != RC_OK)
        return rc;
    claim->uncertain = claim->uncertain || (!ours && claim->n > 1);
    // The first of two tries deleted them if nobody else can have done so.
    bool first = uncertain && !claim->waiter.lost &&
                 etcd_session_trusted(claim->queue->session, claim->generation);
    return ours || first ? RC_OK : RC_LOCK_LOST;
}

static bool end_hold(struct chore *chore)
{
    struct etcd_claim *claim = CONTAINER_OF(chore, struct etcd_claim, chore);
    chore->due_ns = clock_now_ns() + RETRY_NS;
    if (!etcd_session_alive(claim->queue->session, claim->generation))
        return true;
    if (!delete_for_good(claim))
        return false;
    LOG_WARNING("etcd: a lock was held for longer than lock.max_hold_ms, and was taken away");
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
    return etcd_session_take_back(claim->queue->session, &claim->chore);
}

// ---- for those who give up ----------------------------------------------------------------------

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
