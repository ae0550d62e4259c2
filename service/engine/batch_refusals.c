// A user's limit is judged from two readings: the counter, then what the user has. What is accepted
// is saved only if the counter has not moved since, so there they belong together. What is refused
// is not saved: the user's last coupon may be younger than the counter that was read, and the
// answer would name a version at which the user had none. So the counter is read again, last: what
// the user had before it, the user has at its version too, for nobody gives a coupon or a draw
// back.
#include "engine/batch.h"

#include <stdlib.h>

static bool is_over_the_limit(const struct work *work)
{
    enum rc rc = work->operation->outcome.rc;
    return work->state == WORK_REFUSED && (rc == RC_LIMIT_REACHED || rc == RC_ALREADY_DRAWN);
}

static bool needs_a_date(const struct batch *batch, const struct scene *scene)
{
    bool any = false;
    for (size_t i = 0; i < scene->n_works; i++) {
        const struct work *work = &batch->works[scene->first_work + i];
        if (work->state == WORK_ACCEPTED)
            return false;
        any = any || is_over_the_limit(work);
    }
    return any;
}

static void date(struct batch *batch, const struct scene *scene, const struct counter *now)
{
    for (size_t i = 0; i < scene->n_works; i++) {
        struct work *work = &batch->works[scene->first_work + i];
        if (!is_over_the_limit(work))
            continue;
        work->operation->outcome.version = now->version;
        work->operation->outcome.remaining = now->remaining;
    }
}

enum rc batch_date_refusals(struct batch *batch, struct db *db)
{
    if (batch->endpoint == ENDPOINT_STOCK || batch_count(batch, WORK_REFUSED) == 0)
        return RC_OK;
    struct counter *now CLEANUP(free_memory) = calloc(batch->n_scenes, sizeof *now);
    if (now == NULL)
        return RC_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < batch->n_scenes; i++) {
        if (needs_a_date(batch, &batch->scenes[i]))
            now[n++] = batch->loaded[i];
    }
    if (n == 0)
        return RC_OK;
    int64_t now_ms;
    enum rc rc = counter_load(db, now, n, false, &now_ms);
    for (size_t i = batch->n_scenes; rc == RC_OK && i-- > 0;) {
        if (needs_a_date(batch, &batch->scenes[i]))
            date(batch, &batch->scenes[i], &now[--n]);
    }
    return rc;
}
