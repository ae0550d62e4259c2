// Leaving the line, also where the answer to a create or a delete was lost. A node that nobody
// knows of would live as long as our session, and nobody behind it would ever get in. So whatever
// is uncertain becomes a chore of the session's thread: it looks for our tag and deletes what it
// finds, until nothing more turns up, also a second later, when the last late request has come
// through.
//
// A holder that is stuck is put out by a chore too: its nodes go the same way, by a copy of what is
// known of them, because the holder may still look at its own.
#include "guard/zookeeper/queue.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define CHORE_NS NS_PER_S // for an answer, and between two looks
#define AGAIN_NS (200 * NS_PER_MS)

// Adds a deletion of each node of ours that is known.
static void delete_each(const struct zookeeper_stay *stay, struct zookeeper_batch *batch)
{
    char path[ZOOKEEPER_PATH_MAX];
    for (size_t i = 0; i < stay->n; i++) {
        const struct zookeeper_place *place = &stay->places[i];
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
static bool find_ours(struct zookeeper_stay *stay, bool *ret_found)
{
    static const struct zookeeper_part nothing = {.type = ZOOKEEPER_CHECK, .path = "/"};
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = NULL;
    if (zookeeper_batch_new(stay->session, stay->n + 1, &batch) != RC_OK)
        return false;
    zookeeper_batch_all(batch, &nothing, 1);
    for (size_t i = 0; i < stay->n; i++)
        zookeeper_batch_list(batch, stay->places[i].parent, stay->tag);
    if (!zookeeper_batch_wait(batch, clock_now_ns() + CHORE_NS))
        return false;
    bool known = is_answer(zookeeper_batch_reply(batch, 0)->rc);
    *ret_found = false;
    for (size_t i = 0; i < stay->n; i++) {
        const struct zookeeper_reply *reply = zookeeper_batch_reply(batch, i + 1);
        known = known && is_answer(reply->rc);
        *ret_found = *ret_found || reply->own[0] != '\0';
        memcpy(stay->places[i].own, reply->own, sizeof stay->places[i].own);
    }
    return known;
}

// True when two looks, a second apart, have found nothing.
static bool look_for_ours(struct zookeeper_stay *stay)
{
    struct zookeeper_batch *deletes CLEANUP(zookeeper_batch_cleanup) = NULL;
    bool found;
    if (!find_ours(stay, &found))
        return false;
    stay->clean = found ? 0 : stay->clean + 1;
    if (found && zookeeper_batch_new(stay->session, stay->n, &deletes) == RC_OK) {
        delete_each(stay, deletes);
        (void)zookeeper_batch_wait(deletes, clock_now_ns() + CHORE_NS);
    }
    return stay->clean >= 2;
}

static bool clean_up(struct chore *chore)
{
    struct zookeeper_stay *stay = CONTAINER_OF(chore, struct zookeeper_stay, chore);
    chore->due_ns = clock_now_ns() + CHORE_NS;
    if (zookeeper_session_alive(stay->session, stay->generation) && !look_for_ours(stay))
        return false;
    free(stay);
    return true;
}

static void leave_to_session(struct zookeeper_stay *stay)
{
    stay->chore.run = clean_up;
    stay->chore.generation = stay->generation;
    stay->chore.due_ns = 0;
    zookeeper_session_add_chore(stay->session, &stay->chore);
}

// One request: the first answer tells all.
static struct zookeeper_batch *ask_delete(struct zookeeper_stay *stay)
{
    struct zookeeper_batch *batch = NULL;
    char(*paths)[ZOOKEEPER_PATH_MAX] = calloc(stay->n, sizeof *paths);
    struct zookeeper_part *parts = calloc(stay->n, sizeof *parts);
    if (paths != NULL && parts != NULL && zookeeper_batch_new(stay->session, 1, &batch) == RC_OK) {
        for (size_t i = 0; i < stay->n; i++) {
            zookeeper_node_path(paths[i], &stay->places[i], stay->places[i].own);
            parts[i] = (struct zookeeper_part){.type = ZOOKEEPER_DELETE, .path = paths[i]};
        }
        if (stay->n == 1)
            zookeeper_batch_delete(batch, paths[0]);
        else
            zookeeper_batch_all(batch, parts, stay->n);
    }
    free(paths);
    free(parts);
    return batch;
}

// On ZooKeeper's event thread.
static void deleted(void *arg, const struct zookeeper_batch *batch)
{
    struct zookeeper_stay *stay = arg;
    int rc = zookeeper_batch_reply(batch, 0)->rc;
    if (rc == ZOK || (rc == ZNONODE && stay->n == 1))
        free(stay);
    else
        leave_to_session(stay);
}

static bool places_known(const struct zookeeper_stay *stay)
{
    for (size_t i = 0; i < stay->n; i++)
        if (stay->places[i].own[0] == '\0')
            return false;
    return true;
}

void zookeeper_withdraw(struct zookeeper_stay *stay)
{
    if (!stay->may_exist || !zookeeper_session_alive(stay->session, stay->generation)) {
        free(stay);
        return;
    }
    struct zookeeper_batch *batch = places_known(stay) ? ask_delete(stay) : NULL;
    if (batch != NULL)
        zookeeper_batch_send(batch, deleted, stay);
    else
        leave_to_session(stay);
}

enum rc zookeeper_withdraw_now(struct zookeeper_stay *stay, int64_t limit_ns)
{
    if (!zookeeper_session_alive(stay->session, stay->generation)) {
        free(stay);
        return RC_LOCK_LOST;
    }
    struct zookeeper_batch *batch CLEANUP(zookeeper_batch_cleanup) = ask_delete(stay);
    if (batch != NULL && zookeeper_batch_wait(batch, limit_ns)) {
        int rc = zookeeper_batch_reply(batch, 0)->rc;
        if (rc == ZOK || (rc == ZNONODE && stay->n == 1)) {
            free(stay);
            return rc == ZOK ? RC_OK : RC_LOCK_LOST;
        }
    }
    leave_to_session(stay);
    return RC_LOCK_LOST;
}

// ---- for those who are stuck --------------------------------------------------------------------

static bool take_away(struct chore *chore)
{
    const struct zookeeper_stay *stay = CONTAINER_OF(chore, struct zookeeper_stay, chore);
    chore->due_ns = clock_now_ns() + AGAIN_NS;
    if (!zookeeper_session_alive(stay->session, stay->generation))
        return true;
    size_t size = sizeof *stay + stay->n * sizeof stay->places[0];
    struct zookeeper_stay *copy = malloc(size);
    if (copy == NULL)
        return false;
    memcpy(copy, stay, size);
    zookeeper_withdraw(copy);
    LOG_WARNING("zookeeper: a lock was held for longer than lock.max_hold_ms, and was taken away");
    return true;
}

void zookeeper_limit(struct zookeeper_stay *stay, int64_t until_ns)
{
    stay->chore.run = take_away;
    stay->chore.generation = stay->generation;
    stay->chore.due_ns = until_ns;
    zookeeper_session_add_chore(stay->session, &stay->chore);
}

bool zookeeper_limit_lifted(struct zookeeper_stay *stay)
{
    return zookeeper_session_take_back(stay->session, &stay->chore);
}
