// Replays. The ledger row of an operation is its idempotency record: a key that is found there is
// answered with what that row says, or refused if it was used for something else.
//
// Keys are not looked up before they are inserted: that would cost every operation a fifth to a
// third of its speed. They are looked up when an insert collides, before a refusal is answered (the
// first attempt may be why nothing is left), and after a COMMIT without an answer, but not before
// its transaction has ended. Then too it is a replay: a twin of the request, committed by another
// instance after our transaction went down, may have left the same row to the millisecond.
#include "engine/batch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine.h"
#include "store/db/db.h"
#include "store/tables/campaign.h"
#include "store/tables/lottery.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_LOOKUPS 4
#define UNKNOWN_PAUSE_NS (100 * NS_PER_MS)

struct found_rows {
    struct ledger_row *rows;
    size_t n, capacity;
};

static enum rc keep_row(void *arg, const struct ledger_row *row)
{
    struct found_rows *found = arg;
    if (found->n == found->capacity)
        return RC_INTERNAL;
    found->rows[found->n++] = *row;
    return RC_OK;
}

// What the first success said besides numbers: the coupon's code, the prize drawn.
static enum rc recall_details(struct db *db, const struct ledger_row *row,
                              struct operation *operation)
{
    struct outcome *outcome = &operation->outcome;
    const char *id = operation_id(operation);
    if (operation->kind == OPERATION_ISSUE) {
        struct coupon coupon;
        enum rc rc = coupon_find(db, id, row->user_id, row->version, &coupon);
        if (rc == RC_OK)
            text_copy(outcome->code, sizeof outcome->code, coupon.code);
        return rc;
    }
    if (operation->kind == OPERATION_DRAW) {
        struct draw draw;
        enum rc rc = draw_find(db, id, row->user_id, row->version, &draw);
        if (rc == RC_OK)
            text_copy(outcome->prize, sizeof outcome->prize, draw.prize);
        return rc;
    }
    return RC_OK;
}

static enum rc replay(struct batch *batch, struct db *db, const struct ledger_row *row,
                      struct work *work)
{
    struct operation *operation = work->operation;
    struct outcome *outcome = &operation->outcome;
    *outcome = (struct outcome){.rc = RC_IDEMPOTENCY_MISMATCH};
    if (row->fingerprint == operation_fingerprint(operation) &&
        strcmp(row->counter, operation->counter) == 0) {
        outcome->rc = RC_OK;
        outcome->replayed = true;
        outcome->remaining = row->remaining;
        outcome->version = row->version;
        text_copy(outcome->strategy, sizeof outcome->strategy, row->strategy);
        enum rc rc = recall_details(db, row, operation);
        if (rc != RC_OK)
            return rc == RC_NOT_FOUND ? RC_INTERNAL : rc;
        batch_doubt(batch, db, row, work);
    }
    work->state = WORK_DONE;
    return RC_OK;
}

enum rc batch_find_replays(struct batch *batch, struct db *db, enum work_state state,
                           size_t *ret_found)
{
    size_t n = batch_count(batch, state), filled = 0;
    if (ret_found != NULL)
        *ret_found = 0;
    if (n == 0)
        return RC_OK;
    const char **keys CLEANUP(free_memory) = calloc(n, sizeof *keys);
    struct ledger_row *rows CLEANUP(free_memory) = calloc(n, sizeof *rows);
    if (keys == NULL || rows == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_works; i++) {
        if (batch->works[i].state == state)
            keys[filled++] = batch->works[i].operation->request_key;
    }
    struct found_rows found = {.rows = rows, .capacity = n};
    enum rc rc = ledger_find(db, keys, n, keep_row, &found);
    for (size_t i = 0; rc == RC_OK && i < found.n; i++) {
        for (size_t j = 0; rc == RC_OK && j < batch->n_works; j++) {
            struct work *work = &batch->works[j];
            if (work->state == state &&
                strcmp(work->operation->request_key, rows[i].request_key) == 0) {
                rc = replay(batch, db, &rows[i], work);
                if (rc == RC_OK && ret_found != NULL)
                    ++*ret_found;
            }
        }
    }
    return rc;
}

// ---- a COMMIT without an answer ----------------------------------------------------------------

// Waits until the transaction has ended, for it may not have: COMMIT may still be on its way, or
// wait in the server. Its UPDATE was answered, so it holds its counters' rows until it ends, and
// what it did can be seen before it lets go of them. We have them: nothing is still to come.
static enum rc await_end(const struct batch *batch, struct db *db)
{
    struct counter *rows CLEANUP(free_memory) = calloc(batch->n_changes, sizeof *rows);
    if (rows == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_changes; i++)
        rows[i] = batch->changes[i].before;
    int64_t now_ms;
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    if (rc == RC_OK)
        rc = counter_load(db, rows, batch->n_changes, true, &now_ms);
    db_rollback(db);
    return rc;
}

enum rc batch_resolve_unknown(struct batch *batch, struct db *db, int64_t deadline_ns,
                              size_t *ret_found)
{
    enum rc rc = RC_OUTCOME_UNKNOWN;
    *ret_found = 0;
    for (int i = 0; i < UNKNOWN_LOOKUPS && rc != RC_OK; i++) {
        if (i > 0 && clock_now_ns() + UNKNOWN_PAUSE_NS >= deadline_ns)
            break;
        clock_sleep_ns(i == 0 ? 0 : UNKNOWN_PAUSE_NS);
        size_t found = 0; // those that an attempt has answered stay so when it fails
        rc = await_end(batch, db);
        if (rc == RC_OK)
            rc = batch_find_replays(batch, db, WORK_ACCEPTED, &found);
        *ret_found += found;
    }
    LOG_WARNING("commit without an answer: %s", rc != RC_OK      ? "what became of it is not known"
                                                : *ret_found > 0 ? "it is in the ledger"
                                                                 : "it did not happen");
    if (rc != RC_OK)
        return RC_OUTCOME_UNKNOWN;
    return *ret_found > 0 ? RC_DUPLICATE : RC_CONFLICT;
}
