// The rule `real-time-order`: the order of the versions agrees with real time.
//
// The versions give the order in which operations took effect: the change to v, the readings of v,
// the change to v + 1. A violation is an operation that was answered before an operation earlier in
// that order had even been sent. One walk along the order, which keeps the latest start so far,
// finds every such pair. This is linearizability of a counter whose versions are known; without
// versions the check is NP-complete.
//
// Readings of one version have no order among themselves, and neither have duplicate rows of a
// version.
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
    struct step latest; // the step with the latest start, of all earlier versions
    struct step next;   // the same, including the current version
    int64_t looked_at;
};

static void report(struct sweep *sweep, const struct step *late)
{
    struct check *check = sweep->check;
    const struct step *latest = &sweep->latest;
    struct violation *violation = finding_add(
        check,
        "%s: the request that %s version %s was answered at %s ms, but the request that %s the"
        " earlier version %s was sent only at %s ms.",
        finding_counter(check, sweep->counter), late->row != NOTHING ? "wrote" : "read",
        number(late->version).text, milliseconds(late->finish_ns).text,
        latest->row != NOTHING ? "wrote" : "read", number(latest->version).text,
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

// Takes the readings of `version`, from `at` on. Returns where the next version's readings begin.
static uint32_t take_readings(struct sweep *sweep, uint32_t at, uint32_t end, int64_t version)
{
    const struct reading *readings = sweep->check->evidence->readings;
    for (; at < end && readings[at].version == version; at++)
        take_reading(sweep, &readings[at]);
    sweep->latest = sweep->next;
    return at;
}

static void report_stale(struct sweep *sweep, const struct reading *reading)
{
    const struct evidence *evidence = sweep->check->evidence;
    sweep->looked_at++;
    struct violation *violation = finding_add(
        sweep->check, "%s: version %s was read, but the counter was at version %s before the run.",
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
        report_stale(sweep, &evidence->readings[at]);
    at = take_readings(sweep, at, readings.end, version);
    for (uint32_t place = rows.from, end; place < rows.end; place = end) {
        version = evidence_row(evidence, place)->version;
        end = evidence_version_end(evidence, place, rows.end);
        for (uint32_t i = place; i < end; i++)
            take_change(sweep, i);
        sweep->latest = sweep->next;
        // A version that does not exist: readings-true reports it.
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
                  "The order of the versions agrees with real time: changes and readings %s.",
                  number(sweep.looked_at).text);
}
