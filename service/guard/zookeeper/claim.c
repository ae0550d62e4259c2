// The claim: ZooKeeper's lock recipe, made safe against lost answers.
//
// Acquire:
//   - The create and the list are sent together. The list is answered after the create, so one
//     round trip tells whether the claim is first.
//   - Each waiter watches only the node right before its own, so a leaving holder wakes one waiter,
//     not all. The owner of that node may also have given up, so the waiter reads the queue again
//     before it goes on.
//   - One transaction makes all nodes of a set, so any two claims have the same order in all queues
//     that they share. No two sets can wait for each other.
//   - A queue is a container node: made when first needed, and removed by the server some time
//     after it has become empty.
//
// Withdraw:
//   - A create without an answer may have happened, or may still happen. A forgotten node would
//     live as long as the session, and block all nodes behind it. So the names of the nodes begin
//     with a tag of this claim (the next attempt has another), and whatever is uncertain becomes a
//     chore of the session's thread.
//   - The chore lists the queues and deletes the nodes with the tag. It ends when two searches, a
//     second apart, have found none: by then the last request in flight has arrived.
//   - A chore also withdraws a claim that is held for longer than lock.max_hold_ms. It works on a
//     copy, because the stuck worker may still read the original.
#include "guard/zookeeper/claim.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "/holdfast"
#define QUEUES ROOT "/locks"
#define CHORE_NS NS_PER_S // a chore's timeout for an answer, and its pause between two searches
#define COPY_RETRY_NS (200 * NS_PER_MS) // when there was no memory for the copy of a claim
#define CREATE_TRIES 5 // the server may remove an empty queue between its creation and its use

void zookeeper_node_path(char *ret_path, const struct zookeeper_place *place, const char *node)
{
    text_format(ret_path, ZOOKEEPER_PATH_MAX, "%s/%s", place->parent, node);
}

enum rc zookeeper_claim_new(struct zookeeper_session *session, uint64_t generation,
                            const char *const *keys, size_t n, const char *owner, char attempt,
                            struct zookeeper_claim **ret_claim)
{
    struct zookeeper_claim *claim = calloc(1, sizeof *claim + n * sizeof claim->places[0]);
    if (claim == NULL)
        return RC_NO_MEMORY;
    claim->session = session;
    claim->generation = generation;
    claim->n = n;
    text_format(claim->tag, sizeof claim->tag, "%s%c", owner, attempt);
    for (size_t i = 0; i < n; i++) {
        struct zookeeper_place *place = &claim->places[i];
        text_format(place->parent, sizeof place->parent, QUEUES "/%s", keys[i]);
        // A node's name must not contain a slash, nor be "." or "..". Ids contain no bar, so the
        // names stay distinct.
        for (char *at = place->parent + strlen(QUEUES "/"); *at != '\0'; at++)
            if (*at == '/')
                *at = '|';
    }
    *ret_claim = claim;
    return RC_OK;
}

// ---- acquire ------------------------------------------------------------------------------------

// Makes the queues that are missing. An existing one answers ZNODEEXISTS, which does not matter.
static enum rc make_queues(struct zookeeper_claim *claim, int64_t limit_ns)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(claim->session, claim->n + 2, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_create(batch, ROOT, "", ZOO_PERSISTENT);
    zookeeper_batch_create(batch, QUEUES, "", ZOO_PERSISTENT);
    for (size_t i = 0; i < claim->n; i++)
        zookeeper_batch_create(batch, claim->places[i].parent, "", ZOO_CONTAINER);
    return zookeeper_batch_wait(batch, limit_ns) ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

// Adds one request that creates or deletes the nodes of the claim, all or none. RC_NO_MEMORY: it
// was not sent.
static enum rc add_all(const struct zookeeper_claim *claim, struct zookeeper_batch *batch,
                       enum zookeeper_op_type type, const char *label)
{
    bool create = type == ZOOKEEPER_CREATE;
    char(*paths)[ZOOKEEPER_PATH_MAX] = calloc(claim->n, sizeof *paths);
    struct zookeeper_op *ops = calloc(claim->n, sizeof *ops);
    enum rc rc = paths == NULL || ops == NULL ? RC_NO_MEMORY : RC_OK;
    for (size_t i = 0; rc == RC_OK && i < claim->n; i++) {
        const struct zookeeper_place *place = &claim->places[i];
        text_format(paths[i], sizeof *paths, "%s/%s%s", place->parent,
                    create ? claim->tag : place->own, create ? "-" : "");
        ops[i] = (struct zookeeper_op){
            .type = type, .path = paths[i], .data = label, .mode = ZOO_EPHEMERAL_SEQUENTIAL};
    }
    if (rc == RC_OK && claim->n > 1)
        zookeeper_batch_multi(batch, ops, claim->n);
    else if (rc == RC_OK && create)
        zookeeper_batch_create(batch, paths[0], label, ZOO_EPHEMERAL_SEQUENTIAL);
    else if (rc == RC_OK)
        zookeeper_batch_delete(batch, paths[0]);
    free(paths);
    free(ops);
    return rc;
}

// Stores the answers to the lists, which follow the create's. False if a node of the claim is
// missing.
static bool read_places(struct zookeeper_claim *claim, const struct zookeeper_batch *batch)
{
    bool all = true;
    for (size_t i = 0; i < claim->n; i++) {
        const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, i + 1);
        struct zookeeper_place *place = &claim->places[i];
        all = all && reply->rc == ZOK && reply->own[0] != '\0';
        memcpy(place->own, reply->own, sizeof place->own);
        memcpy(place->ahead, reply->ahead, sizeof place->ahead);
    }
    return all;
}

