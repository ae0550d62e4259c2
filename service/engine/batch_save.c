// Save for a whole batch: one UPDATE of all counters under the rule's demand, one multi-row INSERT
// into the ledger, one into coupons or draws.
//
// A rule that `adds` writes `remaining = remaining - :n` before it knows the row. After the write
// the transaction holds the row's lock. The batch then reads what the row really was, and decides
// again from that. If other writers came in between but the sums are the same, the decision stands;
// otherwise it is a conflict. On MySQL that read costs no round trip of its own.
#include "engine/batch.h"

#include "base/text.h"
#include "domain/kinds.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

static enum rc add_change(struct batch *batch, const struct counter *before,
                          const struct counter *after)
{
    if (before->version == after->version)
        return RC_OK;
    if (batch->n_changes == batch->changes_capacity) {
        size_t capacity = batch->changes_capacity > 0 ? 2 * batch->changes_capacity : 64;
        void *grown = realloc(batch->changes, capacity * sizeof *batch->changes);
        if (grown == NULL)
            return RC_NO_MEMORY;
        batch->changes = grown;
        batch->changes_capacity = capacity;
    }
    batch->changes[batch->n_changes++] = (struct counter_change){
        .before = *before, .remaining = after->remaining, .version = after->version};
    return RC_OK;
}

static int compare_change(const void *a, const void *b)
{
    return strcmp(((const struct counter_change *)a)->before.name,
                  ((const struct counter_change *)b)->before.name);
}

static int compare_changed(const void *name, const void *change)
{
    return strcmp(name, ((const struct counter_change *)change)->before.name);
}

static enum rc gather_changes(struct batch *batch)
{
    batch->n_changes = 0;
    for (size_t i = 0; i < batch->n_counters; i++) {
        enum rc rc = add_change(batch, &batch->loaded[i], &batch->counters[i]);
        if (rc != RC_OK)
            return rc;
    }
    if (batch->n_counters > batch->n_roots) // the roots alone are in order already
        qsort(batch->changes, batch->n_changes, sizeof *batch->changes, compare_change);
    return RC_OK;
}

enum rc batch_load_changed(const struct batch *batch, struct db *db, bool lock,
                           struct counter **ret_rows, int64_t *ret_now_ms)
{
    struct counter *rows = calloc(batch->n_changes, sizeof *rows);
    if (rows == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_changes; i++)
        rows[i] = batch->changes[i].before;
    enum rc rc = counter_load(db, rows, batch->n_changes, lock, ret_now_ms);
    if (rc == RC_OK)
        *ret_rows = rows;
    else
        free(rows);
    return rc;
}

// Reads the rows into `loaded`, as they were when the update locked them. Rows that the save has
// inserted are certain. RC_CONFLICT if a row has moved and some decision has read more than
// counters. ret_moved: some row had moved since the batch read it. Decisions that have read facts
// keep the time at which they were made, which may be the reason why a reservation was still held.
static enum rc read_base(struct batch *batch, struct db *db, bool *ret_moved)
{
    size_t n = 0;
    *ret_moved = false;
    if (batch->n_changes == 0)
        return RC_OK;
    struct counter *now CLEANUP(free_memory) = calloc(batch->n_changes, sizeof *now);
    if (now == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_changes; i++) {
        if (batch->changes[i].before.version != 0)
            now[n++] = batch->changes[i].before;
    }
    int64_t now_ms;
    enum rc rc = counter_load(db, now, n, false, &now_ms);
    if (rc != RC_OK)
        return rc;
    // What was decided from a reading keeps that reading's time: the save may be later than the
    // moment at which a hold has expired.
    if (batch->now_ms == 0)
        batch->now_ms = now_ms;
    for (size_t i = 0; i < n; i++) {
        const struct counter_change *change =
            bsearch(now[i].name, batch->changes, batch->n_changes, sizeof *change, compare_changed);
        if (now[i].version == change->version && now[i].remaining == change->remaining)
            continue;
        if (!batch_is_blind(batch))
            return RC_CONFLICT;
        *ret_moved = true;
        now[i].version -= change->version - change->before.version;
        now[i].remaining -= change->remaining - change->before.remaining;
        struct counter *loaded = bsearch(now[i].name, batch->loaded, batch->n_roots, sizeof *loaded,
                                         counter_compare_name);
        if (loaded == NULL)
            return RC_CONFLICT; // a child that another writer has made
        *loaded = now[i];
    }
    return RC_OK;
}

// Decides again. False if a work that was accepted is refused now: only works that were refused the
// first time have been looked up as replays, so it might have its result in the ledger already.
// False too if one is refused for too little: holds may have become due since the batch was read.
static bool decide_again(struct batch *batch)
{
    for (size_t i = 0; i < batch->n_works; i++)
        batch->works[i].was_accepted = batch->works[i].state == WORK_ACCEPTED;
    batch_decide(batch);
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (work->state == WORK_REFUSED && (work->was_accepted || work->expire_first))
            return false;
    }
    return true;
}

