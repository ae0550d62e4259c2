// Enter, load, decide, save, commit, leave.
//
// A failure inside a transaction rolls it back, and the section starts again from load: a bounded
// number of times, and never past a request's deadline. What can happen, and what is done:
//   - another writer interfered (version, fence or sum not as demanded; deadlock): retry after a
//     pause;
//   - a unique key refused a row (request key or version): look the request keys up; those found
//     are replays, the others are retried;
//   - the lock was lost: give its transaction up, enter the guard once more, retry;
//   - a replay, whose row was only read: answer it after a commit that proves the row durable;
//   - COMMIT was not acknowledged: wait for the transaction's end (the locks of its rows), then
//     look the request keys up. If its end cannot be confirmed before the deadline, every caller
//     gets `outcome-unknown`;
//   - a lock, of the guard or of a row, cannot be acquired: with several counters we cannot tell
//     which lock is stuck, so the requests are requeued and each runs with no counter that it does
//     not need; a request that needs several fails after a second, because it delays those behind
//     it in each of its lanes; those behind it that need fewer counters are requeued once more;
//   - the database does not answer: the connection is closed at the first deadline of the batch;
//   - any other failure: run the operations one by one, so that a bad one fails alone.
// Requests are answered after the commit and before the guard is left, because leaving may take a
// round trip.
//
// What breaks it: a lock that is lost between the last check and the COMMIT. Then only the update
// rule's demand refuses the save.
#include "engine/section.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/batch.h"
#include "engine/duplicate_keys.h"
#include "engine/feed.h"
#include "engine/job.h"
#include "engine/traced.h"
#include "metrics/metrics.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 24
#define PAUSE_FIRST_NS (NS_PER_MS / 4)
#define PAUSE_DOUBLINGS 6
// Grace period after a request's deadline before the connection is treated as hung. It lets a wait
// for a row's lock that ends around the deadline end by itself.
#define DB_GRACE_NS (NS_PER_S / 2)
#define LEAVE_NS NS_PER_S
#define SET_WAIT_NS NS_PER_S // for the locks of several counters
// An attempt that conflicts after this long has waited for a row's lock until the timeout: the
// session's innodb_lock_wait_timeout is 1 s.
#define BLOCKED_AFTER_NS (800 * NS_PER_MS)

struct section {
    struct db *db;
    struct metrics *metrics;
    struct section_settings settings;
    struct batch batch;
    struct job **jobs;     // taken, in the order of the batch
    struct job **deferred; // taken, but an earlier job of the batch has the same request key
    struct job **current;  // the jobs of the batch
    struct job **returned; // to be given back
    bool skip_read; // the last batch that was read had enough for all: try the next one unread

    // The run in progress.
    struct section_scope scope;
    struct traced_hold hold;
    size_t n_returned;
    bool entered, disturbed, blocked;
    int64_t db_deadline_ns;
};

enum rc section_new(struct store *store, struct metrics *metrics,
                    const struct section_settings *settings, struct section **ret_section)
{
    size_t max_batch = settings->max_batch;
    struct section *section = calloc(1, sizeof *section);
    if (section == NULL)
        return RC_NO_MEMORY;
    section->metrics = metrics;
    section->settings = *settings;
    section->skip_read = true;
    section->jobs = calloc(max_batch, sizeof(struct job *));
    section->deferred = calloc(max_batch, sizeof(struct job *));
    section->current = calloc(max_batch, sizeof(struct job *));
    section->returned = calloc(max_batch, sizeof(struct job *));
    enum rc rc = batch_init(&section->batch, max_batch);
    if (section->jobs == NULL || section->deferred == NULL || section->current == NULL ||
        section->returned == NULL)
        rc = RC_NO_MEMORY;
    if (rc == RC_OK)
        rc = db_new(store, &section->db);
    if (rc != RC_OK) {
        section_free(section);
        return rc;
    }
    *ret_section = section;
    return RC_OK;
}

void section_free(struct section *section)
{
    if (section == NULL)
        return;
    db_free(section->db);
    batch_release(&section->batch);
    free(section->jobs);
    free(section->deferred);
    free(section->current);
    free(section->returned);
    free(section);
}

struct db *section_db(struct section *section)
{
    return section->db;
}

