// Joins history and ledger by key, and sorts what the rules walk in order.
//
// One pass over each of the two, through one hash table, finds every operation. Everything is kept
// as 32-bit indices into history and ledger, so a million attempts and rows take about 150 MB
// besides themselves. Rows that arrive sorted, as the service gives them, are not sorted again.
#include "check/evidence.h"

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
    evidence->effects = array(rows, sizeof *evidence->effects);
    evidence->rows = array(rows, sizeof *evidence->rows);
    evidence->row_ends = array(counters, sizeof *evidence->row_ends);
    evidence->reading_ends = array(counters, sizeof *evidence->reading_ends);
    evidence->baselines = array(counters, sizeof *evidence->baselines);
    evidence->administrated = array(counters, sizeof *evidence->administrated);
    return evidence->operation_of_attempt != NULL && evidence->next_attempt != NULL &&
           evidence->operation_of_row != NULL && evidence->effects != NULL &&
           evidence->rows != NULL && evidence->row_ends != NULL && evidence->reading_ends != NULL &&
           evidence->baselines != NULL && evidence->administrated != NULL;
}

static int compare(int64_t one, int64_t two)
{
    return (one > two) - (one < two);
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
        evidence->operations[evidence->operation_of_row[i]].effects.end++;
    }
    return true;
}

static int compare_effects(const void *a, const void *b, void *arg)
{
    const struct ledger_row *rows = arg;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    return rows[i].leg != rows[j].leg ? compare(rows[i].leg, rows[j].leg) : compare(i, j);
}

// Lays the rows of each operation beside each other. Each operation's `end` counts its rows so far.
static void order_effects(struct evidence *evidence)
{
    const struct ledger *ledger = evidence->ledger;
    uint32_t from = 0;
    for (size_t i = 0; i < evidence->n_operations; i++) {
        struct range *effects = &evidence->operations[i].effects;
        uint32_t n = effects->end;
        *effects = (struct range){from, from};
        from += n;
    }
    for (size_t i = 0; i < ledger->n_rows; i++) {
        if (evidence->operation_of_row[i] == NOTHING)
            continue;
        struct range *effects = &evidence->operations[evidence->operation_of_row[i]].effects;
        evidence->effects[effects->end++] = (uint32_t)i;
    }
    for (size_t i = 0; i < evidence->n_operations; i++) {
        struct range effects = evidence->operations[i].effects;
        if (effects.end - effects.from > 1)
            qsort_r(evidence->effects + effects.from, effects.end - effects.from,
                    sizeof *evidence->effects, compare_effects, ledger->rows);
    }
}

bool evidence_has_effect(const struct evidence *evidence, const struct operation *operation)
{
    for (uint32_t at = operation->effects.from; at < operation->effects.end; at++) {
        const struct ledger_row *row = evidence_effect(evidence, at);
        if (row->version > evidence->baselines[row->counter])
            return true;
    }
    return false;
}

static bool earlier(const struct attempt *attempts, uint32_t one, uint32_t two)
{
    return two == NOTHING || attempts[one].invoke_ns < attempts[two].invoke_ns;
}

// Fills in what the attempts of an operation say together.
//
// `begin`: an answer that is no replay names the attempt that had the effect. Without one, it may
// have been any attempt that was not refused, so the earliest of them counts.
static void summarize(const struct evidence *evidence, struct operation *operation)
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
    // The attempt that had the effect may be missing from a history that was cut short.
    if (!evidence->history->whole && !fresh)
        operation->begin = NOTHING;
}

static bool join_all(struct evidence *evidence)
{
    struct join join = {.evidence = evidence};
    bool joined = index_init(&join.keys, evidence->history->n_attempts) && join_attempts(&join) &&
                  join_rows(&join);
    index_release(&join.keys);
    if (joined)
        order_effects(evidence);
    for (size_t i = 0; joined && i < evidence->n_operations; i++)
        summarize(evidence, &evidence->operations[i]);
    return joined;
}

// ---- rows ---------------------------------------------------------------------------------------

static int compare_rows(const void *a, const void *b, void *arg)
{
    const struct ledger_row *rows = arg;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const struct ledger_row *one = &rows[i], *two = &rows[j];
    if (one->counter != two->counter)
        return one->counter < two->counter ? -1 : 1;
    return one->version != two->version ? compare(one->version, two->version) : compare(i, j);
}

