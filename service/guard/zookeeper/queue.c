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
//     own, so that zookeeper_withdraw.c finds them; the next attempt has another.
//   - A queue is a container node: made when first needed, removed by the server when long empty.
#include "guard/zookeeper/queue.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "/holdfast"
#define QUEUES ROOT "/locks"
#define CREATE_TRIES 5 // the server may remove an empty queue between making and using it

void zookeeper_node_path(char *ret_path, const struct zookeeper_place *place, const char *node)
{
    text_format(ret_path, ZOOKEEPER_PATH_MAX, "%s/%s", place->parent, node);
}

enum rc zookeeper_stay_new(struct zookeeper_session *session, uint64_t generation,
                           const char *const *keys, size_t n, const char *owner, char attempt,
                           struct zookeeper_stay **ret_stay)
{
    struct zookeeper_stay *stay = calloc(1, sizeof *stay + n * sizeof stay->places[0]);
    if (stay == NULL)
        return RC_NO_MEMORY;
    stay->session = session;
    stay->generation = generation;
    stay->n = n;
    text_format(stay->tag, sizeof stay->tag, "%s%c", owner, attempt);
    for (size_t i = 0; i < n; i++) {
        struct zookeeper_place *place = &stay->places[i];
        text_format(place->parent, sizeof place->parent, QUEUES "/%s", keys[i]);
        // No slash within a key's name, and none of "." and ".." either; ids contain no bar.
        for (char *at = place->parent + strlen(QUEUES "/"); *at != '\0'; at++)
            if (*at == '/')
                *at = '|';
    }
    *ret_stay = stay;
    return RC_OK;
}

// ---- getting in ---------------------------------------------------------------------------------

static enum rc make_queues(struct zookeeper_stay *stay, int64_t limit_ns)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(stay->session, stay->n + 2, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_create(batch, ROOT, "", ZOO_PERSISTENT);
    zookeeper_batch_create(batch, QUEUES, "", ZOO_PERSISTENT);
    for (size_t i = 0; i < stay->n; i++)
        zookeeper_batch_create(batch, stay->places[i].parent, "", ZOO_CONTAINER);
    return zookeeper_batch_wait(batch, limit_ns) ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

static enum rc ask_create(struct zookeeper_stay *stay, struct zookeeper_batch *batch,
                          const char *label)
{
    char(*paths)[ZOOKEEPER_PATH_MAX] = calloc(stay->n, sizeof *paths);
    struct zookeeper_part *parts = calloc(stay->n, sizeof *parts);
    enum rc rc = paths == NULL || parts == NULL ? RC_NO_MEMORY : RC_OK;
    for (size_t i = 0; rc == RC_OK && i < stay->n; i++) {
        text_format(paths[i], sizeof *paths, "%s/%s-", stay->places[i].parent, stay->tag);
        parts[i] = (struct zookeeper_part){.type = ZOOKEEPER_CREATE,
                                           .path = paths[i],
                                           .data = label,
                                           .mode = ZOO_EPHEMERAL_SEQUENTIAL};
    }
    if (rc == RC_OK) {
        stay->may_exist = true;
        if (stay->n == 1)
            zookeeper_batch_create(batch, paths[0], label, ZOO_EPHEMERAL_SEQUENTIAL);
        else
            zookeeper_batch_all(batch, parts, stay->n);
    }
    free(paths);
    free(parts);
    return rc;
}

// False if one of our nodes is not there.
static bool take_places(struct zookeeper_stay *stay, const struct zookeeper_batch *batch,
                        size_t first_reply)
{
    bool all = true;
    for (size_t i = 0; i < stay->n; i++) {
        const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, first_reply + i);
        struct zookeeper_place *place = &stay->places[i];
        all = all && reply->rc == ZOK && reply->own[0] != '\0';
        memcpy(place->own, reply->own, sizeof place->own);
        memcpy(place->ahead, reply->ahead, sizeof place->ahead);
    }
    return all;
}

// One attempt. RC_NOT_FOUND: a queue is missing.
static enum rc create_and_list(struct zookeeper_stay *stay, const char *label, int64_t limit_ns)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(stay->session, stay->n + 1, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_bind(batch, stay->generation);
    rc = ask_create(stay, batch, label);
    for (size_t i = 0; rc == RC_OK && i < stay->n; i++)
        zookeeper_batch_list(batch, stay->places[i].parent, stay->tag);
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    if (rc != RC_OK)
        return rc;
    const struct zookeeper_reply *created = zookeeper_batch_reply(batch, 0);
    switch (created->rc) {
    case ZOK:
        stay->czxid = created->czxid;
        return take_places(stay, batch, 1) ? RC_OK : RC_LOCK_LOST;
    case ZNONODE:
        stay->may_exist = false;
        return RC_NOT_FOUND;
    case ZINVALIDSTATE: // was not sent
        stay->may_exist = false;
        return RC_LOCK_LOST;
    case ZNOAUTH:
    case ZSYSTEMERROR:
        stay->may_exist = false;
        return RC_BACKEND_UNAVAILABLE;
    default:
        return RC_LOCK_LOST;
    }
}