// One attempt. RC_NOT_FOUND: a queue is missing.
static enum rc create_and_list(struct zookeeper_claim *claim, const char *label, int64_t limit_ns)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(claim->session, claim->n + 1, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_bind(batch, claim->generation);
    rc = add_all(claim, batch, ZOOKEEPER_CREATE, label);
    claim->may_exist = rc == RC_OK;
    for (size_t i = 0; rc == RC_OK && i < claim->n; i++)
        zookeeper_batch_list(batch, claim->places[i].parent, claim->tag);
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    if (rc != RC_OK)
        return rc;
    const struct zookeeper_reply *created = zookeeper_batch_reply(batch, 0);
    switch (created->rc) {
    case ZOK:
        claim->czxid = created->czxid;
        return read_places(claim, batch) ? RC_OK : RC_LOCK_LOST;
    case ZNONODE:
        claim->may_exist = false;
        return RC_NOT_FOUND;
    case ZINVALIDSTATE: // not sent
        claim->may_exist = false;
        return RC_LOCK_LOST;
    case ZNOAUTH:
    case ZSYSTEMERROR:
        claim->may_exist = false;
        return RC_BACKEND_UNAVAILABLE;
    default:
        return RC_LOCK_LOST;
    }
}

// Reads again which node is right before the claim's own.
static enum rc reread_queue(struct zookeeper_claim *claim, struct zookeeper_place *place,
                            int64_t limit_ns)
{
    uint64_t generation;
    if (zookeeper_session_ready(claim->session, limit_ns, &generation) != RC_OK)
        return RC_BACKEND_UNAVAILABLE;
    if (generation != claim->generation)
        return RC_LOCK_LOST;
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(claim->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_list(batch, place->parent, claim->tag);
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, 0);
    if (reply->rc == ZOK && reply->own[0] == '\0')
        return RC_LOCK_LOST;
    if (reply->rc == ZOK)
        memcpy(place->ahead, reply->ahead, sizeof place->ahead);
    return RC_OK; // also if the connection broke: `ahead` is unchanged, and the caller retries
}

