// Lists of resources. An operation chooses one evenly, or by Zipf's law: the k-th has a share of
// 1 / k^s, found by bisecting the cumulative shares.
#include "run/resources.h"

#include "base/text.h"
#include "run/seeded.h"

#include <math.h>
#include <stdlib.h>

static bool name_all(const struct plan *plan, struct resource_list *list)
{
    list->names = calloc(list->n, sizeof *list->names);
    if (list->names == NULL)
        return false;
    for (size_t i = 0; i < list->n; i++) {
        char *name = list->names[i];
        if (plan->resource == NULL)
            text_format(name, RESOURCE_MAX + 1, "load-%s-%zu", plan->run, i + 1);
        else if (list->n == 1)
            text_copy(name, RESOURCE_MAX + 1, plan->resource);
        else
            text_format(name, RESOURCE_MAX + 1, "%s-%zu", plan->resource, i + 1);
    }
    return true;
}

static bool compute_shares(const struct plan *plan, struct resource_list *list)
{
    if (plan->spread != SPREAD_ZIPF)
        return true;
    list->cumulative_shares = calloc(list->n, sizeof *list->cumulative_shares);
    if (list->cumulative_shares == NULL)
        return false;
    double sum = 0;
    for (size_t i = 0; i < list->n; i++) {
        sum += pow((double)(i + 1), -plan->zipf_exponent);
        list->cumulative_shares[i] = sum;
    }
    for (size_t i = 0; i < list->n; i++)
        list->cumulative_shares[i] /= sum;
    return true;
}

bool resource_list_init(struct resource_list *list, const struct plan *plan, int64_t n)
{
    list->n = (size_t)n;
    return name_all(plan, list) && compute_shares(plan, list);
}

void resource_list_release(struct resource_list *list)
{
    free(list->names);
    free(list->cumulative_shares);
    *list = (struct resource_list){0};
}

// The first one whose cumulative share reaches the number.
static size_t bisect(const double *cumulative_shares, size_t n, double number)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cumulative_shares[middle] >= number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

size_t resource_list_pick(const struct resource_list *list, uint64_t random)
{
    return list->cumulative_shares != NULL
               ? bisect(list->cumulative_shares, list->n, seeded_unit(random))
               : seeded_below(random, list->n);
}
