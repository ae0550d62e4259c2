// The rule `caps`: coupons issued and prizes won stay within their totals, and each user's coupons
// and draws within the limit. Counted in the ledger from the counter's first row.
//
// A counter that was new when the run began had all of its total. If it is older, the total is only
// a bound.
//
// A user who was over the limit before the run (the limit may have been another one) is no
// violation; one more share during the run is. A counter that an administrator changed during the
// run is skipped, because its limits may have changed too.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

#define SHARES_SHOWN ((size_t)VIOLATION_EVENTS_MAX / 2) // each brings its request

// How many rows of the counter have this reason, and the last of them.
static int64_t count_used(const struct evidence *evidence, size_t counter, const char *reason,
                          uint32_t *ret_last)
{
    struct range range = evidence_rows(evidence, counter);
    int64_t used = 0;
    *ret_last = NOTHING;
    for (uint32_t at = range.from; at < range.end; at++) {
        if (strcmp(evidence_row(evidence, at)->reason, reason) != 0)
            continue;
        used++;
        *ret_last = evidence->rows[at];
    }
    return used;
}

static void check_total(struct check *check, size_t counter)
{
    const struct history_counter *head = &check->evidence->history->head.counters[counter];
    bool coupon = head->kind == COUNTER_COUPON;
    uint32_t last;
    int64_t used = count_used(check->evidence, counter, coupon ? "issue" : "draw", &last);
    if (used <= head->total) {
        if (head->version == 1 && head->remaining != head->total)
            finding_add(check, "%s was new, but %s of %s remained.", head->name,
                        number(head->remaining).text, number(head->total).text);
        return;
    }
    struct violation *violation =
        finding_add(check,
                    coupon ? "%s: %s coupons were issued, but the total is %s."
                           : "%s: %s prizes were won, but the total is %s.",
                    head->name, number(used).text, number(head->total).text);
    finding_row(check, violation, last);
}

// One user's shares of one counter, by version.
static void check_user(struct check *check, const struct share *shares, size_t n)
{
    const struct evidence *evidence = check->evidence;
    const struct history_counter *counter = &evidence->history->head.counters[shares->counter];
    if ((int64_t)n <= counter->per_user_limit ||
        shares[n - 1].version <= evidence->baselines[shares->counter])
        return;
    struct violation *violation =
        finding_add(check, "%s: user %s has %s %s, but the limit is %s.", counter->name,
                    evidence->ledger->rows[shares->row].user, number((int64_t)n).text,
                    counter->kind == COUNTER_COUPON ? "coupons" : "draws",
                    number(counter->per_user_limit).text);
    for (size_t i = n > SHARES_SHOWN ? n - SHARES_SHOWN : 0; i < n; i++)
        finding_row(check, violation, shares[i].row);
}

void caps_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t totals = 0, users = 0;
    finding_open(check, "caps");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        const struct history_counter *counter = &evidence->history->head.counters[i];
        bool judged = counter_kind_has_total(counter->kind) && counter->kind != COUNTER_CODE;
        if (!judged || evidence->administrated[i])
            continue; // redeem-caps judges codes
        totals++;
        check_total(check, i);
    }
    const struct share *shares = evidence->shares.list;
    for (size_t from = 0, end; from < evidence->shares.n; from = end) {
        end = from + 1;
        while (end < evidence->shares.n && shares[end].counter == shares[from].counter &&
               shares[end].user == shares[from].user)
            end++;
        if (evidence->administrated[shares[from].counter])
            continue;
        users++;
        check_user(check, shares + from, end - from);
    }
    finding_close(check, totals + users,
                  "No total and no user limit is exceeded: totals %s, users %s.",
                  number(totals).text, number(users).text);
}
