// Load and decide for a whole batch. Every race of the shop lives between these two and batch_save.
#include "engine/batch.h"

#include "base/text.h"
#include "domain/coupon.h"
#include "domain/stock.h"
#include "engine/engine.h"
#include "store/db/db.h"
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"

#include <stdlib.h>
#include <string.h>

enum rc batch_init(struct batch *batch, size_t capacity)
{
    *batch = (struct batch){.capacity = capacity};
    batch->works = calloc(capacity, sizeof *batch->works);
    batch->scenes = calloc(capacity, sizeof *batch->scenes);
    batch->loaded = calloc(capacity, sizeof *batch->loaded);
    batch->users = calloc(capacity, sizeof *batch->users);
    batch->used_loaded = calloc(capacity, sizeof *batch->used_loaded);
    batch->used = calloc(capacity, sizeof *batch->used);
    batch->rows = calloc(2 * capacity, sizeof *batch->rows);
    if (batch->works == NULL || batch->scenes == NULL || batch->loaded == NULL ||
        batch->users == NULL || batch->used_loaded == NULL || batch->used == NULL ||
        batch->rows == NULL) {
        batch_release(batch);
        return RC_NO_MEMORY;
    }
    return RC_OK;
}

void batch_release(struct batch *batch)
{
    for (size_t i = 0; batch->scenes != NULL && i < batch->capacity; i++) {
        free(batch->scenes[i].wheel);
        free(batch->scenes[i].turned);
    }
    free(batch->works);
    free(batch->scenes);
    free(batch->loaded);
    free(batch->users);
    free(batch->used_loaded);
    free(batch->used);
    free(batch->changes);
    free(batch->durable);
    free(batch->rows);
    *batch = (struct batch){0};
}

static void start_scene(struct batch *batch, const struct operation *operation, size_t first_work)
{
    struct scene *scene = &batch->scenes[batch->n_scenes];
    scene->first_work = first_work;
    scene->n_works = 0;
    text_copy(batch->loaded[batch->n_scenes].name, sizeof batch->loaded->name, operation->counter);
    batch->n_scenes++;
}

void batch_fill(struct batch *batch, enum endpoint endpoint, const struct strategy *strategy,
                enum update_rule rule, struct job *const *jobs, size_t n)
{
    batch->endpoint = endpoint;
    batch->strategy = strategy;
    batch->rule = rule;
    batch->n_scenes = 0;
    batch->n_works = n;
    batch->n_unproven = 0;
    for (size_t i = 0; i < n; i++) {
        struct operation *operation = jobs[i]->operation;
        if (i == 0 || strcmp(operation->counter, batch->loaded[batch->n_scenes - 1].name) != 0)
            start_scene(batch, operation, i);
        batch->scenes[batch->n_scenes - 1].n_works++;
        operation->outcome = (struct outcome){0};
        text_copy(operation->outcome.strategy, sizeof operation->outcome.strategy, strategy->name);
        batch->works[i] =
            (struct work){.job = jobs[i], .operation = operation, .scene = batch->n_scenes - 1};
    }
}

size_t batch_count(const struct batch *batch, enum work_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->n_works; i++)
        count += batch->works[i].state == state;
    return count;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Gathers the scene's users, each once, and tells every work which one is its own.
static void gather_users(struct batch *batch, struct scene *scene)
{
    const char **users = batch->users + batch->n_users;
    struct work *works = batch->works + scene->first_work;
    for (size_t i = 0; i < scene->n_works; i++)
        users[i] = works[i].operation->user_id;
    qsort(users, scene->n_works, sizeof *users, compare_text);
    size_t n = 0;
    for (size_t i = 0; i < scene->n_works; i++) {
        if (n == 0 || strcmp(users[n - 1], users[i]) != 0)
            users[n++] = users[i];
    }
    for (size_t i = 0; i < scene->n_works; i++) {
        const char *user = works[i].operation->user_id;
        const char **found = bsearch(&user, users, n, sizeof *users, compare_text);
        works[i].user = (size_t)(found - batch->users);
    }
    scene->first_user = batch->n_users;
    scene->n_users = n;
    batch->n_users += n;
}

static enum rc load_campaign(struct batch *batch, struct scene *scene, const char *id,
                             struct db *db)
{
    struct campaign campaign;
    enum rc rc = campaign_get(db, id, &campaign);
    if (rc != RC_OK)
        return rc;
    scene->per_user_limit = campaign.per_user_limit;
    return coupon_count(db, id, batch->users + scene->first_user, scene->n_users,
                        batch->used_loaded + scene->first_user);
}