// Waits until the node ahead is gone, or the session's state has changed, or the limit.
static enum rc watch_and_wait(struct zookeeper_claim *claim, struct zookeeper_place *place,
                              int64_t limit_ns)
{
    char path[ZOOKEEPER_PATH_MAX];
    zookeeper_node_path(path, place, place->ahead);
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(claim->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    struct zookeeper_waiter waiter;
    zookeeper_waiter_begin(claim->session, &waiter, path);
    // A get, not an exists: if the node is gone already, a get leaves no watch behind.
    zookeeper_batch_get(batch, path, true);
    if (zookeeper_batch_wait(batch, limit_ns) && zookeeper_batch_reply(batch, 0)->rc == ZOK)
        zookeeper_waiter_sleep(claim->session, &waiter, limit_ns);
    zookeeper_waiter_end(claim->session, &waiter);
    return RC_OK;
}

// A claim that is first in a queue stays first, so it can wait in one queue after the other.
static enum rc wait_until_first(struct zookeeper_claim *claim, bool wait, int64_t limit_ns)
{
    for (size_t i = 0; i < claim->n; i++) {
        struct zookeeper_place *place = &claim->places[i];
        while (place->ahead[0] != '\0') {
            if (!wait || clock_now_ns() >= limit_ns)
                return RC_LOCK_BUSY;
            enum rc rc = watch_and_wait(claim, place, limit_ns);
            if (rc != RC_OK)
                return rc;
            if (clock_now_ns() >= limit_ns)
                return zookeeper_session_trusted(claim->session, claim->generation)
                           ? RC_LOCK_BUSY
                           : RC_BACKEND_UNAVAILABLE;
            rc = reread_queue(claim, place, limit_ns);
            if (rc != RC_OK)
                return rc;
        }
    }
    return RC_OK;
}

// The answer to a transaction of several operations does not contain its number. Any node that it
// made does.
static enum rc read_czxid(struct zookeeper_claim *claim, int64_t limit_ns)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(claim->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    char path[ZOOKEEPER_PATH_MAX];
    zookeeper_node_path(path, &claim->places[0], claim->places[0].own);
    zookeeper_batch_get(batch, path, false);
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    if (zookeeper_batch_reply(batch, 0)->rc != ZOK)
        return RC_LOCK_LOST;
    claim->czxid = zookeeper_batch_reply(batch, 0)->czxid;
    return RC_OK;
}

enum rc zookeeper_claim_acquire(struct zookeeper_claim *claim, const char *label, bool wait,
                                int64_t limit_ns)
{
    enum rc rc = create_and_list(claim, label, limit_ns);
    for (int tries = 1; rc == RC_NOT_FOUND && tries < CREATE_TRIES; tries++) {
        rc = make_queues(claim, limit_ns);
        if (rc == RC_OK)
            rc = create_and_list(claim, label, limit_ns);
    }
    if (rc == RC_NOT_FOUND)
        return RC_BACKEND_UNAVAILABLE;
    if (rc == RC_OK)
        rc = wait_until_first(claim, wait, limit_ns);
    if (rc == RC_OK && claim->n > 1)
        rc = read_czxid(claim, limit_ns);
    return rc;
}

// ---- withdraw -----------------------------------------------------------------------------------

static bool is_answer(int rc)
{
    return rc == ZOK || rc == ZNONODE;
}

// Searches the queues for nodes of the claim. False: uncertain.
//
// A list alone proves nothing: the member of the ensemble that answers it may not know yet of a
// create in flight. So a write that changes nothing goes first. The leader orders it behind all
// writes that it has accepted, and the lists are answered after it.
static bool find_own(struct zookeeper_claim *claim, bool *ret_found)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    if (zookeeper_batch_new(claim->session, claim->n + 1, &batch) != RC_OK)
        return false;
    zookeeper_batch_noop(batch);
    for (size_t i = 0; i < claim->n; i++)
        zookeeper_batch_list(batch, claim->places[i].parent, claim->tag);
    if (!zookeeper_batch_wait(batch, clock_now_ns() + CHORE_NS))
        return false;
    bool known = is_answer(zookeeper_batch_reply(batch, 0)->rc);
    *ret_found = false;
    for (size_t i = 0; i < claim->n; i++) {
        const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, i + 1);
        known = known && is_answer(reply->rc);
        *ret_found = *ret_found || reply->own[0] != '\0';
        memcpy(claim->places[i].own, reply->own, sizeof claim->places[i].own);
    }
    return known;
}

// One search; deletes what it finds. True when two searches in a row, a second apart, have found
// nothing.
static bool delete_leftovers(struct zookeeper_claim *claim)
{
    struct zookeeper_batch *deletes CLEANUP(zookeeper_batch_cleanup) = NULL;
    bool found;
    if (!find_own(claim, &found))
        return false;
    claim->clean = found ? 0 : claim->clean + 1;
    if (found && zookeeper_batch_new(claim->session, claim->n, &deletes) == RC_OK) {
        char path[ZOOKEEPER_PATH_MAX];
        for (size_t i = 0; i < claim->n; i++) {
            const struct zookeeper_place *place = &claim->places[i];
            zookeeper_node_path(path, place, place->own);
            if (place->own[0] != '\0')
                zookeeper_batch_delete(deletes, path);
        }
        (void)zookeeper_batch_wait(deletes, clock_now_ns() + CHORE_NS);
    }
    return claim->clean >= 2;
}

