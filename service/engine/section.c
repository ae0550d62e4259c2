// Enter, load, decide, save, commit, leave.
//
// Any failure inside a transaction rolls it back and begins again from load, a bounded number of
// times and never past a request's deadline. What can come in between, and what is done:
//   - another writer (version, fence or sum not as demanded; deadlock): again, after a pause;
//   - a request key or version that is already there: look the keys up; those found are replays,
//     the others go again;
//   - the lock lost: its transaction is given up, and the guard entered once more;
//   - a replay, whose row was only read: it is answered behind a commit that proves it;
//   - COMMIT without an answer: wait for the transaction's end (the locks of its rows), then look
//     the keys up. If its end cannot be learned in time, nobody is told anything but "unknown";
//   - the database silent: the connection is given up at the first deadline of the batch;
//   - anything else: the operations go one by one, so that one that fails spares the others.
// Answers are given after the commit and before the guard is left: leaving may take a round trip.
#include "engine/section.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/section_parts.h"
#include "engine/twins.h"
#include "guard/traced.h"
#include "metrics/metrics.h"
#include "store/db.h"

#include <string.h>

#define ATTEMPTS_MAX 24
#define PAUSE_FIRST_NS (NS_PER_MS / 4)
#define PAUSE_DOUBLINGS 6
// The database is waited for this long past a request's deadline, so that a wait for a row's lock
// that ends around it is not taken for a database that hangs.
#define DB_GRACE_NS (NS_PER_S / 2)
#define LEAVE_NS NS_PER_S

static void count(struct section *section, enum metric_event event, uint64_t by)
{
    metrics_count(section->metrics, event, section->endpoint, section->guard->strategy, by);
}

static void pause_at(struct section *section, enum pause_point point)
{
    if (section->hooks.pause != NULL)
        section->hooks.pause(section->hooks.arg, point, section->endpoint);
}

// Nobody is waited for after this.
static void limit_db(struct section *section, int64_t deadline_ns)
{
    section->db_deadline_ns = deadline_ns;
    db_set_deadline(section->db, deadline_ns);
}

static enum rc enter(struct section *section, int64_t deadline_ns)
{
    limit_db(section, deadline_ns + DB_GRACE_NS);
    enum rc rc = traced_enter(section->metrics, section->endpoint, section->guard, section->db,
                              section->keys, section->n_keys, deadline_ns, &section->hold);
    section->entered = rc == RC_OK;
    return rc;
}

static void leave(struct section *section)
{
    if (!section->entered)
        return;
    section->entered = false;
    pause_at(section, PAUSE_BEFORE_LEAVE);
    limit_db(section, clock_now_ns() + LEAVE_NS); // nobody waits for it any more
    (void)traced_leave(section->metrics, section->endpoint, section->guard, section->db,
                       &section->hold);
}

// Before a fenced save: our token must not be below what the rows have seen. It may be, honestly,
// if the token source lost its memory or another strategy was in force: then the guard lifts it.
static enum rc show_token(struct section *section)
{
    struct batch *batch = &section->batch;
    uint64_t seen = batch_loaded_fence(batch);
    if (seen > section->hold.token) {
        count(section, METRIC_REFUSED_STALE, 1);
        if (guard_lift(section->guard, section->db, &section->hold, seen) != RC_OK)
            return RC_LOCK_LOST;
    }
    batch->token = section->hold.token;
    return RC_OK;
}