static enum rc load_wheel(struct batch *batch, struct scene *scene, const char *id, struct db *db)
{
    if (scene->wheel == NULL)
        scene->wheel = malloc(sizeof *scene->wheel);
    if (scene->turned == NULL)
        scene->turned = malloc(sizeof *scene->turned);
    if (scene->wheel == NULL || scene->turned == NULL)
        return RC_NO_MEMORY;
    enum rc rc = lottery_load(db, id, scene->wheel);
    if (rc != RC_OK)
        return rc;
    return draw_count(db, id, batch->users + scene->first_user, scene->n_users,
                      batch->used_loaded + scene->first_user);
}

enum rc batch_load(struct batch *batch, struct db *db, bool lock)
{
    enum rc rc = counter_load(db, batch->loaded, batch->n_scenes, lock, &batch->now_ms);
    batch->n_users = 0;
    if (rc != RC_OK || batch->endpoint == ENDPOINT_STOCK)
        return rc;
    for (size_t i = 0; i < batch->n_scenes && rc == RC_OK; i++) {
        struct scene *scene = &batch->scenes[i];
        gather_users(batch, scene);
        if (batch->loaded[i].version == 0)
            continue;
        const char *id = operation_id(batch->works[scene->first_work].operation);
        rc = batch->endpoint == ENDPOINT_COUPON ? load_campaign(batch, scene, id, db)
                                                : load_wheel(batch, scene, id, db);
    }
    // The counter is there, so its definition must be.
    return rc == RC_NOT_FOUND ? RC_INTERNAL : rc;
}

void batch_suppose(struct batch *batch)
{
    batch->n_users = 0;
    for (size_t i = 0; i < batch->n_scenes; i++) {
        batch->loaded[i].remaining = REMAINING_MAX / 2;
        batch->loaded[i].version = 1;
        batch->loaded[i].fence = 0;
    }
}

static enum rc decide_one(struct batch *batch, struct scene *scene, struct work *work)
{
    struct operation *operation = work->operation;
    switch (batch->endpoint) {
    case ENDPOINT_COUPON:
        return coupon_decide(&scene->counter, scene->per_user_limit, &batch->used[work->user],
                             operation, &work->effect);
    case ENDPOINT_LOTTERY:
        return lottery_decide(&scene->counter, scene->turned, &batch->used[work->user], operation,
                              &work->effect);
    default:
        return stock_decide(&scene->counter, operation, &work->effect);
    }
}

void batch_decide(struct batch *batch)
{
    memcpy(batch->used, batch->used_loaded, batch->n_users * sizeof *batch->used);
    for (size_t i = 0; i < batch->n_scenes; i++) {
        struct scene *scene = &batch->scenes[i];
        scene->counter = batch->loaded[i];
        if (batch->endpoint == ENDPOINT_LOTTERY && scene->counter.version != 0)
            *scene->turned = *scene->wheel;
        for (size_t j = 0; j < scene->n_works; j++) {
            struct work *work = &batch->works[scene->first_work + j];
            if (work->state == WORK_DONE)
                continue;
            work->state = decide_one(batch, scene, work) == RC_OK ? WORK_ACCEPTED : WORK_REFUSED;
        }
    }
}

uint64_t batch_loaded_fence(const struct batch *batch)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < batch->n_scenes; i++) {
        const struct scene *scene = &batch->scenes[i];
        if ((uint64_t)batch->loaded[i].fence > seen)
            seen = (uint64_t)batch->loaded[i].fence;
        bool wheel = batch->endpoint == ENDPOINT_LOTTERY && batch->loaded[i].version != 0;
        for (size_t j = 0; wheel && j < scene->wheel->n_prizes; j++) {
            if ((uint64_t)scene->wheel->prizes[j].counter.fence > seen)
                seen = (uint64_t)scene->wheel->prizes[j].counter.fence;
        }
    }
    return seen;
}

int64_t batch_first_deadline(const struct batch *batch)
{
    int64_t first_ns = INT64_MAX / 2; // nobody adds so much that it overflows
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (work->state != WORK_DONE && work->job->deadline_ns < first_ns)
            first_ns = work->job->deadline_ns;
    }
    return first_ns;
}
