// The rules `one-key-one-effect`, `identical-replays` and `unique-codes`: an idempotency key stands
// for one request and has one effect, however often it is sent. At most one answer is no replay,
// and every other answer repeats it. No two coupons have the same code.
#include "check/finding.h"
#include "check/rules.h"

#include <stdlib.h>
#include <string.h>

// Reports each row above the baseline that is not the first of its leg.
static void check_rows(struct check *check, const struct operation *operation)
{
    const struct evidence *evidence = check->evidence;
    uint32_t first = operation->effects.from;
    for (uint32_t at = first + 1; at < operation->effects.end; at++) {
        const struct ledger_row *row = evidence_effect(evidence, at);
        if (row->leg != evidence_effect(evidence, first)->leg) {
            first = at;
            continue;
        }
        if (row->version <= evidence->baselines[row->counter])
            continue;
        struct violation *violation = finding_add(
            check, "%s has more than one row in the ledger of one counter.", operation->key);
        finding_attempt(check, violation, operation->witness);
        finding_row(check, violation, evidence->effects[first]);
        finding_row(check, violation, evidence->effects[at]);
    }
}

static bool is_first_answer(const struct attempt *attempt)
{
    return attempt->outcome == OUTCOME_OK && !attempt->replayed;
}

static void check_first_answers(struct check *check, const struct operation *operation)
{
    const struct evidence *evidence = check->evidence;
    const struct attempt *attempts = evidence->history->attempts;
    for (uint32_t i = operation->first_attempt; i != NOTHING; i = evidence->next_attempt[i]) {
        if (i == operation->witness || !is_first_answer(&attempts[i]))
            continue;
        struct violation *violation = finding_add(
            check, "%s has two answers that are not marked as replays.", operation->key);
        finding_attempt(check, violation, operation->witness);
        finding_attempt(check, violation, i);
    }
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, two = *(const int64_t *)b;
    return (one > two) - (one < two);
}

// Legs that the service names are only in an answer.
static bool same_request(const struct attempt *one, const struct attempt *two)
{
    size_t n = one->n_more < two->n_more ? one->n_more : two->n_more;
    bool same = one->kind == two->kind && one->counter == two->counter &&
                one->quantity == two->quantity &&
                (one->n_more == two->n_more || attempt_kind_opens(one->kind)) &&
                strcmp(one->user, two->user) == 0;
    for (size_t i = 0; same && i < n; i++)
        same = one->more[i].counter == two->more[i].counter &&
               one->more[i].amount == two->more[i].amount;
    return same;
}

// What makes the requests of an operation more than one request that is repeated, or NULL. Fills
// numbers, which has room for all attempts.
static const char *describe_requests(const struct evidence *evidence,
                                     const struct operation *operation, int64_t *numbers)
{
    const struct attempt *attempts = evidence->history->attempts;
    const struct attempt *first = &attempts[operation->first_attempt];
    size_t n = 0;
    for (uint32_t i = operation->first_attempt; i != NOTHING; i = evidence->next_attempt[i]) {
        const struct attempt *attempt = &attempts[i];
        numbers[n++] = attempt->attempt;
        if (!same_request(first, attempt))
            return "was sent with two different requests";
    }
    qsort(numbers, n, sizeof *numbers, compare_numbers);
    for (size_t i = 1; i < n; i++) {
        if (numbers[i] == numbers[i - 1])
            return "has two requests with the same number";
    }
    return NULL;
}

static void check_requests(struct check *check, const struct operation *operation, int64_t *numbers)
{
    uint32_t first = operation->first_attempt;
    if (first == NOTHING || check->evidence->next_attempt[first] == NOTHING)
        return;
    const char *what = describe_requests(check->evidence, operation, numbers);
    if (what == NULL)
        return;
    struct violation *violation = finding_add(check, "%s %s.", operation->key, what);
    for (uint32_t i = first; i != NOTHING; i = check->evidence->next_attempt[i])
        finding_attempt(check, violation, i);
}