// Decides again from the rows as they were, and updates the changes, because the proof of replays
// relies on their versions. RC_CONFLICT if the new decisions do not add up to what was written.
static enum rc rebase(struct batch *batch, struct db *db)
{
    bool moved;
    enum rc rc = read_base(batch, db, &moved);
    if (rc != RC_OK || !moved)
        return rc;
    if (!decide_again(batch))
        return RC_CONFLICT;
    for (size_t i = 0; i < batch->n_counters; i++) {
        const struct counter *loaded = &batch->loaded[i], *decided = &batch->counters[i];
        struct counter_change *written = bsearch(loaded->name, batch->changes, batch->n_changes,
                                                 sizeof *written, compare_changed);
        int64_t steps = 0, delta = 0;
        if (written != NULL) {
            steps = written->version - written->before.version;
            delta = written->remaining - written->before.remaining;
            *written = (struct counter_change){
                .before = *loaded, .remaining = decided->remaining, .version = decided->version};
        }
        if (decided->version - loaded->version != steps ||
            decided->remaining - loaded->remaining != delta)
            return RC_CONFLICT;
    }
    return RC_OK;
}

static void fill_row(const struct batch *batch, const struct work *work, size_t leg,
                     struct ledger_row *row)
{
    const struct operation *operation = work->operation;
    const struct posting *posting = &batch->postings[work->first_posting + leg];
    row->version = posting->version;
    row->delta = posting->delta;
    row->remaining = posting->remaining;
    row->leg = (int64_t)leg;
    row->fingerprint = operation_fingerprint(operation);
    row->token = (int64_t)batch->token;
    row->created_at_ms = batch->now_ms;
    text_copy(row->counter, sizeof row->counter, batch->loaded[posting->counter].name);
    text_copy(row->request_key, sizeof row->request_key, operation->request_key);
    text_copy(row->user_id, sizeof row->user_id, operation->user_id);
    text_copy(row->order_id, sizeof row->order_id, operation->order_id);
    text_copy(row->reason, sizeof row->reason, kinds[operation->kind].name);
    text_copy(row->strategy, sizeof row->strategy, batch->strategy->name);
}

static enum rc insert_ledger(struct batch *batch, struct db *db)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->n_works + batch->n_expiries; i++) {
        const struct work *work = &batch->works[i];
        for (size_t leg = 0; work->state == WORK_ACCEPTED && leg < work->n_postings; leg++)
            fill_row(batch, work, leg, &batch->rows[n++]);
    }
    return ledger_insert(db, batch->rows, n);
}

// Saves the facts of the accepted works, kind by kind.
static enum rc save_facts(struct batch *batch, struct db *db)
{
    struct fact *facts CLEANUP(free_memory) =
        calloc(batch->n_works + batch->n_expiries + 1, sizeof *facts);
    if (facts == NULL)
        return RC_NO_MEMORY;
    enum rc rc = RC_OK;
    for (int kind = 0; kind < OPERATION_KIND_COUNT && rc == RC_OK; kind++) {
        size_t n = 0;
        for (size_t i = 0; kind_facts[kind] != NULL && i < batch->n_works + batch->n_expiries;
             i++) {
            const struct work *work = &batch->works[i];
            if (work->state == WORK_ACCEPTED && (int)work->operation->kind == kind)
                facts[n++] = (struct fact){.operation = work->operation, .slot = work->slot};
        }
        if (n > 0)
            rc = kind_facts[kind]->save(db, facts, n, batch->now_ms);
    }
    return rc;
}

enum rc batch_seen_fence(const struct batch *batch, struct db *db, uint64_t *ret_fence)
{
    struct counter *rows CLEANUP(free_memory) = NULL;
    int64_t now_ms;
    enum rc rc = batch_load_changed(batch, db, false, &rows, &now_ms);
    *ret_fence = 0;
    for (size_t i = 0; rc == RC_OK && i < batch->n_changes; i++) {
        if ((uint64_t)rows[i].fence > *ret_fence)
            *ret_fence = (uint64_t)rows[i].fence;
    }
    return rc;
}

static enum rc save_counters(struct batch *batch, struct db *db)
{
    if (!update_rules[batch->rule].adds)
        return counter_save(db, batch->rule, batch->token, batch->changes, batch->n_changes);
    enum rc rc =
        counter_save_before_load(db, batch->rule, batch->token, batch->changes, batch->n_changes);
    return rc == RC_OK ? rebase(batch, db) : rc;
}

enum rc batch_save(struct batch *batch, struct db *db)
{
    enum rc rc = gather_changes(batch);
    if (rc == RC_OK)
        rc = save_counters(batch, db);
    if (rc == RC_OK)
        rc = insert_ledger(batch, db);
    if (rc == RC_OK)
        rc = save_facts(batch, db);
    return rc;
}
