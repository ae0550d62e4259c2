// Replays: a request whose idempotency key was used before gets the first result again. The ledger
// row of an operation is its idempotency record: a key that is found there is answered from that
// row, or rejected if it was used for a different request.
//
// Keys are not looked up before they are inserted, because that would cost every operation a fifth
// of its speed. Only those that are recent (recent_keys.h) are, because one replay makes its whole
// batch fail at COMMIT, and most replays follow close behind the first request or an earlier
// replay. The others are looked up when an insert collides, before a refusal is answered (the first
// attempt may be the reason why nothing is left), and after a COMMIT that was not acknowledged, but
// only once its transaction has ended. Even then it is a replay: a duplicate of the request,
// committed by another instance after our transaction was rolled back, may have left the same row
// to the millisecond.
//
// Why a replay needs a proof. A replay is answered from a row that was read. A row that can be read
// is not always on the disk: InnoDB shows a commit to every reader, and releases its locks, before
// its log is written. If the server crashes in between, the row is gone although a replay was
// answered from it. The client of the first request is safe, because its answer waits for the
// COMMIT.
//
// So the worker reads the row again in a transaction of its own, and answers after that COMMIT. The
// log is written in order, so the row is then on disk too. Mostly the batch commits anyway, and the
// proof costs no more than the look-up inside it. If nothing is left to commit, a barrier row is
// written for it. A row of our last commit on the same counter, or an older row, needs no proof.
// That covers most repetitions, because they follow close behind the first request.
//
// A refusal also rests on a row that was read. It needs no proof, because it acknowledges no
// change.
#include "engine/batch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/job.h"
#include "engine/recent_keys.h"
#include "store/db/db.h"
#include "store/tables/barrier.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_LOOKUPS 4
#define UNKNOWN_PAUSE_NS (100 * NS_PER_MS)

// The works whose keys are looked up, in the order of their keys, and each key once.
struct asked {
    struct work **works;
    const char **keys;
    size_t n, n_keys;
};

static enum rc asked_init(struct asked *asked, size_t capacity)
{
    asked->works = calloc(capacity + 1, sizeof(struct work *));
    asked->keys = calloc(capacity + 1, sizeof *asked->keys);
    return asked->works != NULL && asked->keys != NULL ? RC_OK : RC_NO_MEMORY;
}

static void release_asked(struct asked *asked)
{
    free(asked->works);
    free(asked->keys);
}

static const char *asked_key(const struct asked *asked, size_t i)
{
    return asked->works[i]->operation->request_key;
}

static int compare_keys(const void *a, const void *b)
{
    const struct work *one = *(struct work *const *)a, *two = *(struct work *const *)b;
    return strcmp(one->operation->request_key, two->operation->request_key);
}

static void list_keys(struct asked *asked)
{
    qsort(asked->works, asked->n, sizeof(struct work *), compare_keys);
    for (size_t i = 0; i < asked->n; i++) {
        const char *key = asked_key(asked, i);
        if (asked->n_keys == 0 || strcmp(asked->keys[asked->n_keys - 1], key) != 0)
            asked->keys[asked->n_keys++] = key;
    }
}

