// The versions give the order in which everything took effect: the change that made version v, then
// those who read v, then the change that made v + 1. Real time must agree: nobody may have been
// answered before somebody who stands earlier in that order had even asked. One walk along the
// order, with the latest beginning seen so far, finds every such pair. (That is linearizability for
// a counter whose versions are known; without them it would be NP-complete.)
//
// Those who read one version have no order among themselves, nor have the twins of a version.
#include "check/finding.h"
#include "check/rules.h"

// A change or a reading in the order.
struct step {
    int64_t begin_ns, finish_ns, version;
    uint32_t begin, finish; // attempts
    uint32_t row;           // NOTHING: a reading
};

struct sweep {
    struct check *check;
    size_t counter;
    struct step latest; // the latest beginning of all that stand before
    struct step next;   // the same with the group at hand
    int64_t looked_at;
};

static void report(struct sweep *sweep, const struct step *late)
{
    struct check *check = sweep->check;
    const struct step *latest = &sweep->latest;
    struct violation *violation = finding_add(
        check,
        "%s: version %s was %s and answered at %s ms, but the request that %s version %s was"
        " sent only at %s ms.",
        finding_counter(check, sweep->counter), number(late->version).text,
        late->row != NOTHING ? "made" : "read", milliseconds(late->finish_ns).text,
        latest->row != NOTHING ? "made" : "read", number(latest->version).text,
        milliseconds(latest->begin_ns).text);
    finding_attempt(check, violation, late->finish);
    finding_attempt(check, violation, latest->begin);
    finding_row(check, violation, late->row);
    finding_row(check, violation, latest->row);
}

static void take(struct sweep *sweep, const struct step *step)
{
    sweep->looked_at++;
    if (step->finish_ns < sweep->latest.begin_ns)
        report(sweep, step);
    if (step->begin_ns > sweep->next.begin_ns)
        sweep->next = *step;
}

static void take_change(struct sweep *sweep, uint32_t place)
{
    const struct evidence *evidence = sweep->check->evidence;
    uint32_t row = evidence->rows[place], index = evidence->operation_of_row[row];
    if (index == NOTHING || evidence->operations[index].first_attempt == NOTHING)
        return;
    const struct operation *operation = &evidence->operations[index];
    take(sweep, &(struct step){.begin_ns = evidence_begin_ns(evidence, operation),
                               .finish_ns = evidence_finish_ns(evidence, operation),
                               .version = evidence->ledger->rows[row].version,
                               .begin = operation->begin,
                               .finish = operation->finish,
                               .row = row});
}

static void take_reading(struct sweep *sweep, const struct reading *reading)
{
    const struct attempt *attempt = &sweep->check->evidence->history->attempts[reading->attempt];
    take(sweep, &(struct step){.begin_ns = attempt->invoke_ns,
                               .finish_ns = attempt->complete_ns,
                               .version = reading->version,
                               .begin = reading->attempt,
                               .finish = reading->attempt,
                               .row = NOTHING});
}

// Those who read `version`, from `at` on. Returns where the next version's begin.
static uint32_t take_readings(struct sweep *sweep, uint32_t at, uint32_t end, int64_t version)
{
    const struct reading *readings = sweep->check->evidence->readings;
    for (; at < end && readings[at].version == version; at++)
        take_reading(sweep, &readings[at]);
    sweep->latest = sweep->next;
    return at;
}

static void report_ancient(struct sweep *sweep, const struct reading *reading)
{
    const struct evidence *evidence = sweep->check->evidence;
    sweep->looked_at++;
    struct violation *violation =
        finding_add(sweep->check, "%s: version %s was read, but the run began when it was at %s.",
                    finding_counter(sweep->check, sweep->counter), number(reading->version).text,
                    number(evidence->baselines[sweep->counter]).text);
    finding_attempt(sweep->check, violation, reading->attempt);
}

static void sweep_counter(struct sweep *sweep)
{
    const struct evidence *evidence = sweep->check->evidence;
    struct range rows = evidence_rows_above(evidence, sweep->counter);
    struct range readings = evidence_readings(evidence, sweep->counter);
    int64_t version = evidence->baselines[sweep->counter];
    uint32_t at = readings.from;
    sweep->latest = sweep->next = (struct step){.begin_ns = INT64_MIN};
    for (; at < readings.end && evidence->readings[at].version < version; at++)
        report_ancient(sweep, &evidence->readings[at]);
    at = take_readings(sweep, at, readings.end, version);
    for (uint32_t place = rows.from, end; place < rows.end; place = end) {
        version = evidence_row(evidence, place)->version;
        end = evidence_group_end(evidence, place, rows.end);
        for (uint32_t i = place; i < end; i++)
            take_change(sweep, i);
        sweep->latest = sweep->next;
        // A version that there never was: readings-true says so.
        while (at < readings.end && evidence->readings[at].version < version)
            at++;
        at = take_readings(sweep, at, readings.end, version);
    }
}

void real_time_check(struct check *check)
{
    struct sweep sweep = {.check = check};
    finding_open(check, "real-time-order");
    for (; sweep.counter < check->evidence->history->head.n_counters; sweep.counter++)
        sweep_counter(&sweep);
    finding_close(check, sweep.looked_at,
                  "No answer is older than what came before it: changes and readings %s.",
                  number(sweep.looked_at).text);
}
