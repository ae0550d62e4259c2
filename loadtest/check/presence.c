// The rules `nothing-lost`, `nothing-from-nowhere` and `refusals-changed-nothing`: the answers of
// the clients and the rows of the ledger describe the same operations.
//
// - Every operation that was answered with success has rows, with the same numbers.
// - Every row belongs to a request. If that request got no definite answer, the row matches it.
// - An operation that was refused each time has no row.
//
// A history that was cut short cannot prove that a request was never sent. So a row with a key of
// this run may then lack its request, and the last rule is not checked.
#include "check/check.h"
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

// The first row of a code also opens it: redeem-caps judges its change.
static bool delta_fits(const struct attempt *attempt, int64_t amount, int64_t delta, bool opens)
{
    if (attempt->kind != KIND_DRAW)
        return delta == amount || opens;
    if (attempt->outcome != OUTCOME_OK)
        return delta == 0 || delta == -1;
    return delta == (attempt->detail[0] != '\0' ? -1 : 0);
}

// The member in which the row differs from its leg of the request or answer; NULL if it matches.
static const char *difference(const struct evidence *evidence, const struct attempt *attempt,
                              const struct ledger_row *row)
{
    enum counter_kind kind = evidence->history->head.counters[row->counter].kind;
    const struct attempt_leg leg = attempt_leg(attempt, (size_t)row->leg);
    if (row->counter != leg.counter)
        return "counter";
    if (strcmp(row->reason, attempt_kind_name(attempt->kind)) != 0)
        return "reason";
    if (strcmp(row->user, attempt->user) != 0)
        return "user";
    if (!delta_fits(attempt, leg.amount, row->delta, kind == COUNTER_CODE && row->version == 1))
        return "quantity";
    if (attempt->outcome != OUTCOME_OK)
        return NULL;
    if (leg.version.known && leg.version.value != row->version)
        return "version";
    if (leg.remaining.known && leg.remaining.value != row->remaining)
        return "remaining";
    return NULL;
}

// Compares the first row of each leg. If only some of the legs have a row, operations-whole reports
// it.
static void check_promise(struct check *check, const struct operation *operation)
{
    const struct evidence *evidence = check->evidence;
    const struct attempt *attempt = &evidence->history->attempts[operation->witness];
    struct range effects = operation->effects;
    if (effects.from == effects.end) {
        struct violation *violation = finding_add(
            check, "%s was answered with success, but the ledger of %s has no row for it.",
            operation->key, finding_counter(check, attempt->counter));
        finding_attempt(check, violation, operation->witness);
        return;
    }
    for (uint32_t at = effects.from; at < effects.end; at++) {
        const struct ledger_row *row = evidence_effect(evidence, at);
        bool again = at > effects.from && evidence_effect(evidence, at - 1)->leg == row->leg;
        if (again || (size_t)row->leg >= attempt_n_legs(attempt))
            continue;
        const char *what = difference(evidence, attempt, row);
        if (what == NULL)
            continue;
        struct violation *violation =
            finding_add(check, "%s was answered with success, but its ledger row has another %s.",
                        operation->key, what);
        finding_attempt(check, violation, operation->witness);
        finding_row(check, violation, evidence->effects[at]);
        return;
    }
}

static void check_lost(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t promises = 0;
    finding_open(check, "nothing-lost");
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (!operation->has_ok ||
            !attempt_kind_changes(evidence->history->attempts[operation->witness].kind))
            continue;
        promises++;
        check_promise(check, operation);
    }
    finding_close(check, promises,
                  "Every success is in the ledger, with the same numbers: successes %s.",
                  number(promises).text);
}

// No definite answer came, but the row must still match the request.
static void check_unanswered(struct check *check, const struct operation *operation, uint32_t row)
{
    const struct evidence *evidence = check->evidence;
    uint32_t i = operation->first_attempt;
    while (evidence->history->attempts[i].outcome != OUTCOME_INFO)
        i = evidence->next_attempt[i];
    const struct attempt *attempt = &evidence->history->attempts[i];
    const struct ledger_row *effect = &evidence->ledger->rows[row];
    bool asked =
        attempt_kind_changes(attempt->kind) && (size_t)effect->leg < attempt_n_legs(attempt);
    const char *what = asked ? difference(evidence, attempt, effect) : NULL;
    if (what == NULL)
        return;
    struct violation *violation = finding_add(
        check, "%s got no definite answer, and its ledger row has another %s than the request.",
        operation->key, what);
    finding_attempt(check, violation, i);
    finding_row(check, violation, row);
}