// The first work with this key: the works with it are those from here on that ask for it.
static size_t first_asked(const struct asked *asked, const char *key)
{
    size_t from = 0, to = asked->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(asked_key(asked, middle), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool asks(const struct asked *asked, size_t i, const char *key)
{
    return i < asked->n && strcmp(asked_key(asked, i), key) == 0;
}

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

// The work's outcome comes from this row: it needs a proof, unless the row is certainly on the
// disk.
static void mark_unproven(struct batch *batch, const struct db *db, const struct ledger_row *row,
                          struct work *work)
{
    if (!db_traits(db)->shows_before_durable || is_durable(batch, row))
        return;
    work->unproven = true;
    batch->n_unproven++;
}

struct found_rows {
    struct ledger_row *rows;
    size_t n, capacity;
};

// Grows: without the database's unique keys (lab.belts=off) a key may have several rows of one leg.
static enum rc keep_row(void *arg, const struct ledger_row *row)
{
    struct found_rows *found = arg;
    if (found->n == found->capacity) {
        size_t capacity = 2 * found->capacity;
        struct ledger_row *rows = reallocarray(found->rows, capacity, sizeof *rows);
        if (rows == NULL)
            return RC_NO_MEMORY;
        found->rows = rows;
        found->capacity = capacity;
    }
    found->rows[found->n++] = *row;
    return RC_OK;
}

static enum rc keep_first_rows(void *arg, const struct ledger_row *row)
{
    const struct found_rows *found = arg;
    bool is_leg = found->n < found->capacity && !counter_is_child(row->counter);
    bool is_kept = found->n > 0 && found->rows[found->n - 1].leg == row->leg;
    return is_leg && !is_kept ? keep_row(arg, row) : RC_OK;
}

static void release_rows(struct found_rows *found)
{
    free(found->rows);
}

// Reads the first rows of the operation, one a leg; behind them stand those of children. With an
// `intent` the first run may have had other legs, so all rows are read.
static enum rc read_legs(struct db *db, const struct ledger_row *row,
                         const struct operation *operation, struct found_rows *found)
{
    found->capacity = operation->intent != 0 ? LEGS_MAX : operation_n_legs(operation);
    found->rows = calloc(found->capacity, sizeof *found->rows);
    if (found->rows == NULL)
        return RC_NO_MEMORY;
    if (found->capacity == 1)
        return keep_row(found, row);
    enum rc rc = ledger_find_legs(db, row->request_key, keep_first_rows, found);
    size_t least = operation->intent != 0 ? 1 : found->capacity;
    return rc == RC_OK && found->n < least ? RC_NOT_FOUND : rc;
}

static bool has_legs(struct operation *operation, const struct ledger_row *rows)
{
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        if (strcmp(operation_leg(operation, i)->counter, rows[i].counter) != 0)
            return false;
    }
    return true;
}

static void recall_legs(struct operation *operation, const struct ledger_row *rows)
{
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        struct leg *leg = operation_leg(operation, i);
        text_copy(leg->counter, sizeof leg->counter, rows[i].counter);
        leg->delta = rows[i].delta;
        leg->remaining = rows[i].remaining;
        leg->version = rows[i].version;
    }
}

// The results of the facts and of the legs; leg 0 has this row. ret_same: they are the operation's.
// If it fails the operation is as it was, because it may be decided again.
static enum rc recall(struct db *db, const struct ledger_row *row, struct operation *operation,
                      bool *ret_same)
{
    struct found_rows found CLEANUP(release_rows) = {0};
    const struct facts *facts = kind_facts[operation->kind];
    size_t n_more = operation->n_more;
    *ret_same = row->fingerprint == operation_fingerprint(operation);
    if (!*ret_same)
        return RC_OK;
    enum rc rc = read_legs(db, row, operation, &found);
    if (rc == RC_OK && operation->intent == 0)
        *ret_same = has_legs(operation, found.rows);
    else if (rc == RC_OK)
        operation->n_more = found.n - 1;
    if (rc == RC_OK && *ret_same && facts != NULL && facts->recall != NULL)
        rc = facts->recall(db, row, operation);
    if (rc == RC_OK && *ret_same)
        recall_legs(operation, found.rows);
    else
        operation->n_more = n_more;
    return rc;
}

static enum rc replay(struct batch *batch, struct db *db, const struct ledger_row *row,
                      struct work *work)
{
    struct operation *operation = work->operation;
    struct outcome *outcome = &operation->outcome;
    *outcome = (struct outcome){
        .rc = RC_OK, .replayed = true, .remaining = row->remaining, .version = row->version};
    text_copy(outcome->strategy, sizeof outcome->strategy, row->strategy);
    bool same;
    enum rc rc = recall(db, row, operation, &same);
    if (rc != RC_OK)
        return rc == RC_NOT_FOUND ? RC_INTERNAL : rc;
    if (same)
        mark_unproven(batch, db, row, work);
    else
        *outcome = (struct outcome){.rc = RC_IDEMPOTENCY_MISMATCH};
    work->state = WORK_DONE;
    return RC_OK;
}

static enum rc find_asked(struct batch *batch, struct db *db, struct asked *asked,
                          size_t *ret_found)
{
    struct found_rows found CLEANUP(release_rows) = {.capacity = asked->n};
    if (asked->n == 0)
        return RC_OK;
    found.rows = calloc(found.capacity, sizeof *found.rows);
    if (found.rows == NULL)
        return RC_NO_MEMORY;
    list_keys(asked);
    enum rc rc = ledger_find(db, asked->keys, asked->n_keys, keep_row, &found);
    for (size_t i = 0; rc == RC_OK && i < found.n; i++) {
        const char *key = found.rows[i].request_key;
        for (size_t j = first_asked(asked, key); rc == RC_OK && asks(asked, j, key); j++) {
            if (asked->works[j]->state == WORK_DONE)
                continue; // a second row of its key
            rc = replay(batch, db, &found.rows[i], asked->works[j]);
            *ret_found += rc == RC_OK;
        }
        recent_keys_add(batch->recent, key);
    }
    return rc;
}

