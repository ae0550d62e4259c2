// Filling a batch: its works in order of arrival, the roots of their legs, and the children that
// the legs name.
#include "base/text.h"
#include "engine/batch.h"
#include "engine/job.h"

#include <stdlib.h>
#include <string.h>

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Adds the work and its legs, each as an index into the keys.
static void add_work(struct batch *batch, const char *const *keys, size_t n_keys, struct job *job)
{
    struct operation *operation = job->operation;
    operation->outcome = (struct outcome){0};
    text_copy(operation->outcome.strategy, sizeof operation->outcome.strategy,
              batch->strategy->name);
    batch->works[batch->n_works++] =
        (struct work){.job = job, .operation = operation, .first_leg = batch->n_legs};
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const char *counter = operation_leg(operation, i)->counter;
        const char *const *key = bsearch(&counter, keys, n_keys, sizeof *keys, compare_text);
        batch->n_named += operation_leg(operation, i)->child != NULL;
        batch->legs[batch->n_legs++] = (size_t)(key - keys);
    }
}

// Makes a root of each key that a leg uses, and turns the legs from keys to roots.
static void make_roots(struct batch *batch, const char *const *keys, size_t n_keys)
{
    size_t root_of[GUARD_KEYS_MAX] = {0};
    for (size_t i = 0; i < batch->n_legs; i++)
        root_of[batch->legs[i]] = 1;
    batch->n_roots = 0;
    for (size_t i = 0; i < n_keys; i++) {
        if (root_of[i] == 0)
            continue;
        root_of[i] = batch->n_roots;
        batch->roots[batch->n_roots].operation = NULL;
        text_copy(batch->loaded[batch->n_roots].name, sizeof batch->loaded->name, keys[i]);
        batch->n_roots++;
    }
    for (size_t i = 0; i < batch->n_legs; i++)
        batch->legs[i] = root_of[batch->legs[i]];
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (facts_are_loaded(work->operation))
            batch->roots[batch->legs[work->first_leg]].operation = work->operation;
    }
}

static size_t find_named(const struct batch *batch, const char *name)
{
    const struct counter *named = batch->loaded + batch->n_roots;
    const struct counter *found =
        bsearch(name, named, batch->n_named, sizeof *named, counter_compare_name);
    return found != NULL ? (size_t)(found - batch->loaded) : SIZE_MAX;
}

// Puts the children that the legs name behind the roots, each once.
static enum rc make_named(struct batch *batch)
{
    size_t n = batch->n_named;
    batch->n_named = 0;
    if (n == 0)
        return RC_OK;
    if (batch_grow_counters(batch, batch->n_roots + n) != RC_OK)
        return RC_NO_MEMORY;
    struct counter *named = batch->loaded + batch->n_roots;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct operation *operation = batch->works[i].operation;
        for (size_t leg = 0; leg < operation_n_legs(operation); leg++) {
            const char *child = operation_leg(operation, leg)->child;
            if (child != NULL)
                text_copy(named[batch->n_named++].name, sizeof named->name, child);
        }
    }
    qsort(named, batch->n_named, sizeof *named, counter_compare);
    n = batch->n_named;
    batch->n_named = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || counter_compare(&named[batch->n_named - 1], &named[i]) != 0)
            named[batch->n_named++] = named[i];
    }
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        for (size_t leg = 0; leg < operation_n_legs(work->operation); leg++) {
            const char *child = operation_leg(work->operation, leg)->child;
            batch->children[work->first_leg + leg] =
                child != NULL ? find_named(batch, child) : SIZE_MAX;
        }
    }
    return RC_OK;
}

enum rc batch_fill(struct batch *batch, const struct strategy *strategy, enum update_rule rule,
                   const char *const *keys, size_t n_keys, struct job *const *jobs, size_t n)
{
    batch->strategy = strategy;
    batch->rule = rule;
    batch->n_works = batch->n_expiries = batch->n_legs = batch->n_named = 0;
    batch->n_unproven = 0;
    batch->n_changes = 0; // of the batch before, if it was not committed
    batch->now_ms = 0;
    for (size_t i = 0; i < n; i++)
        add_work(batch, keys, n_keys, jobs[i]);
    make_roots(batch, keys, n_keys);
    return make_named(batch);
}