static void count(struct section *section, enum metric_event event, uint64_t by)
{
    metrics_count(section->metrics, event, section->scope.endpoint, section->scope.guard->strategy,
                  by);
}

static void pause_at(struct section *section, enum pause_point point)
{
    const struct engine_hooks *hooks = &section->settings.hooks;
    if (hooks->pause != NULL)
        hooks->pause(hooks->arg, point, section->scope.endpoint);
}

// Sets the deadline for every database call that follows.
static void limit_db(struct section *section, int64_t deadline_ns)
{
    section->db_deadline_ns = deadline_ns;
    db_set_deadline(section->db, deadline_ns);
}

static bool held(const struct section *section)
{
    return guard_held(section->scope.guard, &section->hold.hold);
}

static enum rc enter(struct section *section, int64_t deadline_ns)
{
    limit_db(section, deadline_ns + DB_GRACE_NS);
    enum rc rc =
        traced_enter(section->metrics, section->scope.endpoint, section->scope.guard, section->db,
                     section->scope.keys, section->scope.n_keys, deadline_ns, &section->hold);
    section->entered = rc == RC_OK;
    return rc;
}

static void leave(struct section *section)
{
    if (!section->entered)
        return;
    section->entered = false;
    pause_at(section, PAUSE_BEFORE_LEAVE);
    limit_db(section, clock_now_ns() + LEAVE_NS); // all requests are answered by now
    (void)traced_leave(section->scope.guard, section->db, &section->hold);
}

// ---- one attempt --------------------------------------------------------------------------------

static enum rc commit(struct section *section)
{
    pause_at(section, PAUSE_BEFORE_COMMIT);
    if (!held(section))
        return RC_LOCK_LOST;
    pause_at(section, PAUSE_IN_COMMIT);
    // COMMIT times out a little early, which leaves time to look its outcome up.
    int64_t from_ns = clock_now_ns();
    int64_t reserve_ns = (section->db_deadline_ns - from_ns) / 4;
    reserve_ns = reserve_ns < NS_PER_S ? reserve_ns : NS_PER_S;
    db_set_deadline(section->db, section->db_deadline_ns - reserve_ns);
    enum rc rc = db_commit(section->db);
    db_set_deadline(section->db, section->db_deadline_ns);
    metrics_observe(section->metrics, METRIC_COMMIT, section->scope.endpoint,
                    section->scope.guard->strategy, clock_now_ns() - from_ns);
    if (rc == RC_OK) {
        batch_committed(&section->batch);
        feed_changed(section->settings.feed, section->batch.durable, section->batch.n_durable);
        pause_at(section, PAUSE_AFTER_COMMIT);
    }
    return rc;
}

static enum rc save_and_commit(struct section *section)
{
    enum rc rc = batch_save(&section->batch, section->db);
    if (rc == RC_OK)
        rc = batch_reread(&section->batch, section->db);
    return rc == RC_OK ? commit(section) : rc;
}

// An attempt that does not read first. The save's demand tells whether there was enough; if not,
// ret_done is false with RC_OK, nothing was done, and the caller reads after all. A conflict after
// a long wait for a row's lock is returned, because one such wait is enough.
static enum rc attempt_unread(struct section *section, bool *ret_done)
{
    struct batch *batch = &section->batch;
    int64_t from_ns = clock_now_ns();
    *ret_done = false;
    batch_assume_enough(batch);
    batch_decide(batch);
    if (batch_count(batch, WORK_REFUSED) > 0)
        return RC_OK; // two orders of one name: a refusal stands only when its key was looked up
    batch->token = 0;
    pause_at(section, PAUSE_BEFORE_SAVE);
    enum rc rc = db_begin(section->db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = save_and_commit(section);
    *ret_done = rc == RC_OK;
    if (rc != RC_CONFLICT || clock_now_ns() - from_ns >= BLOCKED_AFTER_NS)
        return rc;
    db_rollback(section->db);
    return RC_OK;
}

// Once through load, decide, save and commit. The caller rolls back if it fails.
static enum rc attempt(struct section *section)
{
    struct batch *batch = &section->batch;
    struct db *db = section->db;
    const struct update_rule_traits *rule = &update_rules[batch->rule];
    pause_at(section, PAUSE_BEFORE_LOAD);

