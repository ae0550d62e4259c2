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
    } reasons[] = {{KIND_DEDUCT, "out-of-stock"},          {KIND_ISSUE, "coupon-exhausted"},
                   {KIND_ISSUE, "limit-reached"},          {KIND_DRAW, "already-drawn"},
                   {KIND_SPEND, "not-enough-points"},      {KIND_TRANSFER, "not-enough-points"},
                   {KIND_RESERVE, "out-of-stock"},         {KIND_CONFIRM, "reservation-expired"},
                   {KIND_CONFIRM, "reservation-resolved"}, {KIND_RELEASE, "reservation-expired"},
                   {KIND_RELEASE, "reservation-resolved"}, {KIND_EXTEND, "reservation-expired"},
                   {KIND_EXTEND, "reservation-resolved"},  {KIND_ORDER, "out-of-stock"},
                   {KIND_ORDER, "not-enough-points"},      {KIND_ORDER, "reservation-expired"},
                   {KIND_ORDER, "reservation-resolved"},   {KIND_CANCEL, "order-closed"},
                   {KIND_REFUND, "order-closed"},          {KIND_REFUND, "refund-exceeds-order"},
                   {KIND_ORDER, "coupon-redeemed"},        {KIND_REDEEM, "coupon-redeemed"},
                   {KIND_ROLLBACK, "already-rolled-back"}, {KIND_ROLLBACK, "part-of-order"}};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].kind == kind && strcmp(reasons[i].slug, slug) == 0)
            return true;
    }
    return false;
}

// The number that a leg of the answer lacks, or NULL. A refusal tells the state of one leg at
// least. No answer tells that of a counter that begins during the run, unless it comes first.
static const char *describe_gap(const struct history *history, const struct attempt *attempt,
                                bool ok)
{
    bool stateless = ok && attempt->kind == KIND_DRAW; // says nothing of what remains
    const char *gap = NULL;
    for (size_t i = 0; i < attempt_n_legs(attempt); i++) {
        const struct attempt_leg leg = attempt_leg(attempt, i);
        if (i > 0 && counter_kind_begins(history->head.counters[leg.counter].kind))
            continue;
        bool told = leg.version.known && (leg.remaining.known || stateless);
        if (!told && gap == NULL)
            gap = leg.version.known ? "does not say how many remain" : "has no version";
        if (told && !ok)
            return NULL;
    }
    return gap;
}

// A refusal of a reservation's next step tells only what has become of the reservation.
static bool tells_no_state(const char *slug)
{
    return strncmp(slug, "reservation-", strlen("reservation-")) == 0;
}

// Whether a success of this kind has a result, such as a coupon's code.
static bool has_result(enum attempt_kind kind)
{
    return kind == KIND_ISSUE || kind == KIND_RESERVE || kind == KIND_REDEEM ||
           kind == KIND_ROLLBACK;
}

// What is wrong with the answer, or NULL.
static const char *describe_fault(const struct history *history, const struct attempt *attempt)
{
    bool ok = attempt->outcome == OUTCOME_OK;
    if (attempt->replayed && (!ok || !attempt_kind_changes(attempt->kind)))
        return "is marked as a replay, but is no success of a change";
    if (!ok && attempt->status != 409)
        return reason_fits(attempt->kind, attempt->detail) ? "gives a reason that belongs to 409"
                                                           : NULL;
    bool creates = attempt->kind == KIND_ORDER ||
                   (has_result(attempt->kind) && attempt->kind != KIND_ROLLBACK);
    if (ok && attempt->status != (creates ? 201 : 200))
        return "has a status that the API does not promise";
    if (!ok && !reason_fits(attempt->kind, attempt->detail))
        return "gives a reason that does not fit";
    if (!ok && tells_no_state(attempt->detail))
        return NULL;
    const char *gap = describe_gap(history, attempt, ok);
    if (gap != NULL)
        return gap;
    if (!ok)
        return NULL;
    if (attempt->expires_at_ms.known != attempt_kind_expires(attempt->kind))
        return "says when something expires exactly if nothing does";
    if (has_result(attempt->kind))
        return attempt->detail[0] == '\0' ? "has no result" : NULL;
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
        const char *what = describe_fault(history, attempt);
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
