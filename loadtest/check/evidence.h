// History and ledger, joined: which attempts belong to one operation, which ledger rows are its
// effects, and the rows and readings sorted for walking. Read-only once built; any
// thread.
#pragma once

#include "check/ledger.h"
#include "check/shares.h"
#include "history/reader.h"

#define NOTHING UINT32_MAX // an index that points nowhere

// Places in one of the sorted arrays below: from (included) to end (excluded).
struct range {
    uint32_t from, end;
};

// All attempts and rows with one idempotency key. A row of another run is an operation without
// attempts.
struct operation {
    const char *key;
    uint32_t first_attempt; // in the order of the file; the next is in next_attempt
    struct range effects;   // its rows, in `effects`
    uint32_t witness;       // an ok attempt, preferably one that is no replay
    uint32_t begin;         // the earliest attempt that may have had the effect
    uint32_t finish;        // its earliest ok answer
    bool has_ok, has_info;
};

// A leg of an answer that reports a counter's state without changing it: a GET, or a 409. A leg
// without a version is none.
struct reading {
    int64_t version;
    uint32_t counter, attempt, leg;
};

struct evidence {
    const struct history *history;
    const struct ledger *ledger;
    struct operation *operations;
    size_t n_operations;
    uint32_t *operation_of_attempt; // NOTHING: a reading
    uint32_t *next_attempt;
    uint32_t *operation_of_row; // NOTHING: an administrator's change
    uint32_t *effects;          // the rows that have a key, by operation, then leg
    uint32_t *rows;             // by counter, then version
    uint32_t *row_ends;         // of each counter, in `rows`
    struct reading *readings;   // by counter, then version
    uint32_t *reading_ends;     // of each counter
    size_t n_readings;
    struct shares shares;
    int64_t *baselines;  // of each counter: its version before the run
    bool *administrated; // of each counter: changed by an administrator during the run
};

// Borrows history and ledger. False: out of memory (or more than 2^32 - 2 of anything).
MUST_CHECK bool evidence_init(struct evidence *evidence, const struct history *history,
                              const struct ledger *ledger);
void evidence_release(struct evidence *evidence); // a zeroed one is fine

// The places of a counter in `rows` (or `readings`). evidence_rows_above: only the rows above the
// baseline, those of the run.
struct range evidence_rows(const struct evidence *evidence, size_t counter);
struct range evidence_rows_above(const struct evidence *evidence, size_t counter);
struct range evidence_readings(const struct evidence *evidence, size_t counter);

static inline const struct ledger_row *evidence_row(const struct evidence *evidence, uint32_t place)
{
    return &evidence->ledger->rows[evidence->rows[place]];
}

static inline const struct ledger_row *evidence_effect(const struct evidence *evidence,
                                                       uint32_t place)
{
    return &evidence->ledger->rows[evidence->effects[place]];
}

// Whether one of the operation's rows is of this run.
bool evidence_has_effect(const struct evidence *evidence, const struct operation *operation);

// The end of the rows, from `place` on, that have the same version. More than one row is a
// duplicate.
uint32_t evidence_version_end(const struct evidence *evidence, uint32_t place, uint32_t end);

// The attempt that tells most of the operation: its witness, else its first. NOTHING: it has none.
static inline uint32_t evidence_best_attempt(const struct operation *operation)
{
    return operation->witness != NOTHING ? operation->witness : operation->first_attempt;
}

// Nanoseconds since the run began. begin: INT64_MIN if the first attempt may be missing from a
// history that was cut short. finish: HISTORY_NEVER if no ok answer came.
int64_t evidence_begin_ns(const struct evidence *evidence, const struct operation *operation);
int64_t evidence_finish_ns(const struct evidence *evidence, const struct operation *operation);

// Whether the key begins with the run's name and a hyphen.
bool evidence_is_ours(const struct evidence *evidence, const char *key);
