// The recipe, and what goes wrong with it:
//
//   - create and list are sent together; the list is answered after the create, so that one round
//     trip tells whether we are first.
//   - Each waiter watches only the node right ahead of its own: one wakes when a holder leaves, not
//     all. Who was ahead may also have given up, so the queue is read again before going on.
//   - All nodes of a set are made in one transaction and therefore stand in the same order in all
//     queues: no two sets can wait for each other.
//   - A create whose answer was lost may have happened, or happen yet. Its nodes carry a tag of
//   their
//     own, so that zookeeper_claim_withdraw.c finds them; the next attempt has another.
//   - A queue is a container node: made when first needed, removed by the server when long empty.
#include "guard/zookeeper/claim.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "/holdfast"
#define QUEUES ROOT "/locks"
#define CHORE_NS NS_PER_S // for an answer, and between two looks
#define AGAIN_NS (200 * NS_PER_MS)
#define CREATE_TRIES 5 // the server may remove an empty queue between making and using it

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
        // No slash within a key's name, and none of "." and ".." either; ids contain no bar.
        for (char *at = place->parent + strlen(QUEUES "/"); *at != '\0'; at++)
            if (*at == '/')
                *at = '|';
    }
    *ret_claim = claim;
    return RC_OK;
}

// ---- getting in ---------------------------------------------------------------------------------

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

static enum rc send_create(struct zookeeper_claim *claim, struct zookeeper_batch *batch,
                           const char *label)
{
    char(*paths)[ZOOKEEPER_PATH_MAX] = calloc(claim->n, sizeof *paths);
    struct zookeeper_op *parts = calloc(claim->n, sizeof *parts);
    enum rc rc = paths == NULL || parts == NULL ? RC_NO_MEMORY : RC_OK;
    for (size_t i = 0; rc == RC_OK && i < claim->n; i++) {
        text_format(paths[i], sizeof *paths, "%s/%s-", claim->places[i].parent, claim->tag);
        parts[i] = (struct zookeeper_op){.type = ZOOKEEPER_CREATE,
                                         .path = paths[i],
                                         .data = label,
                                         .mode = ZOO_EPHEMERAL_SEQUENTIAL};
    }
    if (rc == RC_OK) {
        claim->may_exist = true;
        if (claim->n == 1)
            zookeeper_batch_create(batch, paths[0], label, ZOO_EPHEMERAL_SEQUENTIAL);
        else
            zookeeper_batch_multi(batch, parts, claim->n);
    }
    free(paths);
    free(parts);
    return rc;
}

// False if one of our nodes is not there.
static bool read_places(struct zookeeper_claim *claim, const struct zookeeper_batch *batch,
                        size_t first_reply)
{
    bool all = true;
    for (size_t i = 0; i < claim->n; i++) {
        const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, first_reply + i);
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
    rc = send_create(claim, batch, label);
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
        return read_places(claim, batch, 1) ? RC_OK : RC_LOCK_LOST;
    case ZNONODE:
        claim->may_exist = false;
        return RC_NOT_FOUND;
    case ZINVALIDSTATE: // was not sent
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
    return RC_OK; // after a broken connection ask once more
}

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
    // A get and not an exists: where the node has gone it leaves no watch behind.
    zookeeper_batch_get(batch, path, true);
    bool there =
        zookeeper_batch_wait(batch, limit_ns) && zookeeper_batch_reply(batch, 0)->rc == ZOK;
    if (there)
        zookeeper_waiter_sleep(claim->session, &waiter, limit_ns);
    zookeeper_waiter_end(claim->session, &waiter);
    return RC_OK;
}

// Once first in a queue we stay first, so the queues can be waited for one after the other.
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

// A transaction of several parts does not say its number; any node that it made does.
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

// ---- withdrawing --------------------------------------------------------------------------------

// Leaving the line, also where the answer to a create or a delete was lost. A node that nobody
// knows of would live as long as our session, and nobody behind it would ever get in. So whatever
// is uncertain becomes a chore of the session's thread: it looks for our tag and deletes what it
// finds, until nothing more turns up, also a second later, when the last late request has come
// through.
//
// A holder that is stuck is put out by a chore too: its nodes go the same way, by a copy of what is
// known of them, because the holder may still look at its own.