static enum rc commit(struct section *section)
{
    pause_at(section, PAUSE_BEFORE_COMMIT);
    if (!guard_held(section->guard, &section->hold))
        return RC_LOCK_LOST;
    pause_at(section, PAUSE_IN_COMMIT);
    int64_t from_ns = clock_now_ns();
    // Given up a little sooner, so that there is time to look what became of it.
    int64_t reserve_ns = (section->db_deadline_ns - from_ns) / 4;
    reserve_ns = reserve_ns < NS_PER_S ? reserve_ns : NS_PER_S;
    db_set_deadline(section->db, section->db_deadline_ns - reserve_ns);
    enum rc rc = db_commit(section->db);
    db_set_deadline(section->db, section->db_deadline_ns);
    metrics_observe(section->metrics, METRIC_COMMIT, section->endpoint, section->guard->strategy,
                    clock_now_ns() - from_ns);
    if (rc == RC_OK) {
        batch_committed(&section->batch);
        pause_at(section, PAUSE_AFTER_COMMIT);
    }
    return rc;
}

static enum rc save_and_commit(struct section *section)
{
    enum rc rc = batch_save(&section->batch, section->db);
    if (rc == RC_OK)
        rc = batch_see_again(&section->batch, section->db);
    return rc == RC_OK ? commit(section) : rc;
}

// Once through without reading first, where that can be: the rule's demand tells whether there was
// enough. If not, RC_OK and nothing was done.
static enum rc attempt_unread(struct section *section, bool *ret_done)
{
    struct batch *batch = &section->batch;
    *ret_done = false;
    if (batch->rule != RULE_CONDITIONAL || section->endpoint != ENDPOINT_STOCK || !section->plenty)
        return RC_OK;
    batch_suppose(batch);
    batch_decide(batch);
    batch->token = 0;
    pause_at(section, PAUSE_BEFORE_SAVE);
    enum rc rc = db_begin(section->db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = save_and_commit(section);
    *ret_done = rc == RC_OK;
    if (rc != RC_CONFLICT)
        return rc;
    db_rollback(section->db);
    return RC_OK;
}

// Once through load, decide, save and commit. The caller rolls back when it fails.
static enum rc attempt(struct section *section)
{
    pause_at(section, PAUSE_BEFORE_LOAD);
    bool done;
    enum rc unread = attempt_unread(section, &done);
    if (unread != RC_OK || done)
        return unread;
    struct batch *batch = &section->batch;
    struct db *db = section->db;
    bool locked = batch->rule == RULE_LOCKED;
    enum rc rc = locked ? db_begin(db, DB_BEGIN_WRITE_LATE) : RC_OK;
    if (rc == RC_OK)
        rc = batch_load(batch, db, locked);
    if (rc != RC_OK)
        return rc;
    batch_decide(batch);
    section->plenty = batch_count(batch, WORK_REFUSED) == 0;
    size_t replays;
    rc = batch_date_refusals(batch, db);
    if (rc == RC_OK)
        rc = batch_find_replays(batch, db, WORK_REFUSED, &replays);
    if (rc != RC_OK)
        return rc;
    count(section, METRIC_REPLAYED, replays);
    if (batch_count(batch, WORK_ACCEPTED) == 0) {
        db_rollback(db);
        return RC_OK;
    }
    batch->token = section->hold.token;
    if (batch->rule == RULE_FENCED)
        rc = show_token(section);
    if (rc == RC_OK && !guard_held(section->guard, &section->hold))
        rc = RC_LOCK_LOST;
    pause_at(section, PAUSE_BEFORE_SAVE); // from here on the demand alone stops a stale holder
    if (rc == RC_OK && !locked)
        rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    return rc == RC_OK ? save_and_commit(section) : rc;
}

static enum rc resolve_unknown(struct section *section)
{
    size_t found;
    enum rc rc =
        batch_resolve_unknown(&section->batch, section->db, section->db_deadline_ns, &found);
    count(section, METRIC_REPLAYED, found);
    if (rc != RC_OUTCOME_UNKNOWN)
        count(section, METRIC_UNKNOWN_RESOLVED, 1);
    return rc;
}

// A unique key refused a row: a replay, or somebody else's version.
static enum rc resolve_duplicate(struct section *section)
{
    size_t found;
    enum rc rc = batch_find_replays(&section->batch, section->db, WORK_ACCEPTED, &found);
    if (rc != RC_OK)
        return rc;
    count(section, METRIC_REPLAYED, found);
    return found > 0 ? RC_DUPLICATE : RC_CONFLICT;
}

// The lock is gone: give up what is left of it and ask for it again. Why it cannot be had now does
// not matter to who had it: it was lost.
static enum rc enter_again(struct section *section, int64_t deadline_ns)
{
    traced_lost(section->metrics, section->endpoint, section->guard->strategy, &section->hold);
    leave(section);
    return enter(section, deadline_ns) == RC_OK ? RC_OK : RC_LOCK_LOST;
}

// A fenced save was refused. Was it the fence, and not another writer of a lock that is still ours?
static void count_if_stale(struct section *section)
{
    const struct batch *batch = &section->batch;
    uint64_t seen = 0;
    if (batch->rule == RULE_FENCED && batch_seen_fence(batch, section->db, &seen) == RC_OK &&
        seen > batch->token)
        count(section, METRIC_REFUSED_STALE, 1);
}

// What a client is told when the attempts have ended with this.
static enum rc final_fault(enum rc rc)
{
    switch (rc) {
    case RC_CONFLICT:
    case RC_DUPLICATE:
        return RC_CONTENTION;
    case RC_STALE_TOKEN:
        return RC_LOCK_LOST;
    case RC_NO_MEMORY:
        return RC_INTERNAL;
    default:
        return rc;
    }
}

// Readies the batch for another attempt, which is expected to take this long; 0 if there were no
// others, whom to give a moment. Those whose deadline comes before its end are told of the fault
// now. Returns false if nobody is left.
static bool prepare_again(struct section *section, int tries, enum rc fault, int64_t takes_ns)
{
    struct batch *batch = &section->batch;
    if (takes_ns > 0) {
        int doublings = tries < PAUSE_DOUBLINGS ? tries : PAUSE_DOUBLINGS;
        clock_sleep_ns((int64_t)random_below((uint64_t)PAUSE_FIRST_NS << doublings));
    }
    int64_t end_ns = clock_now_ns() + takes_ns;
    bool anyone = false;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->state == WORK_DONE)
            continue;
        if (end_ns >= work->job->deadline_ns) {
            work->operation->outcome = (struct outcome){.rc = fault};
            work->state = WORK_DONE;
            continue;
        }
        work->state = WORK_PENDING;
        anyone = true;
    }
    if (anyone)
        count(section, METRIC_RETRY, 1);
    return anyone;
}

