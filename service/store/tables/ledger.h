// The ledger table: append-only, one row a change of a counter, versions without gaps. A row is
// also the idempotency record of its operation, written in the same transaction as the effect.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"

#include <stddef.h>
#include <stdint.h>

struct db;

#define LEDGER_REASON_MAX 16

struct ledger_row {
    char counter[COUNTER_NAME_MAX + 1];
    int64_t version, delta, remaining;
    char request_key[REQUEST_KEY_MAX + 1]; // empty: an administrator's change without a key
    // The operation's legs in their order from 0, and behind them its other postings: 1 is the
    // prize a draw won. UNIQUE (request_key, leg), so a key stands for one operation in the whole
    // shop.
    int64_t leg;
    int64_t fingerprint;
    char user_id[USER_ID_MAX + 1], order_id[ORDER_ID_MAX + 1]; // empty if none
    char reason[LEDGER_REASON_MAX + 1]; // opening, adjust, or the name of a kind
    char strategy[STRATEGY_NAME_MAX + 1];
    int64_t token; // fencing token, 0 if none
    int64_t created_at_ms;
};

// RC_DUPLICATE: a request key or a version is in the ledger already; the caller rolls back.
MUST_CHECK enum rc ledger_insert(struct db *db, const struct ledger_row *rows, size_t n);

typedef enum rc (*ledger_row_fn)(void *arg, const struct ledger_row *row);

// The leg-0 rows of these request keys, in no particular order.
MUST_CHECK enum rc ledger_find(struct db *db, const char *const *request_keys, size_t n,
                               ledger_row_fn on_row, void *arg);

// One leg of an operation, or RC_NOT_FOUND: leg 1 of a draw that won has the prize's counter, a
// blank has none.
MUST_CHECK enum rc ledger_find_leg(struct db *db, const char *request_key, int64_t leg,
                                   struct ledger_row *ret_row);

// The rows of an operation, in the order of their legs.
MUST_CHECK enum rc ledger_find_legs(struct db *db, const char *request_key, ledger_row_fn on_row,
                                    void *arg);

// Rows of one counter with version > after_version, ascending, at most `limit`.
MUST_CHECK enum rc ledger_page(struct db *db, const char *counter, int64_t after_version,
                               int64_t limit, ledger_row_fn on_row, void *arg);
