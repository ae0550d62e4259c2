// The users' coupons and draws, sorted so that a count is the distance of two places.
#include "check/shares.h"

#include <stdlib.h>
#include <string.h>

static bool is_share(const struct history *history, const struct ledger_row *row)
{
    enum counter_kind kind = history->head.counters[row->counter].kind;
    return (kind == COUNTER_COUPON && strcmp(row->reason, "issue") == 0) ||
           (kind == COUNTER_LOTTERY && strcmp(row->reason, "draw") == 0);
}

// Whether share `one` stands before (counter, user, version).
static int compare_share(const struct share *one, uint32_t counter, uint32_t user, int64_t version)
{
    if (one->counter != counter)
        return one->counter < counter ? -1 : 1;
    if (one->user != user)
        return one->user < user ? -1 : 1;
    return (one->version > version) - (one->version < version);
}

static int compare_shares(const void *a, const void *b)
{
    const struct share *two = b;
    return compare_share(a, two->counter, two->user, two->version);
}

bool shares_init(struct shares *shares, const struct history *history, const struct ledger *ledger)
{
    size_t n = 0;
    *shares = (struct shares){0};
    for (size_t i = 0; i < ledger->n_rows; i++)
        n += is_share(history, &ledger->rows[i]);
    shares->list = calloc(n + 1, sizeof *shares->list);
    if (shares->list == NULL || !index_init(&shares->users, 0))
        return false;
    for (size_t i = 0; i < ledger->n_rows; i++) {
        const struct ledger_row *row = &ledger->rows[i];
        if (!is_share(history, row))
            continue;
        struct share *share = &shares->list[shares->n++];
        *share = (struct share){row->version, (uint32_t)row->counter, 0, (uint32_t)i};
        if (!index_put(&shares->users, row->user, (uint32_t)shares->users.count, &share->user))
            return false;
    }
    qsort(shares->list, n, sizeof *shares->list, compare_shares);
    return true;
}

void shares_release(struct shares *shares)
{
    free(shares->list);
    index_release(&shares->users);
    *shares = (struct shares){0};
}

// The first share that does not stand before this one.
static size_t lower_bound(const struct shares *shares, uint32_t counter, uint32_t user,
                          int64_t version)
{
    size_t from = 0, end = shares->n;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (compare_share(&shares->list[middle], counter, user, version) < 0)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

int64_t shares_count(const struct shares *shares, size_t counter, const char *user, int64_t version)
{
    uint32_t number = index_find(&shares->users, user);
    if (number == INDEX_NONE)
        return 0;
    size_t end =
        lower_bound(shares, (uint32_t)counter, number, version < INT64_MAX ? version + 1 : version);
    return (int64_t)(end - lower_bound(shares, (uint32_t)counter, number, INT64_MIN));
}
