// The history of a run: every request, when it was sent, and its outcome. Stored as JSON lines,
// described in loadtest/checking.md. Times are nanoseconds on CLOCK_MONOTONIC since the run began.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_FORMAT 1
#define HISTORY_TEXT_MAX 64     // bytes of a key, user or detail
#define HISTORY_COUNTER_MAX 144 // bytes of a counter's name
#define HISTORY_RUN_MAX 16      // bytes of a run's name, with which its keys begin
#define HISTORY_ERROR_MAX 512   // bytes of an error message
#define HISTORY_TARGETS_MAX 32
#define HISTORY_LEGS_MAX 64 // counters that one request names
#define LINES_MAX 32        // of one reservation: each has a leg in the stock and one in its hold
#define HISTORY_NEVER INT64_MAX // the completion of an attempt whose outcome is unknown

enum counter_kind {
    COUNTER_STOCK,
    COUNTER_COUPON,
    COUNTER_LOTTERY,
    COUNTER_PRIZE,
    COUNTER_POINTS,
    COUNTER_CODE,  // the uses that are left of a coupon; its first use opens it, with all it has
    COUNTER_HOLD,  // of a line of a reservation; begins during the run
    COUNTER_ORDER, // what is left of an order; begins during the run
    COUNTER_KIND_COUNT
};

// A counter that the run uses, as it was before the first request. One that begins during the run
// is at version 0 with nothing in it; it is not in the file's head.
struct history_counter {
    char name[HISTORY_COUNTER_MAX + 1]; // "stock/load-k3x9-1"
    enum counter_kind kind;
    int64_t version, remaining;
    int64_t
        total; // coupon: how many there are in all; prize: its quantity; code: the uses that its
               // campaign grants; else unused
    int64_t per_user_limit; // coupon, lottery; else unused
    const char *owner;      // code: the only user who may use it; else unused; borrowed
};

struct history_head {
    char run[HISTORY_RUN_MAX + 1];
    char scenario[32];
    int64_t started_at_ms; // wall clock
    char targets[HISTORY_TARGETS_MAX][256];
    size_t n_targets;
    bool proxied; // a proxy may have sent a request more than once
    struct history_counter *counters;
    size_t n_counters;
};

enum attempt_kind {
    KIND_DEDUCT,
    KIND_ISSUE,
    KIND_DRAW,
    KIND_EARN,
    KIND_SPEND,
    KIND_TRANSFER,
    KIND_RESERVE,
    KIND_CONFIRM,
    KIND_RELEASE,
    KIND_EXTEND,
    KIND_ORDER,
    KIND_CANCEL,
    KIND_REFUND,
    KIND_REDEEM,
    KIND_ROLLBACK,
    KIND_EXPIRE, // by the service itself: a reason in the ledger, never a request
    KIND_READ,
    KIND_OTHER,
    KIND_COUNT
};

// ok: a 2xx. fail: the server promises that nothing was changed. info: unknown; the request may
// have had its effect, or may still have it later.
enum attempt_outcome { OUTCOME_OK, OUTCOME_FAIL, OUTCOME_INFO };

// A number that an answer may lack. Any number may stand in an answer, even one that makes no
// sense, so no number can mean "absent". The value of an absent number is 0.
struct maybe {
    int64_t value;
    bool known;
};

static inline bool maybe_equal(struct maybe one, struct maybe two)
{
    return one.known == two.known && one.value == two.value;
}

// One more counter that a request names, besides its first.
struct attempt_leg {
    size_t counter;                  // index into the head's counters
    int64_t amount;                  // the change that the client asked for: negative takes
    struct maybe version, remaining; // from the answer
    const char *name;                // of a counter that the head does not have; else NULL
};