    // Skip the read where neither rule nor kinds need it and there was enough last time.
    if (rule->adds && section->skip_read && batch_is_blind(batch)) {
        bool done;
        enum rc unread = attempt_unread(section, &done);
        if (unread != RC_OK || done)
            return unread;
    }

    // Load. A rule that locks the rows on load begins its transaction here.
    enum rc rc = rule->locks_on_load ? db_begin(db, DB_BEGIN_WRITE_LATE) : RC_OK;
    if (rc == RC_OK)
        rc = batch_load(batch, db, rule->locks_on_load);
    if (rc != RC_OK)
        return rc;

    // Decide.
    batch_decide(batch);
    for (size_t expired = 1; rc == RC_OK && expired > 0;) {
        rc = batch_expire(batch, db, &expired);
        if (rc == RC_OK && expired > 0)
            batch_decide(batch);
    }
    if (rc != RC_OK)
        return rc;
    section->skip_read = batch_count(batch, WORK_REFUSED) == 0;

    // Refusals: stamp each with a version at which it is true, and look its key up. The request's
    // own first attempt may be the reason why nothing is left; then it is a replay.
    size_t replays;
    rc = batch_stamp_refusals(batch, db);
    if (rc == RC_OK)
        rc = batch_find_replays(batch, db, WORK_REFUSED, &replays);
    if (rc != RC_OK)
        return rc;
    count(section, METRIC_REPLAYED, replays);
    if (batch_count(batch, WORK_ACCEPTED) == 0) {
        db_rollback(db);
        return RC_OK;
    }

    // Check the lock. Our fencing token must not be below what the rows have seen. It may be,
    // honestly, if the token source lost its memory or another strategy was in force before: then
    // the guard lifts it.
    struct guard_hold *hold = &section->hold.hold;
    uint64_t seen = rule->compares_token ? batch_loaded_fence(batch) : 0;
    if (seen > hold->token) {
        count(section, METRIC_REFUSED_STALE, 1);
        if (guard_lift(section->scope.guard, db, hold, seen) != RC_OK)
            rc = RC_LOCK_LOST;
    }
    batch->token = hold->token;
    if (rc == RC_OK && !held(section))
        rc = RC_LOCK_LOST;

    // Save and commit. From here on only the rule's demand stops a stale lock holder.
    pause_at(section, PAUSE_BEFORE_SAVE);
    if (rc == RC_OK && !rule->locks_on_load)
        rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    return rc == RC_OK ? save_and_commit(section) : rc;
}

// ---- retries ------------------------------------------------------------------------------------

// After RC_OUTCOME_UNKNOWN of an attempt; results as batch_resolve_unknown.
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

// After RC_DUPLICATE of an attempt. RC_DUPLICATE: some works were replays and are done.
// RC_CONFLICT: none was, so another writer took the version.
static enum rc resolve_duplicate(struct section *section)
{
    size_t found;
    enum rc rc = batch_find_replays(&section->batch, section->db, WORK_ACCEPTED, &found);
    if (rc != RC_OK)
        return rc;
    count(section, METRIC_REPLAYED, found);
    return found > 0 ? RC_DUPLICATE : RC_CONFLICT;
}

// A save was refused and the lock is lost. Counts a stale token if the fence refused it, and not
// another writer of a lock that was still ours.
static void count_if_stale(struct section *section)
{
    const struct batch *batch = &section->batch;
    uint64_t seen = 0;
    if (update_rules[batch->rule].compares_token &&
        batch_seen_fence(batch, section->db, &seen) == RC_OK && seen > batch->token)
        count(section, METRIC_REFUSED_STALE, 1);
}

// The client's result when the attempts end with this one.
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

// Prepares the batch for another attempt, which is expected to take this long. 0 means no competing
// writer: retry without a pause. Works whose deadline comes before the expected end are done with
// the fault. Returns false if no work remains.
static bool prepare_retry(struct section *section, int tries, enum rc fault, int64_t takes_ns)
{
    struct batch *batch = &section->batch;
    if (takes_ns > 0) {
        int doublings = tries < PAUSE_DOUBLINGS ? tries : PAUSE_DOUBLINGS;
        clock_sleep_ns((int64_t)random_below((uint64_t)PAUSE_FIRST_NS << doublings));
    }
    int64_t end_ns = clock_now_ns() + takes_ns;
    bool any = false;
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
        any = true;
    }
    if (any)
        count(section, METRIC_RETRY, 1);
    return any;
}