// False: out of memory.
static bool check_effects(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t *numbers CLEANUP(free_memory) =
        calloc(evidence->history->n_attempts + 1, sizeof *numbers);
    if (numbers == NULL)
        return false;
    finding_open(check, "one-key-one-effect");
    int64_t keys = 0;
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        keys += operation->first_attempt != NOTHING;
        check_rows(check, operation);
        check_requests(check, operation, numbers);
        if (operation->has_ok)
            check_first_answers(check, operation);
    }
    finding_close(check, keys,
                  "A key has one request, one effect, and one answer that is no replay: keys %s.",
                  number(keys).text);
    return true;
}

// The member in which a later answer differs from the first, or NULL.
static const char *difference(const struct attempt *first, const struct attempt *again)
{
    if (again->status != first->status)
        return "status";
    if (!maybe_equal(again->expires_at_ms, first->expires_at_ms))
        return "expires_at";
    size_t legs = attempt_n_legs(first);
    for (size_t i = 0; i < legs && legs == attempt_n_legs(again); i++) {
        const struct attempt_leg one = attempt_leg(first, i), two = attempt_leg(again, i);
        if (!maybe_equal(two.version, one.version))
            return "version";
        if (!maybe_equal(two.remaining, one.remaining))
            return "remaining";
    }
    return strcmp(again->detail, first->detail) != 0 ? "result" : NULL;
}

static void check_again(struct check *check, const struct operation *operation, uint32_t i)
{
    const struct evidence *evidence = check->evidence;
    const struct attempt *attempts = evidence->history->attempts, *again = &attempts[i];
    struct violation *violation = NULL;
    uint32_t first = operation->witness;
    if (again->outcome == OUTCOME_OK) {
        const char *what = difference(&attempts[first], again);
        if (what == NULL)
            return;
        violation =
            finding_add(check, "%s has two answers that differ in %s.", operation->key, what);
    } else {
        first = operation->finish;
        if (again->status != 409 || again->invoke_ns <= attempts[first].complete_ns)
            return;
        violation = finding_add(check, "%s was refused after it had been answered with success.",
                                operation->key);
    }
    finding_attempt(check, violation, first);
    finding_attempt(check, violation, i);
}

static void check_replays(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    int64_t answers = 0;
    finding_open(check, "identical-replays");
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (!operation->has_ok)
            continue;
        for (uint32_t at = operation->first_attempt; at != NOTHING;
             at = evidence->next_attempt[at]) {
            if (at == operation->witness)
                continue;
            answers += evidence->history->attempts[at].outcome == OUTCOME_OK;
            check_again(check, operation, at);
        }
    }
    finding_close(check, answers,
                  "A repeated request gets the same answer as the first: repeats %s.",
                  number(answers).text);
}

static bool check_codes_with(struct check *check, struct index *codes)
{
    const struct evidence *evidence = check->evidence;
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (!operation->has_ok)
            continue;
        const struct attempt *attempt = &evidence->history->attempts[operation->witness];
        if (attempt->kind != KIND_ISSUE || attempt->detail[0] == '\0')
            continue;
        uint32_t first;
        if (!index_put(codes, attempt->detail, operation->witness, &first))
            return false;
        if (first == operation->witness)
            continue;
        struct violation *violation =
            finding_add(check, "Two coupons have the code %s.", attempt->detail);
        finding_attempt(check, violation, first);
        finding_attempt(check, violation, operation->witness);
    }
    return true;
}

static bool check_codes(struct check *check)
{
    struct index codes;
    finding_open(check, "unique-codes");
    bool checked = index_init(&codes, 0) && check_codes_with(check, &codes);
    int64_t n = (int64_t)codes.count;
    index_release(&codes);
    finding_close(check, n, "No two coupons have the same code: codes %s.", number(n).text);
    return checked;
}

bool keys_check(struct check *check)
{
    bool checked = check_effects(check);
    check_replays(check);
    return checked && check_codes(check);
}
