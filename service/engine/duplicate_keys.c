// Defers duplicate requests. Two requests with the same key in one batch would be inserted by the
// same statement, collide with each other, and be found in no ledger. So the later one waits for a
// transaction of its own, where the earlier one's row is its idempotency record.
#include "engine/duplicate_keys.h"

#include "domain/operation.h"
#include "engine/job.h"

#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
    const struct job *one = *(struct job *const *)a, *two = *(struct job *const *)b;
    return strcmp(one->operation->request_key, two->operation->request_key);
}

// The place of this job's key, which is there.
static struct job **first_of(struct job *const *job, struct job **keys, size_t n_keys)
{
    return bsearch(job, keys, n_keys, sizeof *keys, compare_keys);
}

size_t duplicate_keys_defer(struct job **jobs, size_t n, struct job **deferred, struct job **sorted,
                            size_t *ret_deferred)
{
    *ret_deferred = 0;
    memcpy(sorted, jobs, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_keys);
    bool duplicates = false;
    for (size_t i = 1; i < n && !duplicates; i++)
        duplicates = compare_keys(&sorted[i - 1], &sorted[i]) == 0;
    if (!duplicates)
        return n;
    // Each key once, and with it the earliest of its jobs, which is the last that the loop sets.
    size_t n_keys = 1, stay = 0;
    for (size_t i = 1; i < n; i++) {
        if (compare_keys(&sorted[n_keys - 1], &sorted[i]) != 0)
            sorted[n_keys++] = sorted[i];
    }
    for (size_t i = n; i-- > 0;)
        *first_of(&jobs[i], sorted, n_keys) = jobs[i];
    for (size_t i = 0; i < n; i++) {
        if (*first_of(&jobs[i], sorted, n_keys) == jobs[i])
            jobs[stay++] = jobs[i];
        else
            deferred[(*ret_deferred)++] = jobs[i];
    }
    return stay;
}