// One request. Its first leg is `counter`, `quantity`, `version` and `remaining`; `more` are the
// others, as the ledger numbers them: more[0] is leg 1. Requests with the same key are one
// operation: retries and duplicates.
struct attempt {
    int64_t op;      // the operation's number in the run
    int64_t attempt; // 0, then 1, 2, ... for retries and duplicates
    enum attempt_kind kind;
    enum attempt_outcome outcome;
    size_t counter;           // index into the head's counters; SIZE_MAX for KIND_OTHER
    const char *counter_name; // of one that the head does not have; else NULL
    size_t target;            // index into the head's targets
    int status;               // HTTP status; 0 if there was no answer
    bool replayed;            // Idempotent-Replayed: true
    int64_t invoke_ns;        // before the first byte that could have an effect was sent
    int64_t complete_ns;      // after the answer was read; HISTORY_NEVER for OUTCOME_INFO
    int64_t
        quantity; // of kinds that have one, not negative; else unused. confirm: the units of its
                  // first line that go back, or 0
    struct maybe version, remaining; // from the answer
    struct maybe expires_at_ms;      // from the answer: reserve, extend
    const struct attempt_leg *more;  // borrowed; transfer: the account that takes
    size_t n_more;                   // less than HISTORY_LEGS_MAX
    // Borrowed; "" if there is none, because none of them may be empty. detail: a coupon's code, a
    // draw's prize ("" for a blank), a reservation's or a redemption's id, a problem's slug, or
    // what went wrong ("timeout").
    const char *key, *user, *detail;
};

bool counter_kind_has_total(enum counter_kind kind);
bool counter_kind_has_limit(enum counter_kind kind);
bool counter_kind_has_owner(enum counter_kind kind);
const char *counter_kind_name(enum counter_kind kind);          // "stock"
const char *attempt_kind_name(enum attempt_kind kind);          // "deduct"
const char *attempt_outcome_name(enum attempt_outcome outcome); // "ok"

// Whether the request changes a counter if it succeeds.
bool attempt_kind_changes(enum attempt_kind kind);
bool attempt_kind_has_quantity(enum attempt_kind kind);
bool attempt_kind_may_lack_quantity(enum attempt_kind kind); // it is then 0

// The kind of the first counter of a request that changes one.
enum counter_kind attempt_kind_counter(enum attempt_kind kind);

// Whether such a request may name n counters besides the first, and whether one of them may be of
// this kind.
bool attempt_kind_has_more(enum attempt_kind kind, size_t n);
bool attempt_kind_may_name(enum attempt_kind kind, enum counter_kind counter);

// Whether a counter of this kind may begin during the run.
bool counter_kind_begins(enum counter_kind kind);

// Whether the API reports version and remaining of such a counter, or at least what remains. If
// not, its ledger's last row tells them.
bool counter_kind_is_reported(enum counter_kind kind);

// Whether the service names the last legs, so that only an answer tells them.
bool attempt_kind_opens(enum attempt_kind kind);

// Whether the answer says when something expires.
bool attempt_kind_expires(enum attempt_kind kind);

// Whether its changes add up to zero: those of accounts, or those of units in stock, held or
// ordered.
bool attempt_kind_is_balanced(enum attempt_kind kind);
bool attempt_kind_balances(enum attempt_kind kind, enum counter_kind counter);

// How many rows the service may add to those of the legs: a won draw has one of the prize.
size_t attempt_kind_rows_added(enum attempt_kind kind);

// The kind of this name, or KIND_COUNT.
enum attempt_kind attempt_kind_find(const char *name);

// Leg i, from 0. The first one's amount is the quantity with its sign; a draw's is -1, though a
// blank changes nothing.
struct attempt_leg attempt_leg(const struct attempt *attempt, size_t i);

static inline size_t attempt_n_legs(const struct attempt *attempt)
{
    return 1 + attempt->n_more;
}

// What an answer promises. `detail`: the slug of its problem type. status 0: there was no answer.
// A 503 promises that the request which it answers changed nothing. If `proxied`, that is not
// enough: a proxy may have sent the request before, and lost the answer.
enum attempt_outcome attempt_outcome_of(int status, const char *detail, bool proxied);
