// How rules report violations. All are counted, and the first three of each rule are shown: ten
// thousand lost orders have one cause, and three of them are enough to find it.
#include "check/finding.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_EACH 3

bool finding_init(struct check *check)
{
    check->verdict->shown =
        calloc((size_t)VERDICT_INVARIANTS_MAX * SHOWN_EACH, sizeof *check->verdict->shown);
    return check->verdict->shown != NULL;
}

void finding_open(struct check *check, const char *slug)
{
    check->invariant = &check->verdict->invariants[check->verdict->n_invariants++];
    *check->invariant = (struct invariant){.slug = slug};
}

struct violation *finding_add(struct check *check, const char *format, ...)
{
    check->verdict->violations++;
    if (++check->invariant->violations > SHOWN_EACH)
        return NULL;
    struct violation *violation = &check->verdict->shown[check->verdict->n_shown++];
    *violation = (struct violation){.invariant = check->invariant->slug};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(violation->sentence, sizeof violation->sentence, format, arguments);
    va_end(arguments);
    return violation;
}

void finding_close(struct check *check, int64_t looked_at, const char *format, ...)
{
    check->invariant->looked_at = looked_at;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->invariant->sentence, sizeof check->invariant->sentence, format, arguments);
    va_end(arguments);
}

// Inserts an event in the order of time. NULL if there is no room.
static struct event *insert_event(struct violation *violation, int64_t from_ns, int64_t to_ns)
{
    if (violation == NULL || violation->n_events == VIOLATION_EVENTS_MAX)
        return NULL;
    size_t at = violation->n_events++;
    for (; at > 0 && from_ns >= 0; at--) {
        const struct event *before = &violation->events[at - 1];
        if (before->from_ns >= 0 && before->from_ns <= from_ns)
            break;
        violation->events[at] = *before;
    }
    violation->events[at] = (struct event){.from_ns = from_ns, .to_ns = to_ns};
    return &violation->events[at];
}

static void describe_request(const struct check *check, const struct attempt *attempt,
                             struct buffer *what)
{
    buffer_append_text(what, attempt_kind_name(attempt->kind));
    if (attempt_kind_has_quantity(attempt->kind))
        buffer_format(what, " %lld of", (long long)attempt->quantity);
    if (attempt->counter != SIZE_MAX)
        buffer_format(what, " %s", finding_counter(check, attempt->counter));
    for (size_t i = 0; i < attempt->n_more; i++)
        buffer_format(what, ", %+lld to %s", (long long)attempt->more[i].amount,
                      finding_counter(check, attempt->more[i].counter));
    if (attempt->user[0] != '\0')
        buffer_format(what, " for %s", attempt->user);
}

static void describe_numbers(const struct attempt_leg *leg, struct buffer *what)
{
    if (leg->version.known)
        buffer_format(what, ", version %lld", (long long)leg->version.value);
    if (leg->remaining.known)
        buffer_format(what, ", remaining %lld", (long long)leg->remaining.value);
}

static void describe_answer(const struct attempt *attempt, struct buffer *what)
{
    if (attempt->status == 0)
        buffer_append_text(what, ": no answer");
    else
        buffer_format(what, ": %d", attempt->status);
    if (attempt->replayed)
        buffer_append_text(what, " replayed");
    if (attempt->kind == KIND_DRAW && attempt->outcome == OUTCOME_OK)
        buffer_format(what, " %s", attempt->detail[0] != '\0' ? attempt->detail : "blank");
    else if (attempt->detail[0] != '\0')
        buffer_format(what, " %s", attempt->detail);
    for (size_t i = 0; i < attempt_n_legs(attempt); i++) {
        const struct attempt_leg leg = attempt_leg(attempt, i);
        describe_numbers(&leg, what);
    }
}

void finding_attempt(const struct check *check, struct violation *violation, uint32_t index)
{
    if (index == NOTHING)
        return;
    const struct history *history = check->evidence->history;
    const struct attempt *attempt = &history->attempts[index];
    struct event *event = insert_event(violation, attempt->invoke_ns, attempt->complete_ns);
    if (event == NULL)
        return;
    char name[32], again[32] = "";
    text_format(name, sizeof name, "operation %lld", (long long)attempt->op);
    if (attempt->attempt > 0)
        text_format(again, sizeof again, " try %lld", (long long)attempt->attempt + 1);
    text_format(event->who, sizeof event->who, "%s%s at %s",
                attempt->key[0] != '\0' ? attempt->key : name, again,
                attempt->target < history->head.n_targets ? history->head.targets[attempt->target]
                                                          : "?");
    struct buffer what CLEANUP(buffer_release) = {0};
    describe_request(check, attempt, &what);
    describe_answer(attempt, &what);
    text_copy(event->what, sizeof event->what, what.data != NULL ? what.data : "");
}

void finding_row(const struct check *check, struct violation *violation, uint32_t index)
{
    if (index == NOTHING)
        return;
    const struct ledger_row *row = &check->evidence->ledger->rows[index];
    struct event *event = insert_event(violation, -1, HISTORY_NEVER);
    if (event == NULL)
        return;
    text_format(event->who, sizeof event->who, "ledger %s version %lld",
                finding_counter(check, row->counter), (long long)row->version);
    struct buffer what CLEANUP(buffer_release) = {0};
    buffer_format(&what, "%s by %s", row->reason, row->key[0] != '\0' ? row->key : "administrator");
    if (row->user[0] != '\0')
        buffer_format(&what, " for %s", row->user);
    buffer_format(&what, ": %+lld, remaining %lld", (long long)row->delta,
                  (long long)row->remaining);
    if (row->token != 0)
        buffer_format(&what, ", token %lld", (long long)row->token);
    if (row->strategy[0] != '\0')
        buffer_format(&what, ", %s", row->strategy);
    text_copy(event->what, sizeof event->what, what.data != NULL ? what.data : "");
}

void finding_effects(const struct check *check, struct violation *violation,
                     const struct operation *operation)
{
    for (uint32_t at = operation->effects.from; at < operation->effects.end; at++)
        finding_row(check, violation, check->evidence->effects[at]);
}
