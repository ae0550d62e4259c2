// Is it there to stay?
//
// A replay is answered with a row that was read, and what can be read is not always on the disk:
// InnoDB shows a commit to everybody, and lets go of its locks, before its log is written. If the
// server dies in between, the row is gone, and so would be what we have acknowledged. The client
// whose COMMIT it was is safe: it is answered later.
//
// So a replay counts once a commit of ours, in whose transaction the row was seen, is answered: the
// log is written in order. Mostly the batch commits anyway, and the look-up within it is all that
// this costs. If nothing is left to commit, something is written for it. What our last commit has
// left on the same counter, or what was there before it, needs no proof: most repetitions come
// close behind the first request.
//
// A refusal rests on what was read too, and needs none: it promises nothing.
#include "engine/batch.h"

#include "engine/engine.h"
#include "store/db/db.h"
#include "store/tables/barrier.h"

#include <stdlib.h>
#include <string.h>

static int compare_name(const void *name, const void *change)
{
    return strcmp(name, ((const struct counter_change *)change)->before.name);
}

static bool is_durable(const struct batch *batch, const struct ledger_row *row)
{
    const struct counter_change *last =
        batch->n_durable > 0 ? bsearch(row->counter, batch->durable, batch->n_durable,
                                       sizeof *batch->durable, compare_name)
                             : NULL;
    return last != NULL && row->version <= last->version;
}

void batch_doubt(struct batch *batch, const struct db *db, const struct ledger_row *row,
                 struct work *work)
{
    if (db_is_sqlite(db) || is_durable(batch, row)) // SQLite writes first, then shows
        return;
    work->unproven = true;
    batch->n_unproven++;
}

void batch_committed(struct batch *batch)
{
    struct counter_change *spare = batch->durable;
    size_t capacity = batch->durable_capacity;
    batch->durable = batch->changes;
    batch->durable_capacity = batch->changes_capacity;
    batch->n_durable = batch->n_changes;
    batch->changes = spare;
    batch->changes_capacity = capacity;
    batch->n_changes = 0;
    for (size_t i = 0; batch->n_unproven > 0 && i < batch->n_works; i++)
        batch->works[i].unproven = false;
    batch->n_unproven = 0;
}

static enum rc tick_off(void *arg, const struct ledger_row *row)
{
    struct batch *batch = arg;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->unproven && strcmp(work->operation->request_key, row->request_key) == 0)
            work->seen = true;
    }
    return RC_OK;
}

static void give_up(struct batch *batch, struct work *work)
{
    work->operation->outcome = (struct outcome){.rc = RC_OUTCOME_UNKNOWN};
    work->unproven = false;
    batch->n_unproven--;
}

enum rc batch_see_again(struct batch *batch, struct db *db)
{
    if (batch->n_unproven == 0)
        return RC_OK;
    const char **keys CLEANUP(free_memory) = calloc(batch->n_unproven, sizeof *keys);
    if (keys == NULL)
        return RC_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        work->seen = false;
        if (work->unproven)
            keys[n++] = work->operation->request_key;
    }
    enum rc rc = ledger_find(db, keys, n, tick_off, batch);
    for (size_t i = 0; rc == RC_OK && i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->unproven && !work->seen)
            give_up(batch, work);
    }
    return rc;
}

static enum rc commit_what_was_seen(struct batch *batch, struct db *db)
{
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    if (rc == RC_OK)
        rc = batch_see_again(batch, db);
    if (rc == RC_OK)
        rc = barrier_write(db);
    if (rc == RC_OK)
        rc = db_commit(db);
    db_rollback(db);
    return rc;
}

int64_t batch_proof_deadline(const struct batch *batch)
{
    int64_t first_ns = INT64_MAX;
    for (size_t i = 0; batch->n_unproven > 0 && i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (work->unproven && work->job->deadline_ns < first_ns)
            first_ns = work->job->deadline_ns;
    }
    return first_ns;
}

void batch_prove(struct batch *batch, struct db *db)
{
    if (batch->n_unproven == 0)
        return;
    bool proven = commit_what_was_seen(batch, db) == RC_OK;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->unproven && !proven)
            give_up(batch, work);
        work->unproven = false;
    }
    batch->n_unproven = 0;
}
