// Load and decide for a whole batch: what the decisions need is read at once, then each work is
// decided in memory, in order of arrival. Every race of the shop happens between this load and
// batch_save.
#include "engine/batch.h"

#include "base/text.h"
#include "domain/coupon.h"
#include "domain/stock.h"
#include "engine/job.h"
#include "store/db/db.h"
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"

#include <stdlib.h>
#include <string.h>

enum rc batch_init(struct batch *batch, size_t capacity)
{
    *batch = (struct batch){.capacity = capacity};
    batch->works = calloc(capacity, sizeof *batch->works);
    batch->groups = calloc(capacity, sizeof *batch->groups);
    batch->loaded = calloc(capacity, sizeof *batch->loaded);
    batch->users = calloc(capacity, sizeof *batch->users);
    batch->used_loaded = calloc(capacity, sizeof *batch->used_loaded);
    batch->used = calloc(capacity, sizeof *batch->used);
    batch->rows = calloc(2 * capacity, sizeof *batch->rows);
    if (batch->works == NULL || batch->groups == NULL || batch->loaded == NULL ||
        batch->users == NULL || batch->used_loaded == NULL || batch->used == NULL ||
        batch->rows == NULL) {
        batch_release(batch);
        return RC_NO_MEMORY;
    }
    return RC_OK;
}

void batch_release(struct batch *batch)
{
    for (size_t i = 0; batch->groups != NULL && i < batch->capacity; i++) {
        free(batch->groups[i].loaded_lottery);
        free(batch->groups[i].decided_lottery);
    }
    free(batch->works);
    free(batch->groups);
    free(batch->loaded);
    free(batch->users);
    free(batch->used_loaded);
    free(batch->used);
    free(batch->changes);
    free(batch->durable);
    free(batch->rows);
    *batch = (struct batch){0};
}

static void start_group(struct batch *batch, const struct operation *operation, size_t first_work)
{
    struct group *group = &batch->groups[batch->n_groups];
    group->first_work = first_work;
    group->n_works = 0;
    text_copy(batch->loaded[batch->n_groups].name, sizeof batch->loaded->name, operation->counter);
    batch->n_groups++;
}

void batch_fill(struct batch *batch, enum endpoint endpoint, const struct strategy *strategy,
                enum update_rule rule, struct job *const *jobs, size_t n)
{
    batch->endpoint = endpoint;
    batch->strategy = strategy;
    batch->rule = rule;
    batch->n_groups = 0;
    batch->n_works = n;
    batch->n_unproven = 0;
    for (size_t i = 0; i < n; i++) {
        struct operation *operation = jobs[i]->operation;
        if (i == 0 || strcmp(operation->counter, batch->loaded[batch->n_groups - 1].name) != 0)
            start_group(batch, operation, i);
        batch->groups[batch->n_groups - 1].n_works++;
        operation->outcome = (struct outcome){0};
        text_copy(operation->outcome.strategy, sizeof operation->outcome.strategy, strategy->name);
        batch->works[i] =
            (struct work){.job = jobs[i], .operation = operation, .group = batch->n_groups - 1};
    }
}

size_t batch_count(const struct batch *batch, enum work_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->n_works; i++)
        count += batch->works[i].state == state;
    return count;
}

int64_t batch_first_deadline(const struct batch *batch)
{
    int64_t first_ns = INT64_MAX / 2; // leaves room to add a grace period
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (work->state != WORK_DONE && work->job->deadline_ns < first_ns)
            first_ns = work->job->deadline_ns;
    }
    return first_ns;
}

// ---- load ---------------------------------------------------------------------------------------

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Lists the group's users, each once, and sets every work's index into that list.
static void gather_users(struct batch *batch, struct group *group)
{
    const char **users = batch->users + batch->n_users;
    struct work *works = batch->works + group->first_work;
    for (size_t i = 0; i < group->n_works; i++)
        users[i] = works[i].operation->user_id;
    qsort(users, group->n_works, sizeof *users, compare_text);
    size_t n = 0;
    for (size_t i = 0; i < group->n_works; i++) {
        if (n == 0 || strcmp(users[n - 1], users[i]) != 0)
            users[n++] = users[i];
    }
    for (size_t i = 0; i < group->n_works; i++) {
        const char *user = works[i].operation->user_id;
        const char **found = bsearch(&user, users, n, sizeof *users, compare_text);
        works[i].user = (size_t)(found - batch->users);
    }
    group->first_user = batch->n_users;
    group->n_users = n;
    batch->n_users += n;
}

static enum rc load_campaign(struct batch *batch, struct group *group, const char *id,
                             struct db *db)
{
    struct campaign campaign;
    enum rc rc = campaign_get(db, id, &campaign);
    if (rc != RC_OK)
        return rc;
    group->per_user_limit = campaign.per_user_limit;
    return coupon_count(db, id, batch->users + group->first_user, group->n_users,
                        batch->used_loaded + group->first_user);
}

static enum rc load_lottery(struct batch *batch, struct group *group, const char *id, struct db *db)
{
    if (group->loaded_lottery == NULL)
        group->loaded_lottery = malloc(sizeof *group->loaded_lottery);
    if (group->decided_lottery == NULL)
        group->decided_lottery = malloc(sizeof *group->decided_lottery);
    if (group->loaded_lottery == NULL || group->decided_lottery == NULL)
        return RC_NO_MEMORY;
    enum rc rc = lottery_load(db, id, group->loaded_lottery);
    if (rc != RC_OK)
        return rc;
    return draw_count(db, id, batch->users + group->first_user, group->n_users,
                      batch->used_loaded + group->first_user);
}