static bool clean_up(struct chore *chore)
{
    struct zookeeper_claim *claim = CONTAINER_OF(chore, struct zookeeper_claim, chore);
    chore->due_ns = clock_now_ns() + CHORE_NS;
    if (zookeeper_session_alive(claim->session, claim->generation) && !delete_leftovers(claim))
        return false;
    free(claim);
    return true;
}

static void clean_up_later(struct zookeeper_claim *claim)
{
    claim->chore.run = clean_up;
    claim->chore.generation = claim->generation;
    claim->chore.due_ns = 0;
    zookeeper_session_add_chore(claim->session, &claim->chore);
}

// Sends the deletion of all nodes, all or none. NULL: no memory, nothing was sent.
static struct zookeeper_batch *send_delete(const struct zookeeper_claim *claim)
{
    struct zookeeper_batch *batch;
    if (zookeeper_batch_new(claim->session, 1, &batch) != RC_OK)
        return NULL;
    if (add_all(claim, batch, ZOOKEEPER_DELETE, NULL) == RC_OK)
        return batch;
    zookeeper_batch_detach(batch, NULL, NULL);
    return NULL;
}

// Called on ZooKeeper's event thread. For a set, ZNONODE means that one node was missing, and that
// none of the others was deleted.
static void deleted(void *arg, const struct zookeeper_batch *batch)
{
    struct zookeeper_claim *claim = arg;
    int rc = zookeeper_batch_reply(batch, 0)->rc;
    if (rc == ZOK || (rc == ZNONODE && claim->n == 1))
        free(claim);
    else
        clean_up_later(claim);
}

static bool places_known(const struct zookeeper_claim *claim)
{
    for (size_t i = 0; i < claim->n; i++)
        if (claim->places[i].own[0] == '\0')
            return false;
    return true;
}

void zookeeper_claim_withdraw(struct zookeeper_claim *claim)
{
    if (!claim->may_exist || !zookeeper_session_alive(claim->session, claim->generation)) {
        free(claim);
        return;
    }
    struct zookeeper_batch *batch = places_known(claim) ? send_delete(claim) : NULL;
    if (batch != NULL)
        zookeeper_batch_detach(batch, deleted, claim);
    else
        clean_up_later(claim);
}

enum rc zookeeper_claim_release(struct zookeeper_claim *claim, int64_t limit_ns)
{
    if (!zookeeper_session_alive(claim->session, claim->generation)) {
        free(claim);
        return RC_LOCK_LOST;
    }
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = send_delete(claim);
    if (batch != NULL && zookeeper_batch_wait(batch, limit_ns)) {
        int rc = zookeeper_batch_reply(batch, 0)->rc;
        if (rc == ZOK || (rc == ZNONODE && claim->n == 1)) {
            free(claim);
            return rc == ZOK ? RC_OK : RC_LOCK_LOST;
        }
    }
    clean_up_later(claim);
    return RC_LOCK_LOST;
}

// ---- max hold -----------------------------------------------------------------------------------

static bool withdraw_stuck(struct chore *chore)
{
    const struct zookeeper_claim *claim = CONTAINER_OF(chore, struct zookeeper_claim, chore);
    chore->due_ns = clock_now_ns() + COPY_RETRY_NS;
    if (!zookeeper_session_alive(claim->session, claim->generation))
        return true;
    size_t size = sizeof *claim + claim->n * sizeof claim->places[0];
    struct zookeeper_claim *copy = malloc(size);
    if (copy == NULL)
        return false;
    memcpy(copy, claim, size);
    zookeeper_claim_withdraw(copy);
    LOG_WARNING("zookeeper: released a lock that was held for longer than lock.max_hold_ms");
    return true;
}

void zookeeper_claim_set_max_hold(struct zookeeper_claim *claim, int64_t until_ns)
{
    claim->chore.run = withdraw_stuck;
    claim->chore.generation = claim->generation;
    claim->chore.due_ns = until_ns;
    zookeeper_session_add_chore(claim->session, &claim->chore);
}

bool zookeeper_claim_clear_max_hold(struct zookeeper_claim *claim)
{
    return zookeeper_session_cancel_chore(claim->session, &claim->chore);
}
