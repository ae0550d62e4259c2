// The rule `answers-complete`: each answer says what the API promises for its request. A success
// has its status, a version, what remains and a result. A refusal by the counter's state (409)
// gives a reason that fits the request, and the state. Only a success of a change can be a replay.
//
// The other rules compare only what an answer says. Without this rule, an answer that says nothing
// would pass all of them.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

// Whether the kind of request can be refused for this reason.
static bool reason_fits(enum attempt_kind kind, const char *slug)
{
    static const struct {
        enum attempt_kind kind;
        const char *slug;
    } reasons[] = {{KIND_DEDUCT, "out-of-stock"},     {KIND_ISSUE, "coupon-exhausted"},
                   {KIND_ISSUE, "limit-reached"},     {KIND_DRAW, "already-drawn"},
                   {KIND_SPEND, "not-enough-points"}, {KIND_TRANSFER, "not-enough-points"}};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].kind == kind && strcmp(reasons[i].slug, slug) == 0)
            return true;
    }
    return false;
}

// The number that a leg of the answer lacks, or NULL. A refusal tells at least the state of the
// first leg.
static const char *describe_gap(const struct attempt *attempt, bool ok)
{
    bool stateless = ok && attempt->kind == KIND_DRAW; // says nothing of what remains
    for (size_t i = 0; i < (ok ? attempt_n_legs(attempt) : 1); i++) {
        const struct attempt_leg leg = attempt_leg(attempt, i);
        if (!leg.version.known)
            return "has no version";
        if (!leg.remaining.known && !stateless)
            return "does not say how many remain";
    }
    return NULL;
}

// What is wrong with the answer, or NULL.
static const char *describe_fault(const struct attempt *attempt)
{
    bool ok = attempt->outcome == OUTCOME_OK;
    if (attempt->replayed && (!ok || !attempt_kind_changes(attempt->kind)))
        return "is marked as a replay, but is no success of a change";
    if (!ok && attempt->status != 409)
        return reason_fits(attempt->kind, attempt->detail) ? "gives a reason that belongs to 409"
                                                           : NULL;
    if (ok && attempt->status != (attempt->kind == KIND_ISSUE ? 201 : 200))
        return "has a status that the API does not promise";
    const char *gap = describe_gap(attempt, ok);
    if (gap != NULL)
        return gap;
    if (!ok)
        return reason_fits(attempt->kind, attempt->detail) ? NULL
                                                           : "gives a reason that does not fit";
    if (attempt->kind == KIND_ISSUE)
        return attempt->detail[0] == '\0' ? "has no code" : NULL;
    return attempt->kind != KIND_DRAW && attempt->detail[0] != '\0'
               ? "has the result of another request"
               : NULL;
}

void answers_check(struct check *check)
{
    const struct history *history = check->evidence->history;
    int64_t answers = 0;
    finding_open(check, "answers-complete");
    for (size_t i = 0; i < history->n_attempts; i++) {
        const struct attempt *attempt = &history->attempts[i];
        if (attempt->kind == KIND_OTHER)
            continue;
        answers += attempt->status != 0;
        const char *what = describe_fault(attempt);
        if (what == NULL)
            continue;
        struct violation *violation = finding_add(
            check, "%s: an answer %s.",
            attempt->key[0] != '\0' ? attempt->key : attempt_kind_name(attempt->kind), what);
        finding_attempt(check, violation, (uint32_t)i);
    }
    finding_close(check, answers,
                  "Every answer has the status, numbers and reason that the API promises:"
                  " answers %s.",
                  number(answers).text);
}
