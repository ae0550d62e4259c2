// The rule `no-phantom-sold-out`: a refusal for too little at a version of the stock says that no
// hold was due whose goods would have come back.
//
// A refusal has no row, so the time of its decision is not known exactly. But it is not earlier
// than the row of the version that it read, nor than any operation that was answered before the
// request was sent. The latest of these times is the bound. A hold that is open at that version and
// expires at the bound or before it should have been expired first.
//
// The checker walks along the versions of each stock with a heap of the open holds, the one that
// expires first on top. Holds that were resolved are dropped when they come to the top.
//
// What breaks it: a database clock that is put back during the run makes the bound too late.
#include "check/finding.h"
#include "check/holds.h"
#include "check/rules.h"

#include <stdlib.h>
#include <string.h>

// The time at which a hold expires, and the versions of its stock between which that holds.
struct term {
    int64_t from, end, expires_at_ms;
    uint32_t stock, row; // counter; the row of the hold that began the term
};

// What was decided before something that is sent later.
struct moment {
    int64_t finish_ns, decided_ms; // the latest decision up to this answer
};

struct phantoms {
    struct check *check;
    const struct evidence *evidence;
    struct term *terms; // by stock, then from
    size_t n_terms;
    struct term **heap;
    size_t n_heap;
    struct moment *moments; // by finish_ns
    size_t n_moments;
    int64_t refusals;
};

// ---- the times ----------------------------------------------------------------------------------

static int compare_moments(const void *a, const void *b)
{
    const struct moment *one = a, *two = b;
    return (one->finish_ns > two->finish_ns) - (one->finish_ns < two->finish_ns);
}

static void collect_moments(struct phantoms *phantoms)
{
    const struct evidence *evidence = phantoms->evidence;
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        int64_t finish_ns = evidence_finish_ns(evidence, operation);
        if (finish_ns == HISTORY_NEVER || !evidence_has_effect(evidence, operation))
            continue;
        phantoms->moments[phantoms->n_moments++] = (struct moment){
            finish_ns, evidence_effect(evidence, operation->effects.from)->created_at_ms};
    }
    qsort(phantoms->moments, phantoms->n_moments, sizeof *phantoms->moments, compare_moments);
    for (size_t i = 1; i < phantoms->n_moments; i++) {
        if (phantoms->moments[i].decided_ms < phantoms->moments[i - 1].decided_ms)
            phantoms->moments[i].decided_ms = phantoms->moments[i - 1].decided_ms;
    }
}

// The latest decision that was answered before this time; INT64_MIN: none was.
static int64_t decided_before(const struct phantoms *phantoms, int64_t ns)
{
    size_t from = 0, end = phantoms->n_moments;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (phantoms->moments[middle].finish_ns < ns)
            from = middle + 1;
        else
            end = middle;
    }
    return from > 0 ? phantoms->moments[from - 1].decided_ms : INT64_MIN;
}

// ---- the terms ----------------------------------------------------------------------------------

static void collect_terms(struct phantoms *phantoms, size_t hold)
{
    const struct evidence *evidence = phantoms->evidence;
    const struct ledger_row *rows = evidence->ledger->rows;
    struct range range = evidence_rows_above(evidence, hold);
    struct term *open = NULL;
    for (uint32_t at = range.from; at < range.end; at++) {
        uint32_t row = evidence->rows[at], stock = hold_stock_row(evidence, row);
        struct maybe expires_at = hold_expires_at(evidence, row);
        if (stock == NOTHING)
            continue; // holds-resolve-once reports it
        if (open != NULL)
            open->end = rows[stock].version;
        open = NULL;
        if (hold_is_resolved_by(evidence, row) || !expires_at.known)
            continue;
        open = &phantoms->terms[phantoms->n_terms++];
        *open = (struct term){rows[stock].version, INT64_MAX, expires_at.value,
                              (uint32_t)rows[stock].counter, row};
    }
}

static int compare_terms(const void *a, const void *b)
{
    const struct term *one = a, *two = b;
    if (one->stock != two->stock)
        return one->stock < two->stock ? -1 : 1;
    return (one->from > two->from) - (one->from < two->from);
}

static void swap(struct term **one, struct term **two)
{
    struct term *kept = *one;
    *one = *two;
    *two = kept;
}

static void push(struct phantoms *phantoms, struct term *term)
{
    struct term **heap = phantoms->heap;
    size_t at = phantoms->n_heap++;
    heap[at] = term;
    for (; at > 0 && heap[at]->expires_at_ms < heap[(at - 1) / 2]->expires_at_ms; at = (at - 1) / 2)
        swap(&heap[at], &heap[(at - 1) / 2]);
}