// Attempts until every work of the batch has its outcome; else the fault that stands for the rest.
static enum rc run_batch(struct section *section, int64_t deadline_ns)
{
    bool reconnected = false;
    for (int tries = 0; tries < ATTEMPTS_MAX; tries++) {
        int64_t from_ns = clock_now_ns();
        limit_db(section, batch_first_deadline(&section->batch) + DB_GRACE_NS);
        enum rc rc = attempt(section);
        if (rc == RC_OK)
            return RC_OK;
        db_rollback(section->db);
        int64_t took_ns = clock_now_ns() - from_ns; // long if it waited for a row's lock
        if (rc == RC_OUTCOME_UNKNOWN)
            rc = resolve_unknown(section);
        else if (rc == RC_DUPLICATE)
            rc = resolve_duplicate(section);
        if (rc == RC_OK)
            return RC_OK;
        if (rc == RC_CONFLICT) {
            count(section, METRIC_CONFLICT, 1);
            section->met_others = true;
            if (!guard_held(section->guard, &section->hold)) {
                count_if_stale(section);
                rc = RC_LOCK_LOST;
            }
        }
        enum rc fault = final_fault(rc);
        bool others = rc == RC_CONFLICT;
        if (rc == RC_LOCK_LOST)
            rc = enter_again(section, deadline_ns);
        if (rc == RC_BACKEND_UNAVAILABLE && !reconnected) {
            reconnected = true; // the connection was stale, perhaps; nothing was committed on it
            rc = RC_OK;
        }
        if (rc != RC_OK && rc != RC_CONFLICT && rc != RC_DUPLICATE)
            return fault;
        if (!prepare_again(section, tries, fault, others ? took_ns : 0))
            return RC_OK;
    }
    return RC_CONTENTION;
}