// Attempts until every work of the batch is done. Otherwise the fault of the works that are not
// done, or RC_CONFLICT: the caller gives those works back.
static enum rc run_batch(struct section *section, int64_t deadline_ns)
{
    bool reconnected = false;
    for (int tries = 0; tries < ATTEMPTS_MAX; tries++) {
        int64_t from_ns = clock_now_ns();
        limit_db(section, batch_first_deadline(&section->batch) + DB_GRACE_NS);
        enum rc rc = attempt(section);
        if (rc == RC_OK && batch_continue(&section->batch))
            continue;
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
            section->disturbed = true;
            if (!held(section)) {
                count_if_stale(section);
                rc = RC_LOCK_LOST;
            }
        }
        enum rc fault = final_fault(rc);
        bool conflict = rc == RC_CONFLICT;
        section->blocked = conflict && took_ns >= BLOCKED_AFTER_NS;
        if (rc == RC_LOCK_LOST) {
            // Leave what remains of the lock, and acquire it again. If that fails, the client gets
            // RC_LOCK_LOST whatever the reason, because we did hold the lock.
            traced_lost(section->scope.guard, &section->hold);
            leave(section);
            rc = enter(section, deadline_ns) == RC_OK ? RC_OK : RC_LOCK_LOST;
        }
        if (rc == RC_BACKEND_UNAVAILABLE && !reconnected) {
            reconnected = true; // the connection may have been stale; nothing was committed on it
            rc = RC_OK;
        }
        if (rc != RC_OK && rc != RC_CONFLICT && rc != RC_DUPLICATE)
            return fault;
        if (!prepare_retry(section, tries, fault, conflict ? took_ns : 0))
            return RC_OK;
        if (section->blocked && section->scope.n_keys > 1)
            return section->scope.divisible ? RC_CONFLICT : RC_CONTENTION;
    }
    return RC_CONTENTION;
}

// ---- run ----------------------------------------------------------------------------------------

static void finish(struct job *job, enum rc rc)
{
    job->operation->outcome.rc = rc;
    job->finished(job, rc);
}

// Whether the section was blocked by a lock that this job may not need: it can run without the
// others.
static bool blocked_by_others(const struct section *section, const struct job *job)
{
    return section->blocked && operation_n_legs(job->operation) < section->scope.n_keys;
}

// Answers every work of the batch. With RC_CONFLICT, or if other works blocked it, a work that is
// not done is given back.
static void finish_batch(struct section *section, enum rc rc)
{
    struct batch *batch = &section->batch;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->state != WORK_DONE &&
            (rc == RC_CONFLICT || (rc == RC_CONTENTION && blocked_by_others(section, work->job)))) {
            section->returned[section->n_returned++] = work->job;
            continue;
        }
        if (rc != RC_OK && work->state != WORK_DONE)
            work->operation->outcome = (struct outcome){.rc = rc};
        finish(work->job, work->operation->outcome.rc);
    }
}

// Fails expired jobs with RC_OVERLOADED and compacts the rest in place. Returns how many remain.
static size_t fail_expired(struct section *section, struct job **jobs, size_t n)
{
    int64_t now_ns = clock_now_ns();
    size_t remain = 0;
    for (size_t i = 0; i < n; i++) {
        struct job *job = jobs[i];
        if (now_ns < job->deadline_ns) {
            jobs[remain++] = job;
            continue;
        }
        count(section, METRIC_DEADLINE, 1);
        job->operation->outcome = (struct outcome){0};
        finish(job, RC_OVERLOADED);
    }
    return remain;
}

static void give_back(struct section *section, struct job *const *jobs, size_t n)
{
    memcpy(section->returned + section->n_returned, jobs, n * sizeof(struct job *));
    section->n_returned += n;
}

// Answers the works that are done. Returns how many jobs are left.
static size_t finish_done(struct batch *batch, struct job **ret_jobs)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->state == WORK_DONE)
            finish(work->job, work->operation->outcome.rc);
        else
            ret_jobs[n++] = work->job;
    }
    return n;
}