static enum rc look_again(struct zookeeper_stay *stay, struct zookeeper_place *place,
                          int64_t limit_ns)
{
    uint64_t generation;
    if (zookeeper_session_ready(stay->session, limit_ns, &generation) != RC_OK)
        return RC_BACKEND_UNAVAILABLE;
    if (generation != stay->generation)
        return RC_LOCK_LOST;
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(stay->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    zookeeper_batch_list(batch, place->parent, stay->tag);
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, 0);
    if (reply->rc == ZOK && reply->own[0] == '\0')
        return RC_LOCK_LOST;
    if (reply->rc == ZOK)
        memcpy(place->ahead, reply->ahead, sizeof place->ahead);
    return RC_OK; // after a broken connection ask once more
}

static enum rc watch_and_sleep(struct zookeeper_stay *stay, struct zookeeper_place *place,
                               int64_t limit_ns)
{
    char path[ZOOKEEPER_PATH_MAX];
    zookeeper_node_path(path, place, place->ahead);
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(stay->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    struct zookeeper_waiter waiter;
    zookeeper_waiter_begin(stay->session, &waiter, path);
    // A get and not an exists: where the node has gone it leaves no watch behind.
    zookeeper_batch_get(batch, path, true);
    bool there =
        zookeeper_batch_wait(batch, limit_ns) && zookeeper_batch_reply(batch, 0)->rc == ZOK;
    if (there)
        zookeeper_waiter_sleep(stay->session, &waiter, limit_ns);
    zookeeper_waiter_end(stay->session, &waiter);
    return RC_OK;
}

// Once first in a queue we stay first, so the queues can be waited for one after the other.
static enum rc await_turn(struct zookeeper_stay *stay, bool wait, int64_t limit_ns)
{
    for (size_t i = 0; i < stay->n; i++) {
        struct zookeeper_place *place = &stay->places[i];
        while (place->ahead[0] != '\0') {
            if (!wait || clock_now_ns() >= limit_ns)
                return RC_LOCK_BUSY;
            enum rc rc = watch_and_sleep(stay, place, limit_ns);
            if (rc != RC_OK)
                return rc;
            if (clock_now_ns() >= limit_ns)
                return zookeeper_session_trusted(stay->session, stay->generation)
                           ? RC_LOCK_BUSY
                           : RC_BACKEND_UNAVAILABLE;
            rc = look_again(stay, place, limit_ns);
            if (rc != RC_OK)
                return rc;
        }
    }
    return RC_OK;
}

// A transaction of several parts does not say its number; any node that it made does.
static enum rc learn_czxid(struct zookeeper_stay *stay, int64_t limit_ns)
{
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    enum rc rc = zookeeper_batch_new(stay->session, 1, &batch);
    if (rc != RC_OK)
        return rc;
    char path[ZOOKEEPER_PATH_MAX];
    zookeeper_node_path(path, &stay->places[0], stay->places[0].own);
    zookeeper_batch_get(batch, path, false);
    if (!zookeeper_batch_wait(batch, limit_ns))
        return RC_BACKEND_UNAVAILABLE;
    if (zookeeper_batch_reply(batch, 0)->rc != ZOK)
        return RC_LOCK_LOST;
    stay->czxid = zookeeper_batch_reply(batch, 0)->czxid;
    return RC_OK;
}

enum rc zookeeper_stand_in_line(struct zookeeper_stay *stay, const char *label, bool wait,
                                int64_t limit_ns)
{
    enum rc rc = create_and_list(stay, label, limit_ns);
    for (int tries = 1; rc == RC_NOT_FOUND && tries < CREATE_TRIES; tries++) {
        rc = make_queues(stay, limit_ns);
        if (rc == RC_OK)
            rc = create_and_list(stay, label, limit_ns);
    }
    if (rc == RC_NOT_FOUND)
        return RC_BACKEND_UNAVAILABLE;
    if (rc == RC_OK)
        rc = await_turn(stay, wait, limit_ns);
    if (rc == RC_OK && stay->n > 1)
        rc = learn_czxid(stay, limit_ns);
    return rc;
}
