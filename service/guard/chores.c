// An unordered list, scanned whole: chores are few, and most are cancelled before they are due.
#include "guard/chores.h"

#include <stdlib.h>

void chores_add(struct chores *chores, struct chore *chore)
{
    chore->next = chores->first;
    chores->first = chore;
}

static struct chore *take_due(struct chores *chores, int64_t now_ns, bool reachable,
                              uint64_t generation)
{
    for (struct chore **at = &chores->first; *at != NULL; at = &(*at)->next) {
        struct chore *chore = *at;
        if (chore->generation == generation && (!reachable || chore->due_ns > now_ns))
            continue;
        *at = chore->next;
        return chore;
    }
    return NULL;
}

bool chores_run_one(struct chores *chores, int64_t now_ns, bool reachable, uint64_t generation)
{
    struct chore *chore = take_due(chores, now_ns, reachable, generation);
    if (chore == NULL)
        return false;
    chores->running = chore;
    pthread_mutex_unlock(chores->mutex);
    bool done = chore->run(chore);
    pthread_mutex_lock(chores->mutex);
    chores->running = NULL;
    if (!done)
        chores_add(chores, chore);
    pthread_cond_broadcast(chores->changed);
    return true;
}

int64_t chores_due(const struct chores *chores)
{
    int64_t due_ns = INT64_MAX;
    for (const struct chore *at = chores->first; at != NULL; at = at->next)
        if (at->due_ns < due_ns)
            due_ns = at->due_ns;
    return due_ns;
}

bool chores_cancel(struct chores *chores, struct chore *chore)
{
    while (chores->running == chore)
        pthread_cond_wait(chores->changed, chores->mutex);
    for (struct chore **at = &chores->first; *at != NULL; at = &(*at)->next)
        if (*at == chore) {
            *at = chore->next;
            return true;
        }
    return false;
}

void chores_free(struct chores *chores)
{
    while (chores->first != NULL) {
        struct chore *chore = chores->first;
        chores->first = chore->next;
        free(chore);
    }
}
