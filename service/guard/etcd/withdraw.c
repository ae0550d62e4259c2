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

#define CHORE_NS (300 * NS_PER_MS) // for an answer; the keep-alive waits meanwhile
#define AGAIN_NS (200 * NS_PER_MS)
#define MARK_S 60

// `mark_lease` is of the mark that is to be made, NULL without. With it our revision may be
// unknown; the names are ours alone until we give the slot back, so that whatever has them is ours.
// Where the mark is already there an earlier copy has done it all.
static enum rc ask_delete(const struct etcd_stay *stay, const char *mark_lease, int64_t limit_ns,
                          bool *ret_ours, bool *ret_uncertain)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    struct buffer text CLEANUP(buffer_release) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    char name64[ETCD_NAME64_MAX];
    if (mark_lease == NULL)
        etcd_own_name(name64, stay, 0);
    else
        etcd_gone_name(name64, stay);
    etcd_compare_created(&txn, name64, mark_lease == NULL ? stay->revision : 0);
    txn.success.expected = stay->n + 1;
    for (size_t i = 0; i < stay->n; i++) {
        etcd_own_name(name64, stay, i);
        etcd_delete(&txn.success, name64);
    }
    etcd_gone_name(name64, stay);
    if (mark_lease != NULL)
        etcd_put(&txn.success, name64, "", mark_lease);
    const char *body = etcd_txn_text(&txn, &text);
    if (body == NULL)
        return RC_NO_MEMORY;
    enum rc rc = etcd_ask(stay->line->client, "/v3/kv/txn", body, limit_ns, &answer, ret_uncertain);
    *ret_ours = rc == RC_OK && etcd_succeeded(answer);
    return rc;
}

static bool grant_mark(const struct etcd_stay *stay, char *ret_lease, int64_t limit_ns)
{
    char body[32];
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    text_format(body, sizeof body, "{\"TTL\":\"%d\"}", MARK_S);
    if (etcd_ask(stay->line->client, "/v3/lease/grant", body, limit_ns, &answer, NULL) != RC_OK)
        return false;
    const char *id = json_string_value(json_object_get(answer, "ID"));
    return id != NULL && text_copy(ret_lease, ETCD_LEASE_MAX, id);
}

// True: none of our keys is there, nor will be.
static bool clear_away(struct etcd_stay *stay)
{
    char lease[ETCD_LEASE_MAX];
    bool ours, uncertain;
    int64_t limit_ns = clock_now_ns() + CHORE_NS;
    if (!stay->uncertain && stay->revision != 0) {
        if (ask_delete(stay, NULL, limit_ns, &ours, &uncertain) != RC_OK)
            return false;
        if (ours || stay->n == 1)
            return true;
        stay->uncertain = true;
    }
    return grant_mark(stay, lease, limit_ns) &&
           ask_delete(stay, lease, limit_ns, &ours, &uncertain) == RC_OK;
}

// ---- for those who have been inside -------------------------------------------------------------

enum rc etcd_delete_own(struct etcd_stay *stay, int64_t limit_ns)
{
    bool ours, uncertain;
    etcd_watch_dismiss(stay->line->watch, stay->own, stay->n);
    enum rc rc = ask_delete(stay, NULL, limit_ns, &ours, &uncertain);
    if (rc != RC_OK)
        return rc;
    stay->uncertain = stay->uncertain || (!ours && stay->n > 1);
    // The first of two tries deleted them if nobody else can have done so.
    bool first = uncertain && !stay->wait.lost &&
                 etcd_session_trusted(stay->line->session, stay->generation);
    return ours || first ? RC_OK : RC_LOCK_LOST;
}

static bool take_away(struct chore *chore)
{
    struct etcd_stay *stay = CONTAINER_OF(chore, struct etcd_stay, chore);
    chore->due_ns = clock_now_ns() + AGAIN_NS;
    if (!etcd_session_alive(stay->line->session, stay->generation))
        return true;
    if (!clear_away(stay))
        return false;
    LOG_WARNING("etcd: a lock was held for longer than lock.max_hold_ms, and was taken away");
    return true;
}

void etcd_limit(struct etcd_stay *stay, int64_t until_ns)
{
    stay->chore.run = take_away;
    stay->chore.generation = stay->generation;
    stay->chore.due_ns = until_ns;
    etcd_session_add(stay->line->session, &stay->chore);
}

bool etcd_limit_lifted(struct etcd_stay *stay)
{
    return etcd_session_take_back(stay->line->session, &stay->chore);
}

// ---- for those who give up ----------------------------------------------------------------------

static bool give_up(struct chore *chore)
{
    struct etcd_stay *stay = CONTAINER_OF(chore, struct etcd_stay, chore);
    chore->due_ns = clock_now_ns() + AGAIN_NS;
    if (etcd_session_alive(stay->line->session, stay->generation) && !clear_away(stay))
        return false;
    etcd_slots_give(&stay->line->slots, stay->slot);
    free(stay);
    return true;
}

void etcd_withdraw(struct etcd_stay *stay)
{
    etcd_stay_settle(stay);
    if (!stay->asked || !etcd_session_alive(stay->line->session, stay->generation)) {
        etcd_slots_give(&stay->line->slots, stay->slot);
        free(stay);
        return;
    }
    stay->chore.run = give_up;
    stay->chore.generation = stay->generation;
    stay->chore.due_ns = 0;
    etcd_session_add(stay->line->session, &stay->chore);
}