static void prove(struct section *section)
{
    int64_t proof_ns = batch_proof_deadline(&section->batch);
    if (proof_ns == INT64_MAX)
        return;
    limit_db(section, proof_ns + DB_GRACE_NS);
    batch_commit_proof(&section->batch, section->db);
}

// Runs these jobs, whose request keys differ, as one batch.
static void run_jobs(struct section *section, struct job **jobs, size_t n, int64_t deadline_ns)
{
    struct batch *batch = &section->batch;
    const struct strategy *strategy = section->scope.guard->strategy;
    n = fail_expired(section, jobs, n);
    if (n == 0)
        return;
    enum update_rule rule = strategy->rule;
    if (section->settings.undemanding ||
        (section->settings.unfenced && update_rules[rule].compares_token))
        rule = RULE_NAIVE; // the lab has switched its demand off
    enum rc rc =
        batch_fill(batch, strategy, rule, section->scope.keys, section->scope.n_keys, jobs, n);
    metrics_observe(section->metrics, METRIC_BATCH_SIZE, section->scope.endpoint, strategy,
                    (int64_t)n);

    // An earlier batch of this run may have lost the lock without reacquiring it.
    if (rc == RC_OK && !section->entered)
        rc = enter(section, deadline_ns);
    rc = rc == RC_OK ? run_batch(section, deadline_ns) : final_fault(rc);
    if (rc == RC_INTERNAL)
        LOG_ERROR("a transaction of %zu operations failed: %s", n, db_error(section->db));
    prove(section);
    if (rc != RC_INTERNAL || n == 1) {
        finish_batch(section, rc);
        return;
    }

    // One operation made the transaction fail: run them one by one.
    n = finish_done(batch, jobs);
    size_t i = 0;
    while (i < n && section->n_returned == 0)
        run_jobs(section, &jobs[i++], 1, deadline_ns);
    give_back(section, &jobs[i], n - i);
}

// Runs the first n of section->jobs, each round without the jobs whose request key is already in
// the batch.
static void run_rounds(struct section *section, size_t n, int64_t deadline_ns)
{
    size_t n_deferred;
    while (n > 0) {
        n = duplicate_keys_defer(section->jobs, n, section->deferred, section->current,
                                 &n_deferred);
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

enum section_end section_run(struct section *section, const struct section_scope *scope,
                             const struct section_source *source)
{
    section->scope = *scope;
    section->disturbed = section->blocked = false;
    section->n_returned = 0;

    // Enter.
    int64_t from_ns = clock_now_ns();
    int64_t limit_ns = scope->deadline_ns;
    if (scope->n_keys > 1 && from_ns + SET_WAIT_NS < limit_ns)
        limit_ns = from_ns + SET_WAIT_NS;
    enum rc rc = enter(section, limit_ns);
    section->blocked = rc == RC_LOCK_BUSY;
    if (section->blocked && scope->divisible) {
        db_set_deadline(section->db, INT64_MAX);
        return SECTION_BLOCKED;
    }

    // If the guard was not entered, fail only the requests that have waited as long as we have.
    size_t n =
        source->take(source->arg, rc == RC_OK ? INT64_MAX : from_ns, section->jobs,
                     section->settings.max_batch, batch_legs_max(section->settings.max_batch));
    if (rc != RC_OK) {
        db_set_deadline(section->db, INT64_MAX);
        n = fail_expired(section, section->jobs, n);
        for (size_t i = 0; i < n; i++) {
            struct job *job = section->jobs[i];
            if (blocked_by_others(section, job)) {
                give_back(section, &job, 1);
                continue;
            }
            job->operation->outcome = (struct outcome){0};
            finish(job, final_fault(rc));
        }
        if (section->n_returned > 0)
            source->give_back(source->arg, section->returned, section->n_returned);
        return section->blocked ? SECTION_BLOCKED : SECTION_UNDISTURBED;
    }

    run_rounds(section, n, scope->deadline_ns);
    leave(section);
    db_set_deadline(section->db, INT64_MAX);
    if (section->n_returned > 0)
        source->give_back(source->arg, section->returned, section->n_returned);
    if (section->blocked)
        return SECTION_BLOCKED;
    return section->disturbed ? SECTION_DISTURBED : SECTION_UNDISTURBED;
}
