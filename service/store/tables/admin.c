// Transactions for administrators' changes (PUT of a product, campaign or lottery). They use no
// strategy: they lock the rows they decide on, in sorted order, and raise the version, so that
// every strategy that demands the version notices. They are rare and may wait.
//
// What breaks it: a strategy that neither locks nor demands (`none`, or `mutex` in another thread)
// can overwrite their change. The ledger's primary key then refuses one of the two.
#include "store/tables/admin.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#define ATTEMPTS 10
#define PAUSE_MS 5

static enum rc attempt_once(struct db *db, admin_fn attempt, void *arg)
{
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    if (rc == RC_OK)
        rc = attempt(db, arg);
    if (rc == RC_OK)
        rc = db_commit(db);
    db_rollback(db);
    return rc;
}

enum rc admin_transaction(struct db *db, admin_fn attempt, void *arg)
{
    for (int tried = 1;; tried++) {
        enum rc rc = attempt_once(db, attempt, arg);
        if (rc != RC_CONFLICT && rc != RC_DUPLICATE)
            return rc;
        if (tried == ATTEMPTS)
            return RC_CONTENTION;
        clock_sleep_ns((int64_t)random_below((uint64_t)(tried * PAUSE_MS * NS_PER_MS)));
    }
}

enum rc admin_lock_counter(struct db *db, const struct precondition *condition,
                           struct counter *counter, int64_t *ret_now_ms)
{
    char sql[128];
    enum rc rc = counter_load(db, counter, 1, true, ret_now_ms);
    if (rc == RC_OK && !precondition_holds(condition, counter->version))
        return RC_VERSION_MISMATCH;
    if (rc != RC_OK || counter->version != 0)
        return rc;
    // The time comes with a row, and there is none.
    text_format(sql, sizeof sql, "SELECT %s", db_now_ms_sql(db));
    return db_query_int(db, sql, NULL, 0, ret_now_ms);
}

static enum rc write_counter(struct db *db, const struct counter *before, int64_t remaining)
{
    if (before->version == 0)
        return counter_insert(db, before->name, remaining);
    struct counter_change change = {
        .before = *before, .remaining = remaining, .version = before->version + 1};
    return counter_save(db, RULE_LOCKED, 0, &change, 1);
}

enum rc admin_set_counter(struct db *db, struct counter *counter, int64_t remaining, int64_t now_ms)
{
    struct ledger_row row = {.version = counter->version + 1,
                             .delta = remaining - counter->remaining,
                             .remaining = remaining,
                             .strategy = "admin",
                             .created_at_ms = now_ms};
    text_copy(row.counter, sizeof row.counter, counter->name);
    text_copy(row.reason, sizeof row.reason, counter->version == 0 ? "opening" : "adjust");
    enum rc rc = write_counter(db, counter, remaining);
    if (rc == RC_OK)
        rc = ledger_insert(db, &row, 1);
    if (rc == RC_OK) {
        counter->remaining = remaining;
        counter->version++;
    }
    return rc;
}
