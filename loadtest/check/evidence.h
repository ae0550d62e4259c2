// What clients saw and what the ledger says, joined: which attempts are one operation, which rows
// are its effects, and the rows, the readings and the users' shares in an order in which they can
// be walked.
#pragma once

#include "check/ledger.h"
#include "history/index.h"
#include "history/reader.h"

#define NOTHING UINT32_MAX // an index that points nowhere

// Everything with one key. Rows of other runs are operations too, without attempts.
struct operation {
    const char *key;
    uint32_t first_attempt; // in the order of the file; the next is in next_attempt
    uint32_t rows[2];       // the first row of each leg
    uint32_t witness;       // an ok attempt, if possible one that was no replay
    uint32_t begin;         // the attempt with which it may have begun
    uint32_t finish;        // its earliest ok answer
    bool has_ok, has_info;
};

// An answer that tells a counter's state without changing it: a GET, or a 409.
struct reading {
    int64_t version;
    uint32_t counter, attempt;
};

// One coupon or draw of a user.
struct share {
    int64_t version;
    uint32_t counter, user, row;
};

struct evidence {
    const struct history *history;
    const struct ledger *ledger;
    struct operation *operations;
    size_t n_operations;
    uint32_t *operation_of_attempt; // NOTHING: a reading
    uint32_t *next_attempt;
    uint32_t *operation_of_row; // NOTHING: an administrator's change
    uint32_t *rows;             // by counter, then version
    uint32_t *row_ends;         // of each counter, in `rows`
    struct reading *readings;   // by counter, then version
    uint32_t *reading_ends;     // of each counter
    size_t n_readings;
    struct share *shares; // by counter, user and version
    size_t n_shares;
    struct index users;
    int64_t *baselines;  // of each counter: its version before the run
    bool *administrated; // of each counter: changed by an administrator during the run
};

// Borrows history and ledger. False: out of memory (or more than 2^32 - 2 of anything).
MUST_CHECK bool evidence_init(struct evidence *evidence, const struct history *history,
                              const struct ledger *ledger);
void evidence_release(struct evidence *evidence); // a zeroed one is fine

// The rows of a counter in `rows`: from (including) and end (excluding); above: behind the
// baseline.
struct range {
    uint32_t from, end;
};
struct range evidence_rows(const struct evidence *evidence, size_t counter);
struct range evidence_rows_above(const struct evidence *evidence, size_t counter);
struct range evidence_readings(const struct evidence *evidence, size_t counter);

static inline const struct ledger_row *evidence_row(const struct evidence *evidence, uint32_t place)
{
    return &evidence->ledger->rows[evidence->rows[place]];
}

// The end of the rows, from `place` on, that have the same version as it.
uint32_t evidence_group_end(const struct evidence *evidence, uint32_t place, uint32_t end);

// Since the run began. INT64_MIN where the beginning may not be in a history that was cut short;
// HISTORY_NEVER where no answer came.
int64_t evidence_begin_ns(const struct evidence *evidence, const struct operation *operation);
int64_t evidence_finish_ns(const struct evidence *evidence, const struct operation *operation);

// Whether the key begins with the run's name and a hyphen.
bool evidence_is_ours(const struct evidence *evidence, const char *key);

// How many coupons or draws of the counter the user had at this version.
int64_t evidence_shares(const struct evidence *evidence, size_t counter, const char *user,
                        int64_t version);