enum rc batch_load(struct batch *batch, struct db *db, bool lock)
{
    enum rc rc = counter_load(db, batch->loaded, batch->n_groups, lock, &batch->now_ms);
    batch->n_users = 0;
    if (rc != RC_OK || batch->endpoint == ENDPOINT_STOCK)
        return rc;
    for (size_t i = 0; i < batch->n_groups && rc == RC_OK; i++) {
        struct group *group = &batch->groups[i];
        gather_users(batch, group);
        if (batch->loaded[i].version == 0)
            continue;
        const char *id = operation_id(batch->works[group->first_work].operation);
        rc = batch->endpoint == ENDPOINT_COUPON ? load_campaign(batch, group, id, db)
                                                : load_lottery(batch, group, id, db);
    }
    // The counter exists, so its campaign or lottery must exist too.
    return rc == RC_NOT_FOUND ? RC_INTERNAL : rc;
}

void batch_assume_enough(struct batch *batch)
{
    batch->n_users = 0;
    for (size_t i = 0; i < batch->n_groups; i++) {
        batch->loaded[i].remaining = REMAINING_MAX / 2;
        batch->loaded[i].version = 1;
        batch->loaded[i].fence = 0;
    }
}

uint64_t batch_loaded_fence(const struct batch *batch)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < batch->n_groups; i++) {
        const struct group *group = &batch->groups[i];
        if ((uint64_t)batch->loaded[i].fence > seen)
            seen = (uint64_t)batch->loaded[i].fence;
        bool has_prizes = batch->endpoint == ENDPOINT_LOTTERY && batch->loaded[i].version != 0;
        for (size_t j = 0; has_prizes && j < group->loaded_lottery->n_prizes; j++) {
            if ((uint64_t)group->loaded_lottery->prizes[j].counter.fence > seen)
                seen = (uint64_t)group->loaded_lottery->prizes[j].counter.fence;
        }
    }
    return seen;
}

// ---- decide -------------------------------------------------------------------------------------

static enum rc decide_one(struct batch *batch, struct group *group, struct work *work)
{
    struct operation *operation = work->operation;
    switch (batch->endpoint) {
    case ENDPOINT_COUPON:
        return coupon_decide(&group->counter, group->per_user_limit, &batch->used[work->user],
                             operation, &work->effect);
    case ENDPOINT_LOTTERY:
        return lottery_decide(&group->counter, group->decided_lottery, &batch->used[work->user],
                              operation, &work->effect);
    default:
        return stock_decide(&group->counter, operation, &work->effect);
    }
}

void batch_decide(struct batch *batch)
{
    memcpy(batch->used, batch->used_loaded, batch->n_users * sizeof *batch->used);
    for (size_t i = 0; i < batch->n_groups; i++) {
        struct group *group = &batch->groups[i];
        group->counter = batch->loaded[i];
        if (batch->endpoint == ENDPOINT_LOTTERY && group->counter.version != 0)
            *group->decided_lottery = *group->loaded_lottery;
        for (size_t j = 0; j < group->n_works; j++) {
            struct work *work = &batch->works[group->first_work + j];
            if (work->state == WORK_DONE)
                continue;
            work->state = decide_one(batch, group, work) == RC_OK ? WORK_ACCEPTED : WORK_REFUSED;
        }
    }
}

// ---- refusals -----------------------------------------------------------------------------------

// A user's limit is judged from two readings: first the counter, then what the user has. An
// accepted work is saved only if the counter has not moved since, so its two readings belong
// together. A refused work is not saved: the user's last coupon may be younger than the counter
// that was read, and the answer would name a version at which the user had none. So the counter is
// read again, last. What the user had before that reading, the user still has at its version,
// because coupons and draws are never returned.

static bool is_over_limit(const struct work *work)
{
    enum rc rc = work->operation->outcome.rc;
    return work->state == WORK_REFUSED && (rc == RC_LIMIT_REACHED || rc == RC_ALREADY_DRAWN);
}

// The save checks the counter of a group with an accepted work.
static bool needs_stamp(const struct batch *batch, const struct group *group)
{
    bool any = false;
    for (size_t i = 0; i < group->n_works; i++) {
        const struct work *work = &batch->works[group->first_work + i];
        if (work->state == WORK_ACCEPTED)
            return false;
        any = any || is_over_limit(work);
    }
    return any;
}

enum rc batch_stamp_refusals(struct batch *batch, struct db *db)
{
    if (batch->endpoint == ENDPOINT_STOCK || batch_count(batch, WORK_REFUSED) == 0)
        return RC_OK;
    struct counter *now CLEANUP(free_memory) = calloc(batch->n_groups, sizeof *now);
    if (now == NULL)
        return RC_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < batch->n_groups; i++) {
        if (needs_stamp(batch, &batch->groups[i]))
            now[n++] = batch->loaded[i];
    }
    if (n == 0)
        return RC_OK;
    int64_t now_ms;
    enum rc rc = counter_load(db, now, n, false, &now_ms);
    for (size_t i = batch->n_groups; rc == RC_OK && i-- > 0;) {
        const struct group *group = &batch->groups[i];
        if (!needs_stamp(batch, group))
            continue;
        n--;
        for (size_t j = 0; j < group->n_works; j++) {
            struct work *work = &batch->works[group->first_work + j];
            if (!is_over_limit(work))
                continue;
            work->operation->outcome.version = now[n].version;
            work->operation->outcome.remaining = now[n].remaining;
        }
    }
    return rc;
}
