// Joins history and ledger by key in one pass over each, through one hash table, and sorts what has
// to be walked in order. Everything is a 32-bit index into the two, so a million attempts and rows
// take about 150 MB besides themselves.
#include "check/evidence.h"

#include "check/evidence_order.h"

#include <stdlib.h>
#include <string.h>

static void *array(size_t n, size_t size)
{
    return calloc(n > 0 ? n : 1, size);
}

static bool allocate(struct evidence *evidence)
{
    size_t attempts = evidence->history->n_attempts, rows = evidence->ledger->n_rows;
    size_t counters = evidence->history->head.n_counters;
    evidence->operation_of_attempt = array(attempts, sizeof *evidence->operation_of_attempt);
    evidence->next_attempt = array(attempts, sizeof *evidence->next_attempt);
    evidence->operation_of_row = array(rows, sizeof *evidence->operation_of_row);
    evidence->rows = array(rows, sizeof *evidence->rows);
    evidence->row_ends = array(counters, sizeof *evidence->row_ends);
    evidence->reading_ends = array(counters, sizeof *evidence->reading_ends);
    evidence->baselines = array(counters, sizeof *evidence->baselines);
    evidence->administrated = array(counters, sizeof *evidence->administrated);
    return evidence->operation_of_attempt != NULL && evidence->next_attempt != NULL &&
           evidence->operation_of_row != NULL && evidence->rows != NULL &&
           evidence->row_ends != NULL && evidence->reading_ends != NULL &&
           evidence->baselines != NULL && evidence->administrated != NULL;
}

struct join {
    struct evidence *evidence;
    struct index keys;
    size_t capacity; // of the operations
};

// The operation of this key, a new one if there is none yet.
static bool find_operation(struct join *join, const char *key, uint32_t *ret_operation)
{
    struct evidence *evidence = join->evidence;
    uint32_t next = (uint32_t)evidence->n_operations;
    if (!index_put(&join->keys, key, next, ret_operation))
        return false;
    if (*ret_operation != next)
        return true;
    if (next == join->capacity) {
        size_t capacity = join->capacity > 0 ? join->capacity + join->capacity / 2 : 1024;
        void *grown = realloc(evidence->operations, capacity * sizeof *evidence->operations);
        if (grown == NULL)
            return false;
        evidence->operations = grown;
        join->capacity = capacity;
    }
    evidence->operations[evidence->n_operations++] = (struct operation){.key = key,
                                                                        .first_attempt = NOTHING,
                                                                        .rows = {NOTHING, NOTHING},
                                                                        .witness = NOTHING,
                                                                        .begin = NOTHING,
                                                                        .finish = NOTHING};
    return true;
}

static bool join_attempts(struct join *join)
{
    struct evidence *evidence = join->evidence;
    const struct history *history = evidence->history;
    for (size_t i = 0; i < history->n_attempts; i++) {
        const struct attempt *attempt = &history->attempts[i];
        evidence->operation_of_attempt[i] = NOTHING;
        if (attempt->kind == KIND_READ || attempt->key[0] == '\0')
            continue;
        if (!find_operation(join, attempt->key, &evidence->operation_of_attempt[i]))
            return false;
    }
    for (size_t i = history->n_attempts; i-- > 0;) {
        if (evidence->operation_of_attempt[i] == NOTHING)
            continue;
        struct operation *operation = &evidence->operations[evidence->operation_of_attempt[i]];
        evidence->next_attempt[i] = operation->first_attempt;
        operation->first_attempt = (uint32_t)i;
    }
    return true;
}

static bool join_rows(struct join *join)
{
    struct evidence *evidence = join->evidence;
    const struct ledger *ledger = evidence->ledger;
    for (size_t i = 0; i < ledger->n_rows; i++) {
        const struct ledger_row *row = &ledger->rows[i];
        evidence->operation_of_row[i] = NOTHING;
        if (row->key[0] == '\0')
            continue;
        if (!find_operation(join, row->key, &evidence->operation_of_row[i]))
            return false;
        struct operation *operation = &evidence->operations[evidence->operation_of_row[i]];
        if (operation->rows[row->leg] == NOTHING)
            operation->rows[row->leg] = (uint32_t)i;
    }
    return true;
}

static bool earlier(const struct attempt *attempts, uint32_t one, uint32_t two)
{
    return two == NOTHING || attempts[one].invoke_ns < attempts[two].invoke_ns;
}