// Whether the row is that of an expiry by the service, of a hold of this run. If a reservation got
// no answer, its hold is not known.
static bool is_expiry(const struct evidence *evidence, const struct ledger_row *row,
                      bool has_unknown)
{
    const char *expire = attempt_kind_name(KIND_EXPIRE);
    size_t length = strlen(expire);
    bool says_so = strcmp(row->reason, expire) == 0 && strncmp(row->key, expire, length) == 0 &&
                   row->key[length] == ' ';
    uint32_t operation =
        says_so ? evidence->operation_of_row[row - evidence->ledger->rows] : NOTHING;
    bool known = false;
    if (operation == NOTHING)
        return false;
    struct range effects = evidence->operations[operation].effects;
    for (uint32_t at = effects.from; at < effects.end; at++)
        known |= evidence->history->head.counters[evidence_effect(evidence, at)->counter].kind ==
                 COUNTER_HOLD;
    return known || has_unknown;
}

// Whether a reservation never got an answer.
static bool has_unknown_hold(const struct evidence *evidence)
{
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (operation->has_info && !operation->has_ok &&
            attempt_kind_opens(evidence->history->attempts[operation->first_attempt].kind))
            return true;
    }
    return !evidence->history->whole;
}

static void check_origin(struct check *check, uint32_t row, bool has_unknown)
{
    const struct evidence *evidence = check->evidence;
    const struct ledger_row *effect = &evidence->ledger->rows[row];
    const char *counter = finding_counter(check, effect->counter);
    struct violation *violation = NULL;
    if (!evidence_is_ours(evidence, effect->key)) {
        if (check->options->allow_foreign || is_expiry(evidence, effect, has_unknown))
            return;
        violation =
            effect->key[0] == '\0'
                ? finding_add(check, "%s was changed by an administrator during the run.", counter)
                : finding_add(check, "%s was changed by another client (%s) during the run.",
                              counter, effect->key);
    } else {
        const struct operation *operation = &evidence->operations[evidence->operation_of_row[row]];
        if (operation->has_info && !operation->has_ok)
            check_unanswered(check, operation, row);
        if (operation->first_attempt != NOTHING || !evidence->history->whole)
            return;
        violation =
            finding_add(check, "%s changed %s, but no client sent that key.", effect->key, counter);
    }
    finding_row(check, violation, row);
}

static void check_nowhere(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t effects = 0;
    bool has_unknown = has_unknown_hold(evidence);
    finding_open(check, "nothing-from-nowhere");
    for (size_t i = 0; i < evidence->history->head.n_counters; i++) {
        struct range range = evidence_rows_above(evidence, i);
        effects += range.end - range.from;
        for (uint32_t at = range.from; at < range.end; at++)
            check_origin(check, evidence->rows[at], has_unknown);
    }
    finding_close(check, effects, "Every change belongs to a request of this run%s: changes %s.",
                  check->options->allow_foreign ? ", or to another client" : "",
                  number(effects).text);
}

static void check_refused(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t refused = 0;
    finding_open(check, "refusals-changed-nothing");
    for (size_t i = 0; i < evidence->n_operations && evidence->history->whole; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (operation->first_attempt == NOTHING || operation->has_ok || operation->has_info)
            continue;
        refused++;
        if (operation->effects.from == operation->effects.end)
            continue;
        struct violation *violation = finding_add(
            check, "%s was refused each time, but the ledger has a row for it.", operation->key);
        finding_attempt(check, violation, operation->first_attempt);
        finding_effects(check, violation, operation);
    }
    finding_close(check, refused,
                  "A refused operation is not in the ledger: refused operations %s.",
                  number(refused).text);
}

void presence_check(struct check *check)
{
    check_lost(check);
    check_nowhere(check);
    check_refused(check);
}