static void order_rows(struct evidence *evidence)
{
    const struct ledger *ledger = evidence->ledger;
    bool sorted = true;
    for (size_t i = 0; i < ledger->n_rows; i++) {
        evidence->rows[i] = (uint32_t)i;
        sorted = sorted && (i == 0 || compare_rows(&evidence->rows[i - 1], &evidence->rows[i],
                                                   ledger->rows) <= 0);
    }
    if (!sorted)
        qsort_r(evidence->rows, ledger->n_rows, sizeof *evidence->rows, compare_rows, ledger->rows);
    size_t at = 0;
    for (size_t counter = 0; counter < evidence->history->head.n_counters; counter++) {
        while (at < ledger->n_rows && evidence_row(evidence, (uint32_t)at)->counter == counter)
            at++;
        evidence->row_ends[counter] = (uint32_t)at;
    }
}

struct range evidence_rows(const struct evidence *evidence, size_t counter)
{
    return (struct range){counter > 0 ? evidence->row_ends[counter - 1] : 0,
                          evidence->row_ends[counter]};
}

struct range evidence_rows_above(const struct evidence *evidence, size_t counter)
{
    struct range range = evidence_rows(evidence, counter);
    uint32_t end = range.end;
    while (range.from < end) {
        uint32_t middle = range.from + (end - range.from) / 2;
        if (evidence_row(evidence, middle)->version > evidence->baselines[counter])
            end = middle;
        else
            range.from = middle + 1;
    }
    return range;
}

uint32_t evidence_version_end(const struct evidence *evidence, uint32_t place, uint32_t end)
{
    int64_t version = evidence_row(evidence, place)->version;
    while (place < end && evidence_row(evidence, place)->version == version)
        place++;
    return place;
}

// ---- readings -----------------------------------------------------------------------------------

// Whether the answer tells states, if it has versions.
static bool tells_state(const struct attempt *attempt)
{
    if (attempt->counter == SIZE_MAX)
        return false;
    return attempt->kind == KIND_READ ? attempt->outcome == OUTCOME_OK
                                      : attempt->outcome == OUTCOME_FAIL && attempt->status == 409;
}

static int compare_readings(const void *a, const void *b)
{
    const struct reading *one = a, *two = b;
    if (one->counter != two->counter)
        return one->counter < two->counter ? -1 : 1;
    return one->version != two->version ? compare(one->version, two->version)
                                        : compare(one->attempt, two->attempt);
}

// Counts the readings, and fills them in unless `readings` is NULL.
static size_t collect_readings(const struct history *history, struct reading *readings)
{
    size_t n = 0;
    for (size_t i = 0; i < history->n_attempts; i++) {
        const struct attempt *attempt = &history->attempts[i];
        for (size_t j = 0; tells_state(attempt) && j < attempt_n_legs(attempt); j++) {
            struct attempt_leg leg = attempt_leg(attempt, j);
            if (!leg.version.known)
                continue;
            if (readings != NULL)
                readings[n] = (struct reading){leg.version.value, (uint32_t)leg.counter,
                                               (uint32_t)i, (uint32_t)j};
            n++;
        }
    }
    return n;
}

static bool order_readings(struct evidence *evidence)
{
    const struct history *history = evidence->history;
    size_t n = evidence->n_readings = collect_readings(history, NULL);
    evidence->readings = array(n, sizeof *evidence->readings);
    if (evidence->readings == NULL)
        return false;
    (void)collect_readings(history, evidence->readings);
    qsort(evidence->readings, n, sizeof *evidence->readings, compare_readings);
    size_t at = 0;
    for (size_t counter = 0; counter < history->head.n_counters; counter++) {
        while (at < n && evidence->readings[at].counter == counter)
            at++;
        evidence->reading_ends[counter] = (uint32_t)at;
    }
    return true;
}

struct range evidence_readings(const struct evidence *evidence, size_t counter)
{
    return (struct range){counter > 0 ? evidence->reading_ends[counter - 1] : 0,
                          evidence->reading_ends[counter]};
}

// ---- baselines; the whole -----------------------------------------------------------------------

static void find_baselines(struct evidence *evidence)
{
    const struct history_head *head = &evidence->history->head;
    for (size_t i = 0; i < head->n_counters; i++) {
        evidence->baselines[i] = head->counters[i].version;
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
    if (!allocate(evidence) || !join_all(evidence) || !order_readings(evidence) ||
        !shares_init(&evidence->shares, history, ledger)) {
        evidence_release(evidence);
        return false;
    }
    order_rows(evidence);
    find_baselines(evidence);
    return true;
}

void evidence_release(struct evidence *evidence)
{
    free(evidence->operations);
    free(evidence->operation_of_attempt);
    free(evidence->next_attempt);
    free(evidence->operation_of_row);
    free(evidence->effects);
    free(evidence->rows);
    free(evidence->row_ends);
    free(evidence->readings);
    free(evidence->reading_ends);
    shares_release(&evidence->shares);
    free(evidence->baselines);
    free(evidence->administrated);
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