// When it may have begun: an answer that was no replay says which attempt had the effect; else it
// was any that was not refused.
static void sum_up(const struct evidence *evidence, struct operation *operation)
{
    const struct attempt *attempts = evidence->history->attempts;
    bool fresh = false;
    for (uint32_t i = operation->first_attempt; i != NOTHING; i = evidence->next_attempt[i]) {
        const struct attempt *attempt = &attempts[i];
        bool ok = attempt->outcome == OUTCOME_OK, first = ok && !attempt->replayed;
        operation->has_ok |= ok;
        operation->has_info |= attempt->outcome == OUTCOME_INFO;
        if (ok && (operation->witness == NOTHING || (first && !fresh)))
            operation->witness = i;
        if (attempt->outcome != OUTCOME_FAIL &&
            ((first && !fresh) || (first == fresh && earlier(attempts, i, operation->begin))))
            operation->begin = i;
        if (ok && (operation->finish == NOTHING ||
                   attempt->complete_ns < attempts[operation->finish].complete_ns))
            operation->finish = i;
        fresh |= first;
    }
    // The attempt that had the effect may be one that was not written down any more.
    if (!evidence->history->whole && !fresh)
        operation->begin = NOTHING;
}

static bool join_all(struct evidence *evidence)
{
    struct join join = {.evidence = evidence};
    bool joined = index_init(&join.keys, evidence->history->n_attempts) && join_attempts(&join) &&
                  join_rows(&join);
    index_release(&join.keys);
    for (size_t i = 0; joined && i < evidence->n_operations; i++)
        sum_up(evidence, &evidence->operations[i]);
    return joined;
}

// A counter whose version nobody told before the run began: it began behind the last row that was
// there before the first of ours.
static int64_t guess_baseline(const struct evidence *evidence, size_t counter)
{
    struct range range = evidence_rows(evidence, counter);
    int64_t before = 0;
    for (uint32_t i = range.from; i < range.end; i++) {
        const struct ledger_row *row = evidence_row(evidence, i);
        if (evidence_is_ours(evidence, row->key))
            break;
        before = row->version;
    }
    return before;
}

static void find_baselines(struct evidence *evidence)
{
    const struct history_head *head = &evidence->history->head;
    for (size_t i = 0; i < head->n_counters; i++) {
        evidence->baselines[i] = head->counters[i].version != HISTORY_NONE
                                     ? head->counters[i].version
                                     : guess_baseline(evidence, i);
        struct range range = evidence_rows_above(evidence, i);
        for (uint32_t at = range.from; at < range.end; at++)
            evidence->administrated[i] |= evidence_row(evidence, at)->key[0] == '\0';
    }
}

bool evidence_init(struct evidence *evidence, const struct history *history,
                   const struct ledger *ledger)
{
    *evidence = (struct evidence){.history = history, .ledger = ledger};
    // Every attempt and every row may be an operation of its own.
    if (history->n_attempts + ledger->n_rows >= NOTHING)
        return false;
    if (!allocate(evidence) || !join_all(evidence) || !order_rows(evidence) ||
        !order_readings(evidence) || !order_shares(evidence)) {
        evidence_release(evidence);
        return false;
    }
    find_baselines(evidence);
    return true;
}

void evidence_release(struct evidence *evidence)
{
    free(evidence->operations);
    free(evidence->operation_of_attempt);
    free(evidence->next_attempt);
    free(evidence->operation_of_row);
    free(evidence->rows);
    free(evidence->row_ends);
    free(evidence->readings);
    free(evidence->reading_ends);
    free(evidence->shares);
    free(evidence->baselines);
    free(evidence->administrated);
    index_release(&evidence->users);
    *evidence = (struct evidence){0};
}

int64_t evidence_begin_ns(const struct evidence *evidence, const struct operation *operation)
{
    return operation->begin != NOTHING ? evidence->history->attempts[operation->begin].invoke_ns
                                       : INT64_MIN;
}

int64_t evidence_finish_ns(const struct evidence *evidence, const struct operation *operation)
{
    return operation->finish != NOTHING ? evidence->history->attempts[operation->finish].complete_ns
                                        : HISTORY_NEVER;
}

bool evidence_is_ours(const struct evidence *evidence, const char *key)
{
    const char *run = evidence->history->head.run;
    size_t length = strlen(run);
    return strncmp(key, run, length) == 0 && key[length] == '-';
}
