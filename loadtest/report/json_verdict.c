// What the checker found, as the member "check" of the JSON report.
#include "report/json_parts.h"

#include "check/verdict.h"
#include "history/history.h"

static json_t *make_event(const struct event *event)
{
    bool begins = event->from_ns >= 0, ends = begins && event->to_ns != HISTORY_NEVER;
    json_t *made = json_object();
    json_put(&made, "from_ms", begins ? json_ms((double)event->from_ns) : json_null());
    json_put(&made, "to_ms", ends ? json_ms((double)event->to_ns) : json_null());
    json_put(&made, "who", json_text_or_null(event->who));
    json_put(&made, "what", json_text_or_null(event->what));
    return made;
}

static json_t *make_violation(const struct violation *violation)
{
    json_t *events = json_array();
    for (size_t i = 0; i < violation->n_events; i++)
        json_add(&events, make_event(&violation->events[i]));
    json_t *made = json_object();
    json_put(&made, "invariant", json_text_or_null(violation->invariant));
    json_put(&made, "sentence", json_text_or_null(violation->sentence));
    json_put(&made, "events", events);
    return made;
}

static json_t *make_invariant(const struct invariant *invariant)
{
    json_t *made = json_object();
    json_put(&made, "slug", json_text_or_null(invariant->slug));
    json_put(&made, "sentence", json_text_or_null(invariant->sentence));
    json_put(&made, "looked_at", json_integer(invariant->looked_at));
    json_put(&made, "violations", json_integer(invariant->violations));
    return made;
}

json_t *json_verdict(const struct verdict *verdict)
{
    if (verdict == NULL)
        return json_null();
    json_t *check = json_object(), *invariants = json_array(), *shown = json_array();
    json_put(&check, "done", json_boolean(verdict->done));
    json_put(&check, "why_not", json_text_or_null(verdict->done ? NULL : verdict->why_not));
    json_put(&check, "violations", json_integer(verdict->violations));
    json_put(&check, "operations", json_integer(verdict->operations));
    json_put(&check, "attempts", json_integer(verdict->attempts));
    json_put(&check, "reads", json_integer(verdict->reads));
    json_put(&check, "replays", json_integer(verdict->replays));
    json_put(&check, "refusals", json_integer(verdict->refusals));
    json_put(&check, "unknown", json_integer(verdict->unknown));
    json_put(&check, "ledger_rows", json_integer(verdict->ledger_rows));
    json_put(&check, "counters", json_integer(verdict->counters));
    json_put(&check, "took_s", json_number(verdict->took_s));
    for (size_t i = 0; i < verdict->n_invariants; i++)
        json_add(&invariants, make_invariant(&verdict->invariants[i]));
    json_put(&check, "invariants", invariants);
    for (size_t i = 0; i < verdict->n_shown; i++)
        json_add(&shown, make_violation(&verdict->shown[i]));
    json_put(&check, "shown", shown);
    return check;
}
