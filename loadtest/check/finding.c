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
static struct event *insert_event(struct violation *violation, const struct event *event)
{
    if (violation == NULL || violation->n_events == VIOLATION_EVENTS_MAX)
        return NULL;
    size_t at = violation->n_events++;
    for (; at > 0 && event->from_ns >= 0; at--) {
        const struct event *before = &violation->events[at - 1];
        if (before->from_ns >= 0 && before->from_ns <= event->from_ns)
            break;
        violation->events[at] = *before;
    }
    violation->events[at] = *event;
    return &violation->events[at];
}

static int64_t index_or_none(uint32_t index)
{
    return index != NOTHING ? (int64_t)index : -1;
}

static void describe_request(const struct check *check, const struct attempt *attempt,
                             struct buffer *what)
{
    buffer_append_text(what, attempt_kind_name(attempt->kind));
    if (attempt_kind_has_quantity(attempt->kind) && !attempt_kind_may_lack_quantity(attempt->kind))
        buffer_format(what, " %lld of", (long long)attempt->quantity);
    if (attempt->counter != SIZE_MAX)
        buffer_format(what, " %s", finding_counter(check, attempt->counter));
    for (size_t i = 0; i < attempt->n_more; i++)
        buffer_format(what, ", %+lld to %s", (long long)attempt->more[i].amount,
                      finding_counter(check, attempt->more[i].counter));
    if (attempt->user[0] != '\0')
        buffer_format(what, " for %s", attempt->user);
}

// The legs come in the order of the request, separated by semicolons.
static void describe_numbers(const struct attempt_leg *leg, bool first, struct buffer *what)
{
    if (leg->version.known)
        buffer_format(what, "%s version %lld", first ? "," : ";", (long long)leg->version.value);
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
        describe_numbers(&leg, i == 0, what);
    }
}

void finding_attempt(const struct check *check, struct violation *violation, uint32_t index)
{
    if (index == NOTHING)
        return;
    const struct history *history = check->evidence->history;
    const struct attempt *attempt = &history->attempts[index];
    uint32_t operation = check->evidence->operation_of_attempt[index];
    struct event *event =
        insert_event(violation, &(struct event){.from_ns = attempt->invoke_ns,
                                                .to_ns = attempt->complete_ns,
                                                .operation = index_or_none(operation),
                                                .row = -1});
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

// The attempt that wrote the row: the one that was answered with it, else the one that may have had
// the operation's effect. NOTHING if no client sent it.
static uint32_t find_request(const struct evidence *evidence, uint32_t row)
{
    if (evidence->operation_of_row[row] == NOTHING)
        return NOTHING;
    const struct operation *operation = &evidence->operations[evidence->operation_of_row[row]];
    const struct ledger_row *effect = &evidence->ledger->rows[row];
    for (uint32_t i = operation->first_attempt; i != NOTHING; i = evidence->next_attempt[i]) {
        const struct attempt *attempt = &evidence->history->attempts[i];
        if (attempt->outcome != OUTCOME_OK || attempt->replayed ||
            (size_t)effect->leg >= attempt_n_legs(attempt))
            continue;
        const struct attempt_leg leg = attempt_leg(attempt, (size_t)effect->leg);
        if (leg.counter == effect->counter && leg.version.known &&
            leg.version.value == effect->version)
            return i;
    }
    return operation->begin != NOTHING     ? operation->begin
           : operation->witness != NOTHING ? operation->witness
                                           : operation->first_attempt;
}

static void add_request(const struct check *check, struct violation *violation, uint32_t row)
{
    uint32_t operation = check->evidence->operation_of_row[row];
    for (size_t i = 0; violation != NULL && i < violation->n_events; i++) {
        if (violation->events[i].row < 0 && violation->events[i].operation == operation)
            return;
    }
    finding_attempt(check, violation, find_request(check->evidence, row));
}

// Says so if the last two events are rows of one version that two requests wrote: both have read
// the version before.
static void tell_common_read(const struct check *check, struct violation *violation)
{
    const struct evidence *evidence = check->evidence;
    if (violation->n_events < 2)
        return;
    const struct event *one = &violation->events[violation->n_events - 2], *two = one + 1;
    if (one->row < 0 || one->operation == two->operation)
        return;
    const struct ledger_row *first = &evidence->ledger->rows[one->row];
    const struct ledger_row *second = &evidence->ledger->rows[two->row];
    if (first->counter != second->counter || first->version != second->version ||
        find_request(evidence, (uint32_t)one->row) == NOTHING ||
        find_request(evidence, (uint32_t)two->row) == NOTHING)
        return;
    size_t length = strlen(violation->sentence);
    text_format(violation->sentence + length, sizeof violation->sentence - length,
                " %s and %s both read version %s.", first->key, second->key,
                number(wrapping_sum(second->version, -1)).text);
}

void finding_row(const struct check *check, struct violation *violation, uint32_t index)
{
    if (index == NOTHING)
        return;
    const struct ledger_row *row = &check->evidence->ledger->rows[index];
    uint32_t operation = check->evidence->operation_of_row[index];
    add_request(check, violation, index);
    struct event *event =
        insert_event(violation, &(struct event){.from_ns = -1,
                                                .to_ns = HISTORY_NEVER,
                                                .operation = index_or_none(operation),
                                                .row = index});
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
    tell_common_read(check, violation);
}

void finding_effects(const struct check *check, struct violation *violation,
                     const struct operation *operation)
{
    for (uint32_t at = operation->effects.from; at < operation->effects.end; at++)
        finding_row(check, violation, check->evidence->effects[at]);
}
