// A section from enter to leave: one batch after another, each with its attempts
// (section_attempt.c) and what follows a failed one (section_retry.c). While the tenure lasts, the
// jobs that have come meanwhile follow under the same hold (tenure.c).
//
// Requests are answered after the commit and before the guard is left, because leaving may take a
// round trip.
#include "engine/section.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/duplicate_keys.h"
#include "engine/job.h"
#include "engine/section_state.h"
#include "engine/tenure.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

#define SET_WAIT_NS NS_PER_S // for the locks of several counters

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
    enum rc rc = batch_init(&section->batch, max_batch, settings->recent);
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
    return section->blocked && operation_n_legs(job->operation) < section->n_counters;
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
        section_count(section, METRIC_DEADLINE, 1);
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
    section_limit_db(section, proof_ns + DB_GRACE_NS);
    batch_commit_proof(&section->batch, section->db);
}

// Notes which counters of the scope do not exist: those that the batch has read, has not found, and
// has not created. After a fault, none.
static void note_unknown(struct section *section, enum rc rc)
{
    const struct batch *batch = &section->batch;
    const struct section_scope *scope = &section->scope;
    if (scope->partitioned)
        return; // a partition's lock outlives its counters
    for (size_t root = 0, key = 0; root < batch->n_roots; root++, key++) {
        while (strcmp(scope->keys[key], batch->loaded[root].name) != 0)
            key++;
        section->unknown[key] = rc == RC_OK && batch->now_ms != 0 &&
                                batch->loaded[root].version == 0 &&
                                batch->counters[root].version == 0;
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The counters of these jobs, sorted and distinct. They have GUARD_KEYS_MAX legs at most.
static size_t name_counters(struct job *const *jobs, size_t n, const char **ret_names)
{
    size_t n_names = 0, n_distinct = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t leg = 0; leg < operation_n_legs(jobs[i]->operation); leg++)
            ret_names[n_names++] = operation_leg(jobs[i]->operation, leg)->counter;
    }
    qsort(ret_names, n_names, sizeof *ret_names, compare_names);
    for (size_t i = 0; i < n_names; i++) {
        if (i == 0 || strcmp(ret_names[n_distinct - 1], ret_names[i]) != 0)
            ret_names[n_distinct++] = ret_names[i];
    }
    return n_distinct;
}

// Fills the batch under the strategy's rule, or under none if the lab has switched its demand off.
static enum rc fill_batch(struct section *section, struct job *const *jobs, size_t n)
{
    const struct section_scope *scope = &section->scope;
    const struct strategy *strategy = scope->guard->strategy;
    const char *names[GUARD_KEYS_MAX];
    const char *const *counters = scope->partitioned ? names : scope->keys;
    if (scope->partitioned)
        section->n_counters = name_counters(jobs, n, names);
    enum update_rule rule = strategy->rule;
    if (section->settings.undemanding ||
        (section->settings.unfenced && update_rules[rule].compares_token))
        rule = RULE_NAIVE;
    return batch_fill(&section->batch, strategy, rule, counters, section->n_counters, jobs, n);
}

// Runs these jobs, whose request keys differ, as one batch.
static void run_jobs(struct section *section, struct job **jobs, size_t n, int64_t deadline_ns)
{
    struct batch *batch = &section->batch;
    const struct strategy *strategy = section->scope.guard->strategy;
    n = fail_expired(section, jobs, n);
    if (n == 0)
        return;
    enum rc rc = fill_batch(section, jobs, n);
    metrics_observe(section->metrics, METRIC_BATCH_SIZE, section->scope.endpoint, strategy,
                    (int64_t)n);

    // An earlier batch of this run may have lost the lock without reacquiring it.
    if (rc == RC_OK && !section->entered)
        rc = section_enter(section, deadline_ns);
    rc = rc == RC_OK ? section_run_batch(section, deadline_ns) : section_final_fault(rc);
    if (rc == RC_INTERNAL)
        LOG_ERROR("a transaction of %zu operations failed: %s", n, db_error(section->db));
    note_unknown(section, rc);
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

// Answers the jobs whose request keys are in the ledger; several may have the same key. Returns how
// many are left.
static size_t answer_replays(struct section *section, struct job **jobs, size_t n)
{
    struct batch *batch = &section->batch;
    size_t found = 0;
    if (n == 0 || fill_batch(section, jobs, n) != RC_OK)
        return n;
    section_limit_db(section, batch_first_deadline(batch) + DB_GRACE_NS);
    if (batch_find_replays(batch, section->db, WORK_PENDING, &found) != RC_OK)
        db_rollback(section->db); // the next batch meets the fault again
    section_count(section, METRIC_REPLAYED, found);
    prove(section);
    return finish_done(batch, jobs);
}

// Runs the first n of section->jobs, each round without the jobs whose request key is already in
// the batch. When that batch is done most of them are replays.
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
        n = fail_expired(section, section->jobs, n_deferred);
        n = answer_replays(section, section->jobs, n);
    }
}

static size_t take(struct section *section, const struct section_source *source, int64_t before_ns)
{
    size_t max_batch = section->settings.max_batch;
    size_t max_legs = section->scope.partitioned ? GUARD_KEYS_MAX : batch_legs_max(max_batch);
    return source->take(source->arg, before_ns, section->jobs, max_batch, max_legs);
}

enum section_end section_run(struct section *section, const struct section_scope *scope,
                             const struct section_source *source)
{
    section->scope = *scope;
    section->disturbed = section->blocked = false;
    section->n_returned = 0;
    section->n_counters = scope->n_keys;
    memset(section->unknown, 0, scope->n_keys * sizeof section->unknown[0]);

    // Enter.
    int64_t from_ns = clock_now_ns();
    int64_t limit_ns = scope->deadline_ns;
    if (scope->n_keys > 1 && from_ns + SET_WAIT_NS < limit_ns)
        limit_ns = from_ns + SET_WAIT_NS;
    enum rc rc = section_enter(section, limit_ns);
    section->blocked = rc == RC_LOCK_BUSY;
    if (section->blocked && scope->divisible) {
        db_set_deadline(section->db, INT64_MAX);
        return SECTION_BLOCKED;
    }

    // If the guard was not entered, fail only the requests that have waited as long as we have.
    size_t n = take(section, source, rc == RC_OK ? INT64_MAX : from_ns);
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
            finish(job, section_final_fault(rc));
        }
        if (section->n_returned > 0)
            source->give_back(source->arg, section->returned, section->n_returned);
        return section->blocked ? SECTION_BLOCKED : SECTION_UNDISTURBED;
    }

    run_rounds(section, n, scope->deadline_ns);
    while (tenure_goes_on(section, source, n) && (n = take(section, source, INT64_MAX)) > 0) {
        section_count(section, METRIC_KEPT, 1);
        run_rounds(section, n, section->jobs[0]->deadline_ns);
    }
    section_leave(section);
    db_set_deadline(section->db, INT64_MAX);
    if (section->n_returned > 0)
        source->give_back(source->arg, section->returned, section->n_returned);
    if (section->blocked)
        return SECTION_BLOCKED;
    return section->disturbed ? SECTION_DISTURBED : SECTION_UNDISTURBED;
}
