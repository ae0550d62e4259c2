// The ledger's rows and the counters' final values, as the service reports them: fetched over HTTP,
// or loaded from a file that was saved earlier.
#pragma once

#include "history/history.h"
#include "history/members.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct http;

// The members of a saved ledger's lines.
#define LEDGER_LINE_HEAD 1U
#define LEDGER_LINE_FINAL 2U
#define LEDGER_LINE_ROW 4U
#define LEDGER_LINE_CLOSING 8U
#define LEDGER_MEMBERS 16
#define LEDGER_LEG_MAX HISTORY_LEGS_MAX // one more than a request has: the service may add a row
extern const struct member ledger_members[LEDGER_MEMBERS];

struct ledger_row {
    size_t counter; // index into the head's counters
    int64_t version, delta, remaining;
    int64_t leg; // of its operation, from 0; the prize of a won draw comes behind the only leg
    int64_t token;
    // Owned by the ledger. An administrator's change has no key and no user: null, here "". No text
    // is empty.
    const char *key, *user, *reason, *strategy;
    int64_t created_at_ms; // when it was decided, by the database's clock
};

struct ledger_final {
    int64_t version; // unused for a prize: the API does not report it
    int64_t remaining;
    bool known; // both were filled in
};

struct ledger {
    struct ledger_row *rows; // by counter; each counter's rows in the order received
    size_t n_rows;
    struct ledger_final *finals; // one for each counter of the head
    struct history_arena *arena;
};

// Fetches everything about these counters. False with a sentence in ret_error (HISTORY_ERROR_MAX).
MUST_CHECK bool ledger_fetch(struct http *http, const struct history_head *head,
                             struct ledger *ret_ledger, char *ret_error);

// Write and read a file of JSON lines, so that a check can be repeated later, on any machine. False
// with a sentence in ret_error, as above. A file is read from its
// start; the descriptor is borrowed.
MUST_CHECK bool ledger_save(const struct ledger *ledger, const struct history_head *head,
                            FILE *file, char *ret_error);
MUST_CHECK bool ledger_load(int descriptor, const struct history_head *head,
                            struct ledger *ret_ledger, char *ret_error);

void ledger_release(struct ledger *ledger); // a zeroed one is fine

// Builds a ledger row by row, from an HTTP answer or a file.
struct ledger_builder {
    struct ledger *ledger;
    size_t capacity;
};

// An empty ledger whose finals are not known. False: out of memory; the ledger is then empty.
MUST_CHECK bool ledger_builder_init(struct ledger_builder *builder, struct ledger *ledger,
                                    size_t n_counters);

// Appends a copy of the row and its texts. False: out of memory.
MUST_CHECK bool ledger_builder_add(struct ledger_builder *builder, const struct ledger_row *row);