// Adds a deletion of each node of ours that is known.
static void delete_each(const struct zookeeper_claim *claim, struct zookeeper_batch *batch)
{
    char path[ZOOKEEPER_PATH_MAX];
    for (size_t i = 0; i < claim->n; i++) {
        const struct zookeeper_place *place = &claim->places[i];
        zookeeper_node_path(path, place, place->own);
        if (place->own[0] != '\0')
            zookeeper_batch_delete(batch, path);
    }
}

static bool is_answer(int rc)
{
    return rc == ZOK || rc == ZNONODE;
}

// Finds our nodes. False if that is not certain, as when a list tells what a member of the ensemble
// knew before a create that is under way. So a change that changes nothing is asked for first: the
// leader deals with it behind all that it had taken on, and the lists are answered behind it.
static bool find_own(struct zookeeper_claim *claim, bool *ret_found)
{
    static const struct zookeeper_op nothing = {.type = ZOOKEEPER_CHECK, .path = "/"};
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    if (zookeeper_batch_new(claim->session, claim->n + 1, &batch) != RC_OK)
        return false;
    zookeeper_batch_multi(batch, &nothing, 1);
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

// True when two looks, a second apart, have found nothing.
static bool delete_leftovers(struct zookeeper_claim *claim)
{
    struct zookeeper_batch *deletes CLEANUP(zookeeper_batch_cleanup) = NULL;
    bool found;
    if (!find_own(claim, &found))
        return false;
    claim->clean = found ? 0 : claim->clean + 1;
    if (found && zookeeper_batch_new(claim->session, claim->n, &deletes) == RC_OK) {
        delete_each(claim, deletes);
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

// One request: the first answer tells all.
static struct zookeeper_batch *send_delete(struct zookeeper_claim *claim)
{
    struct zookeeper_batch *batch = NULL;
    char(*paths)[ZOOKEEPER_PATH_MAX] = calloc(claim->n, sizeof *paths);
    struct zookeeper_op *parts = calloc(claim->n, sizeof *parts);
    if (paths != NULL && parts != NULL && zookeeper_batch_new(claim->session, 1, &batch) == RC_OK) {
        for (size_t i = 0; i < claim->n; i++) {
            zookeeper_node_path(paths[i], &claim->places[i], claim->places[i].own);
            parts[i] = (struct zookeeper_op){.type = ZOOKEEPER_DELETE, .path = paths[i]};
        }
        if (claim->n == 1)
            zookeeper_batch_delete(batch, paths[0]);
        else
            zookeeper_batch_multi(batch, parts, claim->n);
    }
    free(paths);
    free(parts);
    return batch;
}

// On ZooKeeper's event thread.
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

// ---- for those who are stuck --------------------------------------------------------------------

static bool withdraw_stuck(struct chore *chore)
{
    const struct zookeeper_claim *claim = CONTAINER_OF(chore, struct zookeeper_claim, chore);
    chore->due_ns = clock_now_ns() + AGAIN_NS;
    if (!zookeeper_session_alive(claim->session, claim->generation))
        return true;
    size_t size = sizeof *claim + claim->n * sizeof claim->places[0];
    struct zookeeper_claim *copy = malloc(size);
    if (copy == NULL)
        return false;
    memcpy(copy, claim, size);
    zookeeper_claim_withdraw(copy);
    LOG_WARNING("zookeeper: a lock was held for longer than lock.max_hold_ms, and was taken away");
    return true;
}

void zookeeper_claim_set_limit(struct zookeeper_claim *claim, int64_t until_ns)
{
    claim->chore.run = withdraw_stuck;
    claim->chore.generation = claim->generation;
    claim->chore.due_ns = until_ns;
    zookeeper_session_add_chore(claim->session, &claim->chore);
}

bool zookeeper_claim_clear_limit(struct zookeeper_claim *claim)
{
    return zookeeper_session_cancel_chore(claim->session, &claim->chore);
}