static void finish(struct job *job, enum rc rc)
{
    job->operation->outcome.rc = rc;
    job->finished(job, rc);
}

static void finish_batch(struct section *section, enum rc rc)
{
    struct batch *batch = &section->batch;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (rc != RC_OK && work->state != WORK_DONE)
            work->operation->outcome = (struct outcome){.rc = rc};
        finish(work->job, work->operation->outcome.rc);
    }
}

static void prove_replays(struct section *section)
{
    int64_t deadline_ns = batch_proof_deadline(&section->batch);
    if (deadline_ns == INT64_MAX)
        return;
    limit_db(section, deadline_ns + DB_GRACE_NS);
    batch_prove(&section->batch, section->db);
}

static enum update_rule rule_in_force(const struct section *section)
{
    enum update_rule rule = section->guard->strategy->rule;
    bool off = section->undemanding || (section->unfenced && rule == RULE_FENCED);
    return off ? RULE_NAIVE : rule;
}

// Those before may have lost the lock, and not have got it again.
static enum rc come_inside(struct section *section, int64_t deadline_ns)
{
    return section->entered ? RC_OK : enter(section, deadline_ns);
}

static void run_jobs(struct section *section, struct job *const *jobs, size_t n,
                     int64_t deadline_ns)
{
    struct batch *batch = &section->batch;
    const struct strategy *strategy = section->guard->strategy;
    batch_fill(batch, section->endpoint, strategy, rule_in_force(section), jobs, n);
    metrics_observe(section->metrics, METRIC_BATCH_SIZE, section->endpoint, strategy, (int64_t)n);
    enum rc rc = come_inside(section, deadline_ns);
    rc = rc == RC_OK ? run_batch(section, deadline_ns) : final_fault(rc);
    if (rc != RC_INTERNAL) {
        prove_replays(section);
        finish_batch(section, rc);
        return;
    }
    LOG_ERROR("a transaction of %zu operations failed: %s", n, db_error(section->db));
    if (n == 1) {
        finish_batch(section, rc);
        return;
    }
    for (size_t i = 0; i < n; i++)
        run_jobs(section, &jobs[i], 1, deadline_ns);
}

static void run_all(struct section *section, size_t n, int64_t deadline_ns)
{
    size_t n_deferred;
    while (n > 0) {
        n = twins_defer(section->jobs, n, section->deferred, section->current, &n_deferred);
        memcpy(section->current, section->jobs, n * sizeof(struct job *));
        run_jobs(section, section->current, n, deadline_ns);
        memcpy(section->jobs, section->deferred, n_deferred * sizeof(struct job *));
        n = n_deferred;
    }
}

bool section_run(struct section *section, enum endpoint endpoint, struct guard *guard,
                 const char *const *keys, size_t n_keys, int64_t deadline_ns,
                 const struct section_source *source)
{
    section->endpoint = endpoint;
    section->guard = guard;
    section->keys = keys;
    section->n_keys = n_keys;
    section->met_others = false;
    int64_t from_ns = clock_now_ns();
    enum rc rc = enter(section, deadline_ns);
    size_t n = source->take(source->arg, rc == RC_OK ? INT64_MAX : from_ns, section->jobs,
                            section->max_batch);
    if (rc == RC_OK) {
        run_all(section, n, deadline_ns);
        leave(section);
        db_set_deadline(section->db, INT64_MAX);
        return !section->met_others;
    }
    db_set_deadline(section->db, INT64_MAX);
    for (size_t i = 0; i < n; i++) {
        section->jobs[i]->operation->outcome = (struct outcome){0};
        finish(section->jobs[i], final_fault(rc));
    }
    return true;
}