static void pop(struct phantoms *phantoms)
{
    struct term **heap = phantoms->heap;
    size_t at = 0, n = --phantoms->n_heap;
    heap[0] = heap[n];
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < n && heap[left]->expires_at_ms < heap[least]->expires_at_ms)
            least = left;
        if (right < n && heap[right]->expires_at_ms < heap[least]->expires_at_ms)
            least = right;
        if (least == at)
            return;
        swap(&heap[at], &heap[least]);
        at = least;
    }
}

// ---- the walk -----------------------------------------------------------------------------------

// The time of the row of this version; INT64_MIN: there is none. Advances rows->from.
static int64_t decided_at(const struct evidence *evidence, struct range *rows, int64_t version)
{
    while (rows->from < rows->end && evidence_row(evidence, rows->from)->version < version)
        rows->from++;
    bool found = rows->from < rows->end && evidence_row(evidence, rows->from)->version == version;
    return found ? evidence_row(evidence, rows->from)->created_at_ms : INT64_MIN;
}

static void check_refusal(struct phantoms *phantoms, const struct reading *reading,
                          int64_t version_ms)
{
    const struct evidence *evidence = phantoms->evidence;
    const struct attempt *attempt = &evidence->history->attempts[reading->attempt];
    int64_t bound_ms = decided_before(phantoms, attempt->invoke_ns);
    if (bound_ms < version_ms)
        bound_ms = version_ms;
    phantoms->refusals++;
    while (phantoms->n_heap > 0 && phantoms->heap[0]->end <= reading->version)
        pop(phantoms);
    if (phantoms->n_heap == 0 || phantoms->heap[0]->expires_at_ms > bound_ms)
        return;
    const struct term *due = phantoms->heap[0];
    struct violation *violation = finding_add(
        phantoms->check,
        "%s was refused (%s) at version %s of %s, but %s had been due for %s ms and was not expired"
        " first.",
        attempt->key, attempt->detail, number(reading->version).text,
        finding_counter(phantoms->check, reading->counter),
        finding_counter(phantoms->check, evidence->ledger->rows[due->row].counter),
        number(bound_ms - due->expires_at_ms).text);
    finding_row(phantoms->check, violation, due->row);
    finding_attempt(phantoms->check, violation, reading->attempt);
}

// `at`: the first of the stock's terms. Returns the first of the next stock.
static size_t check_stock(struct phantoms *phantoms, size_t stock, size_t at)
{
    const struct evidence *evidence = phantoms->evidence;
    struct range readings = evidence_readings(evidence, stock);
    struct range rows = evidence_rows_above(evidence, stock);
    phantoms->n_heap = 0;
    for (uint32_t i = readings.from; i < readings.end; i++) {
        const struct reading *reading = &evidence->readings[i];
        const struct attempt *attempt = &evidence->history->attempts[reading->attempt];
        for (; at < phantoms->n_terms && phantoms->terms[at].stock == stock &&
               phantoms->terms[at].from <= reading->version;
             at++)
            push(phantoms, &phantoms->terms[at]);
        if (attempt->outcome == OUTCOME_FAIL && strcmp(attempt->detail, "out-of-stock") == 0)
            check_refusal(phantoms, reading, decided_at(evidence, &rows, reading->version));
    }
    while (at < phantoms->n_terms && phantoms->terms[at].stock == stock)
        at++;
    return at;
}

static void check_all(struct phantoms *phantoms)
{
    const struct history_head *head = &phantoms->evidence->history->head;
    size_t at = 0;
    collect_moments(phantoms);
    for (size_t i = 0; i < head->n_counters; i++) {
        if (head->counters[i].kind == COUNTER_HOLD)
            collect_terms(phantoms, i);
    }
    qsort(phantoms->terms, phantoms->n_terms, sizeof *phantoms->terms, compare_terms);
    for (size_t i = 0; i < head->n_counters && phantoms->n_terms > 0; i++) {
        if (head->counters[i].kind == COUNTER_STOCK)
            at = check_stock(phantoms, i, at);
    }
}

bool sold_out_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    size_t rows = evidence->ledger->n_rows + 1;
    struct term *terms CLEANUP(free_memory) = calloc(rows, sizeof *terms);
    struct term **heap CLEANUP(free_memory) = calloc(rows, sizeof *heap);
    struct moment *moments CLEANUP(free_memory) =
        calloc(evidence->n_operations + 1, sizeof *moments);
    if (terms == NULL || heap == NULL || moments == NULL)
        return false;
    struct phantoms phantoms = {
        .check = check, .evidence = evidence, .terms = terms, .heap = heap, .moments = moments};
    finding_open(check, "no-phantom-sold-out");
    check_all(&phantoms);
    finding_close(check, phantoms.refusals,
                  "No request is refused while a due hold has the goods: refusals %s.",
                  number(phantoms.refusals).text);
    return true;
}