enum rc batch_find_replays(struct batch *batch, struct db *db, enum work_state state,
                           size_t *ret_found)
{
    struct asked asked CLEANUP(release_asked) = {0};
    *ret_found = 0;
    if (asked_init(&asked, batch_count(batch, state)) != RC_OK)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_works + batch->n_expiries; i++) {
        if (batch->works[i].state == state)
            asked.works[asked.n++] = &batch->works[i];
    }
    return find_asked(batch, db, &asked, ret_found);
}

enum rc batch_find_recent(struct batch *batch, struct db *db, size_t *ret_found)
{
    struct asked asked CLEANUP(release_asked) = {0};
    *ret_found = 0;
    if (asked_init(&asked, batch->n_works) != RC_OK)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->state == WORK_PENDING &&
            recent_keys_have(batch->recent, work->operation->request_key))
            asked.works[asked.n++] = work;
    }
    return find_asked(batch, db, &asked, ret_found);
}

// ---- the proof ----------------------------------------------------------------------------------

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
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        work->unproven = false;
        if (work->state == WORK_ACCEPTED)
            recent_keys_add(batch->recent, work->operation->request_key);
    }
    batch->n_unproven = 0;
}

static enum rc mark_seen(void *arg, const struct ledger_row *row)
{
    const struct asked *asked = arg;
    for (size_t i = first_asked(asked, row->request_key); asks(asked, i, row->request_key); i++)
        asked->works[i]->row_seen = true;
    return RC_OK;
}

static void fail_unproven(struct batch *batch, struct work *work)
{
    work->operation->outcome = (struct outcome){.rc = RC_OUTCOME_UNKNOWN};
    work->unproven = false;
    batch->n_unproven--;
}

enum rc batch_reread(struct batch *batch, struct db *db)
{
    struct asked asked CLEANUP(release_asked) = {0};
    if (batch->n_unproven == 0)
        return RC_OK;
    if (asked_init(&asked, batch->n_unproven) != RC_OK)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_works; i++) {
        batch->works[i].row_seen = false;
        if (batch->works[i].unproven)
            asked.works[asked.n++] = &batch->works[i];
    }
    list_keys(&asked);
    enum rc rc = ledger_find(db, asked.keys, asked.n_keys, mark_seen, &asked);
    for (size_t i = 0; rc == RC_OK && i < asked.n; i++) {
        if (!asked.works[i]->row_seen)
            fail_unproven(batch, asked.works[i]);
    }
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

void batch_commit_proof(struct batch *batch, struct db *db)
{
    if (batch->n_unproven == 0)
        return;
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    if (rc == RC_OK)
        rc = batch_reread(batch, db);
    if (rc == RC_OK)
        rc = barrier_write(db);
    if (rc == RC_OK)
        rc = db_commit(db);
    db_rollback(db);
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->unproven && rc != RC_OK)
            fail_unproven(batch, work);
        work->unproven = false;
    }
    batch->n_unproven = 0;
}

// ---- a COMMIT that was not acknowledged ---------------------------------------------------------

// Waits until the transaction has ended: its COMMIT may still be in flight, or wait in the server.
// Its UPDATE was acknowledged, so it holds the locks of its counters' rows until it ends, and what
// it did is visible before it releases them. Once we have those locks its outcome is final.
static enum rc await_end(const struct batch *batch, struct db *db)
{
    struct counter *rows CLEANUP(free_memory) = NULL;
    int64_t now_ms;
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    if (rc == RC_OK)
        rc = batch_load_changed(batch, db, true, &rows, &now_ms);
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
        size_t found = 0; // works that an earlier, failed look-up resolved stay done
        rc = await_end(batch, db);
        if (rc == RC_OK)
            rc = batch_find_replays(batch, db, WORK_ACCEPTED, &found);
        *ret_found += found;
    }
    LOG_WARNING("a COMMIT was not acknowledged: %s", rc != RC_OK      ? "its outcome is unknown"
                                                     : *ret_found > 0 ? "it is in the ledger"
                                                                      : "it did not happen");
    if (rc != RC_OK)
        return RC_OUTCOME_UNKNOWN;
    return *ret_found > 0 ? RC_DUPLICATE : RC_CONFLICT;
}
