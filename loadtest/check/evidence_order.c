// Rows, readings and shares in the order of their counters and versions, and the ways to walk them.
#include "check/evidence_order.h"

#include <stdlib.h>
#include <string.h>

static int compare(int64_t one, int64_t two)
{
    return (one > two) - (one < two);
}

// ---- rows

static int compare_rows(const void *a, const void *b, void *arg)
{
    const struct ledger_row *rows = arg;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const struct ledger_row *one = &rows[i], *two = &rows[j];
    if (one->counter != two->counter)
        return one->counter < two->counter ? -1 : 1;
    return one->version != two->version ? compare(one->version, two->version) : compare(i, j);
}

bool order_rows(struct evidence *evidence)
{
    const struct ledger *ledger = evidence->ledger;
    bool sorted = true;
    for (size_t i = 0; i < ledger->n_rows; i++) {
        evidence->rows[i] = (uint32_t)i;
        sorted = sorted && (i == 0 || compare_rows(&evidence->rows[i - 1], &evidence->rows[i],
                                                   ledger->rows) <= 0);
    }
    if (!sorted)
        qsort_r(evidence->rows, ledger->n_rows, sizeof *evidence->rows, compare_rows, ledger->rows);
    size_t at = 0;
    for (size_t counter = 0; counter < evidence->history->head.n_counters; counter++) {
        while (at < ledger->n_rows && evidence_row(evidence, (uint32_t)at)->counter == counter)
            at++;
        evidence->row_ends[counter] = (uint32_t)at;
    }
    return true;
}

struct range evidence_rows(const struct evidence *evidence, size_t counter)
{
    return (struct range){counter > 0 ? evidence->row_ends[counter - 1] : 0,
                          evidence->row_ends[counter]};
}

struct range evidence_rows_above(const struct evidence *evidence, size_t counter)
{
    struct range range = evidence_rows(evidence, counter);
    uint32_t end = range.end;
    while (range.from < end) {
        uint32_t middle = range.from + (end - range.from) / 2;
        if (evidence_row(evidence, middle)->version > evidence->baselines[counter])
            end = middle;
        else
            range.from = middle + 1;
    }
    return range;
}

uint32_t evidence_group_end(const struct evidence *evidence, uint32_t place, uint32_t end)
{
    int64_t version = evidence_row(evidence, place)->version;
    while (place < end && evidence_row(evidence, place)->version == version)
        place++;
    return place;
}

// ---- readings

static bool is_reading(const struct attempt *attempt)
{
    if (attempt->counter == SIZE_MAX || attempt->version == HISTORY_NONE)
        return false;
    return attempt->kind == KIND_READ ? attempt->outcome == OUTCOME_OK
                                      : attempt->outcome == OUTCOME_FAIL && attempt->status == 409;
}

static int compare_readings(const void *a, const void *b)
{
    const struct reading *one = a, *two = b;
    if (one->counter != two->counter)
        return one->counter < two->counter ? -1 : 1;
    return one->version != two->version ? compare(one->version, two->version)
                                        : compare(one->attempt, two->attempt);
}

bool order_readings(struct evidence *evidence)
{
    const struct history *history = evidence->history;
    size_t n = 0;
    for (size_t i = 0; i < history->n_attempts; i++)
        n += is_reading(&history->attempts[i]);
    evidence->readings = calloc(n > 0 ? n : 1, sizeof *evidence->readings);
    if (evidence->readings == NULL)
        return false;
    for (size_t i = 0; i < history->n_attempts; i++) {
        const struct attempt *attempt = &history->attempts[i];
        if (is_reading(attempt))
            evidence->readings[evidence->n_readings++] =
                (struct reading){attempt->version, (uint32_t)attempt->counter, (uint32_t)i};
    }
    qsort(evidence->readings, n, sizeof *evidence->readings, compare_readings);
    size_t at = 0;
    for (size_t counter = 0; counter < history->head.n_counters; counter++) {
        while (at < n && evidence->readings[at].counter == counter)
            at++;
        evidence->reading_ends[counter] = (uint32_t)at;
    }
    return true;
}

struct range evidence_readings(const struct evidence *evidence, size_t counter)
{
    return (struct range){counter > 0 ? evidence->reading_ends[counter - 1] : 0,
                          evidence->reading_ends[counter]};
}

// ---- shares

static bool is_share(const struct evidence *evidence, const struct ledger_row *row)
{
    enum counter_kind kind = evidence->history->head.counters[row->counter].kind;
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
    return compare(one->version, version);
}

static int compare_shares(const void *a, const void *b)
{
    const struct share *two = b;
    return compare_share(a, two->counter, two->user, two->version);
}

bool order_shares(struct evidence *evidence)
{
    const struct ledger *ledger = evidence->ledger;
    size_t n = 0;
    for (size_t i = 0; i < ledger->n_rows; i++)
        n += is_share(evidence, &ledger->rows[i]);
    evidence->shares = calloc(n > 0 ? n : 1, sizeof *evidence->shares);
    if (evidence->shares == NULL || !index_init(&evidence->users, 0))
        return false;
    for (size_t i = 0; i < ledger->n_rows; i++) {
        const struct ledger_row *row = &ledger->rows[i];
        if (!is_share(evidence, row))
            continue;
        struct share *share = &evidence->shares[evidence->n_shares++];
        *share = (struct share){row->version, (uint32_t)row->counter, 0, (uint32_t)i};
        if (!index_put(&evidence->users, row->user, (uint32_t)evidence->users.count, &share->user))
            return false;
    }
    qsort(evidence->shares, n, sizeof *evidence->shares, compare_shares);
    return true;
}

// The first share that does not stand before this one.
static size_t lower_bound(const struct evidence *evidence, uint32_t counter, uint32_t user,
                          int64_t version)
{
    size_t from = 0, end = evidence->n_shares;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (compare_share(&evidence->shares[middle], counter, user, version) < 0)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

int64_t evidence_shares(const struct evidence *evidence, size_t counter, const char *user,
                        int64_t version)
{
    uint32_t number = index_find(&evidence->users, user);
    if (number == INDEX_NONE)
        return 0;
    size_t end = lower_bound(evidence, (uint32_t)counter, number,
                             version < INT64_MAX ? version + 1 : version);
    return (int64_t)(end - lower_bound(evidence, (uint32_t)counter, number, INT64_MIN));
}
