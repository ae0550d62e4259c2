// The rules `one-key-one-effect`, `identical-replays` and `unique-codes`: an idempotency key has
// one effect, however often it is sent; at most one answer is no replay; every other answer repeats
// it. No two coupons have the same code.
#include "check/finding.h"
#include "check/rules.h"

#include <string.h>

static void report_second_row(struct check *check, uint32_t row)
{
    const struct evidence *evidence = check->evidence;
    const struct ledger_row *second = &evidence->ledger->rows[row];
    const struct operation *operation = &evidence->operations[evidence->operation_of_row[row]];
    struct violation *violation = finding_add(
        check, "%s has more than one row in the ledger of one counter.", operation->key);
    finding_attempt(check, violation, operation->witness);
    finding_row(check, violation, operation->rows[second->leg]);
    finding_row(check, violation, row);
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

static void check_effects(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    finding_open(check, "one-key-one-effect");
    for (size_t i = 0; i < evidence->ledger->n_rows; i++) {
        const struct ledger_row *row = &evidence->ledger->rows[i];
        uint32_t index = evidence->operation_of_row[i];
        if (index != NOTHING && evidence->operations[index].rows[row->leg] != i &&
            row->version > evidence->baselines[row->counter])
            report_second_row(check, (uint32_t)i);
    }
    int64_t keys = 0;
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        keys += operation->first_attempt != NOTHING;
        if (operation->has_ok)
            check_first_answers(check, operation);
    }
    finding_close(check, keys, "A key has one effect, and one answer that is no replay: keys %s.",
                  number(keys).text);
}

// The member in which a later answer differs from the first, or NULL.
static const char *difference(const struct attempt *first, const struct attempt *again)
{
    if (again->status != first->status)
        return "status";
    if (again->version != first->version)
        return "version";
    if (again->remaining != first->remaining)
        return "remaining";
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
    check_effects(check);
    check_replays(check);
    return check_codes(check);
}
