// One attempt of a section: load, decide, save, commit.
//
// What breaks it: a lock that is lost between the last check and the COMMIT. Then only the update
// rule's demand refuses the save.
#include "base/clock.h"
#include "engine/feed.h"
#include "engine/section_state.h"
#include "store/db/db.h"

static enum rc commit(struct section *section)
{
    section_pause(section, PAUSE_BEFORE_COMMIT);
    if (!section_held(section))
        return RC_LOCK_LOST;
    section_pause(section, PAUSE_IN_COMMIT);
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
        section_pause(section, PAUSE_AFTER_COMMIT);
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
    section_pause(section, PAUSE_BEFORE_SAVE);
    enum rc rc = db_begin(section->db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = save_and_commit(section);
    *ret_done = rc == RC_OK;
    if (rc != RC_CONFLICT || clock_now_ns() - from_ns >= BLOCKED_AFTER_NS)
        return rc;
    db_rollback(section->db);
    return RC_OK;
}

// Sets the replays of recent requests aside.
static enum rc find_recent(struct section *section)
{
    size_t found;
    enum rc rc = batch_find_recent(&section->batch, section->db, &found);
    section_count(section, METRIC_REPLAYED, found);
    return rc;
}

enum rc section_attempt(struct section *section)
{
    struct batch *batch = &section->batch;
    struct db *db = section->db;
    const struct update_rule_traits *rule = &update_rules[batch->rule];
    section_pause(section, PAUSE_BEFORE_LOAD);
    enum rc rc = find_recent(section);
    if (rc != RC_OK || batch_count(batch, WORK_PENDING) == 0)
        return rc;
    rc = batch_prepare(batch, db);

    // Skip the read where neither rule nor kinds need it and there was enough last time.
    if (rc == RC_OK && rule->adds && section->skip_read && batch_is_blind(batch)) {
        bool done;
        rc = attempt_unread(section, &done);
        if (rc != RC_OK || done)
            return rc;
    }

    // Load. A rule that locks the rows on load begins its transaction here.
    if (rc == RC_OK && rule->locks_on_load)
        rc = db_begin(db, DB_BEGIN_WRITE_LATE);
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
    section_count(section, METRIC_REPLAYED, replays);
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
        section_count(section, METRIC_REFUSED_STALE, 1);
        if (guard_lift(section->scope.guard, db, hold, seen) != RC_OK)
            rc = RC_LOCK_LOST;
    }
    batch->token = hold->token;
    if (rc == RC_OK && !section_held(section))
        rc = RC_LOCK_LOST;

    // Save and commit. From here on only the rule's demand stops a stale lock holder.
    section_pause(section, PAUSE_BEFORE_SAVE);
    if (rc == RC_OK && !rule->locks_on_load)
        rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    return rc == RC_OK ? save_and_commit(section) : rc;
}
