// One attempt at a batch: load, decide, save, commit; and what became of it where that is not
// clear.
//
// Where there was plenty last time, stock is not read first: under the conditional rule the save's
// own demand tells whether there was enough.
#include "engine/section_parts.h"

#include "metrics/metrics.h"
#include "store/db/db.h"

// Before a fenced save: our token must not be below what the rows have seen. It may be, honestly,
// if the token source lost its memory or another strategy was in force: then the guard lifts it.
static enum rc show_token(struct section *section)
{
    struct batch *batch = &section->batch;
    uint64_t seen = batch_loaded_fence(batch);
    if (seen > section->hold.token) {
        section_count(section, METRIC_REFUSED_STALE, 1);
        if (guard_lift(section->guard, section->db, &section->hold, seen) != RC_OK)
            return RC_LOCK_LOST;
    }
    batch->token = section->hold.token;
    return RC_OK;
}

static enum rc commit(struct section *section)
{
    section_pause_at(section, PAUSE_BEFORE_COMMIT);
    if (!guard_held(section->guard, &section->hold))
        return RC_LOCK_LOST;
    section_pause_at(section, PAUSE_IN_COMMIT);
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
        section_pause_at(section, PAUSE_AFTER_COMMIT);
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
// enough. If not, RC_OK and nothing was done. One wait for a row's lock is enough of it.
static enum rc attempt_unread(struct section *section, bool *ret_done)
{
    struct batch *batch = &section->batch;
    *ret_done = false;
    if (batch->rule != RULE_CONDITIONAL || section->endpoint != ENDPOINT_STOCK || !section->plenty)
        return RC_OK;
    int64_t from_ns = clock_now_ns();
    batch_suppose(batch);
    batch_decide(batch);
    batch->token = 0;
    section_pause_at(section, PAUSE_BEFORE_SAVE);
    enum rc rc = db_begin(section->db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = save_and_commit(section);
    *ret_done = rc == RC_OK;
    if (rc != RC_CONFLICT || clock_now_ns() - from_ns >= BLOCKED_AFTER_NS)
        return rc;
    db_rollback(section->db);
    return RC_OK;
}

enum rc section_attempt(struct section *section)
{
    section_pause_at(section, PAUSE_BEFORE_LOAD);
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
    section_count(section, METRIC_REPLAYED, replays);
    if (batch_count(batch, WORK_ACCEPTED) == 0) {
        db_rollback(db);
        return RC_OK;
    }
    batch->token = section->hold.token;
    if (batch->rule == RULE_FENCED)
        rc = show_token(section);
    if (rc == RC_OK && !guard_held(section->guard, &section->hold))
        rc = RC_LOCK_LOST;
    section_pause_at(section,
                     PAUSE_BEFORE_SAVE); // from here on the demand alone stops a stale holder
    if (rc == RC_OK && !locked)
        rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    return rc == RC_OK ? save_and_commit(section) : rc;
}

enum rc section_resolve_unknown(struct section *section)
{
    size_t found;
    enum rc rc =
        batch_resolve_unknown(&section->batch, section->db, section->db_deadline_ns, &found);
    section_count(section, METRIC_REPLAYED, found);
    if (rc != RC_OUTCOME_UNKNOWN)
        section_count(section, METRIC_UNKNOWN_RESOLVED, 1);
    return rc;
}

enum rc section_resolve_duplicate(struct section *section)
{
    size_t found;
    enum rc rc = batch_find_replays(&section->batch, section->db, WORK_ACCEPTED, &found);
    if (rc != RC_OK)
        return rc;
    section_count(section, METRIC_REPLAYED, found);
    return found > 0 ? RC_DUPLICATE : RC_CONFLICT;
}
