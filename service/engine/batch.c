// Load and decide for a whole batch: what the decisions need is read at once, then each work is
// decided in memory, in order of arrival. Every race of the shop happens between this load and
// batch_save.
#include "engine/batch.h"

#include "base/text.h"
#include "domain/kinds.h"
#include "engine/job.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

static enum rc grow_counters(struct batch *batch, size_t capacity)
{
    struct counter *loaded = realloc(batch->loaded, capacity * sizeof *loaded);
    if (loaded == NULL)
        return RC_NO_MEMORY;
    batch->loaded = loaded;
    struct counter *counters = realloc(batch->counters, capacity * sizeof *counters);
    if (counters == NULL)
        return RC_NO_MEMORY;
    batch->counters = counters;
    batch->counters_capacity = capacity;
    return RC_OK;
}

enum rc batch_init(struct batch *batch, size_t capacity)
{
    *batch = (struct batch){.capacity = capacity};
    batch->works = calloc(capacity, sizeof *batch->works);
    batch->groups = calloc(capacity, sizeof *batch->groups);
    batch->users = calloc(capacity, sizeof *batch->users);
    batch->used_loaded = calloc(capacity, sizeof *batch->used_loaded);
    batch->used = calloc(capacity, sizeof *batch->used);
    batch->postings = calloc(POSTINGS_MAX * capacity, sizeof *batch->postings);
    batch->rows = calloc(POSTINGS_MAX * capacity, sizeof *batch->rows);
    if (batch->works == NULL || batch->groups == NULL || batch->users == NULL ||
        batch->used_loaded == NULL || batch->used == NULL || batch->postings == NULL ||
        batch->rows == NULL || grow_counters(batch, capacity) != RC_OK) {
        batch_release(batch);
        return RC_NO_MEMORY;
    }
    return RC_OK;
}

void batch_release(struct batch *batch)
{
    for (size_t i = 0; batch->groups != NULL && i < batch->capacity; i++)
        root_facts_release(&batch->groups[i].facts);
    free(batch->works);
    free(batch->groups);
    free(batch->loaded);
    free(batch->counters);
    free(batch->users);
    free(batch->used_loaded);
    free(batch->used);
    free(batch->postings);
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

void batch_fill(struct batch *batch, const struct strategy *strategy, enum update_rule rule,
                struct job *const *jobs, size_t n)
{
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

bool batch_is_blind(const struct batch *batch)
{
    for (size_t i = 0; i < batch->n_works; i++) {
        if (!kinds[batch->works[i].operation->kind].blind)
            return false;
    }
    return true;
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

// Puts the group's children behind the counters of the batch.
static enum rc add_children(struct batch *batch, struct group *group)
{
    size_t n = batch->n_counters + group->facts.n_children;
    if (n > batch->counters_capacity && grow_counters(batch, 2 * n) != RC_OK)
        return RC_NO_MEMORY;
    group->first_child = batch->n_counters;
    for (size_t i = 0; i < group->facts.n_children; i++)
        batch->loaded[batch->n_counters++] = group->facts.children[i];
    return RC_OK;
}

static enum rc load_facts(struct batch *batch, struct group *group, struct db *db)
{
    const struct operation *first = batch->works[group->first_work].operation;
    const struct facts *facts = kind_facts[first->kind];
    if (facts == NULL)
        return RC_OK;
    gather_users(batch, group);
    enum rc rc = facts->load(db, counter_id(first->counter), batch->users + group->first_user,
                             group->n_users, &group->facts, batch->used_loaded + group->first_user);
    return rc == RC_OK ? add_children(batch, group) : rc;
}

static void forget_facts(struct batch *batch)
{
    batch->n_counters = batch->n_groups;
    batch->n_users = 0;
    for (size_t i = 0; i < batch->n_groups; i++)
        batch->groups[i].facts.n_children = 0;
    for (size_t i = 0; i < batch->n_works; i++)
        batch->works[i].user = SIZE_MAX;
}

enum rc batch_load(struct batch *batch, struct db *db, bool lock)
{
    forget_facts(batch);
    enum rc rc = counter_load(db, batch->loaded, batch->n_groups, lock, &batch->now_ms);
    for (size_t i = 0; i < batch->n_groups && rc == RC_OK; i++) {
        if (batch->loaded[i].version != 0)
            rc = load_facts(batch, &batch->groups[i], db);
    }
    // The counter exists, so its facts must exist too.
    return rc == RC_NOT_FOUND ? RC_INTERNAL : rc;
}

void batch_assume_enough(struct batch *batch)
{
    forget_facts(batch);
    for (size_t i = 0; i < batch->n_groups; i++) {
        batch->loaded[i].remaining = REMAINING_MAX / 2;
        batch->loaded[i].version = 1;
        batch->loaded[i].fence = 0;
    }
}

uint64_t batch_loaded_fence(const struct batch *batch)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < batch->n_counters; i++) {
        if ((uint64_t)batch->loaded[i].fence > seen)
            seen = (uint64_t)batch->loaded[i].fence;
    }
    return seen;
}

// ---- decide -------------------------------------------------------------------------------------

static void decide_one(struct batch *batch, struct work *work)
{
    const struct group *group = &batch->groups[work->group];
    struct view view = {.counters = batch->counters,
                        .root = work->group,
                        .limit = group->facts.limit,
                        .lottery = group->facts.lottery,
                        .first_prize = group->first_child,
                        .postings = batch->postings + batch->n_postings};
    if (work->user != SIZE_MAX)
        view.used = &batch->used[work->user];
    bool accepted = operation_decide(&view, work->operation) == RC_OK;
    work->state = accepted ? WORK_ACCEPTED : WORK_REFUSED;
    work->slot = view.used != NULL ? *view.used : 0;
    work->first_posting = batch->n_postings;
    work->n_postings = view.n_postings;
    batch->n_postings += view.n_postings;
}

void batch_decide(struct batch *batch)
{
    memcpy(batch->counters, batch->loaded, batch->n_counters * sizeof *batch->counters);
    memcpy(batch->used, batch->used_loaded, batch->n_users * sizeof *batch->used);
    batch->n_postings = 0;
    for (size_t i = 0; i < batch->n_works; i++) {
        if (batch->works[i].state != WORK_DONE)
            decide_one(batch, &batch->works[i]);
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
    if (batch_count(batch, WORK_REFUSED) == 0)
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
