// What follows a failed attempt.
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
//   - the database does not answer: the connection is closed at the first deadline of the batch,
//     and the requests that have time left are requeued;
//   - any other failure: run the operations one by one, so that a bad one fails alone.
#include "base/clock.h"
#include "base/random.h"
#include "engine/job.h"
#include "engine/section_state.h"
#include "store/db/db.h"

#define ATTEMPTS_MAX 24
#define PAUSE_FIRST_NS (NS_PER_MS / 4)
#define PAUSE_DOUBLINGS 6

// After RC_OUTCOME_UNKNOWN of an attempt; results as batch_resolve_unknown.
static enum rc resolve_unknown(struct section *section)
{
    size_t found;
    enum rc rc =
        batch_resolve_unknown(&section->batch, section->db, section->db_deadline_ns, &found);
    section_count(section, METRIC_REPLAYED, found);
    if (rc != RC_OUTCOME_UNKNOWN)
        section_count(section, METRIC_UNKNOWN_RESOLVED, 1);
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
    section_count(section, METRIC_REPLAYED, found);
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
        section_count(section, METRIC_REFUSED_STALE, 1);
}

// The result of the works that are not done. After a COMMIT whose outcome was unknown, "this
// attempt changed nothing" is not proven: the server that was asked may have been cut off from its
// group, which may still commit it. Only a later commit proves it.
static enum rc fault_of(enum rc rc, bool in_doubt)
{
    enum rc fault = section_final_fault(rc);
    return in_doubt && rc_is_transient(fault) ? RC_OUTCOME_UNKNOWN : fault;
}

enum rc section_final_fault(enum rc rc)
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

// Works whose deadline comes before this moment are done with the fault. Returns whether others
// remain.
static bool fail_expired(struct batch *batch, enum rc fault, int64_t end_ns)
{
    bool any = false;
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (work->state == WORK_DONE)
            continue;
        any |= end_ns < work->job->deadline_ns;
        if (end_ns < work->job->deadline_ns)
            continue;
        work->operation->outcome = (struct outcome){.rc = fault};
        work->state = WORK_DONE;
    }
    return any;
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
    if (!fail_expired(batch, fault, clock_now_ns() + takes_ns))
        return false;
    for (size_t i = 0; i < batch->n_works; i++) {
        if (batch->works[i].state != WORK_DONE)
            batch->works[i].state = WORK_PENDING;
    }
    section_count(section, METRIC_RETRY, 1);
    return true;
}

enum rc section_run_batch(struct section *section, int64_t deadline_ns)
{
    bool reconnected = false, in_doubt = false;
    for (int tries = 0; tries < ATTEMPTS_MAX; tries++) {
        int64_t from_ns = clock_now_ns();
        int64_t first_ns = batch_first_deadline(&section->batch);
        section_limit_db(section, first_ns + DB_GRACE_NS);
        enum rc rc = section_attempt(section);
        if (rc == RC_OK && batch_continue(&section->batch))
            continue;
        if (rc == RC_OK)
            return RC_OK;
        db_rollback(section->db);
        int64_t took_ns = clock_now_ns() - from_ns; // long if it waited for a row's lock
        in_doubt |= rc == RC_OUTCOME_UNKNOWN;
        if (rc == RC_OUTCOME_UNKNOWN)
            rc = resolve_unknown(section);
        else if (rc == RC_DUPLICATE)
            rc = resolve_duplicate(section);
        if (rc == RC_OK)
            return RC_OK;
        if (rc == RC_CONFLICT) {
            section_count(section, METRIC_CONFLICT, 1);
            section->disturbed = true;
            if (!section_held(section)) {
                count_if_stale(section);
                rc = RC_LOCK_LOST;
            }
        }
        enum rc fault = fault_of(rc, in_doubt);
        bool conflict = rc == RC_CONFLICT;
        section->blocked = conflict && took_ns >= BLOCKED_AFTER_NS;
        if (rc == RC_LOCK_LOST) {
            // Leave what remains of the lock, and acquire it again. If that fails, the client gets
            // RC_LOCK_LOST whatever the reason, because we did hold the lock.
            traced_lost(section->scope.guard, &section->hold);
            section_leave(section);
            rc = section_enter(section, deadline_ns) == RC_OK ? RC_OK : RC_LOCK_LOST;
        }
        // The connection was cut at the first deadline. The works that have time left are given
        // back, so that the others are answered now.
        if (rc == RC_BACKEND_UNAVAILABLE && clock_now_ns() >= first_ns && !in_doubt &&
            fail_expired(&section->batch, fault, clock_now_ns()))
            return RC_CONFLICT;
        if (rc == RC_BACKEND_UNAVAILABLE && !reconnected) {
            reconnected = true; // the connection may have been stale; nothing was committed on it
            rc = RC_OK;
        }
        if (rc != RC_OK && rc != RC_CONFLICT && rc != RC_DUPLICATE)
            return fault;
        if (!prepare_retry(section, tries, fault, conflict ? took_ns : 0))
            return RC_OK;
        if (section->blocked && (section->n_counters > 1 || section->scope.partitioned))
            return section->scope.divisible ? RC_CONFLICT : fault_of(RC_CONTENTION, in_doubt);
    }
    return fault_of(RC_CONTENTION, in_doubt);
}
