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
//   - a lock that somebody keeps, of the guard or of a row: of several counters nobody knows whose
//     it is, so their requests are given back, and each counter goes alone;
//   - the database silent: the connection is given up at the first deadline of the batch;
//   - anything else: the operations go one by one, so that one that fails spares the others.
// Answers are given after the commit and before the guard is left: leaving may take a round trip.
#include "engine/section.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/section_parts.h"
#include "engine/traced.h"
#include "engine/twins.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <string.h>

#define ATTEMPTS_MAX 24
#define PAUSE_FIRST_NS (NS_PER_MS / 4)
#define PAUSE_DOUBLINGS 6
// The database is waited for this long past a request's deadline, so that a wait for a row's lock
// that ends around it is not taken for a database that hangs.
#define DB_GRACE_NS (NS_PER_S / 2)
#define LEAVE_NS NS_PER_S
#define SET_WAIT_NS NS_PER_S // for the locks of several counters

void section_count(struct section *section, enum metric_event event, uint64_t by)
{
    metrics_count(section->metrics, event, section->endpoint, section->guard->strategy, by);
}

void section_pause_at(struct section *section, enum pause_point point)
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
    section_pause_at(section, PAUSE_BEFORE_LEAVE);
    limit_db(section, clock_now_ns() + LEAVE_NS); // nobody waits for it any more
    (void)traced_leave(section->metrics, section->endpoint, section->guard, section->db,
                       &section->hold);
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
        section_count(section, METRIC_REFUSED_STALE, 1);
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
        section_count(section, METRIC_RETRY, 1);
    return anyone;
}

// Attempts until every work of the batch has its outcome; else the fault that stands for the rest,
// or RC_CONFLICT: the rest is to be given back.
static enum rc run_batch(struct section *section, int64_t deadline_ns)
{
    bool reconnected = false;
    for (int tries = 0; tries < ATTEMPTS_MAX; tries++) {
        int64_t from_ns = clock_now_ns();
        limit_db(section, batch_first_deadline(&section->batch) + DB_GRACE_NS);
        enum rc rc = section_attempt(section);
        if (rc == RC_OK)
            return RC_OK;
        db_rollback(section->db);
        int64_t took_ns = clock_now_ns() - from_ns; // long if it waited for a row's lock
        if (rc == RC_OUTCOME_UNKNOWN)
            rc = section_resolve_unknown(section);
        else if (rc == RC_DUPLICATE)
            rc = section_resolve_duplicate(section);
        if (rc == RC_OK)
            return RC_OK;
        if (rc == RC_CONFLICT) {
            section_count(section, METRIC_CONFLICT, 1);
            section->met_others = true;
            if (!guard_held(section->guard, &section->hold)) {
                count_if_stale(section);
                rc = RC_LOCK_LOST;
            }
        }
        enum rc fault = final_fault(rc);
        bool others = rc == RC_CONFLICT;
        section->blocked = others && took_ns >= BLOCKED_AFTER_NS;
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
        if (section->blocked && section->n_keys > 1)
            return RC_CONFLICT;
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
        if (rc == RC_CONFLICT && work->state != WORK_DONE) {
            section->returned[section->n_returned++] = work->job;
            continue;
        }
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

// Answers those whose deadline has passed; the others stay, and how many is returned.
static size_t answer_late(struct section *section, struct job **jobs, size_t n)
{
    int64_t now_ns = clock_now_ns();
    size_t stay = 0;
    for (size_t i = 0; i < n; i++) {
        struct job *job = jobs[i];
        if (now_ns < job->deadline_ns) {
            jobs[stay++] = job;
            continue;
        }
        section_count(section, METRIC_DEADLINE, 1);
        job->operation->outcome = (struct outcome){0};
        finish(job, RC_OVERLOADED);
    }
    return stay;
}

static void give_back(struct section *section, struct job *const *jobs, size_t n)
{
    memcpy(section->returned + section->n_returned, jobs, n * sizeof(struct job *));
    section->n_returned += n;
}

static void run_jobs(struct section *section, struct job **jobs, size_t n, int64_t deadline_ns)
{
    struct batch *batch = &section->batch;
    const struct strategy *strategy = section->guard->strategy;
    n = answer_late(section, jobs, n);
    if (n == 0)
        return;
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
    size_t i = 0;
    while (i < n && section->n_returned == 0)
        run_jobs(section, &jobs[i++], 1, deadline_ns);
    give_back(section, &jobs[i], n - i);
}

static void run_all(struct section *section, size_t n, int64_t deadline_ns)
{
    size_t n_deferred;
    while (n > 0) {
        n = twins_defer(section->jobs, n, section->deferred, section->current, &n_deferred);
        memcpy(section->current, section->jobs, n * sizeof(struct job *));
        run_jobs(section, section->current, n, deadline_ns);
        if (section->n_returned > 0) {
            give_back(section, section->deferred, n_deferred);
            return;
        }
        memcpy(section->jobs, section->deferred, n_deferred * sizeof(struct job *));
        n = n_deferred;
    }
}

enum section_end section_run(struct section *section, enum endpoint endpoint, struct guard *guard,
                             const char *const *keys, size_t n_keys, int64_t deadline_ns,
                             const struct section_source *source)
{
    section->endpoint = endpoint;
    section->guard = guard;
    section->keys = keys;
    section->n_keys = n_keys;
    section->met_others = section->blocked = false;
    section->n_returned = 0;
    int64_t from_ns = clock_now_ns();
    int64_t limit_ns = deadline_ns;
    if (n_keys > 1 && from_ns + SET_WAIT_NS < limit_ns)
        limit_ns = from_ns + SET_WAIT_NS;
    enum rc rc = enter(section, limit_ns);
    section->blocked = rc == RC_LOCK_BUSY;
    if (section->blocked && n_keys > 1) {
        db_set_deadline(section->db, INT64_MAX);
        return SECTION_BLOCKED;
    }
    size_t n = source->take(source->arg, rc == RC_OK ? INT64_MAX : from_ns, section->jobs,
                            section->max_batch);
    if (rc == RC_OK) {
        run_all(section, n, deadline_ns);
        leave(section);
        db_set_deadline(section->db, INT64_MAX);
        if (section->n_returned > 0)
            source->give_back(source->arg, section->returned, section->n_returned);
        if (section->blocked)
            return SECTION_BLOCKED;
        return section->met_others ? SECTION_DISTURBED : SECTION_UNDISTURBED;
    }
    db_set_deadline(section->db, INT64_MAX);
    n = answer_late(section, section->jobs, n);
    for (size_t i = 0; i < n; i++) {
        section->jobs[i]->operation->outcome = (struct outcome){0};
        finish(section->jobs[i], final_fault(rc));
    }
    return section->blocked ? SECTION_BLOCKED : SECTION_UNDISTURBED;
}
