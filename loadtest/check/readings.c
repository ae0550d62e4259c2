// The rule `readings-true`: a GET and a refusal both report `remaining` at a version, so both are
// compared with the ledger. A refusal must also have been right: too little remained, or the user
// had already used up the limit.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

// The place of the version's first row, or NOTHING. Advances range->from, because readings are
// sorted by version.
static uint32_t find_version(const struct evidence *evidence, struct range *range, int64_t version)
{
    while (range->from < range->end && evidence_row(evidence, range->from)->version < version)
        range->from++;
    bool found =
        range->from < range->end && evidence_row(evidence, range->from)->version == version;
    return found ? range->from : NOTHING;
}

// Whether one of the rows of this version has the `remaining` that was read. Duplicate rows of one
// version may differ.
static bool row_agrees(const struct evidence *evidence, uint32_t place, uint32_t end,
                       int64_t remaining)
{
    end = evidence_version_end(evidence, place, end);
    for (; place < end; place++) {
        if (evidence_row(evidence, place)->remaining == remaining)
            return true;
    }
    return false;
}

// False if there was nothing to compare.
static bool check_state(struct check *check, const struct reading *reading, struct range *range)
{
    const struct evidence *evidence = check->evidence;
    const struct attempt *attempt = &evidence->history->attempts[reading->attempt];
    const struct maybe read = attempt_leg(attempt, reading->leg).remaining;
    const char *counter = finding_counter(check, reading->counter);
    int64_t before = evidence->history->head.counters[reading->counter].remaining;
    bool baseline = reading->version == evidence->baselines[reading->counter];
    uint32_t place = baseline ? NOTHING : find_version(evidence, range, reading->version);
    struct violation *violation = NULL;
    // A version from before the run is stale: real-time-order reports it.
    if (reading->version < evidence->baselines[reading->counter])
        return false;
    if (!baseline && place == NOTHING) {
        violation = finding_add(check, "%s: version %s was read, but it does not exist.", counter,
                                number(reading->version).text);
    } else {
        if (!read.known)
            return false; // answers-complete reports it
        int64_t remaining = read.value;
        if (baseline ? remaining == before : row_agrees(evidence, place, range->end, remaining))
            return true;
        int64_t expected = baseline ? before : evidence_row(evidence, place)->remaining;
        violation = finding_add(check, "%s: at version %s remaining was %s, but %s was read.",
                                counter, number(reading->version).text, number(expected).text,
                                number(remaining).text);
    }
    finding_attempt(check, violation, reading->attempt);
    if (place != NOTHING)
        finding_row(check, violation, evidence->rows[place]);
    return true;
}

static bool check_shares(struct check *check, const struct reading *reading)
{
    const struct evidence *evidence = check->evidence;
    const struct attempt *attempt = &evidence->history->attempts[reading->attempt];
    int64_t limit = evidence->history->head.counters[reading->counter].per_user_limit;
    if (evidence->administrated[reading->counter])
        return false;
    int64_t had =
        shares_count(&evidence->shares, reading->counter, attempt->user, reading->version);
    if (had >= limit)
        return true;
    struct violation *violation = finding_add(
        check, "User %s was refused (%s), but had only %s of %s at version %s.", attempt->user,
        attempt->detail, number(had).text, number(limit).text, number(reading->version).text);
    finding_attempt(check, violation, reading->attempt);
    return true;
}

static bool is_one_of(const char *slug, const char *const *slugs)
{
    while (*slugs != NULL && strcmp(*slugs, slug) != 0)
        slugs++;
    return *slugs != NULL;
}

// False if the reason could not be judged, or is none of the known ones (answers-complete). A
// refusal for too little tells only the legs that refuse.
static bool check_reason(struct check *check, const struct reading *reading)
{
    static const char *const user_limits[] = {"limit-reached", "already-drawn", NULL};
    static const char *const too_little[] = {"out-of-stock", "coupon-exhausted",
                                             "not-enough-points", "coupon-redeemed", NULL};
    const struct attempt *attempt = &check->evidence->history->attempts[reading->attempt];
    const struct attempt_leg leg = attempt_leg(attempt, reading->leg);
    if (reading->leg == 0 && is_one_of(attempt->detail, user_limits))
        return check_shares(check, reading);
    if (!is_one_of(attempt->detail, too_little) || !leg.remaining.known)
        return false;
    int64_t wanted = -leg.amount;
    if (leg.remaining.value < wanted)
        return true;
    struct violation *violation = finding_add(
        check, "%s was refused (%s), but it asked for %s and %s remained.", attempt->key,
        attempt->detail, number(wanted).text, number(leg.remaining.value).text);
    finding_attempt(check, violation, reading->attempt);
    return true;
}

void readings_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t readings = 0, refusals = 0;
    finding_open(check, "readings-true");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        struct range rows = evidence_rows_above(evidence, i);
        struct range range = evidence_readings(evidence, i);
        for (uint32_t at = range.from; at < range.end; at++) {
            const struct reading *reading = &evidence->readings[at];
            bool refused = evidence->history->attempts[reading->attempt].outcome == OUTCOME_FAIL;
            bool examined = check_state(check, reading, &rows);
            examined |= refused && check_reason(check, reading);
            *(refused ? &refusals : &readings) += examined;
        }
    }
    finding_close(check, readings + refusals,
                  "Every reading matches the ledger at its version, and every refusal was right:"
                  " readings %s, refusals %s.",
                  number(readings).text, number(refusals).text);
}
